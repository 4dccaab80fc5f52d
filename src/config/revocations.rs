//! `revocations.*`: how soon a revocation is known to those who verify offline (ADR 10).

use chrono::TimeDelta;

use super::parse;
use super::settings::{ConfigError, Settings};

/// The status lists.
#[derive(Debug, Clone)]
pub struct Revocations {
    /// How often verifiers are to ask for them.
    pub ttl: TimeDelta,
}

impl Revocations {
    /// How long a signed list is believed: a verifier that cannot ask uses the one that it has until then (ADR 10).
    #[must_use]
    pub fn life(&self) -> TimeDelta {
        self.ttl * 10
    }

    pub(super) fn take(settings: &mut Settings) -> Result<Self, ConfigError> {
        let allowed = "a duration of whole seconds from 1s to 5m";
        Ok(Self { ttl: settings.take("revocations.ttl", "1m", allowed, |raw| parse::lifetime(raw, 1..=300))?.0 })
    }
}
