//! Table `sessions`: logins, and which of their refresh tokens is current.

use diesel::backend::Backend;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

use super::schema::sessions;
use super::{DbConnection, memberships};
use crate::domain::page::Page;
use crate::domain::refresh_token::Generation;
use crate::domain::session::{GRACE_USES, Session};
use crate::domain::{Member, SessionId, TenantId, Timestamp, UserId};

/// Adds a session.
pub fn insert(connection: &mut DbConnection, session: &Session) -> QueryResult<()> {
    diesel::insert_into(sessions::table)
        .values((
            sessions::id.eq(session.id),
            sessions::user_id.eq(session.user_id),
            sessions::tenant_id.eq(session.tenant_id),
            sessions::generation.eq(session.generation),
            sessions::grace_uses.eq(session.grace_uses),
            sessions::created_at.eq(session.created_at),
            sessions::rotated_at.eq(session.rotated_at),
            sessions::expires_at.eq(session.expires_at),
            sessions::ends_at.eq(session.ends_at),
            sessions::revoked_at.eq(session.revoked_at),
            sessions::revoked_reason.eq(&session.revoked_reason),
            sessions::ip.eq(&session.ip),
            sessions::user_agent.eq(&session.user_agent),
            sessions::status_index.eq(session.status_index),
        ))
        .execute(connection)
        .map(drop)
}

/// Finds a session by its id.
pub fn find(connection: &mut DbConnection, id: SessionId) -> QueryResult<Option<Session>> {
    per_backend!(connection, inner => sessions::table.find(id).get_result(inner)).optional()
}

/// Finds a session and its user as a member of its tenant; none where the user is no member any more.
pub fn find_with_member(connection: &mut DbConnection, id: SessionId) -> QueryResult<Option<(Session, Member)>> {
    let Some(session) = find(connection, id)? else { return Ok(None) };
    let member = memberships::find(connection, session.tenant_id, session.user_id)?;
    Ok(member.map(|member| (session, member)))
}

/// The living sessions of a user.
pub fn of_user(connection: &mut DbConnection, user: UserId, now: Timestamp, page: Page) -> QueryResult<Vec<Session>> {
    sessions::table
        .filter(sessions::user_id.eq(user).and(sessions::id.lt(page.before::<SessionId>())))
        .filter(sessions::revoked_at.is_null())
        .filter(sessions::expires_at.gt(now).and(sessions::ends_at.gt(now)))
        .order(sessions::id.desc())
        .limit(page.fetch())
        .load(connection)
}

/// Makes the successor of `from` the current token: one compare-and-set, so that of many who try one succeeds.
pub fn advance(
    connection: &mut DbConnection,
    id: SessionId,
    from: Generation,
    now: Timestamp,
    expires_at: Timestamp,
    ip: Option<&str>,
) -> QueryResult<bool> {
    let advance = Advance { id, from, next: from.saturating_add(1), now, expires_at, ip };
    per_backend!(connection, inner => advance.execute(inner)).map(|rows| rows == 1)
}

/// The statement of [`advance`], which is prepared once a connection: diesel prepares an update anew each time that it runs,
/// and to PostgreSQL that is one more journey.
struct Advance<'a> {
    id: SessionId,
    from: Generation,
    next: Generation,
    now: Timestamp,
    expires_at: Timestamp,
    ip: Option<&'a str>,
}

impl QueryId for Advance<'_> {
    type QueryId = Advance<'static>;

    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<'a, DB: Backend> QueryFragment<DB> for Advance<'a>
where
    SessionId: ToSql<Binary, DB>,
    Generation: ToSql<BigInt, DB>,
    Timestamp: ToSql<BigInt, DB>,
    Option<&'a str>: ToSql<Nullable<Text>, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql("UPDATE sessions SET grace_uses = 0, generation = ");
        out.push_bind_param::<BigInt, _>(&self.next)?;
        out.push_sql(", rotated_at = ");
        out.push_bind_param::<BigInt, _>(&self.now)?;
        out.push_sql(", expires_at = ");
        out.push_bind_param::<BigInt, _>(&self.expires_at)?;
        out.push_sql(", ip = ");
        out.push_bind_param::<Nullable<Text>, _>(&self.ip)?;
        out.push_sql(" WHERE id = ");
        out.push_bind_param::<Binary, _>(&self.id)?;
        out.push_sql(" AND generation = ");
        out.push_bind_param::<BigInt, _>(&self.from)?;
        out.push_sql(" AND revoked_at IS NULL");
        Ok(())
    }
}

impl<Conn> RunQueryDsl<Conn> for Advance<'_> {}

/// Counts one use of the predecessor of `current`; false where the grace is used up, or all has changed meanwhile.
pub fn use_grace(connection: &mut DbConnection, id: SessionId, current: Generation) -> QueryResult<bool> {
    diesel::update(sessions::table.find(id))
        .filter(sessions::generation.eq(current).and(sessions::revoked_at.is_null()))
        .filter(sessions::grace_uses.lt(GRACE_USES))
        .set(sessions::grace_uses.eq(sessions::grace_uses + 1))
        .execute(connection)
        .map(|rows| rows == 1)
}

/// Revokes a session; false where it is dead already.
pub fn revoke(connection: &mut DbConnection, id: SessionId, now: Timestamp, reason: &str) -> QueryResult<bool> {
    revoke_all(connection, Box::new(sessions::id.eq(id)), now, reason).map(|rows| rows == 1)
}

/// Revokes all sessions of a user but `except`; answers how many.
pub fn revoke_of_user(
    connection: &mut DbConnection,
    user: UserId,
    except: Option<SessionId>,
    now: Timestamp,
    reason: &str,
) -> QueryResult<usize> {
    let of_user = sessions::user_id.eq(user);
    match except {
        Some(id) => revoke_all(connection, Box::new(of_user.and(sessions::id.ne(id))), now, reason),
        None => revoke_all(connection, Box::new(of_user), now, reason),
    }
}

/// Revokes all sessions of a user in one tenant.
pub fn revoke_of_member(
    connection: &mut DbConnection,
    tenant: TenantId,
    user: UserId,
    now: Timestamp,
    reason: &str,
) -> QueryResult<usize> {
    let of_member = sessions::user_id.eq(user).and(sessions::tenant_id.eq(tenant));
    revoke_all(connection, Box::new(of_member), now, reason)
}

/// Revokes all sessions of a tenant.
pub fn revoke_of_tenant(
    connection: &mut DbConnection,
    tenant: TenantId,
    now: Timestamp,
    reason: &str,
) -> QueryResult<usize> {
    revoke_all(connection, Box::new(sessions::tenant_id.eq(tenant)), now, reason)
}

type Condition = Box<dyn BoxableExpression<sessions::table, <DbConnection as Connection>::Backend, SqlType = Bool>>;

/// Revokes those of `which` that live. The first reason stands: what is dead is not killed again.
fn revoke_all(connection: &mut DbConnection, which: Condition, now: Timestamp, reason: &str) -> QueryResult<usize> {
    diesel::update(sessions::table.filter(which).filter(sessions::revoked_at.is_null()))
        .set((sessions::revoked_at.eq(now), sessions::revoked_reason.eq(reason)))
        .execute(connection)
}

/// Forgets up to `most` sessions that ended before `before`, the oldest first; answers how many.
pub fn sweep(connection: &mut DbConnection, before: Timestamp, most: i64) -> QueryResult<usize> {
    let dead = sessions::table.filter(sessions::ends_at.lt(before)).order(sessions::ends_at.asc()).limit(most);
    let dead: Vec<SessionId> = dead.select(sessions::id).load(connection)?;
    if dead.is_empty() {
        return Ok(0);
    }
    diesel::delete(sessions::table.filter(sessions::id.eq_any(dead))).execute(connection)
}
