//! API keys as text: made, recognised, and told apart from typing errors without a database.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// How a product's API keys look: `<prefix><environment>_<random>`.
#[derive(Clone, Debug)]
pub struct KeyFormat {
    /// What every key begins with.
    pub prefix: KeyPrefix,
    /// The environments that a key may name; never empty, the first is the default.
    pub environments: Vec<Environment>,
    /// How the random part is written.
    pub alphabet: Alphabet,
}

/// What all keys of a product begin with, so that people and scanners know them: `jtn_`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct KeyPrefix(String);

/// The environment named in a key: `live`, `test`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Environment(String);

/// How the 128 random bits of a key are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Alphabet {
    /// 32 lower case hexadecimal digits.
    #[default]
    Hex32,
    /// 22 characters of `0-9A-Za-z`, and 6 more that are the CRC-32 of all before them.
    Base62,
}

/// What was given cannot be part of a key.
#[derive(Debug, thiserror::Error)]
pub enum InvalidKeyPart {
    /// No [`KeyPrefix`].
    #[error("must be 1 to 16 of the characters a-z A-Z 0-9 _ -")]
    Prefix,
    /// No [`Environment`].
    #[error("must be 1 to 16 of the characters a-z 0-9")]
    Environment,
}

/// An API key in plain text: shown by no `Debug`, wiped on drop.
#[derive(Clone)]
pub struct ApiKeySecret(SecretString);

impl KeyFormat {
    /// Random bytes in a key: 128 bits, so that no hash needs to be slow (ASVS 11.5.1).
    pub const RANDOM_BYTES: usize = 16;

    /// The environment of this name; the first one where none is named.
    #[must_use]
    pub fn environment(&self, name: Option<&str>) -> Option<&Environment> {
        self.environments.iter().find(|known| name.is_none_or(|name| name == known.0))
    }

    /// Writes a new key around `random`.
    #[must_use]
    pub fn write(&self, environment: &Environment, random: [u8; Self::RANDOM_BYTES]) -> ApiKeySecret {
        let mut text = format!("{}{environment}_", self.prefix.0);
        match self.alphabet {
            Alphabet::Hex32 => text.push_str(&HEXLOWER.encode(&random)),
            Alphabet::Base62 => {
                text.push_str(&base62(u128::from_be_bytes(random), BASE62_RANDOM));
                text.push_str(&checksum(&text));
            }
        }
        ApiKeySecret(text.into())
    }

    /// What of a key people may see later: `jtn_live_1a2b…`.
    #[must_use]
    pub fn shown(&self, environment: &str, hint: &str) -> String {
        format!("{}{environment}_{hint}…", self.prefix.0)
    }

    /// Recognises a key of this format. What is none, a typing error where there is a checksum too, is refused without
    /// asking the database.
    #[must_use]
    pub fn read(&self, text: &str) -> Option<ApiKeySecret> {
        let rest = text.strip_prefix(&self.prefix.0)?;
        let random_of = |environment: &Environment| rest.strip_prefix(&environment.0)?.strip_prefix('_');
        let random = self.environments.iter().find_map(random_of)?;
        self.alphabet.is_sound(text, random).then(|| ApiKeySecret(text.into()))
    }
}

impl Alphabet {
    fn is_sound(self, whole: &str, random: &str) -> bool {
        let digits = random.as_bytes();
        match self {
            Self::Hex32 => digits.len() == 32 && digits.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
            Self::Base62 => {
                let is_base62 =
                    digits.len() == BASE62_RANDOM + CHECKSUM && digits.iter().all(u8::is_ascii_alphanumeric);
                is_base62
                    && whole.split_at_checked(whole.len() - CHECKSUM).is_some_and(|(text, end)| checksum(text) == end)
            }
        }
    }
}

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// As many characters as 128 bits need.
const BASE62_RANDOM: usize = 22;

/// As many characters as 32 bits need.
const CHECKSUM: usize = 6;

/// The CRC-32 (ISO-HDLC, that of zip and PNG) of a key's text: scanners find leaked keys with it, and it keeps nobody
/// out.
fn checksum(text: &str) -> String {
    base62(crc32fast::hash(text.as_bytes()).into(), CHECKSUM)
}

/// A number in `width` characters, its highest digit first.
fn base62(mut number: u128, width: usize) -> String {
    let mut digits = Vec::with_capacity(width);
    for _ in 0..width {
        let digit = usize::try_from(number % 62).unwrap_or_default();
        digits.push(BASE62.get(digit).copied().map_or('0', char::from));
        number /= 62;
    }
    digits.into_iter().rev().collect()
}

impl ApiKeySecret {
    /// A key that was written before, perhaps in another format than that of today.
    #[must_use]
    pub fn written(text: String) -> Self {
        Self(text.into())
    }

    /// The plain text, to be hashed or shown once to its owner.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The first 4 random characters: enough for people to tell keys apart.
    #[must_use]
    pub fn hint(&self) -> String {
        self.expose().rsplit('_').next().unwrap_or_default().chars().take(4).collect()
    }
}

impl TryFrom<String> for KeyPrefix {
    type Error = InvalidKeyPart;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        ((1..=16).contains(&text.len()) && text.bytes().all(fits)).then_some(Self(text)).ok_or(InvalidKeyPart::Prefix)
    }
}

impl FromStr for Environment {
    type Err = InvalidKeyPart;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Without `_`, at which the random part begins.
        let fits = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9');
        let fit = (1..=16).contains(&text.len()) && text.bytes().all(fits);
        fit.then(|| Self(text.to_owned())).ok_or(InvalidKeyPart::Environment)
    }
}

impl TryFrom<String> for Environment {
    type Error = InvalidKeyPart;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Environment> for String {
    fn from(environment: Environment) -> Self {
        environment.0
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ApiKeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKeySecret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(alphabet: Alphabet) -> KeyFormat {
        let environments = ["live", "test"].map(|name| name.parse().unwrap()).to_vec();
        KeyFormat { prefix: "jtn_".to_owned().try_into().unwrap(), environments, alphabet }
    }

    fn write(format: &KeyFormat, random: [u8; 16]) -> ApiKeySecret {
        format.write(format.environment(Some("test")).unwrap(), random)
    }

    #[test]
    fn what_is_written_is_read() {
        let format = format(Alphabet::Hex32);
        let key = write(&format, [0xab; 16]);
        assert_eq!(key.expose(), format!("jtn_test_{}", "ab".repeat(16)));
        assert_eq!(key.hint(), "abab");
        assert_eq!(format.read(key.expose()).unwrap().expose(), key.expose());
        assert_eq!(format!("{key:?}"), "ApiKeySecret(***)");
        assert_eq!(format.environment(None).unwrap().to_string(), "live");
        assert_eq!(format.environment(Some("prod")), None);
    }

    #[test]
    fn anything_else_is_no_key() {
        let format = format(Alphabet::Hex32);
        let hex = "ab".repeat(16);
        for bad in [
            String::new(),
            "jtn_live_".into(),
            format!("jtn_prod_{hex}"),
            format!("jtn_live_{}", hex.to_uppercase()),
            format!("jtn_live_{hex}0"),
            format!("jtn_live_{}", &hex[1..]),
            format!("JTN_live_{hex}"),
            format!("jtn_live_{hex} "),
            format!("jtn_live_é{}", &hex[2..]),
        ] {
            assert!(format.read(&bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_checksum_tells_typing_errors() {
        let format = format(Alphabet::Base62);
        for random in [[0; 16], [0xff; 16], *b"0123456789abcdef"] {
            let key = write(&format, random);
            let text = key.expose();
            assert_eq!(text.len(), "jtn_test_".len() + 28);
            assert!(format.read(text).is_some(), "{text}");
            for (index, _) in text.char_indices() {
                let other = if &text[index..=index] == "x" { "y" } else { "x" };
                let typed = [&text[..index], other, &text[index + 1..]].concat();
                assert!(format.read(&typed).is_none(), "{typed} for {text}");
            }
            assert!(format.read(&text.replace("_test_", "_live_")).is_none(), "the environment is covered too");
            assert!(format.read(&text[..text.len() - 1]).is_none());
        }
        // Known answers: the CRC-32 of "123456789" is 0xCBF43926.
        assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926);
        assert_eq!(base62(61, 2), "0z");
        assert_eq!(base62(u128::MAX, 22), "7n42DGM5Tflk9n8mt7Fhc7");
    }
}
