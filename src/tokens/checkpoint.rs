//! Checkpoints of the audit log: signed like tokens, with the same keys, and never to be taken for one (RFC 8725
//! section 3.11).

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use chrono::TimeDelta;
use jsonwebtoken::Validation;
use jsonwebtoken::dangerous::insecure_decode;

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

/// A key that may have signed checkpoints.
pub struct Signer {
    /// Its name.
    pub kid: String,
    /// Where it is in its life.
    pub state: KeyState,
    /// The key; none where it opens no more.
    pub key: Option<Arc<SigningKey>>,
}

/// Reads a checkpoint that one of these keys signed, and says what its word is worth.
#[must_use]
fn read(signers: &[Signer], token: &str) -> Option<(Checkpoint, Word)> {
    let header = jsonwebtoken::decode_header(token).ok()?;
    let signer = signers.iter().find(|signer| Some(&signer.kid) == header.kid.as_ref())?;
    if header.typ.as_deref() != Some(CHECKPOINT_TYPE) {
        return None;
    }
    let Some(key) = &signer.key else {
        return Some((insecure_decode::<Checkpoint>(token).ok()?.claims, Word::Unreadable));
    };
    let mut rules = Validation::new(jwt_algorithm(key.algorithm));
    // It has no audience and does not end.
    rules.set_required_spec_claims::<&str>(&[]);
    rules.validate_exp = false;
    rules.validate_aud = false;
    let checkpoint = jsonwebtoken::decode(token, &key.decoding, &rules).ok()?.claims;
    Some((checkpoint, if signer.state == KeyState::Compromised { Word::Leaked } else { Word::Trusted }))
}

/// What the word of a key is worth.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Trusted,
    /// What a leaked key signed may be anybody's.
    Leaked,
    /// A key that opens no more cannot be asked: what is said to be signed with it may be anybody's too.
    Unreadable,
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
    /// Those of keys that open no more: from which to which.
    unreadable: Vec<(i64, i64)>,
    faults: Vec<String>,
}

impl Checkpoints {
    /// How many a trusted key vouches for.
    #[must_use]
    pub fn vouched_for(&self) -> usize {
        self.read.saturating_sub(self.unvouched)
    }

    /// How many are said to be of keys that open no more.
    #[must_use]
    pub fn unreadable(&self) -> usize {
        let many: i64 = self.unreadable.iter().map(|(from, to)| to - from + 1).sum();
        usize::try_from(many).unwrap_or_default()
    }

    /// What nobody can check any more: no fault, but to be known.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let note = |(from, to): &(i64, i64)| {
            format!(
                "checkpoints {from} to {to} are of signing keys that open no more: nobody can check them, and only what \
                 was signed later vouches for them"
            )
        };
        self.unreadable.iter().map(note).collect()
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
        let unvouched = "the last checkpoints were signed by keys that have leaked since, or open no more; a running \
             server signs new ones";
        let unvouched = (self.unvouched > 0).then(|| format!("{unvouched} ({} of them)", self.unvouched));
        self.faults.iter().cloned().chain(unvouched).collect()
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

    /// One more, as it is stored under the number `at`. Of a key that opens no more it is taken `from_start` only, by
    /// who reads all of them: a server that runs has every key that signs, and could be made to vouch for what somebody
    /// wrote who has the database alone.
    pub fn add(&mut self, at: i64, token: &str, signers: &[Signer], from_start: bool) {
        let (number, previous) = self.last.unzip();
        let follows = |said: &Checkpoint| {
            said.number == at && at == number.unwrap_or_default().saturating_add(1) && said.previous == previous
        };
        self.last = Some((at, Link::of_text(token)));
        let counts = |word| from_start || word != Word::Unreadable;
        let read = read(signers, token).filter(|(said, word)| follows(said) && counts(*word));
        let Some((said, word)) = read else {
            self.faults.push(format!("checkpoint {at} was altered or added, or the one before it is missing"));
            return;
        };
        self.read += 1;
        self.unvouched = if word == Word::Trusted { 0 } else { self.unvouched + 1 };
        if word == Word::Unreadable {
            match self.unreadable.last_mut().filter(|(_, to)| to.saturating_add(1) == at) {
                Some((_, to)) => *to = at,
                None => self.unreadable.push((at, at)),
            }
        }
        self.first = self.first.or_else(|| Some(Timestamp::of_seconds(said.iat).plus(TimeDelta::seconds(1))));
        for place in &said.ends {
            self.chains.entry(place.chain).or_default().end(place);
        }
        for place in &said.forgotten {
            self.chains.entry(place.chain).or_default().forget(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MasterKey;
    use crate::domain::Algorithm;
    use crate::random::Random;
    use crate::tokens::secret_box::SecretBox;
    use crate::tokens::signing_key::KeyPair;

    fn key() -> Arc<SigningKey> {
        let secrets = SecretBox::new(&MasterKey::new([1; 32]), Random::default()).unwrap();
        let pair = KeyPair::generate(Algorithm::Es256).unwrap();
        let row = pair.into_row(&secrets, Timestamp(0), None).unwrap().into();
        Arc::new(SigningKey::read(&row, &secrets).unwrap())
    }

    fn signed(key: &SigningKey, number: i64, previous: Option<Link>) -> String {
        let (iss, ends, forgotten) = ("x".to_owned(), Vec::new(), Vec::new());
        sign(key, &Checkpoint { iss, iat: number, number, previous, ends, forgotten }).unwrap()
    }

    #[test]
    fn a_key_that_does_not_open_vouches_for_nothing_and_is_vouched_for_by_the_next() {
        let [damaged, sound] = [key(), key()];
        let first = signed(&damaged, 1, None);
        let second = signed(&sound, 2, Some(Link::of_text(&first)));
        let signer = |key: &Arc<SigningKey>, opens: bool| Signer {
            kid: key.kid.clone(),
            state: KeyState::Retired,
            key: opens.then(|| Arc::clone(key)),
        };
        let signers = [signer(&damaged, false), signer(&sound, true)];

        let mut known = Checkpoints::default();
        known.add(1, &first, &signers, true);
        assert!(known.are_sound());
        assert_eq!((known.vouched_for(), known.unreadable(), known.faults().len()), (0, 1, 1));
        known.add(2, &second, &signers, true);
        assert_eq!((known.vouched_for(), known.unreadable(), known.faults().len()), (2, 1, 0));
        assert!(known.notes()[0].starts_with("checkpoints 1 to 1 are of signing keys"), "{:?}", known.notes());

        // On a server that runs it would be anybody's.
        let third = signed(&damaged, 3, Some(Link::of_text(&second)));
        known.add(3, &third, &signers, false);
        assert!(!known.are_sound());
        // Nor does it count whose key is not there at all.
        let mut known = Checkpoints::default();
        known.add(1, &first, &signers[1..], true);
        assert!(!known.are_sound());
    }
}
