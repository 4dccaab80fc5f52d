//! The one table of refusals over HTTP: status, code, and the documents that carry them (contract section 5).

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use serde::Serialize;
use serde_json::json;

use crate::domain::Refusal;
use crate::domain::login_failures::{FailureLimit, Throttled};
use crate::domain::rate_limit::RateLimitState;
use crate::domain::refusal::{FieldError, TenantChoice};

/// `Pragma` beside `no-store`, as RFC 6749 section 5.1 has it for caches of HTTP/1.0.
pub const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// How long a client waits before it tries again, in seconds, where the server is busy or cut off.
const RETRY_AFTER_SECONDS: u32 = 1;

impl Refusal {
    /// The refusal's status and code.
    #[must_use]
    pub fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::MalformedRequest(_) => (StatusCode::BAD_REQUEST, "malformed_request"),
            Self::TenantRequired(_) => (StatusCode::BAD_REQUEST, "tenant_required"),
            Self::UnsupportedTokenType => (StatusCode::BAD_REQUEST, "unsupported_token_type"),
            Self::InvalidCredentials => (StatusCode::UNAUTHORIZED, "invalid_credentials"),
            Self::InvalidApiKey => (StatusCode::UNAUTHORIZED, "invalid_api_key"),
            Self::TokenRequired | Self::InvalidToken => (StatusCode::UNAUTHORIZED, "invalid_token"),
            Self::InvalidRefreshToken => (StatusCode::UNAUTHORIZED, "invalid_refresh_token"),
            Self::RefreshTokenReused => (StatusCode::UNAUTHORIZED, "refresh_token_reused"),
            Self::InvalidSubjectToken => (StatusCode::UNAUTHORIZED, "invalid_subject_token"),
            Self::PlanRequired(_) => (StatusCode::PAYMENT_REQUIRED, "plan_required"),
            Self::InsufficientScope { .. } => (StatusCode::FORBIDDEN, "insufficient_scope"),
            Self::IpNotAllowed | Self::ProxyNotTrusted => (StatusCode::FORBIDDEN, "ip_not_allowed"),
            Self::TenantMismatch => (StatusCode::FORBIDDEN, "tenant_mismatch"),
            Self::EndpointNotListed => (StatusCode::FORBIDDEN, "endpoint_not_listed"),
            Self::ManagementNotAllowed | Self::AccessTypeNotAllowed => {
                (StatusCode::FORBIDDEN, "access_type_not_allowed")
            }
            Self::OriginNotAllowed => (StatusCode::FORBIDDEN, "origin_not_allowed"),
            Self::PasswordChangeRequired => (StatusCode::FORBIDDEN, "password_change_required"),
            Self::OneTimePasswordExpired => (StatusCode::FORBIDDEN, "one_time_password_expired"),
            Self::StaleForm => (StatusCode::FORBIDDEN, "stale_form"),
            Self::TenantSuspended => (StatusCode::FORBIDDEN, "tenant_suspended"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::LastAdmin => (StatusCode::CONFLICT, "last_admin"),
            Self::ApiKeyLimitReached(_) => (StatusCode::CONFLICT, "api_key_limit_reached"),
            Self::TrustedIssuerLimitReached(_) => (StatusCode::CONFLICT, "trusted_issuer_limit_reached"),
            Self::ApiKeyNotActive => (StatusCode::CONFLICT, "api_key_not_active"),
            Self::OneTimePasswordNotAllowed | Self::OneTimePasswordReplaced => {
                (StatusCode::CONFLICT, "one_time_password_not_allowed")
            }
            Self::InvitedElsewhere => (StatusCode::CONFLICT, "invited_elsewhere"),
            Self::EmailTaken => (StatusCode::CONFLICT, "email_taken"),
            Self::TenantIdTaken => (StatusCode::CONFLICT, "tenant_id_taken"),
            Self::IdempotencyConflict => (StatusCode::CONFLICT, "idempotency_conflict"),
            Self::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "request_timeout"),
            Self::PayloadTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large"),
            Self::UnsupportedMediaType(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Self::ValidationFailed(_) => (StatusCode::UNPROCESSABLE_ENTITY, "validation_failed"),
            Self::ImmutableField(_) => (StatusCode::UNPROCESSABLE_ENTITY, "immutable_field"),
            Self::RateLimited(..) | Self::LoginThrottled(_) => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"),
        }
    }

    /// The refusal's code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.status_and_code().1
    }
}

/// A problem document (RFC 9457).
#[derive(Serialize, utoipa::ToSchema)]
pub struct Problem<'a> {
    /// A URI that names the kind of problem.
    #[serde(rename = "type")]
    kind: String,
    /// The HTTP status in words.
    title: &'a str,
    /// The HTTP status.
    status: u16,
    /// What is wrong, for people.
    detail: &'a str,
    /// What is wrong, for programs.
    code: &'a str,
    /// The same as `detail`, for clients that read `{"error": "..."}`.
    error: &'a str,
    /// The answer's `X-Request-ID`.
    request_id: &'a str,
    /// The fields at fault, in a `validation_failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<&'a [FieldError]>,
    /// The tenants to choose from, in a `tenant_required` after the password was right.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenants: Option<&'a [TenantChoice]>,
}

/// Answers with a refusal and its document.
#[must_use]
pub fn problem(refusal: &Refusal, document: Vec<u8>) -> HttpResponse {
    let mut answer = builder(refusal.status_and_code().0, Some(refusal));
    if let Some(challenge) = challenge(refusal) {
        answer.insert_header((WWW_AUTHENTICATE, challenge));
    }
    answer.insert_header((CONTENT_TYPE, "application/problem+json"));
    answer.body(document)
}

/// A refusal's problem document, in one line.
#[must_use]
pub fn document(refusal: &Refusal, request_id: &str) -> Vec<u8> {
    let (status, code) = refusal.status_and_code();
    let detail = &refusal.to_string();
    let document = serde_json::to_vec(&Problem {
        kind: format!("urn:jeton:problem:{code}"),
        title: status.canonical_reason().unwrap_or_default(),
        status: status.as_u16(),
        detail,
        code,
        error: detail,
        request_id,
        errors: match refusal {
            Refusal::ValidationFailed(fields) => Some(fields),
            _ => None,
        },
        tenants: match refusal {
            Refusal::TenantRequired(tenants) if !tenants.is_empty() => Some(tenants),
            _ => None,
        },
    });
    document.unwrap_or_default()
}

/// The fields that tell what is left of an API key's limit (draft-ietf-httpapi-ratelimit-headers).
#[must_use]
pub fn rate_limit_fields(state: &RateLimitState) -> [(&'static str, String); 2] {
    [
        ("ratelimit", format!(r#""key";r={};t={}"#, state.remaining, state.reset)),
        ("ratelimit-policy", format!(r#""key";q={};w=60"#, state.per_minute)),
    ]
}

/// The same fields where nothing is left of the failed logins that there may be.
fn throttle_fields(throttled: &Throttled) -> [(&'static str, String); 2] {
    let name = match throttled.limit {
        FailureLimit::Account(_) => "account",
        FailureLimit::Address(_) => "address",
    };
    let (quota, window) = (throttled.limit.quota(), throttled.limit.window().num_seconds());
    [
        ("ratelimit", format!(r#""{name}";r=0;t={}"#, throttled.retry_after)),
        ("ratelimit-policy", format!(r#""{name}";q={quota};w={window}"#)),
    ]
}

/// In how many seconds it may be tried again, where that is known.
#[must_use]
pub fn retry_after(refusal: &Refusal) -> Option<u32> {
    match refusal {
        Refusal::Overloaded | Refusal::Unavailable => Some(RETRY_AFTER_SECONDS),
        Refusal::RateLimited(_, state) => Some(state.retry_after),
        Refusal::LoginThrottled(throttled) => Some(throttled.retry_after),
        _ => None,
    }
}

fn builder(status: StatusCode, refusal: Option<&Refusal>) -> HttpResponseBuilder {
    let mut answer = HttpResponse::build(status);
    answer.insert_header((CACHE_CONTROL, "no-store"));
    if let Some(seconds) = refusal.and_then(retry_after) {
        answer.insert_header((RETRY_AFTER, seconds));
    }
    match refusal {
        Some(Refusal::RateLimited(_, state)) => {
            for field in rate_limit_fields(state) {
                answer.insert_header(field);
            }
        }
        Some(Refusal::LoginThrottled(throttled)) => {
            for field in throttle_fields(throttled) {
                answer.insert_header(field);
            }
        }
        _ => {}
    }
    answer
}

/// What a client is to bring (RFC 6750 section 3): whoever brought nothing made no error yet.
fn challenge(refusal: &Refusal) -> Option<String> {
    match refusal {
        Refusal::InvalidToken => Some(r#"Bearer realm="jeton", error="invalid_token""#.to_owned()),
        Refusal::InsufficientScope { scope, .. } => {
            Some(format!(r#"Bearer realm="jeton", error="insufficient_scope", scope="{scope}""#))
        }
        other if other.status_and_code().0 == StatusCode::UNAUTHORIZED => Some(r#"Bearer realm="jeton""#.to_owned()),
        _ => None,
    }
}

/// Handlers end with `?`. The document is written by the layer that knows the request's id: see `routes/problems.rs`.
impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        self.status_and_code().0
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status_code())
    }
}

/// A refusal at the OAuth 2.0 endpoints, in the words of RFC 6749 section 5.2, RFC 7009 section 2.2.1 and RFC 8693
/// section 2.2.2.
#[derive(Debug)]
pub struct OAuthError {
    /// RFC 6749's word for it.
    pub error: &'static str,
    /// What is wrong, for people.
    pub description: String,
    status: StatusCode,
    refusal: Option<Refusal>,
    scheme: Scheme,
}

/// With what a client proves itself, or tried to: it is challenged for the same (RFC 6749 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Its id and secret, wherever they stand.
    Basic,
    /// A key or a token alone (RFC 6750).
    Bearer,
}

impl OAuthError {
    /// A request that is not as RFC 6749 wants it.
    pub fn new(error: &'static str, description: impl Into<String>) -> Self {
        let (status, scheme) = (StatusCode::BAD_REQUEST, Scheme::Basic);
        Self { error, description: description.into(), status, refusal: None, scheme }
    }

    /// The word for a refused credential differs by grant; every other refusal has one word.
    #[must_use]
    pub fn of(refusal: Refusal, credential: &'static str) -> Self {
        let error = match &refusal {
            Refusal::InsufficientScope { .. } => "invalid_scope",
            Refusal::ValidationFailed(fields) if fields.iter().any(|f| f.field == "scope") => "invalid_scope",
            Refusal::ValidationFailed(fields) if fields.iter().any(|f| f.field == "audience") => "invalid_target",
            Refusal::MalformedRequest(_)
            | Refusal::ValidationFailed(_)
            | Refusal::RequestTimeout
            | Refusal::PayloadTooLarge
            | Refusal::UnsupportedMediaType(_)
            | Refusal::TenantRequired(_) => "invalid_request",
            // RFC 6749 has no word for a limit; this one says that the same request may succeed later.
            Refusal::RateLimited(..) | Refusal::Overloaded | Refusal::Unavailable => "temporarily_unavailable",
            Refusal::Internal => "server_error",
            Refusal::UnsupportedTokenType => "unsupported_token_type",
            _ => credential,
        };
        let status = match (&refusal, error) {
            (_, "invalid_client") => StatusCode::UNAUTHORIZED,
            (
                Refusal::RequestTimeout
                | Refusal::PayloadTooLarge
                | Refusal::UnsupportedMediaType(_)
                | Refusal::RateLimited(..)
                | Refusal::Overloaded
                | Refusal::Unavailable
                | Refusal::Internal,
                _,
            ) => refusal.status_and_code().0,
            _ => StatusCode::BAD_REQUEST,
        };
        Self { error, description: refusal.to_string(), status, refusal: Some(refusal), scheme: Scheme::Basic }
    }

    /// The same of who asks about something else than their own credential: that a scope is lacking is told them in the
    /// words of RFC 6750 section 3.1.
    #[must_use]
    pub fn of_caller(refusal: Refusal, scheme: Scheme) -> Self {
        let error = Self { scheme, ..Self::of(refusal, "invalid_client") };
        match error.refusal {
            Some(Refusal::InsufficientScope { .. }) => {
                Self { error: "insufficient_scope", status: StatusCode::FORBIDDEN, ..error }
            }
            _ => error,
        }
    }

    /// The code that the metrics count it under.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.refusal.as_ref().map_or(self.error, Refusal::code)
    }
}

impl std::fmt::Display for OAuthError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.description)
    }
}

impl ResponseError for OAuthError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut answer = builder(self.status, self.refusal.as_ref());
        answer.insert_header((PRAGMA, NO_CACHE));
        let challenge = match (self.status, self.scheme) {
            (StatusCode::UNAUTHORIZED, Scheme::Basic) => Some(r#"Basic realm="jeton", charset="UTF-8""#.to_owned()),
            (StatusCode::UNAUTHORIZED, Scheme::Bearer) => challenge(&Refusal::InvalidToken),
            (StatusCode::FORBIDDEN, _) => self.refusal.as_ref().and_then(challenge),
            _ => None,
        };
        if let Some(challenge) = challenge {
            answer.insert_header((WWW_AUTHENTICATE, challenge));
        }
        answer.json(json!({ "error": self.error, "error_description": plain(&self.description) }))
    }
}

/// `error_description` has no quotes, backslashes or other than printable ASCII (RFC 6749 section 5.2).
fn plain(text: &str) -> String {
    text.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rate_limit::RateLimitState;
    use crate::domain::refusal::Holder;

    #[test]
    fn a_rate_limit_says_when_to_come_back() {
        let limited = || {
            let state = RateLimitState { per_minute: 120, remaining: 0, retry_after: 1, reset: 1 };
            Refusal::RateLimited(Holder::ApiKey, state)
        };
        let oauth = OAuthError::of(limited(), "invalid_client");
        assert_eq!((oauth.error, oauth.code()), ("temporarily_unavailable", "rate_limited"));
        for answer in [problem(&limited(), document(&limited(), "id")), oauth.error_response()] {
            assert_eq!(answer.status(), 429);
            for (name, value) in
                [("retry-after", "1"), ("ratelimit", r#""key";r=0;t=1"#), ("ratelimit-policy", r#""key";q=120;w=60"#)]
            {
                assert_eq!(answer.headers().get(name).unwrap(), value);
            }
        }
        assert_eq!(limited().to_string(), "Too many requests with this API key; try again in 1 s");
    }
}
