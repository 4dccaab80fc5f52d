//! Who does something, as the audit log remembers it.

use std::fmt;
use std::net::IpAddr;

use super::{ApiKeyId, UserId};

/// Who acts, and from where.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Who.
    pub who: Who,
    /// The client's address.
    pub ip: Option<IpAddr>,
    /// The client's `User-Agent`, printable and at most 200 characters.
    pub user_agent: Option<String>,
    /// The request's `X-Request-ID`.
    pub request_id: Option<String>,
}

/// Whose hand it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// A user with an access token, or one who just proved who they are.
    User(UserId),
    /// An API key.
    ApiKey(ApiKeyId),
    /// Someone on the command line.
    CommandLine,
    /// Jeton itself.
    System,
    /// Someone who has not proved who they are.
    Anonymous,
}

impl Actor {
    /// Someone on the command line.
    pub const COMMAND_LINE: Self = Self { who: Who::CommandLine, ip: None, user_agent: None, request_id: None };

    /// Jeton itself.
    pub const SYSTEM: Self = Self { who: Who::System, ip: None, user_agent: None, request_id: None };

    /// The same client, now known to be `who`.
    #[must_use]
    pub fn known_as(&self, who: Who) -> Self {
        Self { who, ..self.clone() }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::ApiKey(id) => write!(f, "api-key:{id}"),
            Self::CommandLine => f.write_str("cli"),
            Self::System => f.write_str("system"),
            Self::Anonymous => f.write_str("anonymous"),
        }
    }
}
