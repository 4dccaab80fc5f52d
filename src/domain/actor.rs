//! Who does something, as the audit log remembers it.

use std::fmt;
use std::net::IpAddr;

use super::refusal::Holder;
use super::scope::Lacking;
use super::{ApiKeyId, Refusal, Scopes, TrustedIssuerId, UserId};

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
    /// What they may do, where that has a limit: the command line and Jeton itself have none.
    pub holds: Option<Scopes>,
}

/// Whose hand it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// A user with an access token, or one who just proved who they are.
    User(UserId),
    /// An API key.
    ApiKey(ApiKeyId),
    /// A workload, by a token of this issuer.
    Workload(TrustedIssuerId),
    /// Someone on the command line.
    CommandLine,
    /// Jeton itself.
    System,
    /// Someone who has not proved who they are.
    Anonymous,
}

impl Actor {
    /// Someone on the command line.
    pub const COMMAND_LINE: Self =
        Self { who: Who::CommandLine, ip: None, user_agent: None, request_id: None, holds: None };

    /// Jeton itself.
    pub const SYSTEM: Self = Self { who: Who::System, ip: None, user_agent: None, request_id: None, holds: None };

    /// The same client, now known to be `who`.
    #[must_use]
    pub fn known_as(&self, who: Who) -> Self {
        Self { who, ..self.clone() }
    }

    /// Refuses to give somebody else, or a key, more power over the tenant than they have themselves: with it a caller
    /// who may add keys or members would make itself an administrator.
    ///
    /// # Errors
    /// [`Refusal::InsufficientScope`] with the first scope that they lack.
    pub fn ensure_may_give(&self, scopes: &Scopes) -> Result<(), Refusal> {
        let Some(holds) = &self.holds else { return Ok(()) };
        let holder = if matches!(self.who, Who::ApiKey(_)) { Holder::ApiKey } else { Holder::AccessToken };
        match scopes.iter().find(|scope| !holds.contains(scope)) {
            None => Ok(()),
            Some(scope) => Err(holder.lacks(Lacking(scope.to_owned()))),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::ApiKey(id) => write!(f, "api-key:{id}"),
            Self::Workload(id) => write!(f, "trusted-issuer:{id}"),
            Self::CommandLine => f.write_str("cli"),
            Self::System => f.write_str("system"),
            Self::Anonymous => f.write_str("anonymous"),
        }
    }
}
