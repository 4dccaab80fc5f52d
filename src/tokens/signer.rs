//! Signs tokens with a key pair that was parsed once; the JWT library parses it anew for every token (ADR 14).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::crypto::JwtSigner;
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{Error as SignatureError, Signer};
use jsonwebtoken::{EncodingKey, Header};
use serde::Serialize;

use super::claims::ACCESS_TOKEN_TYPE;
use super::signing_key::jwt_algorithm;
use crate::domain::Algorithm;

/// Longer than most tokens of ours: their buffer does not grow.
const USUAL: usize = 1_024;

/// Makes compact JWS (RFC 7515 section 7.1) with one key.
pub(super) struct TokenSigner {
    pair: ParsedPair,
    algorithm: jsonwebtoken::Algorithm,
    kid: String,
    /// The encoded header of an access token and its dot: all of a key begin alike.
    header: String,
}

/// A key pair as the crypto library signs with it.
enum ParsedPair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
}

impl TokenSigner {
    /// A signer with this key, whose tokens name it `kid`.
    ///
    /// # Errors
    /// It is no key of this algorithm.
    pub fn new(key: &EncodingKey, algorithm: Algorithm, kid: &str) -> Result<Self, Error> {
        let pair = ParsedPair::new(key, algorithm)?;
        let algorithm = jwt_algorithm(algorithm);
        Ok(Self { pair, algorithm, kid: kid.to_owned(), header: encoded_header(algorithm, ACCESS_TOKEN_TYPE, kid)? })
    }

    /// The access token that says `claims`.
    ///
    /// # Errors
    /// The crypto library refuses, or a claim cannot be written as JSON.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, Error> {
        self.compact(&self.header, claims)
    }

    /// A token of another type, so that none is taken for an access token (RFC 8725 section 3.11).
    ///
    /// # Errors
    /// As [`TokenSigner::sign`].
    pub fn sign_as(&self, typ: &str, claims: &impl Serialize) -> Result<String, Error> {
        self.compact(&encoded_header(self.algorithm, typ, &self.kid)?, claims)
    }

    fn compact(&self, header: &str, claims: &impl Serialize) -> Result<String, Error> {
        let mut jwt = String::with_capacity(USUAL);
        jwt.push_str(header);
        BASE64URL_NOPAD.encode_append(&serde_json::to_vec(claims)?, &mut jwt);
        let signature = self.pair.try_sign(jwt.as_bytes())?;
        jwt.push('.');
        BASE64URL_NOPAD.encode_append(&signature, &mut jwt);
        Ok(jwt)
    }
}

fn encoded_header(algorithm: jsonwebtoken::Algorithm, typ: &str, kid: &str) -> Result<String, Error> {
    let mut header = Header::new(algorithm);
    header.typ = Some(typ.to_owned());
    header.kid = Some(kid.to_owned());
    Ok(BASE64URL_NOPAD.encode(&serde_json::to_vec(&header)?) + ".")
}

impl ParsedPair {
    fn new(key: &EncodingKey, algorithm: Algorithm) -> Result<Self, ErrorKind> {
        let der = key.as_bytes();
        match algorithm {
            Algorithm::Es256 => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
                .map(Self::Es256)
                .map_err(|_| ErrorKind::InvalidEcdsaKey),
            Algorithm::EdDsa => {
                Ed25519KeyPair::from_pkcs8(der).map(Self::EdDsa).map_err(|_| ErrorKind::InvalidEddsaKey)
            }
            Algorithm::Rs256 => {
                RsaKeyPair::from_der(der).map(Self::Rs256).map_err(|error| ErrorKind::InvalidRsaKey(error.to_string()))
            }
        }
    }
}

impl Signer<Vec<u8>> for ParsedPair {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let random = SystemRandom::new();
        match self {
            Self::Es256(pair) => pair.sign(&random, message).map(|signature| signature.as_ref().to_vec()),
            Self::EdDsa(pair) => pair.try_sign(message).map(|signature| signature.as_ref().to_vec()),
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map(|()| signature)
            }
        }
        .map_err(SignatureError::from_source)
    }
}

impl JwtSigner for ParsedPair {
    fn algorithm(&self) -> jsonwebtoken::Algorithm {
        jwt_algorithm(match self {
            Self::Es256(_) => Algorithm::Es256,
            Self::EdDsa(_) => Algorithm::EdDsa,
            Self::Rs256(_) => Algorithm::Rs256,
        })
    }
}
