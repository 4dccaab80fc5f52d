//! What the audit log remembers (ASVS 16): every change, every login, every attempt that was refused or is suspicious.

use std::str::FromStr;

use diesel::Queryable;
use serde::Serialize;

use super::actor::{Actor, Who};
use super::{AuditEventId, TenantId, Timestamp};

/// A line of the audit log. It never holds a credential.
#[derive(Clone, Debug, Queryable, Serialize, utoipa::ToSchema)]
pub struct AuditEvent {
    /// Its id.
    pub id: AuditEventId,
    /// When it happened.
    pub at: Timestamp,
    /// The tenant concerned, if it is one.
    pub tenant_id: Option<TenantId>,
    /// What was done, `object.verb`.
    pub action: String,
    /// `success`, or the code of the refusal.
    pub outcome: String,
    /// `user:ID`, `api-key:ID`, `trusted-issuer:ID`, `cli`, `system` or `anonymous`.
    pub actor: String,
    /// What it was done to, `kind:ID`.
    pub target: Option<String>,
    /// The client's address.
    pub ip: Option<String>,
    /// The client's `User-Agent`.
    pub user_agent: Option<String>,
    /// The request's `X-Request-ID`.
    pub request_id: Option<String>,
    /// What else is worth knowing.
    pub details: Option<String>,
}

/// What lines are looked for by: an action or an actor, without control characters. PostgreSQL stores no NUL.
#[derive(Clone, Debug)]
pub struct Sought(String);

/// What was given is no [`Sought`].
#[derive(Debug, thiserror::Error)]
#[error("must not contain control characters")]
pub struct InvalidSought;

impl FromStr for Sought {
    type Err = InvalidSought;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.chars().any(char::is_control) { Err(InvalidSought) } else { Ok(Self(text.to_owned())) }
    }
}

impl Sought {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which lines of the audit log are wanted.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Of this action only.
    pub action: Option<Sought>,
    /// By this actor only.
    pub actor: Option<Sought>,
    /// Not before this moment.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
}

impl AuditEventId {
    /// The lowest id of a line that is not older than this: ids of version 7 begin with their time (RFC 9562, 5.7).
    #[must_use]
    pub fn first_of(at: Timestamp) -> Self {
        uuid::Builder::from_unix_timestamp_millis(at.millis(), &[0; 10]).into_uuid().into()
    }
}

impl AuditEvent {
    /// `actor` did `action`.
    #[must_use]
    pub fn new(id: AuditEventId, at: Timestamp, actor: &Actor, action: &'static str) -> Self {
        Self {
            id,
            at,
            tenant_id: None,
            action: action.to_owned(),
            outcome: "success".to_owned(),
            actor: actor.who.to_string(),
            target: None,
            ip: actor.ip.map(|ip| ip.to_string()),
            user_agent: actor.user_agent.clone(),
            request_id: actor.request_id.clone(),
            details: None,
        }
    }

    /// Done by somebody else than who called.
    #[must_use]
    pub fn by(mut self, who: Who) -> Self {
        self.actor = who.to_string();
        self
    }

    /// In this tenant.
    #[must_use]
    pub fn tenant(mut self, id: TenantId) -> Self {
        self.tenant_id = Some(id);
        self
    }

    /// To this: `api-key:ID`, `user:ID`.
    #[must_use]
    pub fn target(mut self, kind: &str, id: impl std::fmt::Display) -> Self {
        self.target = Some(format!("{kind}:{id}"));
        self
    }

    /// With this outcome instead of success.
    #[must_use]
    pub fn outcome(mut self, code: &str) -> Self {
        code.clone_into(&mut self.outcome);
        self
    }

    /// With this to know besides.
    #[must_use]
    pub fn details(mut self, text: impl Into<String>) -> Self {
        self.details = Some(text.into());
        self
    }
}
