//! Introspection: a token in, what it is worth at this moment out (RFC 7662; contract 4.3).

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::admission::{self, Credential, PresentedKey, admit, noted, with_key};
use super::bearer::{self, Bearer};
use super::workload;
use crate::app::App;
use crate::db::sessions;
use crate::domain::api_key::ApiKey;
use crate::domain::constraints::Constraints;
use crate::domain::key_format::ApiKeySecret;
use crate::domain::rate_limit::RateLimitState;
use crate::domain::refresh_token::RefreshToken;
use crate::domain::refusal::Holder;
use crate::domain::session::Session;
use crate::domain::{
    AccessTypeName, Actor, Audience, KeyGroupId, Member, Refusal, Role, Scopes, SessionId, TenantId, Timestamp,
};
use crate::profile::roles::INTROSPECT;
use crate::tokens::claims::{Claims, LOGIN_CLIENT, Status};
use crate::tokens::verifier::Verified;

/// A token that somebody was given, and wants to know about.
#[derive(Debug)]
pub struct IntrospectionRequest {
    /// What they prove themselves with.
    pub caller: Credential,
    /// The tenant that `X-Tenant-ID` names.
    pub tenant: Option<TenantId>,
    /// The token.
    pub token: String,
    /// From where.
    pub client: Actor,
}

/// What an introspection gives.
#[derive(Debug)]
pub struct Introspected {
    /// What is known of the token.
    pub state: TokenState,
    /// What is left of the caller's limit, where it has one.
    pub rate: Option<RateLimitState>,
}

/// What a token is worth (RFC 7662 section 2.2): of one that is worth nothing this and no more.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct TokenState {
    /// Whether it lives.
    active: bool,
    /// `Bearer` for access tokens alone, so that nobody takes anything else for one; `refresh_token`; `api_key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    /// What it may still do, separated by spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    scope: Option<Scopes>,
    /// `jeton-login`, or the id of the API key or trusted issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// The user's, the API key's or the trusted issuer's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<Uuid>,
    /// For whom it is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    aud: Option<Audience>,
    /// Who issued it.
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    /// When it ends, in seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    /// When it was issued, in seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    /// Its own name.
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<Uuid>,
    /// The tenant it speaks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<TenantId>,
    /// The session it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<SessionId>,
    /// What the user is in the tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    roles: Option<Vec<Role>>,
    /// `true` where the access token was made to do less than its user may.
    #[serde(skip_serializing_if = "Option::is_none")]
    narrowed: Option<bool>,
    /// The API key's preset.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    access_type: Option<AccessTypeName>,
    /// The API key's group.
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<KeyGroupId>,
    /// What the API key is limited to besides its scopes.
    #[serde(skip_serializing_if = "Option::is_none")]
    constraints: Option<Constraints>,
    /// The API key's environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
    /// Where an access token's revocation would be listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    /// What the trusted issuer calls the workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    workload: Option<String>,
}

/// Tells what a token of the caller's own tenant is worth.
///
/// Of another tenant's token, and of one that is dead or none at all, the answer is the same, after the same work:
/// whoever collects tokens learns nothing of where they belong (RFC 7662 section 4).
///
/// # Errors
/// [`Refusal::InsufficientScope`] without `tokens:introspect`; of a key the refusals of every use, see [`admit`]; of an
/// access token those of [`bearer::accept`].
pub async fn introspect(app: &App, request: IntrospectionRequest) -> Result<Introspected, Refusal> {
    let now = app.now();
    let (tenant, rate) = admit_caller(app, &request, now).await?;
    let found = match Token::read(app, &request.token, now) {
        Token::Access(token) => access_token(app, *token, now).await?,
        Token::Refresh(token) => refresh_token(app, token, now).await?,
        Token::ApiKey(secret) => api_key(app, secret, now).await?,
        Token::None => in_vain(app).await?,
    };
    let state = found.filter(|state| state.tenant_id == Some(tenant)).unwrap_or_default();
    Ok(Introspected { state, rate })
}

/// The tenant of a caller who may ask. An API key is used for it, and counted as for any use.
async fn admit_caller(
    app: &App,
    request: &IntrospectionRequest,
    now: Timestamp,
) -> Result<(TenantId, Option<RateLimitState>), Refusal> {
    let IntrospectionRequest { caller, tenant: named, client, .. } = request;
    match caller {
        Credential::ApiKey(presented) => {
            with_key(app, presented, client, now, |key, tenant| {
                let rate = admit(app, key, tenant, *named, client.ip, now)?;
                ensure_may_introspect(Holder::ApiKey, &key.scopes)?;
                Ok(((tenant.id, rate), NEEDED))
            })
            .await
        }
        Credential::AccessToken(jwt) => match bearer::accept(app, jwt, client, now).await? {
            Bearer::User { member, scopes, .. } => {
                member.tenant.ensure_named(*named)?;
                ensure_may_introspect(Holder::AccessToken, &scopes)?;
                Ok((member.tenant.id, None))
            }
            Bearer::ApiKey { key, tenant, scopes } => {
                let rules = || {
                    let rate = admit(app, &key, &tenant, *named, client.ip, now)?;
                    ensure_may_introspect(Holder::ApiKey, &scopes)?;
                    Ok((tenant.id, rate))
                };
                noted(app, client, (key.id, tenant.id), rules(), now)
            }
            Bearer::Workload { trusted, tenant, scopes } => {
                let rules = || {
                    let rate = workload::admit(app, &trusted, &tenant, *named, now)?;
                    ensure_may_introspect(Holder::Workload, &scopes)?;
                    Ok((tenant.id, rate))
                };
                workload::noted(app, client, &trusted, rules(), now)
            }
        },
    }
}

const NEEDED: Scopes = Scopes::constant(INTROSPECT);

fn ensure_may_introspect(holder: Holder, held: &Scopes) -> Result<(), Refusal> {
    held.narrow(Some(&NEEDED)).map(drop).map_err(|lacking| holder.lacks(lacking))
}

/// What a token is by its form, and by the proof in it that we wrote it.
enum Token {
    Access(Box<Verified>),
    Refresh(RefreshToken),
    ApiKey(ApiKeySecret),
    None,
}

impl Token {
    fn read(app: &App, text: &str, now: Timestamp) -> Self {
        if let Some(token) = RefreshToken::parse(text) {
            return if app.refresh_tokens.is_genuine(&token) { Self::Refresh(token) } else { Self::None };
        }
        if let Some(secret) = app.profile.key_format.read(text) {
            return Self::ApiKey(secret);
        }
        app.verifier.verify_for_anybody(text, now).map_or(Self::None, |token| Self::Access(Box::new(token)))
    }
}

/// Whoever the token is for: a service asks about those for itself. Scopes and role are those of today, as at our own
/// endpoints. To ask about a token is no use of it.
async fn access_token(app: &App, token: Verified, now: Timestamp) -> Result<Option<TokenState>, Refusal> {
    let bearer = match bearer::rests_on(app, &token, now).await {
        Ok(bearer) if bearer.tenant().ensure_active().is_ok() => bearer,
        Err(refusal) if refusal.is_fault_of_ours() => return Err(refusal),
        Ok(_) | Err(_) => return Ok(None),
    };
    let (scope, roles) = match bearer {
        Bearer::User { member, scopes, .. } => (scopes, Some(vec![member.role])),
        Bearer::ApiKey { scopes, .. } | Bearer::Workload { scopes, .. } => (scopes, None),
    };
    Ok(Some(TokenState::access_token(token.claims, scope, roles)))
}

/// The current one alone: its predecessor still converges within the grace, but that is for a client which lost an
/// answer, and nothing to rely on.
async fn refresh_token(app: &App, token: RefreshToken, now: Timestamp) -> Result<Option<TokenState>, Refusal> {
    let found = find_session(app, token.session).await?;
    let living = found.filter(|(session, member)| {
        let is_current = session.generation == token.generation && session.is_alive(now);
        is_current && member.user.disabled_at.is_none() && member.tenant.ensure_active().is_ok()
    });
    Ok(living.map(|(session, member)| {
        let scope = app.profile.roles.scopes(&member.role, member.user.operator);
        TokenState::refresh_token(&session, scope)
    }))
}

async fn api_key(app: &App, secret: ApiKeySecret, now: Timestamp) -> Result<Option<TokenState>, Refusal> {
    let presented = PresentedKey { secret: Some(secret), ..PresentedKey::default() };
    let found = admission::find(app, &presented, now).await?;
    let living = found.filter(|found| {
        let (key, tenant) = &**found;
        let is_one = presented.ensure_it_is(app, key).is_ok() && key.ensure_usable(now).is_ok();
        is_one && tenant.ensure_active().is_ok()
    });
    Ok(living.map(|found| TokenState::api_key(&found.0)))
}

/// The database is asked about what is no token too: how long we take must not tell that.
async fn in_vain(app: &App) -> Result<Option<TokenState>, Refusal> {
    find_session(app, Uuid::nil().into()).await.map(|_| None)
}

async fn find_session(app: &App, id: SessionId) -> Result<Option<(Session, Member)>, Refusal> {
    app.db.read(move |connection| sessions::find_with_member(connection, id).map_err(Refusal::from)).await
}

impl TokenState {
    fn access_token(claims: Claims, scope: Scopes, roles: Option<Vec<Role>>) -> Self {
        Self {
            active: true,
            token_type: Some("Bearer"),
            scope: Some(scope),
            client_id: Some(claims.client_id),
            sub: Some(claims.sub),
            aud: Some(claims.aud),
            iss: Some(claims.iss),
            exp: Some(claims.exp),
            iat: Some(claims.iat),
            jti: Some(claims.jti),
            tenant_id: Some(claims.tenant_id),
            sid: claims.sid,
            roles,
            narrowed: claims.narrowed.then_some(true),
            access_type: claims.access_type,
            group_id: claims.group_id,
            constraints: claims.constraints,
            environment: claims.environment,
            status: claims.status,
            workload: claims.workload,
        }
    }

    fn refresh_token(session: &Session, scope: Scopes) -> Self {
        Self {
            active: true,
            token_type: Some("refresh_token"),
            scope: Some(scope),
            client_id: Some(LOGIN_CLIENT.to_owned()),
            sub: Some(session.user_id.uuid()),
            exp: Some(session.expires_at.min(session.ends_at).seconds()),
            iat: Some(session.rotated_at.seconds()),
            tenant_id: Some(session.tenant_id),
            ..Self::default()
        }
    }

    fn api_key(key: &ApiKey) -> Self {
        Self {
            active: true,
            token_type: Some("api_key"),
            scope: Some(key.scopes.clone()),
            client_id: Some(key.id.to_string()),
            sub: Some(key.id.uuid()),
            exp: key.expires_at.map(Timestamp::seconds),
            iat: Some(key.secret_changed_at.unwrap_or(key.created_at).seconds()),
            tenant_id: Some(key.tenant_id),
            access_type: key.access_type.clone(),
            group_id: key.group_id,
            constraints: key.constraints.clone(),
            environment: Some(key.environment.clone()),
            ..Self::default()
        }
    }
}
