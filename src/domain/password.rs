//! Passwords as people type them, and which of them are accepted (NIST SP 800-63B-4 section 3.1.1).

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// A password in plain text: shown by no `Debug`, wiped on drop.
#[derive(Clone, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, format = Password)]
pub struct Password(SecretString);

/// Why a new password is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    /// Fewer characters than `password.min_length`.
    #[error("must be at least {0} characters long")]
    TooShort(usize),
    /// More bytes than are hashed.
    #[error("must be at most {} bytes long", Password::MAX_BYTES)]
    TooLong,
    /// Among the passwords that attackers try first.
    #[error("is too easy to guess")]
    TooCommon,
    /// Made of what an attacker knows about the account.
    #[error("must not be made of the e-mail address or the service's name")]
    OfContext,
}

impl Password {
    /// The longest password that is hashed: beyond it length adds cost, not strength.
    pub const MAX_BYTES: usize = 1024;

    /// As many characters are judged: the cost of judging grows faster than the square of their number, to seconds for
    /// a hundred chosen by an attacker, and a password is strong if its start is.
    const JUDGED: usize = 40;

    /// Fewer guesses than this are a matter of minutes against a stolen hash.
    const FEWEST_GUESSES_LOG10: f64 = 8.0;

    /// The plain text, to be hashed and for nothing else.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret().as_bytes()
    }

    /// Whether this is too long to be anyone's password, so that no time is spent on hashing it.
    #[must_use]
    pub fn is_oversized(&self) -> bool {
        self.expose().len() > Self::MAX_BYTES
    }

    /// Checks a *new* password: length, guesses needed, and `context` (the user's address, our name).
    /// There is no rule on the kinds of characters, and nothing is cut or changed.
    ///
    /// # Errors
    /// What is wrong with it, in the words for its owner.
    pub fn ensure_strong(&self, min_length: usize, context: &[String]) -> Result<(), WeakPassword> {
        let text = self.0.expose_secret();
        if text.chars().count() < min_length {
            return Err(WeakPassword::TooShort(min_length));
        }
        if self.is_oversized() {
            return Err(WeakPassword::TooLong);
        }
        if remainder_without(text, context) < min_length.div_ceil(2) {
            return Err(WeakPassword::OfContext);
        }
        let start: String = text.chars().take(Self::JUDGED).collect();
        let context: Vec<&str> = context.iter().map(String::as_str).collect();
        if zxcvbn::zxcvbn(&start, &context).guesses_log10() < Self::FEWEST_GUESSES_LOG10 {
            return Err(WeakPassword::TooCommon);
        }
        Ok(())
    }
}

/// How many characters are left when every word of `context` is taken out.
fn remainder_without(text: &str, context: &[String]) -> usize {
    let words = context.iter().flat_map(|phrase| phrase.split(|c: char| !c.is_alphanumeric()));
    words
        .filter(|word| word.chars().count() >= 3)
        .fold(text.to_lowercase(), |rest, word| rest.replace(&word.to_lowercase(), ""))
        .chars()
        .count()
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(text: &str) -> Result<(), WeakPassword> {
        let context = ["ada@lovelace.example".to_owned(), "jeton".to_owned()];
        Password::from(text.to_owned()).ensure_strong(15, &context)
    }

    #[test]
    fn length_is_what_counts_and_kinds_of_characters_do_not() {
        assert_eq!(judge("correct horse battery"), Ok(()));
        assert_eq!(judge(&"pässwört wörds ".repeat(10)), Ok(()));
        assert_eq!(judge("short"), Err(WeakPassword::TooShort(15)));
        assert_eq!(judge(&"x".repeat(1025)), Err(WeakPassword::TooLong));
    }

    #[test]
    fn what_attackers_try_first_is_refused() {
        for common in ["passwordpassword", "123456789012345", "aaaaaaaaaaaaaaaa", "qwertyuiopasdfgh"] {
            assert_eq!(judge(common), Err(WeakPassword::TooCommon), "{common}");
        }
        for known in ["ada@lovelace.example", "Lovelace-Lovelace", "jetonjetonjeton1"] {
            assert_eq!(judge(known), Err(WeakPassword::OfContext), "{known}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Password::from("hunter2".to_owned())), "Password(***)");
    }
}
