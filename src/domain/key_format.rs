//! API keys as text: made, recognised, and told apart from typing errors without a database.

use std::fmt;

use data_encoding::HEXLOWER;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

/// How a product's API keys look: `<prefix><environment>_<random>`.
#[derive(Clone, Debug)]
pub struct KeyFormat {
    prefix: &'static str,
    environments: &'static [&'static str],
}

/// The environment named in a key: `live`, `test`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Environment(&'static str);

/// An API key in plain text: shown by no `Debug`, wiped on drop.
#[derive(Clone)]
pub struct ApiKeySecret {
    text: SecretString,
    environment: Environment,
}

impl KeyFormat {
    /// Random bytes in a key: 128 bits, so that no hash needs to be slow (ASVS 11.5.1).
    pub const RANDOM_BYTES: usize = 16;

    /// The built-in format: `jtn_live_` or `jtn_test_` and 32 hexadecimal digits.
    pub const DEFAULT: Self = Self { prefix: "jtn_", environments: &["live", "test"] };

    /// The environment of this name; the first one where none is named.
    #[must_use]
    pub fn environment(&self, name: Option<&str>) -> Option<Environment> {
        self.environments.iter().find(|known| name.is_none_or(|name| name == **known)).copied().map(Environment)
    }

    /// The names of all environments, for an error message.
    #[must_use]
    pub fn environments(&self) -> String {
        self.environments.join(", ")
    }

    /// Writes a new key around `random`.
    #[must_use]
    pub fn write(&self, environment: Environment, random: [u8; Self::RANDOM_BYTES]) -> ApiKeySecret {
        let digits = HEXLOWER.encode(&random);
        let text = format!("{}{environment}_{digits}", self.prefix).into();
        ApiKeySecret { text, environment }
    }

    /// Recognises a key of this format. What is none can be refused without asking the database.
    #[must_use]
    pub fn read(&self, text: &str) -> Option<ApiKeySecret> {
        let (name, digits) = text.strip_prefix(self.prefix)?.split_once('_')?;
        let environment = self.environment(Some(name))?;
        let random = HEXLOWER.decode(digits.as_bytes()).ok()?;
        (random.len() == Self::RANDOM_BYTES).then(|| ApiKeySecret { text: text.into(), environment })
    }
}

impl ApiKeySecret {
    /// The plain text, to be hashed or shown once to its owner.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// The first 4 random characters: enough for people to tell keys apart.
    #[must_use]
    pub fn hint(&self) -> String {
        self.expose().rsplit('_').next().unwrap_or_default().chars().take(4).collect()
    }

    /// The environment that the key names.
    #[must_use]
    pub fn environment(&self) -> Environment {
        self.environment
    }
}

impl Environment {
    /// The environment's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
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

    const FORMAT: KeyFormat = KeyFormat::DEFAULT;

    #[test]
    fn what_is_written_is_read() {
        let key = FORMAT.write(FORMAT.environment(Some("test")).unwrap(), [0xab; 16]);
        assert_eq!(key.expose(), format!("jtn_test_{}", "ab".repeat(16)));
        assert_eq!(key.hint(), "abab");
        assert_eq!(FORMAT.read(key.expose()).unwrap().environment().as_str(), "test");
        assert_eq!(format!("{key:?}"), "ApiKeySecret(***)");
    }

    #[test]
    fn anything_else_is_no_key() {
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
            assert!(FORMAT.read(&bad).is_none(), "{bad}");
        }
    }
}
