//! Table `tenants`.

use diesel::prelude::*;

use super::schema::tenants;
use super::{DbConnection, memberships, statuses};
use crate::domain::page::Page;
use crate::domain::{Name, Tenant, TenantId, Timestamp};

/// Adds a tenant.
pub fn insert(connection: &mut DbConnection, tenant: &Tenant) -> QueryResult<()> {
    diesel::insert_into(tenants::table)
        .values((
            tenants::id.eq(tenant.id),
            tenants::name.eq(&tenant.name),
            tenants::project_token.eq(&tenant.project_token),
            tenants::plan.eq(&tenant.plan),
            tenants::created_at.eq(tenant.created_at),
            tenants::suspended_at.eq(tenant.suspended_at),
        ))
        .execute(connection)
        .map(drop)
}

/// Finds a tenant by its id.
pub fn find(connection: &mut DbConnection, id: TenantId) -> QueryResult<Option<Tenant>> {
    tenants::table.find(id).get_result(connection).optional()
}

/// Lists all tenants.
pub fn list(connection: &mut DbConnection, page: Page) -> QueryResult<Vec<Tenant>> {
    tenants::table
        .filter(tenants::id.lt(page.before::<TenantId>()))
        .order(tenants::id.desc())
        .limit(page.fetch())
        .load(connection)
}

/// Whether there is none at all, as at a first start.
pub fn is_empty(connection: &mut DbConnection) -> QueryResult<bool> {
    tenants::table.select(tenants::id).first::<TenantId>(connection).optional().map(|first| first.is_none())
}

/// Gives a tenant another name; false where there is no such tenant.
pub fn rename(connection: &mut DbConnection, id: TenantId, name: &Name) -> QueryResult<bool> {
    diesel::update(tenants::table.find(id)).set(tenants::name.eq(name)).execute(connection).map(|rows| rows == 1)
}

/// Puts a tenant on a plan; false where there is no such tenant.
pub fn set_plan(connection: &mut DbConnection, id: TenantId, plan: Option<&str>) -> QueryResult<bool> {
    diesel::update(tenants::table.find(id)).set(tenants::plan.eq(plan)).execute(connection).map(|rows| rows == 1)
}

/// Suspends or resumes a tenant; false where there is no such tenant.
pub fn set_suspended(connection: &mut DbConnection, id: TenantId, since: Option<Timestamp>) -> QueryResult<bool> {
    diesel::update(tenants::table.find(id))
        .set(tenants::suspended_at.eq(since))
        .execute(connection)
        .map(|rows| rows == 1)
}

/// Deletes a tenant and all that belongs to it; false where there is no such tenant. Its row and its memberships are
/// held, so that no session or key comes after those that the status lists remember.
pub fn delete(connection: &mut DbConnection, id: TenantId, now: Timestamp) -> QueryResult<bool> {
    hold(connection, id)?;
    memberships::hold_all(connection, id)?;
    statuses::end_tenant(connection, id, now)?;
    diesel::delete(tenants::table.find(id)).execute(connection).map(|rows| rows == 1)
}

/// Holds the tenant's row until the transaction ends, so that what is counted next stays so; none where there is no
/// such tenant.
pub fn hold(connection: &mut DbConnection, id: TenantId) -> QueryResult<Option<Tenant>> {
    diesel::update(tenants::table.find(id)).set(tenants::id.eq(id)).execute(connection)?;
    find(connection, id)
}
