//! Randomness: the one place that asks the system for it, but for the making of key pairs (`tokens/signing_key.rs`).

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use crate::domain::Refusal;

/// The system's generator.
#[derive(Clone, Default)]
pub struct Random(SystemRandom);

impl Random {
    /// `N` random bytes.
    ///
    /// # Errors
    /// [`Refusal::Internal`] where the system has none to give.
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N], Refusal> {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes).map_err(|_| {
            tracing::error!("the system's random generator failed");
            Refusal::Internal
        })?;
        Ok(bytes)
    }
}
