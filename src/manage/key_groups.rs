//! Key groups: sets of API keys with the same rights (contract section 4.2).

use std::sync::Arc;

use super::overreach;
use crate::app::App;
use crate::db::{DbConnection, api_keys, audit, key_groups, tenants};
use crate::domain::key_group::KeyGroup;
use crate::domain::page::{Page, Paged};
use crate::domain::{AccessTypeName, Actor, KeyGroupId, Name, Refusal, Scopes, TenantId};

/// A group that somebody wants.
#[derive(Clone, Debug)]
pub struct NewKeyGroup {
    /// What people will call it.
    pub name: Name,
    /// The preset of its keys.
    pub access_type: Option<AccessTypeName>,
    /// What its keys may do.
    pub scopes: Scopes,
}

/// Creates a group.
///
/// # Errors
/// [`Refusal::NotFound`] without such a tenant; [`Refusal::PlanRequired`]; an access type or a scope that the profile
/// does not allow; [`Refusal::InsufficientScope`] where its keys could do more here than who makes it.
pub async fn create(app: &App, by: &Actor, tenant: TenantId, new: NewKeyGroup) -> Result<KeyGroup, Refusal> {
    let now = app.now();
    let NewKeyGroup { name, access_type, scopes } = new;
    app.profile.ensure_rights(access_type.as_ref(), &scopes)?;
    let attempt = app.event(by, "key_group.created", now)?.tenant(tenant);
    by.ensure_may_give(&app.profile.powers(access_type.as_ref(), &scopes))
        .map_err(|refusal| overreach(app, attempt.clone(), refusal))?;
    let id = app.new_id(now)?;
    let created_by = by.who.to_string();
    let group = KeyGroup { id, tenant_id: tenant, name, access_type, scopes, created_at: now, created_by };
    let event = attempt.target("key-group", id);
    let (made, profile) = (group.clone(), Arc::clone(&app.profile));
    app.db
        .write(move |connection| {
            let tenant = tenants::hold(connection, tenant)?.ok_or(Refusal::NotFound)?;
            profile.plans.ensure_api_keys(tenant.plan.as_deref())?;
            key_groups::insert(connection, &made)?;
            Ok::<_, Refusal>(audit::record(connection, &event)?)
        })
        .await?;
    Ok(group)
}

/// Deletes a group and revokes its keys for good.
///
/// The tenant's row is held, as by whoever makes or rotates a key: each of its keys is made before, and then revoked,
/// or after, and then refused.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn delete(app: &App, by: &Actor, tenant: TenantId, id: KeyGroupId) -> Result<(), Refusal> {
    let now = app.now();
    let event = app.event(by, "key_group.deleted", now)?.tenant(tenant).target("key-group", id);
    app.db
        .write(move |connection| {
            tenants::hold(connection, tenant)?.ok_or(Refusal::NotFound)?;
            if !key_groups::delete(connection, tenant, id)? {
                return Err(Refusal::NotFound);
            }
            let revoked = api_keys::revoke_of_group(connection, tenant, id, now)?;
            Ok(audit::record(connection, &event.details(format!("{revoked} keys revoked")))?)
        })
        .await
}

/// Finds a group of a tenant.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn find(app: &App, tenant: TenantId, id: KeyGroupId) -> Result<KeyGroup, Refusal> {
    let found = app.db.read(move |connection| key_groups::find(connection, tenant, id).map_err(Refusal::from)).await?;
    found.ok_or(Refusal::NotFound)
}

/// The tenant of a group.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn tenant_of(app: &App, id: KeyGroupId) -> Result<TenantId, Refusal> {
    let found = app.db.read(move |connection| key_groups::tenant_of(connection, id).map_err(Refusal::from)).await?;
    found.ok_or(Refusal::NotFound)
}

/// Lists the groups of a tenant.
///
/// # Errors
/// The database does not answer.
pub async fn list(app: &App, tenant: TenantId, page: Page) -> Result<Paged<KeyGroup>, Refusal> {
    let groups =
        app.db.read(move |connection| key_groups::list(connection, tenant, page).map_err(Refusal::from)).await?;
    Ok(page.of(groups, |group| group.id.uuid()))
}

/// Refuses a new key whose group is gone meanwhile; the caller holds the tenant's row.
pub(super) fn ensure_there(
    connection: &mut DbConnection,
    tenant: TenantId,
    group: Option<KeyGroupId>,
) -> Result<(), Refusal> {
    match group {
        Some(id) if key_groups::find(connection, tenant, id)?.is_none() => Err(unknown()),
        _ => Ok(()),
    }
}

/// A group that is none of the tenant's.
pub(super) fn unknown() -> Refusal {
    Refusal::invalid("group_id", "must be a key group of this tenant")
}
