//! Table `key_groups`.

use diesel::prelude::*;

use super::DbConnection;
use super::schema::key_groups;
use crate::domain::key_group::KeyGroup;
use crate::domain::page::Page;
use crate::domain::{KeyGroupId, TenantId};

/// Adds a group.
pub fn insert(connection: &mut DbConnection, group: &KeyGroup) -> QueryResult<()> {
    diesel::insert_into(key_groups::table)
        .values((
            key_groups::id.eq(group.id),
            key_groups::tenant_id.eq(group.tenant_id),
            key_groups::name.eq(&group.name),
            key_groups::access_type.eq(&group.access_type),
            key_groups::scopes.eq(&group.scopes),
            key_groups::created_at.eq(group.created_at),
            key_groups::created_by.eq(&group.created_by),
        ))
        .execute(connection)
        .map(drop)
}

/// Finds a group of a tenant.
pub fn find(connection: &mut DbConnection, tenant: TenantId, id: KeyGroupId) -> QueryResult<Option<KeyGroup>> {
    key_groups::table.find(id).filter(key_groups::tenant_id.eq(tenant)).get_result(connection).optional()
}

/// The tenant of a group: for the command line, which names groups by their id alone.
pub fn tenant_of(connection: &mut DbConnection, id: KeyGroupId) -> QueryResult<Option<TenantId>> {
    key_groups::table.find(id).select(key_groups::tenant_id).get_result(connection).optional()
}

/// The groups of a tenant.
pub fn list(connection: &mut DbConnection, tenant: TenantId, page: Page) -> QueryResult<Vec<KeyGroup>> {
    key_groups::table
        .filter(key_groups::tenant_id.eq(tenant).and(key_groups::id.lt(page.before::<KeyGroupId>())))
        .order(key_groups::id.desc())
        .limit(page.fetch())
        .load(connection)
}

/// Deletes a group; false where there is no such group.
pub fn delete(connection: &mut DbConnection, tenant: TenantId, id: KeyGroupId) -> QueryResult<bool> {
    diesel::delete(key_groups::table.find(id))
        .filter(key_groups::tenant_id.eq(tenant))
        .execute(connection)
        .map(|rows| rows == 1)
}
