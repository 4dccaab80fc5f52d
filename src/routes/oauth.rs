//! `/oauth2`: the same grants in the words of RFC 6749, for stock OAuth clients, and the ends of what they give
//! (contract section 4.3).

use actix_web::http::header::PRAGMA;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::exchange::{ACCESS_TOKEN_URN, ExchangeAnswer, exchanged, unstored};
use super::login::TokenAnswer;
use crate::app::App;
use crate::domain::refresh_token::RefreshToken;
use crate::domain::{Actor, Audience, Refusal, Scopes};
use crate::error::{NO_CACHE, OAuthError};
use crate::extract::client::Client;
use crate::extract::form::Form;
use crate::extract::oauth_client::{caller, client_key, client_key_if_sent};
use crate::extract::tenant::named_tenant;
use crate::grants;
use crate::grants::admission::{PresentedKey, authenticate};
use crate::grants::exchange::ExchangeRequest;
use crate::grants::introspection::{Introspected, IntrospectionRequest, TokenState};
use crate::grants::refresh::RefreshRequest;
use crate::grants::workload::WorkloadRequest;
use crate::manage;
use crate::tokens::claims::LOGIN_CLIENT;

/// RFC 8693 section 2.1.
pub const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// What an API key is called as a subject token.
pub const API_KEY_URN: &str = "urn:jeton:params:oauth:token-type:api-key";

/// What a token of another issuer is called as a subject token (RFC 8693 section 3).
const FOREIGN_TOKEN_URNS: [&str; 2] =
    ["urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token"];

/// Issues tokens by `grant_type`: `client_credentials`, `refresh_token`, or token exchange.
#[utoipa::path(
    post, path = "/oauth2/token", tag = "oauth 2.0", security(("basic" = []), ()),
    request_body(content_type = "application/x-www-form-urlencoded", content = TokenForm),
    responses(
        (status = 200, description = "Tokens", body = ExchangeAnswer),
        (status = 400, description = "RFC 6749 section 5.2", body = OAuthProblem),
        (status = 401, description = "invalid_client", body = OAuthProblem)
    )
)]
pub async fn token(
    app: Data<App>,
    request: HttpRequest,
    Client(client): Client,
    mut form: Form,
) -> Result<HttpResponse, OAuthError> {
    let grant_type = form.require("grant_type")?;
    if form.take("resource").is_some() {
        return Err(OAuthError::new("invalid_target", "Name an audience instead of a resource"));
    }
    let mut answer = match grant_type.as_str() {
        "client_credentials" => client_credentials(&app, &request, client, form).await,
        "refresh_token" => refresh_token(&app, &request, client, form).await,
        TOKEN_EXCHANGE => token_exchange(&app, &request, client, form).await,
        _ => Err(OAuthError::new("unsupported_grant_type", "This grant type is not offered")),
    }?;
    answer.headers_mut().insert(PRAGMA, NO_CACHE);
    Ok(answer)
}

/// RFC 6749 section 4.4: the key's id is the client's id, the key its secret.
async fn client_credentials(
    app: &App,
    request: &HttpRequest,
    client: Actor,
    mut form: Form,
) -> Result<HttpResponse, OAuthError> {
    let key = client_key(request, &mut form, &app.profile)?.unwrap_or_default();
    exchange(app, request, client, form, key, "invalid_client").await
}

/// RFC 6749 section 6.
async fn refresh_token(
    app: &App,
    request: &HttpRequest,
    client: Actor,
    mut form: Form,
) -> Result<HttpResponse, OAuthError> {
    let refused = |refusal| OAuthError::of(refusal, "invalid_grant");
    // No key was given a refresh token: they are of the public client of all logins.
    if authenticated(app, request, &client, &mut form).await? {
        return Err(refused(Refusal::InvalidRefreshToken));
    }
    if form.take("client_id").is_some_and(|id| id != LOGIN_CLIENT) {
        return Err(refused(Refusal::InvalidRefreshToken));
    }
    let text = form.require("refresh_token")?;
    let token = RefreshToken::parse(&text).ok_or(Refusal::InvalidRefreshToken).map_err(refused)?;
    let request = RefreshRequest { token, scopes: scopes(&mut form)?, client };
    let tokens = grants::refresh::refresh(app, request).await.map_err(refused)?;
    Ok(unstored(None).json(TokenAnswer::from(tokens)))
}

/// Whether a client authenticates where it need not: credentials that are sent are never ignored (RFC 6749 section 6).
async fn authenticated(app: &App, request: &HttpRequest, client: &Actor, form: &mut Form) -> Result<bool, OAuthError> {
    let Some(key) = client_key_if_sent(request, form, &app.profile)? else { return Ok(false) };
    let result = authenticate(app, &key, client, app.now()).await;
    result.map(|()| true).map_err(|refusal| OAuthError::of(refusal, "invalid_client"))
}

/// RFC 8693: the subject token is an API key, or a token of an issuer that the tenant trusts.
async fn token_exchange(
    app: &App,
    request: &HttpRequest,
    client: Actor,
    mut form: Form,
) -> Result<HttpResponse, OAuthError> {
    authenticated(app, request, &client, &mut form).await?;
    let subject = form.require("subject_token")?;
    let subject_type = form.require("subject_token_type")?;
    let is_foreign = FOREIGN_TOKEN_URNS.contains(&subject_type.as_str());
    if !is_foreign && subject_type != API_KEY_URN {
        let known = format!("subject_token_type must be {API_KEY_URN} or {}", FOREIGN_TOKEN_URNS.join(" or "));
        return Err(OAuthError::new("invalid_request", known));
    }
    if form.take("requested_token_type").is_some_and(|wanted| wanted != ACCESS_TOKEN_URN) {
        return Err(OAuthError::new("invalid_request", format!("requested_token_type must be {ACCESS_TOKEN_URN}")));
    }
    if form.take("actor_token").is_some() || form.take("actor_token_type").is_some() {
        return Err(OAuthError::new("invalid_request", "Delegation is not offered"));
    }
    // RFC 8693 section 2.2.2: a subject token that is not acceptable is an invalid_request.
    if is_foreign {
        return workload(app, request, client, form, subject).await;
    }
    exchange(app, request, client, form, PresentedKey::read(&app.profile, &subject), "invalid_request").await
}

/// A workload names its tenant, in every profile: nothing else does.
async fn workload(
    app: &App,
    request: &HttpRequest,
    client: Actor,
    mut form: Form,
    token: String,
) -> Result<HttpResponse, OAuthError> {
    let refused = |refusal| OAuthError::of(refusal, "invalid_request");
    let named = named_tenant(request).map_err(refused)?;
    let request = WorkloadRequest {
        token,
        tenant: named.ok_or_else(|| refused(Refusal::TenantRequired(Vec::new())))?,
        scopes: scopes(&mut form)?,
        audience: audience(&mut form)?,
        client,
    };
    grants::workload::exchange(app, request).await.map(exchanged).map_err(refused)
}

/// What both grants of an API key come to; `word` is what each calls a key that is refused.
async fn exchange(
    app: &App,
    request: &HttpRequest,
    client: Actor,
    mut form: Form,
    key: PresentedKey,
    word: &'static str,
) -> Result<HttpResponse, OAuthError> {
    let refused = |refusal| OAuthError::of(refusal, word);
    let request = ExchangeRequest {
        key,
        tenant: named_tenant(request).map_err(refused)?,
        scopes: scopes(&mut form)?,
        audience: audience(&mut form)?,
        lifetime: None,
        client,
    };
    grants::exchange::exchange(app, request).await.map(exchanged).map_err(refused)
}

/// Ends the session of a refresh token, or an API key for good (RFC 7009). Whoever holds the token may end it.
#[utoipa::path(
    post, path = "/oauth2/revoke", tag = "oauth 2.0", security(("basic" = []), ()),
    request_body(content_type = "application/x-www-form-urlencoded", content = SingleTokenForm),
    responses(
        (status = 200, description = "It is dead, or never was a token"),
        (status = 400, description = "RFC 7009 section 2.2.1", body = OAuthProblem),
        (status = 401, description = "invalid_client", body = OAuthProblem)
    )
)]
pub async fn revoke(
    app: Data<App>,
    request: HttpRequest,
    Client(client): Client,
    mut form: Form,
) -> Result<HttpResponse, OAuthError> {
    let refused = |refusal| OAuthError::of(refusal, "invalid_client");
    if let Some(key) = client_key(&request, &mut form, &app.profile)? {
        authenticate(&app, &key, &client, app.now()).await.map_err(refused)?;
    }
    // Of every kind of token we know by its form what it is: `token_type_hint` would tell us nothing.
    let token = form.require("token")?;
    manage::revocation::revoke(&app, &client, &token).await.map_err(refused)?;
    Ok(unstored(None).finish())
}

/// Tells what a token of the caller's tenant is worth at this moment (RFC 7662).
#[utoipa::path(
    post, path = "/oauth2/introspect", tag = "oauth 2.0", security(("basic" = []), ("api_key" = []), ("bearer" = [])),
    request_body(content_type = "application/x-www-form-urlencoded", content = SingleTokenForm),
    responses(
        (status = 200, description = "RFC 7662 section 2.2", body = TokenState),
        (status = 400, description = "invalid_request", body = OAuthProblem),
        (status = 401, description = "invalid_client", body = OAuthProblem),
        (status = 403, description = "insufficient_scope", body = OAuthProblem)
    )
)]
pub async fn introspect(
    app: Data<App>,
    request: HttpRequest,
    Client(client): Client,
    mut form: Form,
) -> Result<HttpResponse, OAuthError> {
    let (caller, scheme) = caller(&request, &mut form, &app.profile)?;
    let refused = |refusal| OAuthError::of_caller(refusal, scheme);
    let request = IntrospectionRequest {
        caller,
        tenant: named_tenant(&request).map_err(refused)?,
        token: form.require("token")?,
        client,
    };
    let Introspected { state, rate } = grants::introspection::introspect(&app, request).await.map_err(refused)?;
    Ok(unstored(rate.as_ref()).json(state))
}

fn scopes(form: &mut Form) -> Result<Option<Scopes>, OAuthError> {
    let text = form.take("scope");
    text.map(|text| text.parse().map_err(|_| OAuthError::new("invalid_scope", "The scope is malformed"))).transpose()
}

fn audience(form: &mut Form) -> Result<Option<Audience>, OAuthError> {
    let text = form.take("audience");
    text.map(|text| text.parse().map_err(|_| OAuthError::new("invalid_target", "The audience is malformed")))
        .transpose()
}

/// The form, as OpenAPI describes it.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "the form is read parameter by parameter; this describes it")]
pub struct TokenForm {
    /// `client_credentials`, `refresh_token` or `urn:ietf:params:oauth:grant-type:token-exchange`.
    #[schema(min_length = 1)]
    grant_type: String,
    client_id: Option<String>,
    client_secret: Option<String>,
    refresh_token: Option<String>,
    subject_token: Option<String>,
    subject_token_type: Option<String>,
    requested_token_type: Option<String>,
    scope: Option<String>,
    audience: Option<String>,
}

/// The form of a revocation or introspection, as OpenAPI describes it.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "the form is read parameter by parameter; this describes it")]
pub struct SingleTokenForm {
    /// The token.
    #[schema(min_length = 1)]
    token: String,
    /// Not needed, and not looked at.
    token_type_hint: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
}

/// An error, as OpenAPI describes it.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "it describes what `OAuthError` writes")]
pub struct OAuthProblem {
    error: String,
    error_description: String,
}
