//! Exchange: a long-lived API key in, a short-lived scoped access token out (RFC 8693; contract 4.3).

use chrono::TimeDelta;

use crate::app::App;
use crate::db::{api_keys, audit};
use crate::domain::actor::Who;
use crate::domain::api_key::ApiKey;
use crate::domain::key_format::ApiKeySecret;
use crate::domain::refusal::Holder;
use crate::domain::{Actor, ApiKeyId, Refusal, Scopes, Tenant, TenantId, Timestamp};
use crate::tokens::claims::{Grant, Subject};
use crate::tokens::issuer::AccessToken;

/// An API key, and what is wanted for it.
#[derive(Debug)]
pub struct ExchangeRequest {
    /// The key; none where what was presented does not even look like one.
    pub key: Option<ApiKeySecret>,
    /// The id that was presented with it, as OAuth clients do; it must be the key's.
    pub key_id: Option<ApiKeyId>,
    /// The tenant that was named.
    pub tenant: Option<TenantId>,
    /// Fewer scopes than the key has; all of them where none are named.
    pub scopes: Option<Scopes>,
    /// For whom; the first of `tokens.audience` where none is named.
    pub audience: Option<String>,
    /// For how long; `tokens.exchange_ttl` where nothing is said.
    pub lifetime: Option<TimeDelta>,
    /// From where.
    pub client: Actor,
}

/// Exchanges an API key for an access token of at most `tokens.exchange_ttl_max`.
///
/// The key is read from committed state on every call, so that a revocation that was answered before this call began
/// is always seen (security I1).
///
/// # Errors
/// A [`Refusal`], in the order in which the rules stand here.
pub async fn exchange(app: &App, request: ExchangeRequest) -> Result<AccessToken, Refusal> {
    let now = app.now();
    let Some((key, tenant)) = find(app, &request).await? else {
        note_refusal(app, &request, None, &Refusal::InvalidApiKey, now)?;
        return Err(Refusal::InvalidApiKey);
    };
    let result = issue(app, &request, &key, &tenant, now);
    match &result {
        Ok(_) => app.last_used.note(key.id, now),
        Err(refusal) => note_refusal(app, &request, Some(&key), refusal, now)?,
    }
    result
}

async fn find(app: &App, request: &ExchangeRequest) -> Result<Option<(ApiKey, Tenant)>, Refusal> {
    let Some(key) = &request.key else { return Ok(None) };
    let hash = app.api_keys.hash(key);
    let found: Option<(ApiKey, Tenant)> =
        app.db.read(move |connection| api_keys::find_by_hash(connection, &hash).map_err(Refusal::from)).await?;
    Ok(found.filter(|(key, _)| request.key_id.is_none_or(|id| id == key.id)))
}

fn issue(
    app: &App,
    request: &ExchangeRequest,
    key: &ApiKey,
    tenant: &Tenant,
    now: Timestamp,
) -> Result<AccessToken, Refusal> {
    key.ensure_usable(now)?;
    key.ensure_tenant(request.tenant)?;
    tenant.ensure_active()?;
    key.ensure_address(request.client.ip)?;

    let scopes = key.scopes.narrow(request.scopes.as_ref()).map_err(|lacking| Holder::ApiKey.lacks(lacking))?;
    let lifetime = app.config.tokens.exchange_lifetime(request.lifetime)?.min(key.time_left(now));
    app.issuer.access_token(Grant {
        audience: request.audience.clone(),
        scopes,
        tenant_id: key.tenant_id,
        issued_at: now,
        lifetime,
        subject: Subject::api_key(key),
    })
}

/// A refused key leaves a line in the log. Nobody waits for it: whoever floods us with bad keys waits for no disk, and
/// costs others none of theirs.
fn note_refusal(
    app: &App,
    request: &ExchangeRequest,
    key: Option<&ApiKey>,
    refusal: &Refusal,
    now: Timestamp,
) -> Result<(), Refusal> {
    if refusal.is_fault_of_ours() {
        return Ok(());
    }
    let mut event = app.event(&request.client, "api_key.refused", now)?.outcome(refusal.code());
    if let Some(key) = key {
        event = event.by(Who::ApiKey(key.id)).tenant(key.tenant_id).target("api-key", key.id);
    }
    app.db.write_behind(move |connection| Ok(audit::record(connection, &event)?));
    Ok(())
}
