//! Issues access tokens: a JWS over claims (RFC 7515, RFC 9068).

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use super::claims::{Claims, Grant};
use super::keyring::{Keyring, Keys};
use super::signing_key::SigningKey;
use crate::config::{Config, OfferedAudience};
use crate::domain::{Algorithm, Audience, Refusal};
use crate::random::Random;

/// Signs access tokens.
pub struct Issuer {
    keyring: Keyring,
    random: Random,
    name: String,
    audiences: Vec<OfferedAudience>,
    algorithm: Algorithm,
    in_use: BTreeSet<Algorithm>,
}

/// All that one access token needs to be signed. Who changes something for the token takes it first: after the commit
/// nothing is left that could fail, or the change would be made and its token lost (security 27).
///
/// A key that stops signing meanwhile stays published for longer than any request takes
/// ([`MARGIN`](crate::domain::rotation::MARGIN)).
pub struct Ready<'a> {
    issuer: &'a Issuer,
    audience: &'a OfferedAudience,
    key: Arc<SigningKey>,
    jti: uuid::Uuid,
}

/// An access token, and what its holder is told about it.
#[derive(Debug)]
pub struct AccessToken {
    /// The compact JWS.
    pub jwt: String,
    /// Its claims.
    pub claims: Claims,
}

impl Issuer {
    /// An issuer by this configuration.
    #[must_use]
    pub fn new(config: &Config, keyring: Keyring, random: Random) -> Self {
        Self {
            keyring,
            random,
            name: config.server.public_url.issuer().to_owned(),
            audiences: config.tokens.audience.clone(),
            algorithm: config.keys.algorithm,
            in_use: config.algorithms(),
        }
    }

    /// Its name, the `iss` of all that it signs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Issues a token for what is granted.
    ///
    /// # Errors
    /// An audience that is not in `tokens.audience`; [`Refusal::Unavailable`] while no key signs, or the keys in
    /// memory may be out of date.
    pub fn access_token(&self, grant: Grant) -> Result<AccessToken, Refusal> {
        self.ready(grant.audience.as_ref())?.sign(grant)
    }

    /// Takes what signs a token for an audience, the first one where none is named.
    ///
    /// # Errors
    /// As [`Issuer::access_token`].
    pub fn ready(&self, audience: Option<&Audience>) -> Result<Ready<'_>, Refusal> {
        let audience = self.audience(audience)?;
        let wanted = audience.algorithm.unwrap_or(self.algorithm);
        let key = Arc::clone(self.keys()?.signer(wanted, self.algorithm, &self.in_use)?);
        let jti = uuid::Builder::from_random_bytes(self.random.name()?).into_uuid();
        Ok(Ready { issuer: self, audience, key, jti })
    }

    /// Signs what is no access token, with the key for `keys.algorithm`; answers the JWS and the key's name.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] while no key signs, or the keys in memory may be out of date.
    pub fn sign_as(&self, typ: &str, claims: &impl Serialize) -> Result<(String, String), Refusal> {
        let keys = self.keys()?;
        let key = keys.signer(self.algorithm, self.algorithm, &self.in_use)?;
        Ok((key.sign_as(typ, claims)?, key.kid.clone()))
    }

    /// The keys of this moment, if they may sign.
    fn keys(&self) -> Result<Arc<Keys>, Refusal> {
        if self.keyring.is_trusted() { Ok(self.keyring.keys()) } else { Err(Refusal::Unavailable) }
    }

    fn audience(&self, named: Option<&Audience>) -> Result<&OfferedAudience, Refusal> {
        let offered = match named {
            None => self.audiences.first(),
            Some(named) => self.audiences.iter().find(|offered| offered.name == *named),
        };
        offered.ok_or_else(|| Refusal::invalid("audience", "must be an audience that this server issues for"))
    }
}

impl Ready<'_> {
    /// Signs the token for what is granted, to the audience that this was taken for.
    ///
    /// # Errors
    /// [`Refusal::Internal`] where the crypto library refuses.
    pub fn sign(self, grant: Grant) -> Result<AccessToken, Refusal> {
        let claims = Claims::of(grant, self.issuer.name.clone(), self.audience.name.clone(), self.jti);
        let jwt = self.key.signer.sign(&claims).map_err(|error| {
            tracing::error!(%error, "cannot sign");
            Refusal::Internal
        })?;
        Ok(AccessToken { jwt, claims })
    }
}

impl AccessToken {
    /// For how many seconds it is valid.
    #[must_use]
    pub fn expires_in(&self) -> i64 {
        self.claims.exp.saturating_sub(self.claims.iat)
    }
}
