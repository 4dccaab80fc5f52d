//! Refuses tokens whose session or API key was revoked. It asks for the status list that a token names once in a `ttl`,
//! not for each token.

use std::{
    collections::HashMap,
    error::Error,
    io::Read,
    time::{Duration, Instant},
};

use data_encoding::BASE64URL_NOPAD;
use flate2::read::ZlibDecoder;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header, get_current_timestamp};
use serde_json::{Map, Value};

use super::{Verifier, algorithm};

/// Every list of Jeton has 2^20 bits.
const LIST_BYTES: usize = 131_072;

/// After a list could not be had; sooner would add to the trouble.
const RETRY: Duration = Duration::from_secs(5);

/// For how long the public keys are kept: the `max-age` of their answer.
const KEYS_FOR: Duration = Duration::from_mins(5);

/// Verifies tokens for the life of a service. One that many threads share stands behind a mutex, or has a
/// thread that renews its lists.
pub struct Guard {
    verifier: Verifier,
    fetched: Instant,
    lists: HashMap<String, List>,
}

/// What is known of a list.
#[derive(Default)]
struct List {
    bits: Vec<u8>,
    exp: u64,
    ttl: Duration,
    etag: String,
    ask_at: Option<Instant>,
    trouble: String,
}

impl Guard {
    /// Fetches the public keys.
    pub fn start(issuer: String, audience: String) -> Result<Self, Box<dyn Error>> {
        Ok(Self { verifier: Verifier::fetch(issuer, audience)?, fetched: Instant::now(), lists: HashMap::new() })
    }

    /// The claims of a token that is valid and was not revoked; an error for any other.
    pub fn accept(&mut self, token: &str) -> Result<Map<String, Value>, Box<dyn Error>> {
        self.renew_keys();
        let claims = self.verifier.verify(token)?;
        // Only now: what a forged token names must not be fetched.
        match claims.get("status") {
            Some(status) if self.is_revoked(status)? => Err("revoked".into()),
            _ => Ok(claims),
        }
    }

    fn is_revoked(&mut self, status: &Value) -> Result<bool, Box<dyn Error>> {
        let place = &status["status_list"];
        // Nothing but the issuer's own lists is ever fetched, whatever a token says.
        let uri = place["uri"].as_str().filter(|uri| self.is_the_issuers(uri));
        let uri = uri.ok_or("its status list is not the issuer's")?;
        let index = place["idx"].as_u64().and_then(|index| usize::try_from(index).ok());
        let index = index.filter(|index| *index < LIST_BYTES * 8).ok_or("its status is outside of the list")?;

        let list = self.lists.entry(uri.to_owned()).or_default();
        if list.ask_at.is_none_or(|at| Instant::now() >= at) {
            list.renew(uri, &self.verifier);
        }
        if get_current_timestamp() >= list.exp {
            return Err(format!("no status list that has not passed its exp: {}", list.trouble).into());
        }
        let byte = list.bits.get(index / 8).ok_or("its status is outside of the list")?;
        Ok(byte >> (index % 8) & 1 == 1)
    }

    fn is_the_issuers(&self, uri: &str) -> bool {
        let rest =
            uri.strip_prefix(&self.verifier.issuer).and_then(|rest| rest.strip_prefix("/.well-known/revocations"));
        let is_number =
            |text: &str| !text.is_empty() && !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
        rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('/').is_some_and(is_number))
    }

    /// Where the keys cannot be had the ones that are there stay.
    fn renew_keys(&mut self) {
        if self.fetched.elapsed() >= KEYS_FOR {
            self.fetched = Instant::now();
            if let Ok(verifier) = Verifier::fetch(self.verifier.issuer.clone(), self.verifier.audience.clone()) {
                self.verifier = verifier;
            }
        }
    }
}

impl List {
    /// Asks for the list. Where that fails the one that was there stays, until its `exp`.
    fn renew(&mut self, uri: &str, verifier: &Verifier) {
        // From when it was asked for: of what was revoked later it says nothing.
        let asked = Instant::now();
        self.ask_at = Some(match self.ask(uri, verifier) {
            Ok(()) => asked + self.ttl,
            Err(trouble) => {
                self.trouble = trouble.to_string();
                asked + RETRY
            }
        });
    }

    fn ask(&mut self, uri: &str, verifier: &Verifier) -> Result<(), Box<dyn Error>> {
        let request = ureq::get(uri).header("If-None-Match", &self.etag);
        let request = request.config().max_redirects(0).timeout_global(Some(RETRY)).http_status_as_error(false).build();
        let mut answer = request.call()?;
        match answer.status().as_u16() {
            304 => return Ok(()),
            200 => {}
            status => return Err(format!("{uri} answers {status}").into()),
        }
        let claims = list_claims(&answer.body_mut().read_to_string()?, uri, verifier)?;
        if claims["status_list"]["bits"] != 1 {
            return Err("its entries have not one bit each".into());
        }
        let compressed =
            BASE64URL_NOPAD.decode(claims["status_list"]["lst"].as_str().unwrap_or_default().as_bytes())?;
        let mut bits = Vec::with_capacity(LIST_BYTES + 1);
        ZlibDecoder::new(&*compressed).take(LIST_BYTES as u64 + 1).read_to_end(&mut bits)?;
        if bits.len() != LIST_BYTES {
            return Err("it has another length".into());
        }
        self.ttl = Duration::from_secs(claims["ttl"].as_u64().ok_or("it has no ttl")?);
        self.exp = claims["exp"].as_u64().ok_or("it has no exp")?;
        let etag = answer.headers().get("etag").and_then(|tag| tag.to_str().ok());
        self.etag = etag.map(str::to_owned).unwrap_or_default();
        self.bits = bits;
        Ok(())
    }
}

/// The claims of a status list token, which is checked like an access token, but for its `typ`, and that it is this
/// list.
fn list_claims(token: &str, uri: &str, verifier: &Verifier) -> Result<Value, Box<dyn Error>> {
    let header = decode_header(token)?;
    if header.typ.as_deref() != Some("statuslist+jwt") {
        return Err("no status list".into());
    }
    let key = header.kid.and_then(|kid| verifier.keys.find(&kid)).ok_or("unknown key")?;
    let mut rules = Validation::new(algorithm(key)?);
    rules.set_issuer(&[&verifier.issuer]);
    rules.set_required_spec_claims(&["exp", "iss", "sub"]);
    rules.sub = Some(uri.to_owned());
    rules.validate_aud = false;
    rules.leeway = 30;
    Ok(decode(token, &DecodingKey::from_jwk(key)?, &rules)?.claims)
}
