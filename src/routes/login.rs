//! `/api/v1/auth/login`, `refresh`, `logout` (contract section 4.1).

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::exchange::unstored;
use crate::app::App;
use crate::domain::password::Password;
use crate::domain::refresh_token::{RefreshToken, RefreshTokenSecret};
use crate::domain::{Email, Refusal, Scopes, TenantId};
use crate::extract::client::Client;
use crate::extract::json::{Json, OptionalJson};
use crate::extract::refresh_cookie::{clear_refresh_cookie, refresh_cookie, set_refresh_cookie};
use crate::extract::tenant::named_tenant;
use crate::grants::SessionTokens;
use crate::grants::login::LoginRequest;
use crate::grants::refresh::RefreshRequest;
use crate::{grants, manage};

/// Who logs in.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginBody {
    email: Email,
    password: Password,
    /// One of the user's own, where `password` is a one-time password.
    new_password: Option<Password>,
    /// Needed by users of several tenants; `X-Tenant-ID` will do too.
    tenant_id: Option<TenantId>,
    /// Put the refresh token into a cookie instead of the answer.
    #[serde(default)]
    cookie: bool,
    /// One of an earlier login on this device, expired or used up perhaps: others' failed logins then do not delay this
    /// one. The cookie will do too.
    #[schema(value_type = Option<String>)]
    refresh_token: Option<SecretString>,
}

/// A refresh token, to be exchanged or ended.
#[derive(Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshBody {
    /// Absent where the cookie carries it.
    #[schema(value_type = Option<String>)]
    refresh_token: Option<SecretString>,
}

/// The token answer.
#[derive(Serialize, ToSchema)]
pub struct TokenAnswer {
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds until the access token expires.
    expires_in: i64,
    /// Absent where the cookie carries it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    refresh_token: Option<RefreshTokenSecret>,
    /// Seconds until the refresh token expires.
    refresh_token_expires_in: i64,
    #[schema(value_type = String)]
    scope: Scopes,
    tenant_id: TenantId,
}

/// Logs a user in.
#[utoipa::path(
    post, path = "/api/v1/auth/login", tag = "auth", request_body = LoginBody,
    responses((status = 200, description = "Logged in", body = TokenAnswer))
)]
pub async fn login(
    app: Data<App>,
    request: HttpRequest,
    Client(client): Client,
    body: Json<LoginBody>,
) -> Result<HttpResponse, Refusal> {
    let Json(LoginBody { email, password, new_password, tenant_id, cookie, refresh_token }) = body;
    let tenant = match (tenant_id, named_tenant(&request)?) {
        (Some(in_body), Some(in_header)) if in_body != in_header => return Err(Refusal::TenantMismatch),
        (in_body, in_header) => in_body.or(in_header),
    };
    // A page of a foreign origin, or a cookie that is none, is a device like any other.
    let known_by = refresh_token.or_else(|| refresh_cookie(&request, &app).ok().flatten());
    let known_by = known_by.and_then(|token| RefreshToken::parse(token.expose_secret()));
    let request = LoginRequest { email, password, new_password, tenant, known_by, replaces: false, client };
    let tokens = grants::login::login(&app, request).await?;
    Ok(answer(tokens, cookie))
}

/// Exchanges a refresh token for its successor.
#[utoipa::path(
    post, path = "/api/v1/auth/refresh", tag = "auth", request_body(content = RefreshBody, description = "May be absent"),
    responses((status = 200, description = "Refreshed", body = TokenAnswer))
)]
pub async fn refresh(
    app: Data<App>,
    request: HttpRequest,
    Client(client): Client,
    body: OptionalJson<RefreshBody>,
) -> Result<HttpResponse, Refusal> {
    let (text, from_cookie) = presented(&app, &request, body.0)?.ok_or(Refusal::InvalidRefreshToken)?;
    let token = RefreshToken::parse(text.expose_secret()).ok_or(Refusal::InvalidRefreshToken)?;
    let tokens = grants::refresh::refresh(&app, RefreshRequest { token, scopes: None, client }).await?;
    Ok(answer(tokens, from_cookie))
}

/// Ends the session of a refresh token.
#[utoipa::path(
    post, path = "/api/v1/auth/logout", tag = "auth", request_body(content = RefreshBody, description = "May be absent"),
    responses((status = 204, description = "The session, if there was one, is over"))
)]
pub async fn logout(
    app: Data<App>,
    request: HttpRequest,
    Client(client): Client,
    body: OptionalJson<RefreshBody>,
) -> Result<HttpResponse, Refusal> {
    let presented = presented(&app, &request, body.0)?;
    let from_cookie = presented.as_ref().is_some_and(|(_, from_cookie)| *from_cookie);
    if let Some(token) = presented.and_then(|(text, _)| RefreshToken::parse(text.expose_secret())) {
        manage::sessions::log_out(&app, &client, &token).await?;
    }
    let mut answer = HttpResponse::NoContent();
    if from_cookie {
        answer.cookie(clear_refresh_cookie());
    }
    Ok(answer.finish())
}

/// The refresh token of a request, and whether it came as a cookie. One in the body comes first.
fn presented(app: &App, request: &HttpRequest, body: RefreshBody) -> Result<Option<(SecretString, bool)>, Refusal> {
    match body.refresh_token {
        Some(token) => Ok(Some((token, false))),
        None => Ok(refresh_cookie(request, app)?.map(|token| (token, true))),
    }
}

fn answer(tokens: SessionTokens, cookie: bool) -> HttpResponse {
    let mut answer = unstored(None);
    if cookie {
        answer.cookie(set_refresh_cookie(tokens.refresh.expose(), tokens.refresh_expires_in));
    }
    let mut body = TokenAnswer::from(tokens);
    body.refresh_token = body.refresh_token.filter(|_| !cookie);
    answer.json(body)
}

impl From<SessionTokens> for TokenAnswer {
    fn from(tokens: SessionTokens) -> Self {
        Self {
            token_type: "Bearer",
            expires_in: tokens.access.expires_in(),
            refresh_token: Some(tokens.refresh),
            refresh_token_expires_in: tokens.refresh_expires_in,
            scope: tokens.access.claims.scope,
            tenant_id: tokens.access.claims.tenant_id,
            access_token: tokens.access.jwt,
        }
    }
}
