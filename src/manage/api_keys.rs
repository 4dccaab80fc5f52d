//! API keys: created, rotated, revoked (contract section 4.2).

mod rotation;
mod store;

use serde::Serialize;

use super::idempotency::{self, IdempotencyKey, Keep};
use super::{key_groups, overreach};
use crate::app::App;
use crate::db::{DbConnection, api_keys, audit, tenants};
use crate::domain::actor::Who;
use crate::domain::api_key::ApiKey;
use crate::domain::change::Change;
use crate::domain::constraints::Constraints;
use crate::domain::ip_allow_list::IpAllowList;
use crate::domain::key_format::ApiKeySecret;
use crate::domain::page::{Page, Paged};
use crate::domain::{AccessTypeName, Actor, ApiKeyId, Email, KeyGroupId, Name, Refusal, Scopes, TenantId, Timestamp};
use crate::profile::{RequiredMember, WantedKey};

pub use self::rotation::{LONGEST_OVERLAP, rotate};
use self::store::{Draft, earlier_answer};

/// A key that somebody wants.
#[derive(Clone, Debug, Serialize)]
pub struct NewApiKey {
    /// What people will call it.
    pub name: Name,
    /// What it may do; in a group what its group may, where none are named.
    pub scopes: Option<Scopes>,
    /// An environment of the profile; the first one where none is named.
    pub environment: Option<String>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// From where it may be used.
    pub allowed_ips: IpAllowList,
    /// Whom to ask about it.
    pub contact_email: Option<Email>,
    /// A preset of the profile; that of the group, where none is named.
    pub access_type: Option<AccessTypeName>,
    /// The group that it will belong to.
    pub group_id: Option<KeyGroupId>,
    /// What downstream services will limit it to.
    pub constraints: Option<Constraints>,
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
/// [`Refusal::NotFound`] without such a tenant; [`Refusal::PlanRequired`]; [`Refusal::ApiKeyLimitReached`];
/// [`Refusal::IdempotencyConflict`]; [`Refusal::InsufficientScope`] where the key could do more here than who makes it;
/// fields that are not as they must be.
pub async fn create(
    app: &App,
    by: &Actor,
    tenant: TenantId,
    new: NewApiKey,
    idempotency: Option<IdempotencyKey>,
) -> Result<CreatedApiKey, Refusal> {
    let now = app.now();
    let request = idempotency::request_hash(&("create", &new));
    if let Some(answer) = earlier_answer(app, by, tenant, idempotency.as_ref(), &request).await? {
        return Ok(answer);
    }
    let new = new.in_its_group(app, tenant).await?;
    let scopes = new.scopes.clone().unwrap_or_default();
    app.profile.ensure_key(&new.wanted(&scopes))?;
    let attempt = app.event(by, "api_key.created", now)?.tenant(tenant);
    by.ensure_may_give(&app.profile.powers(new.access_type.as_ref(), &scopes))
        .map_err(|refusal| overreach(app, attempt.clone(), refusal))?;
    let (expires_at, group) = (new.expires_at, new.group_id);
    let draft = Draft::new(app, by, tenant, new, now).await?;
    let event = attempt.target("api-key", draft.key.id);
    let keep = idempotency.map(|key| Keep::new(app, tenant, &key, by.who, request, now));
    draft
        .store(app, event, keep, move |connection, stored| {
            ensure_future(expires_at, now)?;
            key_groups::ensure_there(connection, tenant, group)?;
            stored.insert(connection)
        })
        .await
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

/// Revokes the key of a secret for good, whoever has it. In an overlap either secret will do: both are the same key's.
/// One that is no key's ends nothing, and that is no error.
///
/// `allowed_ips` is not asked: it limits what a key opens, and a key that has leaked must be ended from wherever it is
/// found. Nor is its expiry: a clock that steps back must not bring it back to life.
///
/// # Errors
/// The database does not answer: then nothing is promised.
pub async fn revoke_by_holder(app: &App, by: &Actor, secret: &ApiKeySecret) -> Result<(), Refusal> {
    let now = app.now();
    let (hash, two_secrets) = (app.api_keys.hash(secret), app.profile.has_ids_and_secrets());
    let sought = hash.clone();
    // Read first: whoever floods us with made-up keys holds up no writer.
    let find = move |connection: &mut DbConnection| {
        api_keys::find_by_secret(connection, &sought, two_secrets, now).map_err(Refusal::from)
    };
    let Some((key, _)) = app.db.read(find).await? else { return Ok(()) };
    let event = app.event(by, "api_key.revoked", now)?.by(Who::ApiKey(key.id)).tenant(key.tenant_id);
    let event = event.target("api-key", key.id).details("by its holder");
    app.db
        .write(move |connection| {
            if api_keys::revoke_by_secret(connection, key.id, &hash, now)? {
                audit::record(connection, &event)?;
            }
            Ok(())
        })
        .await
}

/// Changes what may be changed of a key.
///
/// # Errors
/// [`Refusal::NotFound`]; a contact that is taken away where the profile requires one.
pub async fn change(
    app: &App,
    by: &Actor,
    tenant: TenantId,
    id: ApiKeyId,
    change: ApiKeyChange,
) -> Result<ApiKey, Refusal> {
    if change.contact_email == Change::Clear && app.profile.required.contains(&RequiredMember::ContactEmail) {
        return Err(Refusal::invalid(RequiredMember::ContactEmail.as_str(), "is required"));
    }
    let event = app.event(by, "api_key.changed", app.now())?.tenant(tenant).target("api-key", id);
    app.db
        .write(move |connection| {
            // Held, as by whoever rotates the key: its successor has what it is changed to, or it is changed after.
            tenants::hold(connection, tenant)?.ok_or(Refusal::NotFound)?;
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

/// Lists the keys of a group, dead ones too.
///
/// # Errors
/// [`Refusal::NotFound`] without such a group in the tenant.
pub async fn list_of_group(
    app: &App,
    tenant: TenantId,
    group: KeyGroupId,
    page: Page,
) -> Result<Paged<ApiKey>, Refusal> {
    let list = move |connection: &mut DbConnection| {
        crate::db::key_groups::find(connection, tenant, group)?.ok_or(Refusal::NotFound)?;
        api_keys::list_of_group(connection, group, page).map_err(Refusal::from)
    };
    Ok(page.of(app.db.read(list).await?, |key| key.id.uuid()))
}

/// How many keys of a tenant live.
///
/// # Errors
/// The database does not answer.
pub async fn count_live(app: &App, tenant: TenantId) -> Result<i64, Refusal> {
    let now = app.now();
    app.db.read(move |connection| api_keys::count_live(connection, tenant, now).map_err(Refusal::from)).await
}

impl NewApiKey {
    /// A key with the rights of another.
    fn like(old: &ApiKey) -> Self {
        Self {
            name: old.name.clone(),
            scopes: Some(old.scopes.clone()),
            environment: Some(old.environment.clone()),
            expires_at: old.expires_at,
            allowed_ips: old.allowed_ips.clone(),
            contact_email: old.contact_email.clone(),
            access_type: old.access_type.clone(),
            group_id: old.group_id,
            constraints: old.constraints.clone(),
        }
    }

    /// A key in a group has its group's rights; naming others is a mistake, not a smaller grant.
    async fn in_its_group(mut self, app: &App, tenant: TenantId) -> Result<Self, Refusal> {
        let Some(id) = self.group_id else { return Ok(self) };
        let group = key_groups::find(app, tenant, id).await.map_err(|refusal| match refusal {
            Refusal::NotFound => key_groups::unknown(),
            other => other,
        })?;
        if self.access_type.as_ref().is_some_and(|named| Some(named) != group.access_type.as_ref()) {
            return Err(Refusal::invalid("access_type", "must be that of the key's group, or left out"));
        }
        if self.scopes.as_ref().is_some_and(|named| !named.is_same_set(&group.scopes)) {
            return Err(Refusal::invalid("scopes", "must be those of the key's group, or left out"));
        }
        (self.access_type, self.scopes) = (group.access_type, Some(group.scopes));
        Ok(self)
    }

    /// What the profile has a say in.
    fn wanted<'a>(&'a self, scopes: &'a Scopes) -> WantedKey<'a> {
        WantedKey {
            access_type: self.access_type.as_ref(),
            scopes,
            constraints: self.constraints.as_ref(),
            contact_email: self.contact_email.as_ref(),
            expires_at: self.expires_at,
            allowed_ips: &self.allowed_ips,
        }
    }
}

fn ensure_future(end: Option<Timestamp>, now: Timestamp) -> Result<(), Refusal> {
    match end {
        Some(end) if end <= now => Err(Refusal::invalid("expires_at", "must be in the future")),
        _ => Ok(()),
    }
}
