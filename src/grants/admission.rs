//! Admission: the rules that every use of an API key passes, whatever it is used for, and what is remembered of it.

use std::net::IpAddr;

use crate::app::App;
use crate::db::{api_keys, audit};
use crate::domain::actor::Who;
use crate::domain::api_key::ApiKey;
use crate::domain::key_format::ApiKeySecret;
use crate::domain::rate_limit::RateLimitState;
use crate::domain::{Actor, ApiKeyId, Refusal, Scopes, Tenant, TenantId, Timestamp};
use crate::profile::ways::KeyWay;

/// An API key as it was presented.
#[derive(Debug)]
pub struct PresentedKey {
    /// The key; none where what was presented does not even look like one.
    pub secret: Option<ApiKeySecret>,
    /// The id that was presented with it; it must be the key's.
    pub id: Option<ApiKeyId>,
    /// The way in which it was presented, where only keys of some access types are read in that way.
    pub way: Option<KeyWay>,
}

/// Finds the key that was presented, applies `rules` to it, and remembers what came of it.
///
/// The key is read from committed state on every call, so that a revocation that was answered before this call began
/// is always seen (security I1).
///
/// # Errors
/// [`Refusal::InvalidApiKey`]; what `rules` refuse.
pub async fn with_key<T>(
    app: &App,
    presented: &PresentedKey,
    client: &Actor,
    now: Timestamp,
    rules: impl FnOnce(&ApiKey, &Tenant) -> Result<(T, Scopes), Refusal>,
) -> Result<T, Refusal> {
    let Some((key, tenant)) = find(app, presented, now).await? else {
        note_refusal(app, client, None, &Refusal::InvalidApiKey, now)?;
        return Err(Refusal::InvalidApiKey);
    };
    match rules(&key, &tenant) {
        Ok((done, scopes)) => {
            app.usage.success(key.id, &scopes, now);
            Ok(done)
        }
        Err(refusal) => {
            note_refusal(app, client, Some(&key), &refusal, now)?;
            Err(refusal)
        }
    }
}

/// The rules for a key, in the order in which they are told; what is left of its limit then, where it has one.
///
/// # Errors
/// [`Refusal::InvalidApiKey`], [`Refusal::TenantMismatch`], [`Refusal::TenantSuspended`], [`Refusal::IpNotAllowed`],
/// [`Refusal::PlanRequired`], [`Refusal::RateLimited`].
pub fn admit(
    app: &App,
    key: &ApiKey,
    tenant: &Tenant,
    named: Option<TenantId>,
    from: Option<IpAddr>,
    now: Timestamp,
) -> Result<Option<RateLimitState>, Refusal> {
    key.ensure_usable(now)?;
    key.ensure_tenant(named)?;
    tenant.ensure_active()?;
    key.ensure_address(from)?;
    app.profile.plans.ensure_api_keys(tenant.plan.as_deref())?;
    let limits = app.profile.plans.limits(tenant.plan.as_deref());
    app.limits.take(key.id, limits.requests_per_minute, now)
}

async fn find(app: &App, presented: &PresentedKey, now: Timestamp) -> Result<Option<(ApiKey, Tenant)>, Refusal> {
    let Some(secret) = &presented.secret else { return Ok(None) };
    let hash = app.api_keys.hash(secret);
    let found: Option<(ApiKey, Tenant)> = app
        .db
        .read(move |connection| {
            match api_keys::find_by_hash(connection, &hash)? {
                None => api_keys::find_by_previous_hash(connection, &hash, now),
                found => Ok(found),
            }
            .map_err(Refusal::from)
        })
        .await?;
    Ok(found.filter(|(key, _)| {
        let is_its_id = presented.id.is_none_or(|id| id == key.id);
        let read_from = app.profile.read_from(key.access_type.as_ref());
        is_its_id && presented.way.as_ref().is_none_or(|way| read_from.contains(way))
    }))
}

/// A refused key leaves a line in the log. Nobody waits for it: whoever floods us with bad keys waits for no disk, and
/// costs others none of theirs.
fn note_refusal(
    app: &App,
    client: &Actor,
    key: Option<&ApiKey>,
    refusal: &Refusal,
    now: Timestamp,
) -> Result<(), Refusal> {
    if refusal.is_fault_of_ours() {
        return Ok(());
    }
    let mut event = app.event(client, "api_key.refused", now)?.outcome(refusal.code());
    if let Some(key) = key {
        app.usage.refusal(key.id, refusal.code(), now);
        event = event.by(Who::ApiKey(key.id)).tenant(key.tenant_id).target("api-key", key.id);
    }
    app.db.write_behind(move |connection| Ok(audit::record(connection, &event)?));
    Ok(())
}
