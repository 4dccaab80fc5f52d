//! Checkpoints of the audit log: signed like tokens, with the same keys, and never to be taken for one (RFC 8725 section 3.11).

use jsonwebtoken::Validation;

use super::signing_key::{SigningKey, jwt_algorithm};
use crate::domain::Refusal;
use crate::domain::audit_chain::Checkpoint;
use crate::domain::signing_key::KeyState;

/// The `typ` of a checkpoint.
const CHECKPOINT_TYPE: &str = "audit-checkpoint+jwt";

/// Signs a checkpoint: a compact JWS (RFC 7515).
///
/// # Errors
/// [`Refusal::Internal`] where the key does not sign.
pub fn sign(key: &SigningKey, checkpoint: &Checkpoint) -> Result<String, Refusal> {
    key.sign_as(CHECKPOINT_TYPE, checkpoint)
}

/// Reads a checkpoint that one of these keys signed, and says whether that key still counts: what a leaked one signed may be
/// anybody's.
#[must_use]
pub fn read(keys: &[SigningKey], token: &str) -> Option<(Checkpoint, bool)> {
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
