//! Table `memberships`: who belongs to which tenant, and as what.

use diesel::prelude::*;

use super::schema::{memberships, tenants, users};
use super::users::{USER, UserColumns};
use super::{DbConnection, large_tenants};
use crate::domain::page::Page;
use crate::domain::{Member, Role, Tenant, TenantId, Timestamp, User, UserId};

/// The columns that a member is read from.
pub(super) const MEMBER: (
    UserColumns,
    <tenants::table as diesel::Table>::AllColumns,
    memberships::role,
    memberships::created_at,
) = (USER, tenants::all_columns, memberships::role, memberships::created_at);

/// What a member is read as.
pub(super) type MemberRow = (User, Tenant, Role, Timestamp);

/// Makes a user a member of a tenant.
pub fn insert(
    connection: &mut DbConnection,
    tenant: TenantId,
    user: UserId,
    role: &Role,
    now: Timestamp,
) -> QueryResult<()> {
    diesel::insert_into(memberships::table)
        .values((
            memberships::tenant_id.eq(tenant),
            memberships::user_id.eq(user),
            memberships::role.eq(role),
            memberships::created_at.eq(now),
        ))
        .execute(connection)
        .map(drop)
}

/// Finds a user as a member of a tenant.
pub fn find(connection: &mut DbConnection, tenant: TenantId, user: UserId) -> QueryResult<Option<Member>> {
    let membership = || {
        memberships::table
            .inner_join(users::table)
            .inner_join(tenants::table)
            .filter(memberships::tenant_id.eq(tenant).and(memberships::user_id.eq(user)))
            .select(MEMBER)
    };
    per_backend!(connection, inner => membership().get_result(inner)).optional().map(|row| row.map(member))
}

/// Holds a membership until the transaction ends, so that whatever ends it comes before or after, never between; none
/// where the user is no member any more.
pub fn hold(connection: &mut DbConnection, tenant: TenantId, user: UserId) -> QueryResult<Option<Member>> {
    diesel::update(memberships::table.find((tenant, user)))
        .set(memberships::tenant_id.eq(tenant))
        .execute(connection)?;
    find(connection, tenant, user)
}

/// Waits for whoever holds a membership of the tenant, and keeps others from holding one until the transaction ends.
pub fn hold_all(connection: &mut DbConnection, tenant: TenantId) -> QueryResult<()> {
    diesel::update(memberships::table.filter(memberships::tenant_id.eq(tenant)))
        .set(memberships::tenant_id.eq(tenant))
        .execute(connection)
        .map(drop)
}

/// [`hold_all`] for up to `most` members behind `after`; answers the last of them where more may come behind it.
pub(super) fn hold_some(
    connection: &mut DbConnection,
    tenant: TenantId,
    after: UserId,
    most: i64,
) -> QueryResult<Option<UserId>> {
    let behind = memberships::tenant_id.eq(tenant).and(memberships::user_id.gt(after));
    let page = memberships::table.filter(behind).order(memberships::user_id.asc()).limit(most);
    let page: Vec<UserId> = page.select(memberships::user_id).load(connection)?;
    let Some(last) = page.last().copied() else { return Ok(None) };
    diesel::update(memberships::table.filter(behind.and(memberships::user_id.le(last))))
        .set(memberships::tenant_id.eq(tenant))
        .execute(connection)?;
    Ok(Some(last).filter(|_| large_tenants::is_full(&page, most)))
}

/// Whether nobody is a member of any tenant.
pub fn is_empty(connection: &mut DbConnection) -> QueryResult<bool> {
    memberships::table.select(memberships::user_id).first::<UserId>(connection).optional().map(|first| first.is_none())
}

/// A user in each of its tenants.
pub fn of_user(connection: &mut DbConnection, user: UserId) -> QueryResult<Vec<Member>> {
    memberships::table
        .inner_join(users::table)
        .inner_join(tenants::table)
        .filter(memberships::user_id.eq(user))
        .order(memberships::tenant_id.asc())
        .select(MEMBER)
        .load(connection)
        .map(|rows| rows.into_iter().map(member).collect())
}

/// The members of a tenant.
pub fn of_tenant(connection: &mut DbConnection, tenant: TenantId, page: Page) -> QueryResult<Vec<Member>> {
    memberships::table
        .inner_join(users::table)
        .inner_join(tenants::table)
        .filter(memberships::tenant_id.eq(tenant).and(memberships::user_id.lt(page.before::<UserId>())))
        .order(memberships::user_id.desc())
        .limit(page.fetch())
        .select(MEMBER)
        .load(connection)
        .map(|rows| rows.into_iter().map(member).collect())
}

/// Which roles the other members have who can log in and have a password of their own: of an invitation nobody knows
/// what becomes of it.
pub fn roles_beside(connection: &mut DbConnection, tenant: TenantId, user: UserId) -> QueryResult<Vec<Role>> {
    memberships::table
        .inner_join(users::table)
        .filter(memberships::tenant_id.eq(tenant).and(memberships::user_id.ne(user)))
        .filter(users::disabled_at.is_null().and(users::one_time_until.is_null()))
        .select(memberships::role)
        .distinct()
        .load(connection)
}

/// Gives a member another role; false where there is no such member.
pub fn set_role(connection: &mut DbConnection, tenant: TenantId, user: UserId, role: &Role) -> QueryResult<bool> {
    diesel::update(memberships::table.find((tenant, user)))
        .set(memberships::role.eq(role))
        .execute(connection)
        .map(|rows| rows == 1)
}

/// Ends a membership; false where there is no such member.
pub fn delete(connection: &mut DbConnection, tenant: TenantId, user: UserId) -> QueryResult<bool> {
    diesel::delete(memberships::table.find((tenant, user))).execute(connection).map(|rows| rows == 1)
}

pub(super) fn member((user, tenant, role, joined_at): MemberRow) -> Member {
    Member { user, tenant, role, joined_at }
}
