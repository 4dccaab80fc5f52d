//! App identifiers: assigned by the server, public, without permissions.

use crate::app::App;
use crate::db::{app_identifiers, audit, tenants};
use crate::domain::app_identifier::AppIdentifier;
use crate::domain::page::{Page, Paged};
use crate::domain::{Actor, AppIdentifierId, Name, Refusal, TenantId};

/// Assigns an identifier to an app of a tenant.
///
/// # Errors
/// [`Refusal::NotFound`] without such a tenant.
pub async fn create(
    app: &App,
    by: &Actor,
    tenant: TenantId,
    name: Name,
    platform: Option<Name>,
) -> Result<AppIdentifier, Refusal> {
    let now = app.now();
    let id = app.new_id(now)?;
    let created_by = by.who.to_string();
    let assigned = AppIdentifier { id, tenant_id: tenant, name, platform, created_at: now, created_by };
    let event = app.event(by, "app_identifier.created", now)?.tenant(tenant).target("app-identifier", id);
    let made = assigned.clone();
    app.db
        .write(move |connection| {
            tenants::hold(connection, tenant)?.ok_or(Refusal::NotFound)?;
            app_identifiers::insert(connection, &made)?;
            Ok::<_, Refusal>(audit::record(connection, &event)?)
        })
        .await?;
    Ok(assigned)
}

/// Takes an identifier away.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn delete(app: &App, by: &Actor, tenant: TenantId, id: AppIdentifierId) -> Result<(), Refusal> {
    let event = app.event(by, "app_identifier.deleted", app.now())?.tenant(tenant).target("app-identifier", id);
    app.db
        .write(move |connection| {
            if !app_identifiers::delete(connection, tenant, id)? {
                return Err(Refusal::NotFound);
            }
            Ok(audit::record(connection, &event)?)
        })
        .await
}

/// Finds an identifier of a tenant.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn find(app: &App, tenant: TenantId, id: AppIdentifierId) -> Result<AppIdentifier, Refusal> {
    let found =
        app.db.read(move |connection| app_identifiers::find(connection, tenant, id).map_err(Refusal::from)).await?;
    found.ok_or(Refusal::NotFound)
}

/// Lists the identifiers of a tenant.
///
/// # Errors
/// The database does not answer.
pub async fn list(app: &App, tenant: TenantId, page: Page) -> Result<Paged<AppIdentifier>, Refusal> {
    let found =
        app.db.read(move |connection| app_identifiers::list(connection, tenant, page).map_err(Refusal::from)).await?;
    Ok(page.of(found, |assigned| assigned.id.uuid()))
}
