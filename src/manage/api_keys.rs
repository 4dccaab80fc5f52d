//! API keys: created, rotated, revoked (contract section 4.2).

use std::borrow::Cow;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::idempotency::{self, IdempotencyKey};
use crate::app::App;
use crate::db::{DbConnection, api_keys, audit, tenants};
use crate::domain::api_key::{ApiKey, ApiKeyState};
use crate::domain::audit::AuditEvent;
use crate::domain::change::Change;
use crate::domain::ip_allow_list::IpAllowList;
use crate::domain::key_format::ApiKeySecret;
use crate::domain::page::{Page, Paged};
use crate::domain::{Actor, ApiKeyId, Email, Name, Refusal, Scopes, TenantId, Timestamp};

/// As many API keys may live in a tenant of the built-in profile.
pub const API_KEYS_PER_TENANT: i64 = 100;

/// The longest that a rotated key may live on beside its successor.
pub const LONGEST_OVERLAP: TimeDelta = TimeDelta::days(30);

/// A key that somebody wants.
#[derive(Clone, Debug, Serialize)]
pub struct NewApiKey {
    /// What people will call it.
    pub name: Name,
    /// What it may do.
    pub scopes: Scopes,
    /// `live` or `test`; the first one where none is named.
    pub environment: Option<String>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// From where it may be used.
    pub allowed_ips: IpAllowList,
    /// Whom to ask about it.
    pub contact_email: Option<Email>,
}

/// A key, and the one sight of its plain text.
#[derive(Debug)]
pub struct CreatedApiKey {
    /// The key.
    pub key: ApiKey,
    /// Its plain text.
    pub secret: ApiKeySecret,
    /// Whether this answer was given before.
    pub replayed: bool,
}

/// What may be changed of a key: `None` leaves it as it is.
#[derive(Debug, Default)]
pub struct ApiKeyChange {
    /// Another name.
    pub name: Option<Name>,
    /// Another contact, or none.
    pub contact_email: Change<Email>,
}

/// Creates a key.
///
/// The limit holds however many are created at once: the tenant's row is held while keys are counted (security 24).
///
/// # Errors
/// [`Refusal::NotFound`] without such a tenant; [`Refusal::ApiKeyLimitReached`]; [`Refusal::IdempotencyConflict`];
/// fields that are not as they must be.
pub async fn create(
    app: &App,
    by: &Actor,
    tenant: TenantId,
    new: NewApiKey,
    idempotency: Option<IdempotencyKey>,
) -> Result<CreatedApiKey, Refusal> {
    let now = app.now();
    let expires_at = new.expires_at;
    let request = idempotency::request_hash(&("create", &new));
    let (key, secret) = draft(app, by, tenant, new, now)?;
    let event = app.event(by, "api_key.created", now)?.tenant(tenant).target("api-key", key.id);
    let keep = idempotency.map(|given| keep(app, by, &given, request, &key, &secret)).transpose()?;
    store(app, key, secret, event, keep, move |_| ensure_future(expires_at, now)).await
}

/// Replaces a key by a new one with the same rights. The old one dies now, or after `overlap`.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::ApiKeyNotActive`]; [`Refusal::ApiKeyLimitReached`] where both would live and
/// one more is too many; an overlap that is too long.
pub async fn rotate(
    app: &App,
    by: &Actor,
    tenant: TenantId,
    id: ApiKeyId,
    overlap: TimeDelta,
    idempotency: Option<IdempotencyKey>,
) -> Result<CreatedApiKey, Refusal> {
    let now = app.now();
    if overlap < TimeDelta::zero() || overlap > LONGEST_OVERLAP {
        let most = LONGEST_OVERLAP.num_seconds();
        return Err(Refusal::invalid("overlap_seconds", format!("must be 0 to {most}")));
    }
    let old = find(app, tenant, id).await?;
    let request = idempotency::request_hash(&("rotate", id, overlap.num_seconds()));
    let (fresh, secret) = draft(app, by, tenant, NewApiKey::like(&old), now)?;
    let key = ApiKey { replaces: Some(id), ..fresh };
    let event = app
        .event(by, "api_key.rotated", now)?
        .tenant(tenant)
        .target("api-key", id)
        .details(format!("replaced by api-key:{}", key.id));
    let keep = idempotency.map(|given| keep(app, by, &given, request, &key, &secret)).transpose()?;
    store(app, key, secret, event, keep, move |connection| end_old(connection, tenant, id, now, overlap)).await
}

/// Revokes a key for good. It is no error that it is dead already.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn revoke(app: &App, by: &Actor, tenant: TenantId, id: ApiKeyId) -> Result<(), Refusal> {
    let now = app.now();
    let event = app.event(by, "api_key.revoked", now)?.tenant(tenant).target("api-key", id);
    app.db
        .write(move |connection| {
            api_keys::find(connection, tenant, id)?.ok_or(Refusal::NotFound)?;
            if api_keys::revoke(connection, tenant, id, now)? {
                audit::record(connection, &event)?;
            }
            Ok(())
        })
        .await
}

/// Changes what may be changed of a key.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn change(
    app: &App,
    by: &Actor,
    tenant: TenantId,
    id: ApiKeyId,
    change: ApiKeyChange,
) -> Result<ApiKey, Refusal> {
    let event = app.event(by, "api_key.changed", app.now())?.tenant(tenant).target("api-key", id);
    app.db
        .write(move |connection| {
            if api_keys::update(connection, tenant, id, change.name.as_ref(), &change.contact_email)? {
                audit::record(connection, &event)?;
            }
            api_keys::find(connection, tenant, id)?.ok_or(Refusal::NotFound)
        })
        .await
}

/// Finds a key of a tenant.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn find(app: &App, tenant: TenantId, id: ApiKeyId) -> Result<ApiKey, Refusal> {
    let found = app.db.read(move |connection| api_keys::find(connection, tenant, id).map_err(Refusal::from)).await?;
    found.ok_or(Refusal::NotFound)
}

/// The tenant of a key.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn tenant_of(app: &App, id: ApiKeyId) -> Result<TenantId, Refusal> {
    let found = app.db.read(move |connection| api_keys::tenant_of(connection, id).map_err(Refusal::from)).await?;
    found.ok_or(Refusal::NotFound)
}

/// Lists the keys of a tenant, dead ones too.
///
/// # Errors
/// The database does not answer.
pub async fn list(app: &App, tenant: TenantId, page: Page) -> Result<Paged<ApiKey>, Refusal> {
    let keys = app.db.read(move |connection| api_keys::list(connection, tenant, page).map_err(Refusal::from)).await?;
    Ok(page.of(keys, |key| key.id.uuid()))
}

impl NewApiKey {
    /// A key with the rights of another.
    fn like(old: &ApiKey) -> Self {
        Self {
            name: old.name.clone(),
            scopes: old.scopes.clone(),
            environment: Some(old.environment.clone()),
            expires_at: old.expires_at,
            allowed_ips: old.allowed_ips.clone(),
            contact_email: old.contact_email.clone(),
        }
    }
}

fn draft(
    app: &App,
    by: &Actor,
    tenant: TenantId,
    new: NewApiKey,
    now: Timestamp,
) -> Result<(ApiKey, ApiKeySecret), Refusal> {
    let environment = app
        .key_format
        .environment(new.environment.as_deref())
        .ok_or_else(|| Refusal::invalid("environment", format!("must be one of {}", app.key_format.environments())))?;
    let secret = app.key_format.write(environment, app.random.bytes()?);
    let key = ApiKey {
        id: app.new_id(now)?,
        tenant_id: tenant,
        name: new.name,
        hint: secret.hint(),
        environment: environment.to_string(),
        scopes: new.scopes,
        allowed_ips: new.allowed_ips,
        contact_email: new.contact_email,
        replaces: None,
        created_at: now,
        created_by: by.who.to_string(),
        expires_at: new.expires_at,
        revoked_at: None,
        last_used_at: None,
    };
    Ok((key, secret))
}

/// Stores a key in one transaction with what must come before it, unless the same request was answered before.
async fn store(
    app: &App,
    key: ApiKey,
    secret: ApiKeySecret,
    event: AuditEvent,
    keep: Option<idempotency::Keep>,
    before: impl FnOnce(&mut DbConnection) -> Result<(), Refusal> + Send + 'static,
) -> Result<CreatedApiKey, Refusal> {
    let (tenant, hash, new) = (key.tenant_id, app.api_keys.hash(&secret), key.clone());
    let earlier = app
        .db
        .write(move |connection| {
            ensure_tenant(connection, tenant)?;
            if let Some(keep) = keep
                && let Some(answer) = keep.earlier_or_keep(connection)?
            {
                return Ok(Some(answer));
            }
            before(connection)?;
            ensure_room(connection, tenant, new.created_at)?;
            api_keys::insert(connection, &new, &hash)?;
            audit::record(connection, &event)?;
            Ok::<_, Refusal>(None)
        })
        .await?;
    match earlier {
        Some(sealed) => Answer::open(app, tenant, &sealed),
        None => Ok(CreatedApiKey { key, secret, replayed: false }),
    }
}

fn ensure_future(end: Option<Timestamp>, now: Timestamp) -> Result<(), Refusal> {
    match end {
        Some(end) if end <= now => Err(Refusal::invalid("expires_at", "must be in the future")),
        _ => Ok(()),
    }
}

fn ensure_tenant(connection: &mut DbConnection, tenant: TenantId) -> Result<(), Refusal> {
    if tenants::lock(connection, tenant)? { Ok(()) } else { Err(Refusal::NotFound) }
}

fn ensure_room(connection: &mut DbConnection, tenant: TenantId, now: Timestamp) -> Result<(), Refusal> {
    if api_keys::count_live(connection, tenant, now)? < API_KEYS_PER_TENANT {
        Ok(())
    } else {
        Err(Refusal::ApiKeyLimitReached(API_KEYS_PER_TENANT))
    }
}

fn end_old(
    connection: &mut DbConnection,
    tenant: TenantId,
    id: ApiKeyId,
    now: Timestamp,
    overlap: TimeDelta,
) -> Result<(), Refusal> {
    let old = api_keys::find(connection, tenant, id)?.ok_or(Refusal::NotFound)?;
    // A key has one successor: a second one would inherit the end that the first rotation gave the old key.
    if old.state(now) != ApiKeyState::Active || api_keys::is_replaced(connection, tenant, id)? {
        return Err(Refusal::ApiKeyNotActive);
    }
    let end = now.plus(overlap);
    let ended = match old.expires_at {
        _ if overlap.is_zero() => api_keys::revoke(connection, tenant, id, now)?,
        Some(sooner) if sooner <= end => true,
        _ => api_keys::expire(connection, tenant, id, end)?,
    };
    if ended { Ok(()) } else { Err(Refusal::ApiKeyNotActive) }
}

/// What a creation answered, to be answered again.
#[derive(Serialize, Deserialize)]
struct Answer<'a> {
    key: Cow<'a, ApiKey>,
    secret: Cow<'a, str>,
}

impl Answer<'_> {
    fn open(app: &App, tenant: TenantId, sealed: &[u8]) -> Result<CreatedApiKey, Refusal> {
        let opened = idempotency::open(app, tenant, sealed)?;
        let Answer { key, secret } = serde_json::from_slice(&opened).map_err(|_| Refusal::Internal)?;
        let secret = app.key_format.read(&secret).ok_or(Refusal::Internal)?;
        Ok(CreatedApiKey { key: key.into_owned(), secret, replayed: true })
    }
}

fn keep(
    app: &App,
    by: &Actor,
    given: &IdempotencyKey,
    request: idempotency::Hash,
    key: &ApiKey,
    secret: &ApiKeySecret,
) -> Result<idempotency::Keep, Refusal> {
    let answer = Answer { key: Cow::Borrowed(key), secret: secret.expose().into() };
    let answer = Zeroizing::new(serde_json::to_vec(&answer).map_err(|_| Refusal::Internal)?);
    idempotency::Keep::new(app, key.tenant_id, given, by.who, request, &answer, key.created_at)
}
