//! What an access token says (RFC 9068 section 2.2; contract section 3).

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::api_key::ApiKey;
use crate::domain::constraints::Constraints;
use crate::domain::session::Session;
use crate::domain::status_list::StatusIndex;
use crate::domain::trusted_issuer::TrustedIssuer;
use crate::domain::{
    AccessTypeName, Audience, KeyGroupId, Member, Refusal, Role, Scopes, SessionId, TenantId, Timestamp,
};

/// The `typ` of every access token, so that no other JWT passes for one (RFC 9068 section 2.1).
pub const ACCESS_TOKEN_TYPE: &str = "at+jwt";

/// The `client_id` of tokens from a login.
pub const LOGIN_CLIENT: &str = "jeton-login";

/// The claims of an access token. Never a secret, an e-mail address or a name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it: `server.public_url`.
    pub iss: String,
    /// The user's, the API key's or the trusted issuer's id.
    pub sub: Uuid,
    /// For whom it is meant.
    pub aud: Audience,
    /// When it ends, in seconds since the epoch.
    pub exp: i64,
    /// When it was issued, in seconds since the epoch.
    pub iat: i64,
    /// Its own name, never used twice.
    pub jti: Uuid,
    /// `jeton-login`, or the id of the API key or trusted issuer.
    pub client_id: String,
    /// What it may do, separated by spaces.
    pub scope: Scopes,
    /// The tenant it speaks for.
    pub tenant_id: TenantId,
    /// The session it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<SessionId>,
    /// What the user is in the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<Role>>,
    /// When the user logged in, in seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// Whether it was made to do less than its user may: for an upstream, or by `scope`. The user's account is none of
    /// its business: whoever a leaked one comes from could end all sessions (ADR 8). Tokens from before there was this
    /// claim have none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub narrowed: bool,
    /// How (RFC 8176).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amr: Option<Vec<String>>,
    /// The API key's environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The API key's preset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_type: Option<AccessTypeName>,
    /// The API key's group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<KeyGroupId>,
    /// What the API key is limited to besides its scopes: for the downstream service to enforce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraints: Option<Constraints>,
    /// Where downstream services learn that it was revoked; none in tokens from before there were status lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// What the trusted issuer calls the workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
}

/// The `status` claim (draft-ietf-oauth-status-list-21, section 6.1).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The place of the token's session or key.
    pub status_list: StatusReference,
}

/// A place in a status list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StatusReference {
    /// The index in the list.
    pub idx: i64,
    /// Where the list is, and its `sub`.
    pub uri: String,
}

/// What is to be issued: everything but what the issuer itself adds (`iss`, `jti`).
#[derive(Clone, Debug)]
pub struct Grant {
    /// For whom; the first of `tokens.audience` where none is named.
    pub audience: Option<Audience>,
    /// What it may do.
    pub scopes: Scopes,
    /// The tenant it speaks for.
    pub tenant_id: TenantId,
    /// From when.
    pub issued_at: Timestamp,
    /// For how long.
    pub lifetime: TimeDelta,
    /// Who it is about.
    pub subject: Subject,
}

/// Whom a token is about.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A user who logged in.
    Login {
        /// The user.
        user: Uuid,
        /// What the user is in the tenant.
        role: Role,
        /// The login.
        session: SessionId,
        /// When it was.
        auth_time: Timestamp,
        /// Whether the token does less than the user may.
        narrowed: bool,
        /// Its place in the status lists.
        status_index: StatusIndex,
    },
    /// An API key.
    ApiKey {
        /// The key's id.
        id: Uuid,
        /// `live` or `test`.
        environment: String,
        /// Its preset.
        access_type: Option<AccessTypeName>,
        /// Its group.
        group_id: Option<KeyGroupId>,
        /// Its limits besides its scopes.
        constraints: Option<Constraints>,
        /// Its place in the status lists.
        status_index: StatusIndex,
    },
    /// A workload that a trusted issuer vouches for.
    Workload {
        /// The trusted issuer's id.
        id: Uuid,
        /// What it calls the workload.
        subject: Option<String>,
        /// The issuer's place in the status lists.
        status_index: StatusIndex,
    },
}

impl Subject {
    /// The subject of a session's tokens; `narrowed` is that of [`Claims`].
    #[must_use]
    pub fn login(session: &Session, member: &Member, narrowed: bool) -> Self {
        Self::Login {
            user: session.user_id.uuid(),
            role: member.role.clone(),
            session: session.id,
            auth_time: session.created_at,
            narrowed,
            status_index: session.status_index,
        }
    }

    /// The subject of a key's tokens.
    #[must_use]
    pub fn api_key(key: &ApiKey) -> Self {
        Self::ApiKey {
            id: key.id.uuid(),
            environment: key.environment.clone(),
            access_type: key.access_type.clone(),
            group_id: key.group_id,
            constraints: key.constraints.clone(),
            status_index: key.status_index,
        }
    }

    /// The subject of the tokens of a workload. What its issuer calls it is told on, for services that keep a log; not
    /// where it is long, or may be a person's e-mail address: those are in no token.
    #[must_use]
    pub fn workload(trusted: &TrustedIssuer, subject: Option<String>) -> Self {
        let subject = subject.filter(|text| text.len() <= 255 && !text.contains('@'));
        Self::Workload { id: trusted.id.uuid(), subject, status_index: trusted.status_index }
    }

    /// Its place in the status lists.
    #[must_use]
    pub fn status_index(&self) -> StatusIndex {
        match self {
            Self::Login { status_index, .. }
            | Self::ApiKey { status_index, .. }
            | Self::Workload { status_index, .. } => *status_index,
        }
    }
}

impl Status {
    /// The status of what has this place, in the lists of the server of this base.
    #[must_use]
    pub fn at(index: StatusIndex, base: &str) -> Self {
        Self { status_list: StatusReference { idx: index.place(), uri: index.list().uri(base) } }
    }

    /// What has this status, in the lists of the server of this base; none where that has no such place.
    #[must_use]
    pub fn index(&self, base: &str) -> Option<StatusIndex> {
        StatusIndex::read(&self.status_list.uri, self.status_list.idx, base)
    }
}

/// Where the status lists of an issuer are.
fn lists_of(iss: &str) -> &str {
    iss.trim_end_matches('/')
}

impl Claims {
    /// Its place in the status lists of its issuer; none in a token from before there were any.
    ///
    /// # Errors
    /// [`Refusal::InvalidToken`]: that issuer has no such place.
    pub fn status_index(&self) -> Result<Option<StatusIndex>, Refusal> {
        let read = |status: &Status| status.index(lists_of(&self.iss)).ok_or(Refusal::InvalidToken);
        self.status.as_ref().map(read).transpose()
    }

    /// The claims of what is granted, issued by `iss` for `aud` under the name `jti`.
    #[must_use]
    pub fn of(grant: Grant, iss: String, aud: Audience, jti: Uuid) -> Self {
        let iat = grant.issued_at.seconds();
        let exp = grant.issued_at.plus(grant.lifetime).seconds();
        let Grant { scopes: scope, tenant_id, subject, .. } = grant;
        let claims = Self {
            status: Some(Status::at(subject.status_index(), lists_of(&iss))),
            iss,
            sub: Uuid::nil(),
            aud,
            exp,
            iat,
            jti,
            client_id: String::new(),
            scope,
            tenant_id,
            sid: None,
            roles: None,
            auth_time: None,
            narrowed: false,
            amr: None,
            environment: None,
            access_type: None,
            group_id: None,
            constraints: None,
            workload: None,
        };
        match subject {
            Subject::Login { user, role, session, auth_time, narrowed, .. } => Self {
                sub: user,
                client_id: LOGIN_CLIENT.to_owned(),
                sid: Some(session),
                roles: Some(vec![role]),
                auth_time: Some(auth_time.seconds()),
                narrowed,
                amr: Some(vec!["pwd".to_owned()]),
                ..claims
            },
            Subject::ApiKey { id, environment, access_type, group_id, constraints, .. } => Self {
                sub: id,
                client_id: id.to_string(),
                environment: Some(environment),
                access_type,
                group_id,
                constraints,
                ..claims
            },
            Subject::Workload { id, subject, .. } => {
                Self { sub: id, client_id: id.to_string(), workload: subject, ..claims }
            }
        }
    }
}
