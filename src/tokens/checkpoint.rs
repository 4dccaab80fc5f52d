//! Checkpoints of the audit log: signed like tokens, with the same keys, and never to be taken for one (RFC 8725
//! section 3.11).

use std::collections::BTreeMap;
use std::mem;

use chrono::TimeDelta;
use jsonwebtoken::Validation;

use super::signing_key::{SigningKey, jwt_algorithm};
use crate::domain::audit_chain::{Checkpoint, Link, Signed};
use crate::domain::signing_key::KeyState;
use crate::domain::{AuditChainId, Refusal, Timestamp};

/// The `typ` of a checkpoint.
const CHECKPOINT_TYPE: &str = "audit-checkpoint+jwt";

/// Signs a checkpoint: a compact JWS (RFC 7515).
///
/// # Errors
/// [`Refusal::Internal`] where the key does not sign.
pub fn sign(key: &SigningKey, checkpoint: &Checkpoint) -> Result<String, Refusal> {
    key.sign_as(CHECKPOINT_TYPE, checkpoint)
}

/// Reads a checkpoint that one of these keys signed, and says whether that key still counts: what a leaked one signed
/// may be anybody's.
#[must_use]
fn read(keys: &[SigningKey], token: &str) -> Option<(Checkpoint, bool)> {
    let header = jsonwebtoken::decode_header(token).ok()?;
    let key = keys.iter().find(|key| Some(&key.kid) == header.kid.as_ref())?;
    let mut rules = Validation::new(jwt_algorithm(key.algorithm));
    // It has no audience and does not end.
    rules.set_required_spec_claims::<&str>(&[]);
    rules.validate_exp = false;
    rules.validate_aud = false;
    if header.typ.as_deref() != Some(CHECKPOINT_TYPE) {
        return None;
    }
    let checkpoint = jsonwebtoken::decode(token, &key.decoding, &rules).ok()?.claims;
    Some((checkpoint, key.state != KeyState::Compromised))
}

/// What the checkpoints say.
///
/// Each names the one before it: the last one that a trusted key signed vouches for all before it, even for those of a
/// key that has leaked since.
#[derive(Default)]
pub struct Checkpoints {
    /// The number of the last one, and its hash.
    last: Option<(i64, Link)>,
    first: Option<Timestamp>,
    chains: BTreeMap<AuditChainId, Signed>,
    /// Those at the end that nobody vouches for.
    unvouched: usize,
    read: usize,
    faults: Vec<String>,
}

impl Checkpoints {
    /// How many a trusted key vouches for.
    #[must_use]
    pub fn vouched_for(&self) -> usize {
        self.read.saturating_sub(self.unvouched)
    }

    /// When the first one was signed.
    #[must_use]
    pub fn first(&self) -> Option<Timestamp> {
        self.first
    }

    /// What they say about a chain, once.
    pub fn take(&mut self, chain: AuditChainId) -> Signed {
        self.chains.remove(&chain).unwrap_or_default()
    }

    /// What they say about chains that nobody took.
    pub fn rest(&mut self) -> BTreeMap<AuditChainId, Signed> {
        mem::take(&mut self.chains)
    }

    /// What is wrong with them.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let leaked = "the last checkpoints were signed by keys that have leaked since; a running server signs new ones";
        let leaked = (self.unvouched > 0).then(|| format!("{leaked} ({} of them)", self.unvouched));
        self.faults.iter().cloned().chain(leaked).collect()
    }

    /// The number of the last one, and its hash.
    #[must_use]
    pub fn last(&self) -> Option<(i64, Link)> {
        self.last
    }

    /// Whether each follows the one before it, and is signed by a key of ours.
    #[must_use]
    pub fn are_sound(&self) -> bool {
        self.faults.is_empty()
    }

    /// What they say about a chain.
    pub fn of(&mut self, chain: AuditChainId) -> &Signed {
        self.chains.entry(chain).or_default()
    }

    /// Forgets what a server that only goes on need not know.
    pub fn forget_earlier_ends(&mut self) {
        self.chains.values_mut().for_each(Signed::forget_earlier_ends);
    }

    /// One more, as it is stored under the number `at`.
    pub fn add(&mut self, at: i64, token: &str, keys: &[SigningKey]) {
        let (number, previous) = self.last.unzip();
        let follows = |said: &Checkpoint| {
            said.number == at && at == number.unwrap_or_default().saturating_add(1) && said.previous == previous
        };
        self.last = Some((at, Link::of_text(token)));
        let Some((said, trusted)) = read(keys, token).filter(|(said, _)| follows(said)) else {
            self.faults.push(format!("checkpoint {at} was altered or added, or the one before it is missing"));
            return;
        };
        self.read += 1;
        self.unvouched = if trusted { 0 } else { self.unvouched + 1 };
        self.first = self.first.or_else(|| Some(Timestamp::of_seconds(said.iat).plus(TimeDelta::seconds(1))));
        for place in &said.ends {
            self.chains.entry(place.chain).or_default().end(place);
        }
        for place in &said.forgotten {
            self.chains.entry(place.chain).or_default().forget(place);
        }
    }
}
