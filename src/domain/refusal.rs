//! Why Jeton says no. One list for all doors; [`crate::error`] gives each its HTTP status.

use std::fmt;

use serde::Serialize;

use super::login_failures::Throttled;
use super::rate_limit::RateLimitState;
use super::scope::Lacking;
use super::{Name, Scopes, TenantId};

/// A refusal. Its `Display` is the `detail` that clients read (contract section 5): nothing internal, no secret.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The request cannot be read.
    #[error("{0}")]
    MalformedRequest(String),
    /// No tenant was named where one is needed.
    #[error("{}", tenant_required(.0))]
    TenantRequired(Vec<TenantChoice>),
    /// Unknown address, wrong password, disabled user, not a member: nobody learns which.
    #[error("Invalid e-mail address or password")]
    InvalidCredentials,
    /// The password is right, but a one-time password, and no other one came with it.
    #[error("This is a one-time password: log in with it and a new_password of your own")]
    PasswordChangeRequired,
    /// The password is right, but a one-time password whose time is over.
    #[error("This one-time password has expired; ask for another one")]
    OneTimePasswordExpired,
    /// A password that its user chose, or that opens another tenant too, is not this tenant's to replace.
    #[error(
        "Only somebody who has not logged in yet, and is in no other tenant, can be given another one-time password"
    )]
    OneTimePasswordNotAllowed,
    /// A request that is sent again is answered as before only while that answer is true.
    #[error("The one-time password that this was answered with is no longer good; open the page again")]
    OneTimePasswordReplaced,
    /// Whoever holds an invitation that nobody has used must not come into another tenant with it.
    #[error("This person is invited elsewhere and has not logged in there yet; add them once they have")]
    InvitedElsewhere,
    /// Unknown, revoked and expired keys alike.
    #[error("Invalid or expired API key")]
    InvalidApiKey,
    /// No access token came.
    #[error("An access token is required, as Authorization: Bearer")]
    TokenRequired,
    /// An access token that we do not accept.
    #[error("Invalid or expired access token")]
    InvalidToken,
    /// Unknown, expired and revoked refresh tokens alike.
    #[error("Invalid or expired refresh token")]
    InvalidRefreshToken,
    /// A used-up refresh token came back: the session has been revoked.
    #[error("This refresh token was used before; its session has been revoked")]
    RefreshTokenReused,
    /// A token of another issuer that stands for no workload here: nobody learns why.
    #[error("Invalid or expired subject token")]
    InvalidSubjectToken,
    /// The tenant's plan has no API keys; the lowest plan that has.
    #[error("API key access requires a {0} plan or higher")]
    PlanRequired(String),
    /// A credential lacks a scope.
    #[error("{holder} missing required scope: {scope}")]
    InsufficientScope {
        /// What kind of credential lacks it.
        holder: Holder,
        /// The first scope that is lacking.
        scope: String,
    },
    /// The key may not be used from this address.
    #[error("This API key may not be used from this IP address")]
    IpNotAllowed,
    /// The credential belongs to another tenant than the one named.
    #[error("This credential belongs to another tenant")]
    TenantMismatch,
    /// A token that came from an API key or a workload called management.
    #[error("API keys and workloads cannot call management endpoints")]
    ManagementNotAllowed,
    /// The endpoint is not for this access type, nor for users; or it is of an account, and the token was narrowed.
    #[error("This endpoint is not open to this kind of credential")]
    AccessTypeNotAllowed,
    /// The profile lists no such endpoint.
    #[error("This endpoint is not listed")]
    EndpointNotListed,
    /// Forward auth is for proxies that are trusted.
    #[error("Only a trusted proxy may ask this")]
    ProxyNotTrusted,
    /// A cookie came from a page that is not trusted.
    #[error("This origin may not use the refresh cookie")]
    OriginNotAllowed,
    /// A form of a page that was made for another session, or for none.
    #[error("This page is out of date; reload it and try again")]
    StaleForm,
    /// The tenant is suspended.
    #[error("This tenant is suspended")]
    TenantSuspended,
    /// It does not exist, or belongs to another tenant.
    #[error("Not found")]
    NotFound,
    /// The path exists, the method does not.
    #[error("Method not allowed")]
    MethodNotAllowed,
    /// A tenant keeps somebody who may manage its users.
    #[error("Nobody else in this tenant may manage its users; make somebody else an administrator first")]
    LastAdmin,
    /// The tenant has as many live keys as it may.
    #[error("This tenant already has {0} API keys")]
    ApiKeyLimitReached(i64),
    /// The tenant trusts as many issuers as it may.
    #[error("This tenant already has {0} trusted issuers")]
    TrustedIssuerLimitReached(i64),
    /// A key that is dead, or has a successor, cannot be rotated.
    #[error("This API key is expired, revoked or rotated already")]
    ApiKeyNotActive,
    /// The address belongs to a user.
    #[error("This e-mail address is taken")]
    EmailTaken,
    /// The id belongs to a tenant.
    #[error("This tenant id is taken")]
    TenantIdTaken,
    /// The same `Idempotency-Key` came with another request.
    #[error("This Idempotency-Key was used for another request")]
    IdempotencyConflict,
    /// The body did not arrive in time.
    #[error("The request body took too long to arrive")]
    RequestTimeout,
    /// More than 64 KiB.
    #[error("The request body is larger than 64 KiB")]
    PayloadTooLarge,
    /// Not the content type that this endpoint reads.
    #[error("Content-Type must be {0}")]
    UnsupportedMediaType(&'static str),
    /// Fields that are not as they must be.
    #[error("{}", invalid_fields(.0))]
    ValidationFailed(Vec<FieldError>),
    /// Fields that can never be changed.
    #[error("{0} cannot be changed; create a new key instead")]
    ImmutableField(&'static str),
    /// An access token cannot be revoked: whoever verifies it offline would not hear of it.
    #[error("Access tokens cannot be revoked; revoke the refresh token or the API key that they came from")]
    UnsupportedTokenType,
    /// The key, or the trusted issuer of a workload, has used up its requests for now.
    #[error("Too many requests {}; try again in {} s", too_many(*.0), .1.retry_after)]
    RateLimited(Holder, RateLimitState),
    /// Too many logins have failed. Of an account or an address: nobody learns from the words which.
    #[error("Too many failed logins; try again in {} s", .0.retry_after)]
    LoginThrottled(Throttled),
    /// Too much is under way at once.
    #[error("The server is busy; try again shortly")]
    Overloaded,
    /// Something that is needed, mostly the database, does not answer.
    #[error("The server cannot do this right now; try again shortly")]
    Unavailable,
    /// A fault of ours. The log has the cause.
    #[error("Internal server error")]
    Internal,
}

/// A field and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// The member's name or path.
    pub field: String,
    /// What it must be.
    pub message: String,
}

/// A tenant that a user may choose.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct TenantChoice {
    /// Its id.
    pub id: TenantId,
    /// Its name.
    pub name: Name,
}

/// Which kind of credential was presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// An API key, or a token that came from one.
    ApiKey,
    /// A user's access token.
    AccessToken,
    /// A refresh token, asked for more than its session has.
    RefreshToken,
    /// A workload, asked for more than its issuer is trusted with.
    Workload,
}

impl Refusal {
    /// Whether it is we who cannot, not the caller who may not.
    #[must_use]
    pub fn is_fault_of_ours(&self) -> bool {
        matches!(self, Self::Overloaded | Self::Unavailable | Self::Internal)
    }

    /// One field that is not as it must be.
    #[must_use]
    pub fn invalid(field: &str, message: impl fmt::Display) -> Self {
        Self::ValidationFailed(vec![FieldError { field: field.to_owned(), message: message.to_string() }])
    }
}

impl Holder {
    /// Refuses such a credential where it lacks a scope.
    ///
    /// # Errors
    /// [`Refusal::InsufficientScope`].
    pub fn ensure_has(self, held: &Scopes, scope: &str) -> Result<(), Refusal> {
        if held.contains(scope) { Ok(()) } else { Err(self.lacks(Lacking(scope.to_owned()))) }
    }

    /// This kind of credential lacks a scope.
    #[must_use]
    pub fn lacks(self, Lacking(scope): Lacking) -> Refusal {
        Refusal::InsufficientScope { holder: self, scope }
    }
}

fn tenant_required(choices: &[TenantChoice]) -> &'static str {
    if choices.is_empty() {
        "The header X-Tenant-ID with the tenant's UUID is required"
    } else {
        "You belong to several tenants: name one as tenant_id or X-Tenant-ID"
    }
}

/// Workloads of a trusted issuer share a limit.
fn too_many(holder: Holder) -> &'static str {
    match holder {
        Holder::Workload => "by workloads of this issuer",
        Holder::ApiKey | Holder::AccessToken | Holder::RefreshToken => "with this API key",
    }
}

fn invalid_fields(fields: &[FieldError]) -> String {
    let each = fields
        .iter()
        .map(|f| if f.field.is_empty() { f.message.clone() } else { format!("{} {}", f.field, f.message) });
    each.collect::<Vec<_>>().join("; ")
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ApiKey => "API key",
            Self::AccessToken => "Access token",
            Self::RefreshToken => "Refresh token",
            Self::Workload => "Workload",
        })
    }
}
