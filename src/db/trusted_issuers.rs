//! Table `trusted_issuers`.

use diesel::prelude::*;

use super::DbConnection;
use super::schema::{tenants, trusted_issuers};
use crate::domain::issuer_url::IssuerUrl;
use crate::domain::page::Page;
use crate::domain::trusted_issuer::TrustedIssuer;
use crate::domain::{Tenant, TenantId, Timestamp, TrustedIssuerId};

/// Adds an issuer.
pub fn insert(connection: &mut DbConnection, issuer: &TrustedIssuer) -> QueryResult<()> {
    diesel::insert_into(trusted_issuers::table)
        .values((
            trusted_issuers::id.eq(issuer.id),
            trusted_issuers::tenant_id.eq(issuer.tenant_id),
            trusted_issuers::name.eq(&issuer.name),
            trusted_issuers::issuer.eq(&issuer.issuer),
            trusted_issuers::audience.eq(&issuer.audience),
            trusted_issuers::conditions.eq(&issuer.conditions),
            trusted_issuers::scopes.eq(&issuer.scopes),
            trusted_issuers::created_at.eq(issuer.created_at),
            trusted_issuers::created_by.eq(&issuer.created_by),
            trusted_issuers::last_used_at.eq(issuer.last_used_at),
            trusted_issuers::status_index.eq(issuer.status_index),
        ))
        .execute(connection)
        .map(drop)
}

/// Finds an issuer of a tenant.
pub fn find(
    connection: &mut DbConnection,
    tenant: TenantId,
    id: TrustedIssuerId,
) -> QueryResult<Option<TrustedIssuer>> {
    trusted_issuers::table.find(id).filter(trusted_issuers::tenant_id.eq(tenant)).get_result(connection).optional()
}

/// Finds an issuer, in whichever tenant it is, and its tenant: for tokens, which name it.
pub fn find_with_tenant(
    connection: &mut DbConnection,
    id: TrustedIssuerId,
) -> QueryResult<Option<(TrustedIssuer, Tenant)>> {
    trusted_issuers::table
        .inner_join(tenants::table)
        .filter(trusted_issuers::id.eq(id))
        .select((trusted_issuers::all_columns, tenants::all_columns))
        .get_result(connection)
        .optional()
}

/// What a tenant trusts this issuer with, the oldest first, each with the tenant.
pub fn of_url(
    connection: &mut DbConnection,
    tenant: TenantId,
    issuer: &IssuerUrl,
) -> QueryResult<Vec<(TrustedIssuer, Tenant)>> {
    trusted_issuers::table
        .inner_join(tenants::table)
        .filter(trusted_issuers::tenant_id.eq(tenant).and(trusted_issuers::issuer.eq(issuer)))
        .order(trusted_issuers::id.asc())
        .select((trusted_issuers::all_columns, tenants::all_columns))
        .load(connection)
}

/// The tenant of an issuer: for the command line, which names issuers by their id alone.
pub fn tenant_of(connection: &mut DbConnection, id: TrustedIssuerId) -> QueryResult<Option<TenantId>> {
    trusted_issuers::table.find(id).select(trusted_issuers::tenant_id).get_result(connection).optional()
}

/// The issuers of a tenant.
pub fn list(connection: &mut DbConnection, tenant: TenantId, page: Page) -> QueryResult<Vec<TrustedIssuer>> {
    trusted_issuers::table
        .filter(trusted_issuers::tenant_id.eq(tenant).and(trusted_issuers::id.lt(page.before::<TrustedIssuerId>())))
        .order(trusted_issuers::id.desc())
        .limit(page.fetch())
        .load(connection)
}

/// How many issuers a tenant trusts.
pub fn count(connection: &mut DbConnection, tenant: TenantId) -> QueryResult<i64> {
    trusted_issuers::table.filter(trusted_issuers::tenant_id.eq(tenant)).count().get_result(connection)
}

/// Deletes an issuer, whose place in the status lists the caller remembers.
pub fn delete(connection: &mut DbConnection, tenant: TenantId, id: TrustedIssuerId) -> QueryResult<()> {
    diesel::delete(trusted_issuers::table.find(id))
        .filter(trusted_issuers::tenant_id.eq(tenant))
        .execute(connection)
        .map(drop)
}

/// Notes the first use of an issuer; false where it was used before, or is gone.
pub fn note_first_use(connection: &mut DbConnection, id: TrustedIssuerId, at: Timestamp) -> QueryResult<bool> {
    diesel::update(trusted_issuers::table.find(id))
        .filter(trusted_issuers::last_used_at.is_null())
        .set(trusted_issuers::last_used_at.eq(at))
        .execute(connection)
        .map(|rows| rows == 1)
}

/// Notes when an issuer was last used.
pub fn note_use(connection: &mut DbConnection, id: TrustedIssuerId, at: Timestamp) -> QueryResult<()> {
    diesel::update(trusted_issuers::table.find(id))
        .filter(trusted_issuers::last_used_at.lt(at))
        .set(trusted_issuers::last_used_at.eq(at))
        .execute(connection)
        .map(drop)
}
