//! Randomness: the one place that asks the system for it, but for the making of key pairs (`tokens/signing_key.rs`).

use std::cell::RefCell;

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

    /// `N` random bytes for a name that must never come twice and is no secret: out of a stock that each thread keeps,
    /// for to ask for a few bytes costs as much as to ask for many.
    ///
    /// # Errors
    /// As [`Random::bytes`].
    pub fn name<const N: usize>(&self) -> Result<[u8; N], Refusal> {
        STOCK.with_borrow_mut(|stock| {
            if stock.len() < N {
                *stock = self.bytes::<STOCK_LEN>()?.to_vec();
            }
            let name = stock.last_chunk().copied().ok_or(Refusal::Internal)?;
            stock.truncate(stock.len().saturating_sub(N));
            Ok(name)
        })
    }
}

/// How many bytes are asked for at once.
const STOCK_LEN: usize = 512;

thread_local! {
    static STOCK: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_name_comes_twice() {
        let name = || Random::default().name::<16>().unwrap();
        let names: Vec<_> = (0..4 * STOCK_LEN / 16).map(|_| name()).chain(std::thread::spawn(name).join()).collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
    }
}
