//! Forward auth: a proxy asks whether a request may pass, and with which token (contract 4.4; ADR 8).
//!
//! An API key is exchanged for a token with the one scope that the endpoint needs, and a token of ours for one like it.

use super::admission::{Credential, admit, noted, with_key};
use super::bearer::{self, Bearer};
use super::exchange::token_of_key;
use super::workload;
use crate::app::App;
use crate::domain::api_key::ApiKey;
use crate::domain::original_request::{Method, RequestPath};
use crate::domain::rate_limit::RateLimitState;
use crate::domain::refusal::Holder;
use crate::domain::{AccessTypeName, Actor, Refusal, Scopes, Tenant, TenantId, Timestamp};
use crate::tokens::claims::{Grant, Subject};
use crate::tokens::verifier::Verified;

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

/// What the proxy passes on to the upstream.
#[derive(Debug)]
pub struct Authorized {
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

/// Lets a request pass, or says why not.
///
/// # Errors
/// A [`Refusal`], in the order in which the rules stand in each of the two.
pub async fn authorize(app: &App, request: ForwardRequest) -> Result<Authorized, Refusal> {
    let now = app.now();
    match &request.credential {
        Credential::ApiKey(presented) => {
            with_key(app, presented, &request.client, now, |key, tenant| exchange(app, &request, key, tenant, now))
                .await
        }
        Credential::AccessToken(jwt) => narrow(app, &request, jwt, now).await,
    }
}

/// The upstream gets what the endpoint needs and no more: a token that it leaks opens nothing else.
fn exchange(
    app: &App,
    request: &ForwardRequest,
    key: &ApiKey,
    tenant: &Tenant,
    now: Timestamp,
) -> Result<(Authorized, Scopes), Refusal> {
    let rate = admit(app, key, tenant, request.tenant, request.client.ip, now)?;
    let scopes = ensure_endpoint(app, request, tenant, key.access_type.as_ref(), &key.scopes, Holder::ApiKey)?;
    let subject = key.id.to_string();
    let token = token_of_key(app, key, scopes.clone(), None, app.config.tokens.exchange_ttl, now)?;
    Ok((Authorized { jwt: token.jwt, tenant: tenant.id, subject, scopes: scopes.clone(), rate }, scopes))
}

/// A token of ours is changed for one of the endpoint's scope in the same manner, as long as what it rests on lives and
/// within the rules of today: an administrator's token, which may manage the tenant here, is not for the upstream, nor
/// is anybody's with which sessions are ended and the password is changed.
async fn narrow(app: &App, request: &ForwardRequest, jwt: &str, now: Timestamp) -> Result<Authorized, Refusal> {
    let token = app.verifier.verify(jwt, now)?;
    let tokens = &app.config.tokens;
    match bearer::admitted(app, &token, &request.client, now).await? {
        Bearer::User { member, session, scopes, .. } => {
            member.tenant.ensure_named(request.tenant)?;
            let scopes = ensure_endpoint(app, request, &member.tenant, None, &scopes, Holder::AccessToken)?;
            let end = session.over_at().min(now.plus(tokens.access_ttl));
            // Whatever its scope: the account of its user is not for the upstream either.
            let subject = Subject::login(&session, &member, true);
            changed(app, &token, (member.user.id.to_string(), subject), member.tenant.id, (scopes, end), None, now)
        }
        Bearer::ApiKey { key, tenant, scopes } => {
            let rules = || {
                let rate = admit(app, &key, &tenant, request.tenant, request.client.ip, now)?;
                let access_type = key.access_type.as_ref();
                let scopes = ensure_endpoint(app, request, &tenant, access_type, &scopes, Holder::ApiKey)?;
                Ok((rate, scopes))
            };
            let (rate, scopes) = noted(app, &request.client, (key.id, tenant.id), rules(), now)?;
            let end = now.plus(tokens.exchange_ttl_max.min(key.time_left(now)));
            let subject = (key.id.to_string(), Subject::api_key(&key));
            changed(app, &token, subject, tenant.id, (scopes, end), rate, now)
        }
        Bearer::Workload { trusted, tenant, scopes } => {
            let rules = || {
                let rate = workload::admit(app, &trusted, &tenant, request.tenant, now)?;
                let scopes = ensure_endpoint(app, request, &tenant, None, &scopes, Holder::Workload)?;
                Ok((rate, scopes))
            };
            let (rate, scopes) = workload::noted(app, &request.client, &trusted, rules(), now)?;
            let end = now.plus(tokens.exchange_ttl_max);
            let subject = Subject::workload(&trusted, token.claims.workload.clone());
            changed(app, &token, (trusted.id.to_string(), subject), tenant.id, (scopes, end), rate, now)
        }
    }
}

/// The token for the upstream: of the moment of the one that was brought, and no longer than that, nor than any of its
/// kind. What it says is read from the database, not from there: whoever had a signing key for a while could have
/// written anything. In the last part of a second of what it rests on there is none: it would be over already.
fn changed(
    app: &App,
    brought: &Verified,
    (id, subject): (String, Subject),
    tenant: TenantId,
    (scopes, end): (Scopes, Timestamp),
    rate: Option<RateLimitState>,
    now: Timestamp,
) -> Result<Authorized, Refusal> {
    if end.whole() <= now {
        return Err(Refusal::InvalidToken);
    }
    let issued_at = Timestamp::of_seconds(brought.claims.iat).min(end);
    let token = app.issuer.access_token(Grant {
        audience: None,
        scopes: scopes.clone(),
        tenant_id: tenant,
        issued_at,
        lifetime: Timestamp::of_seconds(brought.claims.exp).min(end).since(issued_at),
        subject,
    })?;
    Ok(Authorized { jwt: token.jwt, tenant, subject: id, scopes, rate })
}

/// What the endpoint needs of those scopes that are held. The tenant that its path names must be the credential's: data
/// is asked for by the path, so that is what must agree (security 21).
fn ensure_endpoint(
    app: &App,
    request: &ForwardRequest,
    tenant: &Tenant,
    access_type: Option<&AccessTypeName>,
    held: &Scopes,
    holder: Holder,
) -> Result<Scopes, Refusal> {
    let found = app.profile.endpoints.find(request.method, &request.path)?;
    // In the one spelling that everybody has for it, not in every one that can be parsed.
    let is_tenant = |named: &str| named.eq_ignore_ascii_case(&tenant.id.to_string());
    let names_it = found.value("tenant_id").is_none_or(is_tenant)
        && found.value("project_token").is_none_or(|named| named == tenant.project_token);
    if !names_it {
        return Err(Refusal::TenantMismatch);
    }
    found.endpoint.ensure_access_type(access_type)?;
    let needed = found.endpoint.scope.as_ref().map_or(Scopes::NONE, Scopes::one);
    held.narrow(Some(&needed)).map_err(|lacking| holder.lacks(lacking))
}
