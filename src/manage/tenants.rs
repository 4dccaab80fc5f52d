//! Tenants: created, renamed, suspended, deleted.

use std::sync::Arc;

use data_encoding::BASE32_NOPAD;

use crate::app::App;
use crate::db::large_tenants::{self, Ended};
use crate::db::{DbError, audit, tenants};
use crate::deadline;
use crate::domain::page::{Page, Paged};
use crate::domain::{Actor, Name, Refusal, Tenant, TenantId, Timestamp};
use crate::manage::to_its_end;

/// The reason of sessions that ended when their tenant was suspended.
const SUSPENDED: &str = "tenant_suspended";

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

/// Suspends a tenant: its sessions end, its keys are refused until it is resumed. It is no error that it is suspended:
/// what an earlier attempt has left is done then.
///
/// From the first transaction on nobody gets in; what sessions do not fit into it end in batches, before the answer
/// (ADR 27).
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn suspend(app: &Arc<App>, by: &Actor, id: TenantId) -> Result<Tenant, Refusal> {
    let by = by.clone();
    to_its_end(app, async move |app| suspend_in_batches(&app, &by, id).await).await
}

async fn suspend_in_batches(app: &App, by: &Actor, id: TenantId) -> Result<Tenant, Refusal> {
    let now = app.now();
    let event = app.event(by, "tenant.suspended", now)?.tenant(id).target("tenant", id);
    let (tenant, rest) = app
        .db
        .write(move |connection| {
            let tenant = tenants::hold(connection, id)?.ok_or(Refusal::NotFound)?;
            let active = tenant.suspended_at.is_none();
            let tenant = Tenant { suspended_at: tenant.suspended_at.or(Some(now)), ..tenant };
            if active {
                tenants::set_suspended(connection, id, tenant.suspended_at)?;
            }
            let rest = large_tenants::end_sessions(connection, id, Ended::nothing(), now, SUSPENDED)?;
            if active {
                audit::record(connection, &event)?;
            }
            Ok::<_, Refusal>((tenant, rest))
        })
        .await?;
    if let Some(ended) = rest {
        end_sessions(app, &tenant, ended, now).await?;
    }
    Ok(tenant)
}

/// Ends the sessions of a suspended tenant that are left after `ended`, in batches, each with as much time as a request.
/// Stops where somebody resumed it meanwhile: they have ended all of these, and later ones are none of them.
async fn end_sessions(app: &App, tenant: &Tenant, mut ended: Ended, now: Timestamp) -> Result<(), Refusal> {
    let (id, since) = (tenant.id, tenant.suspended_at);
    loop {
        let batch = app.db.write(move |connection| {
            let tenant = tenants::hold(connection, id)?.ok_or(Refusal::NotFound)?;
            if tenant.suspended_at != since {
                return Ok(None);
            }
            Ok::<_, Refusal>(large_tenants::end_sessions(connection, id, ended, now, SUSPENDED)?)
        });
        match deadline::apart(batch).await? {
            Some(further) => ended = further,
            None => return Ok(()),
        }
    }
}

/// Resumes a tenant. Its keys work again; its users log in anew: what sessions a suspension has left that was broken
/// off end first.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn resume(app: &App, by: &Actor, id: TenantId) -> Result<Tenant, Refusal> {
    loop {
        let now = app.now();
        let tenant = find(app, id).await?;
        if tenant.suspended_at.is_none() {
            return Ok(tenant);
        }
        end_sessions(app, &tenant, Ended::nothing(), now).await?;
        let event = app.event(by, "tenant.resumed", now)?.tenant(id).target("tenant", id);
        let since = tenant.suspended_at;
        let resumed = app.db.write(move |connection| {
            // One that was suspended anew meanwhile has sessions again that must end before.
            if tenants::hold(connection, id)?.ok_or(Refusal::NotFound)?.suspended_at != since {
                return Ok(false);
            }
            tenants::set_suspended(connection, id, None)?;
            audit::record(connection, &event)?;
            Ok::<_, Refusal>(true)
        });
        if resumed.await? {
            return Ok(Tenant { suspended_at: None, ..tenant });
        }
    }
}

/// Deletes a tenant and all that belongs to it: memberships, sessions, keys. Its audit log stays.
///
/// One that has a full batch of anything (`db/large_tenants.rs`) is suspended with the first that goes. Broken off, it
/// stays so until it is deleted again (ADR 27).
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn delete(app: &Arc<App>, by: &Actor, id: TenantId) -> Result<(), Refusal> {
    let by = by.clone();
    to_its_end(app, async move |app| delete_in_batches(&app, &by, id).await).await
}

async fn delete_in_batches(app: &App, by: &Actor, id: TenantId) -> Result<(), Refusal> {
    let now = app.now();
    let mut is_begun = false;
    loop {
        let suspended =
            app.event(by, "tenant.suspended", now)?.tenant(id).target("tenant", id).details("to be deleted");
        let deleted = app.event(by, "tenant.deleted", now)?.tenant(id).target("tenant", id);
        let batch = app.db.write(move |connection| {
            let tenant = tenants::hold(connection, id)?.ok_or(Refusal::NotFound)?;
            let is_gone = !large_tenants::forget_some(connection, id, now)?;
            if is_gone {
                tenants::delete(connection, id, now)?;
                audit::record(connection, &deleted)?;
            } else if tenant.suspended_at.is_none() {
                tenants::set_suspended(connection, id, Some(now))?;
                audit::record(connection, &suspended)?;
            }
            Ok::<_, Refusal>(is_gone)
        });
        let is_gone = if is_begun { deadline::apart(batch).await? } else { batch.await? };
        if is_gone {
            return Ok(());
        }
        is_begun = true;
    }
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
