//! Forward auth: a proxy asks whether a request may pass, and with which token (contract 4.4).
//!
//! An API key is exchanged for a token with the one scope that the endpoint needs. A token of ours is passed on as it is.

use super::admission::{PresentedKey, admit, with_key};
use super::bearer::{self, Bearer};
use crate::app::App;
use crate::domain::api_key::ApiKey;
use crate::domain::original_request::{Method, RequestPath};
use crate::domain::rate_limit::RateLimitState;
use crate::domain::refusal::Holder;
use crate::domain::{Actor, Refusal, Scopes, Tenant, TenantId, Timestamp};
use crate::profile::TenantLocator;
use crate::profile::endpoints::Match;
use crate::tokens::claims::{Grant, Subject};

/// A request that somebody sent to a proxy.
#[derive(Debug)]
pub struct ForwardRequest {
    /// What its sender proves itself with.
    pub credential: Credential,
    /// Its method.
    pub method: Method,
    /// Its path.
    pub path: RequestPath,
    /// The tenant that `X-Tenant-ID` names.
    pub tenant: Option<TenantId>,
    /// From where.
    pub client: Actor,
}

/// What a client of the product proves itself with.
pub enum Credential {
    /// An API key.
    ApiKey(PresentedKey),
    /// What looks like an access token of ours.
    AccessToken(String),
}

/// What the proxy passes on to the upstream.
#[derive(Debug)]
pub struct Admission {
    /// The access token.
    pub jwt: String,
    /// The tenant that it speaks for.
    pub tenant: TenantId,
    /// Whom it is about.
    pub subject: String,
    /// What it may do.
    pub scopes: Scopes,
    /// What is left of the key's limit, where it has one.
    pub rate: Option<RateLimitState>,
}

/// Admits a request, or says why not.
///
/// # Errors
/// A [`Refusal`], in the order in which the rules stand here.
pub async fn authorize(app: &App, request: ForwardRequest) -> Result<Admission, Refusal> {
    let now = app.now();
    if app.profile.locator == TenantLocator::Header && request.tenant.is_none() {
        return Err(Refusal::TenantRequired(Vec::new()));
    }
    match &request.credential {
        Credential::ApiKey(presented) => {
            let rules = |key: &ApiKey, tenant: &Tenant| exchange(app, &request, key, tenant, now);
            with_key(app, presented, &request.client, now, rules).await
        }
        Credential::AccessToken(jwt) => match bearer::accept(app, jwt, now).await? {
            Bearer::User { member, scopes, .. } => {
                ensure_named(&request, member.tenant.id)?;
                let endpoint = find_endpoint(app, &request, &member.tenant)?;
                endpoint.endpoint.ensure_access_type(None)?;
                ensure_scope(&endpoint, &scopes, Holder::AccessToken)?;
                let subject = member.user.id.to_string();
                Ok(Admission { jwt: jwt.clone(), tenant: member.tenant.id, subject, scopes, rate: None })
            }
            Bearer::ApiKey { key, tenant, scopes } => {
                let rate = admit(app, &key, &tenant, request.tenant, request.client.ip, now)?;
                let endpoint = find_endpoint(app, &request, &tenant)?;
                endpoint.endpoint.ensure_access_type(key.access_type.as_ref())?;
                ensure_scope(&endpoint, &scopes, Holder::ApiKey)?;
                Ok(Admission { jwt: jwt.clone(), tenant: tenant.id, subject: key.id.to_string(), scopes, rate })
            }
        },
    }
}

/// The upstream gets what the endpoint needs and no more: a token that it leaks opens nothing else.
fn exchange(
    app: &App,
    request: &ForwardRequest,
    key: &ApiKey,
    tenant: &Tenant,
    now: Timestamp,
) -> Result<(Admission, Scopes), Refusal> {
    let rate = admit(app, key, tenant, request.tenant, request.client.ip, now)?;
    let endpoint = find_endpoint(app, request, tenant)?;
    endpoint.endpoint.ensure_access_type(key.access_type.as_ref())?;
    let scopes = ensure_scope(&endpoint, &key.scopes, Holder::ApiKey)?;
    let token = app.issuer.access_token(Grant {
        audience: None,
        scopes: scopes.clone(),
        tenant_id: tenant.id,
        issued_at: now,
        lifetime: app.config.tokens.exchange_ttl.min(key.time_left(now)),
        subject: Subject::api_key(key),
    })?;
    let admission =
        Admission { jwt: token.jwt, tenant: tenant.id, subject: key.id.to_string(), scopes: scopes.clone(), rate };
    Ok((admission, scopes))
}

fn ensure_named(request: &ForwardRequest, tenant: TenantId) -> Result<(), Refusal> {
    if request.tenant.is_none_or(|named| named == tenant) { Ok(()) } else { Err(Refusal::TenantMismatch) }
}

/// The row of the table, where the tenant that the path names is the credential's: data is asked for by the path, so that
/// is what must agree (security 21).
fn find_endpoint<'a>(app: &'a App, request: &'a ForwardRequest, tenant: &Tenant) -> Result<Match<'a>, Refusal> {
    let found = app.profile.endpoints.find(request.method, &request.path)?;
    let id_agrees =
        found.value("tenant_id").is_none_or(|named| named.parse().is_ok_and(|named: TenantId| named == tenant.id));
    let token_agrees = found.value("project_token").is_none_or(|named| named == tenant.project_token);
    if id_agrees && token_agrees { Ok(found) } else { Err(Refusal::TenantMismatch) }
}

fn ensure_scope(endpoint: &Match<'_>, held: &Scopes, holder: Holder) -> Result<Scopes, Refusal> {
    let needed = endpoint.endpoint.scope.as_ref().map_or(Scopes::NONE, Scopes::one);
    held.narrow(Some(&needed)).map_err(|lacking| holder.lacks(lacking))
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ApiKey(_) => "ApiKey(***)",
            Self::AccessToken(_) => "AccessToken(***)",
        })
    }
}
