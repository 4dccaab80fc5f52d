//! `/api/v1/auth/exchange` (contract section 4.3).

use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use crate::app::App;
use crate::domain::rate_limit::RateLimitState;
use crate::domain::{Audience, Refusal, Scopes, TenantId};
use crate::error::rate_limit_fields;
use crate::extract::client::Client;
use crate::extract::credential::presented_key;
use crate::extract::json::OptionalJson;
use crate::extract::tenant::tenant;
use crate::grants::exchange::{self as grant, ExchangeRequest, Exchanged};
use crate::profile::TenantLocator;
use crate::tokens::issuer::AccessToken;

/// RFC 8693 section 3.
pub const ACCESS_TOKEN_URN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// What is wanted for a key.
#[derive(Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExchangeBody {
    /// Separated by single spaces; all of the key's where it is absent.
    #[schema(value_type = Option<String>)]
    scope: Option<Scopes>,
    /// One of `tokens.audience`; the first where it is absent.
    audience: Option<Audience>,
    /// Seconds; refused over `tokens.exchange_ttl_max`.
    #[schema(minimum = 1)]
    #[validate(range(min = 1, message = "must be at least 1"))]
    expires_in: Option<i64>,
}

/// The answer of an exchange (RFC 8693 section 2.2.1).
#[derive(Serialize, ToSchema)]
pub struct ExchangeAnswer {
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds until the access token expires.
    expires_in: i64,
    #[schema(value_type = String)]
    scope: Scopes,
    issued_token_type: &'static str,
    tenant_id: TenantId,
}

/// Exchanges an API key for a short-lived access token.
#[utoipa::path(
    post, path = "/api/v1/auth/exchange", tag = "exchange", security(("api_key" = [])),
    params(("X-Tenant-ID" = TenantId, Header)), request_body(content = ExchangeBody, description = "May be absent"),
    responses((status = 200, description = "A scoped access token", body = ExchangeAnswer))
)]
pub async fn exchange(
    app: Data<App>,
    request: HttpRequest,
    Client(client): Client,
    OptionalJson(body): OptionalJson<ExchangeBody>,
) -> Result<HttpResponse, Refusal> {
    let tenant = tenant(&request, app.profile.locator != TenantLocator::Key)?;
    let request = ExchangeRequest {
        key: presented_key(&request, &app)?,
        tenant,
        scopes: body.scope,
        audience: body.audience,
        lifetime: body.expires_in.map(|seconds| TimeDelta::try_seconds(seconds).unwrap_or(TimeDelta::MAX)),
        client,
    };
    Ok(exchanged(grant::exchange(&app, request).await?))
}

/// The answer to an exchange, here and at `/oauth2/token`.
pub(super) fn exchanged(Exchanged { token, rate }: Exchanged) -> HttpResponse {
    unstored(rate.as_ref()).json(ExchangeAnswer::from(token))
}

/// An answer that no cache may keep, with what is left of the limit of who asked.
pub(super) fn unstored(rate: Option<&RateLimitState>) -> HttpResponseBuilder {
    let mut answer = HttpResponse::Ok();
    answer.insert_header((CACHE_CONTROL, "no-store"));
    for field in rate.into_iter().flat_map(rate_limit_fields) {
        answer.insert_header(field);
    }
    answer
}

impl From<AccessToken> for ExchangeAnswer {
    fn from(token: AccessToken) -> Self {
        Self {
            token_type: "Bearer",
            expires_in: token.expires_in(),
            scope: token.claims.scope,
            issued_token_type: ACCESS_TOKEN_URN,
            tenant_id: token.claims.tenant_id,
            access_token: token.jwt,
        }
    }
}
