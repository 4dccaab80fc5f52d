//! Tenants: created, renamed, suspended, deleted.

use data_encoding::BASE32_NOPAD;

use crate::app::App;
use crate::db::{DbError, audit, memberships, sessions, tenants};
use crate::domain::page::{Page, Paged};
use crate::domain::{Actor, Name, Refusal, Tenant, TenantId, Timestamp};

/// A tenant that somebody wants.
#[derive(Debug)]
pub struct NewTenant {
    /// Its id, where it is known elsewhere already; otherwise one is made.
    pub id: Option<TenantId>,
    /// What people will call it.
    pub name: Name,
    /// What it pays for.
    pub plan: Option<String>,
}

/// What may be changed of a tenant: `None` leaves it as it is.
#[derive(Debug, Default)]
pub struct TenantChange {
    /// Another name.
    pub name: Option<Name>,
    /// Another plan.
    pub plan: Option<String>,
}

/// Creates a tenant.
///
/// # Errors
/// [`Refusal::TenantIdTaken`]; an id that can be no tenant's; a plan that the profile does not have.
pub async fn create(app: &App, by: &Actor, new: NewTenant) -> Result<Tenant, Refusal> {
    let now = app.now();
    new.id.map_or(Ok(()), TenantId::ensure_ordinary)?;
    let tenant = draft(app, new, now)?;
    let event = app.event(by, "tenant.created", now)?.tenant(tenant.id).target("tenant", tenant.id);
    let created = tenant.clone();
    app.db
        .write(move |connection| {
            tenants::insert(connection, &created).map_err(|error| match DbError::from(error) {
                DbError::Conflict => Refusal::TenantIdTaken,
                other => other.into(),
            })?;
            Ok::<_, Refusal>(audit::record(connection, &event)?)
        })
        .await?;
    Ok(tenant)
}

/// Changes a tenant's name or plan.
///
/// # Errors
/// [`Refusal::NotFound`]; a plan that the profile does not have.
pub async fn change(app: &App, by: &Actor, id: TenantId, change: TenantChange) -> Result<Tenant, Refusal> {
    app.profile.plans.ensure_known(change.plan.as_deref())?;
    let event = app.event(by, "tenant.changed", app.now())?.tenant(id).target("tenant", id);
    app.db
        .write(move |connection| {
            let mut changed = false;
            if let Some(name) = &change.name {
                changed |= tenants::rename(connection, id, name)?;
            }
            if let Some(plan) = &change.plan {
                changed |= tenants::set_plan(connection, id, Some(plan))?;
            }
            if changed {
                audit::record(connection, &event)?;
            }
            tenants::find(connection, id)?.ok_or(Refusal::NotFound)
        })
        .await
}

/// Suspends a tenant: its sessions end, its keys are refused until it is resumed. It is no error that it is suspended.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn suspend(app: &App, by: &Actor, id: TenantId) -> Result<Tenant, Refusal> {
    let now = app.now();
    let event = app.event(by, "tenant.suspended", now)?.tenant(id).target("tenant", id);
    app.db
        .write(move |connection| {
            let tenant = tenants::find(connection, id)?.ok_or(Refusal::NotFound)?;
            let active = tenant.suspended_at.is_none();
            if active {
                tenants::set_suspended(connection, id, Some(now))?;
            }
            // Logins that are under way have either begun their session, which ends here, or will see the suspension.
            memberships::hold_all(connection, id)?;
            sessions::revoke_of_tenant(connection, id, now, "tenant_suspended")?;
            if active {
                audit::record(connection, &event)?;
            }
            tenants::find(connection, id)?.ok_or(Refusal::NotFound)
        })
        .await
}

/// Resumes a tenant. Its keys work again; its users log in anew.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn resume(app: &App, by: &Actor, id: TenantId) -> Result<Tenant, Refusal> {
    let event = app.event(by, "tenant.resumed", app.now())?.tenant(id).target("tenant", id);
    app.db
        .write(move |connection| {
            let tenant = tenants::find(connection, id)?.ok_or(Refusal::NotFound)?;
            if tenant.suspended_at.is_some() {
                tenants::set_suspended(connection, id, None)?;
                audit::record(connection, &event)?;
            }
            Ok(Tenant { suspended_at: None, ..tenant })
        })
        .await
}

/// Deletes a tenant and all that belongs to it: memberships, sessions, keys. Its audit log stays.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn delete(app: &App, by: &Actor, id: TenantId) -> Result<(), Refusal> {
    let now = app.now();
    let event = app.event(by, "tenant.deleted", now)?.tenant(id).target("tenant", id);
    app.db
        .write(move |connection| {
            if !tenants::delete(connection, id, now)? {
                return Err(Refusal::NotFound);
            }
            Ok(audit::record(connection, &event)?)
        })
        .await
}

/// Finds a tenant.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn find(app: &App, id: TenantId) -> Result<Tenant, Refusal> {
    let found = app.db.read(move |connection| tenants::find(connection, id).map_err(Refusal::from)).await?;
    found.ok_or(Refusal::NotFound)
}

/// Lists all tenants.
///
/// # Errors
/// The database does not answer.
pub async fn list(app: &App, page: Page) -> Result<Paged<Tenant>, Refusal> {
    let found = app.db.read(move |connection| tenants::list(connection, page).map_err(Refusal::from)).await?;
    Ok(page.of(found, |tenant| tenant.id.uuid()))
}

/// A tenant that is still to be stored.
pub(super) fn draft(app: &App, new: NewTenant, now: Timestamp) -> Result<Tenant, Refusal> {
    app.profile.plans.ensure_known(new.plan.as_deref())?;
    Ok(Tenant {
        id: new.id.map_or_else(|| app.new_id(now), Ok)?,
        name: new.name,
        project_token: project_token(app)?,
        plan: new.plan,
        created_at: now,
        suspended_at: None,
    })
}

/// A tenant's public name in URLs: 26 letters and digits.
fn project_token(app: &App) -> Result<String, Refusal> {
    Ok(BASE32_NOPAD.encode(&app.random.bytes::<16>()?).to_lowercase())
}
