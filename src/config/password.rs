//! `password.*`: how long a password must be, for how long a one-time password works, and what hashing one costs.

use chrono::TimeDelta;

use super::parse;
use super::settings::{ConfigError, Settings};

/// Passwords.
#[derive(Debug, Clone)]
pub struct Password {
    /// The fewest characters of a new password.
    pub min_length: usize,
    /// For how long a one-time password works.
    pub one_time_ttl: TimeDelta,
    /// The cost of hashing one.
    pub argon2: Argon2Cost,
}

/// The cost of one Argon2id hash; what is stored with a smaller one is hashed anew at the next login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argon2Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes.
    pub parallelism: u32,
}

impl Password {
    pub(super) fn take(settings: &mut Settings) -> Result<Self, ConfigError> {
        // A password of 64 characters must always be possible (security rule 14).
        let min_length =
            settings.take("password.min_length", "15", "a number from 8 to 64", |raw| parse::number(raw, 8..=64))?;
        let allowed = "a duration of whole seconds like 7d, from 1m to 90d";
        let one_time_ttl =
            settings.take("password.one_time_ttl", "7d", allowed, |raw| parse::lifetime(raw, 60..=90 * 86_400))?.0;
        let mut cost = |key, default: &str, most, allowed: &str| {
            settings.take(key, default, allowed, |raw| parse::number(raw, 1..=most))
        };
        let argon2 = Argon2Cost {
            memory_kib: cost("password.argon2.memory_kib", "19456", 1 << 22, "KiB, from 8 to 4194304")?,
            iterations: cost("password.argon2.iterations", "2", 100, "a number from 1 to 100")?,
            parallelism: cost("password.argon2.parallelism", "1", 64, "a number from 1 to 64")?,
        };
        let fit = argon2.memory_kib >= 8 * argon2.parallelism;
        settings.ensure(
            fit,
            "password.argon2.memory_kib",
            "at least 8 KiB for each of `password.argon2.parallelism`",
        )?;
        Ok(Self { min_length, one_time_ttl, argon2 })
    }
}
