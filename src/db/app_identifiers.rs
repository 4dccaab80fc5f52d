//! Table `app_identifiers`.

use diesel::prelude::*;

use super::DbConnection;
use super::schema::app_identifiers;
use crate::domain::app_identifier::AppIdentifier;
use crate::domain::page::Page;
use crate::domain::{AppIdentifierId, TenantId};

/// Adds an identifier.
pub fn insert(connection: &mut DbConnection, app: &AppIdentifier) -> QueryResult<()> {
    diesel::insert_into(app_identifiers::table)
        .values((
            app_identifiers::id.eq(app.id),
            app_identifiers::tenant_id.eq(app.tenant_id),
            app_identifiers::name.eq(&app.name),
            app_identifiers::platform.eq(&app.platform),
            app_identifiers::created_at.eq(app.created_at),
            app_identifiers::created_by.eq(&app.created_by),
        ))
        .execute(connection)
        .map(drop)
}

/// Finds an identifier of a tenant.
pub fn find(
    connection: &mut DbConnection,
    tenant: TenantId,
    id: AppIdentifierId,
) -> QueryResult<Option<AppIdentifier>> {
    app_identifiers::table.find(id).filter(app_identifiers::tenant_id.eq(tenant)).get_result(connection).optional()
}

/// The identifiers of a tenant.
pub fn list(connection: &mut DbConnection, tenant: TenantId, page: Page) -> QueryResult<Vec<AppIdentifier>> {
    app_identifiers::table
        .filter(app_identifiers::tenant_id.eq(tenant).and(app_identifiers::id.lt(page.before::<AppIdentifierId>())))
        .order(app_identifiers::id.desc())
        .limit(page.fetch())
        .load(connection)
}

/// Deletes an identifier; false where there is no such identifier.
pub fn delete(connection: &mut DbConnection, tenant: TenantId, id: AppIdentifierId) -> QueryResult<bool> {
    diesel::delete(app_identifiers::table.find(id))
        .filter(app_identifiers::tenant_id.eq(tenant))
        .execute(connection)
        .map(|rows| rows == 1)
}
