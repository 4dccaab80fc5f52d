//! Table `sessions`: logins, and which of their refresh tokens is current.

use diesel::backend::Backend;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{Array, BigInt, Binary, Bool, Nullable, Text};

use super::DbConnection;
use super::memberships::{self as members, MEMBER, MemberRow, member};
use super::prepared::Aging;
use super::schema::{memberships, sessions, tenants, users};
use crate::domain::page::Page;
use crate::domain::refresh_token::Generation;
use crate::domain::session::{GRACE_USES, MOST_SESSIONS, Session};
use crate::domain::{Member, SessionId, TenantId, Timestamp, UserId};

/// Sessions that end with one that is too many, at most: it is one, but where somebody wrote to the table.
const SURPLUS: i64 = 1_000;

/// Adds a session that begins now. Of more than [`MOST_SESSIONS`] those of the user end that were used least recently;
/// answers how many did. Whoever adds one holds the user's row, so that no other is counted between.
pub fn insert(connection: &mut DbConnection, session: &Session) -> QueryResult<usize> {
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
        .execute(connection)?;
    let others = sessions::user_id.eq(session.user_id).and(sessions::id.ne(session.id));
    let surplus = sessions::table
        .filter(others.and(sessions::revoked_at.is_null()))
        .order(sessions::rotated_at.desc())
        .offset(MOST_SESSIONS - 1)
        .limit(SURPLUS)
        .select(sessions::id)
        .load(connection)?;
    revoke_these(connection, surplus, session.rotated_at, "too_many")
}

/// Finds a session by its id.
pub fn find(connection: &mut DbConnection, id: SessionId) -> QueryResult<Option<Session>> {
    per_backend!(connection, inner => sessions::table.find(id).get_result(inner)).optional()
}

/// Finds a session and its user as a member of its tenant; none where the user is no member any more.
pub fn find_with_member(connection: &mut DbConnection, id: SessionId) -> QueryResult<Option<(Session, Member)>> {
    let Some(session) = find(connection, id)? else { return Ok(None) };
    let member = members::find(connection, session.tenant_id, session.user_id)?;
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

/// Finds those of these sessions that there are, each with its user as a member of its tenant.
pub(super) fn find_all_with_members(
    connection: &mut DbConnection,
    ids: &[SessionId],
) -> QueryResult<Vec<(Session, Member)>> {
    let found = || {
        sessions::table
            .inner_join(
                memberships::table
                    .on(memberships::tenant_id.eq(sessions::tenant_id).and(memberships::user_id.eq(sessions::user_id))),
            )
            .inner_join(users::table.on(users::id.eq(sessions::user_id)))
            .inner_join(tenants::table.on(tenants::id.eq(sessions::tenant_id)))
            .filter(sessions::id.eq_any(ids))
            .select((sessions::all_columns, MEMBER))
    };
    let rows: Vec<(Session, MemberRow)> = per_backend!(connection, inner => found().load(inner))?;
    Ok(rows.into_iter().map(|(session, row)| (session, member(row))).collect())
}

/// Makes the token of the last generation's successor the current one, `next` being the session as it is then: one
/// compare-and-set, so that of many who try one succeeds.
pub fn advance(connection: &mut DbConnection, next: &Session) -> QueryResult<bool> {
    per_backend!(connection, inner => Advance(next).execute(inner)).map(|rows| rows == 1)
}

/// [`advance`] for many sessions in one statement, on PostgreSQL; answers for which of them it succeeded. One that
/// somebody else changes just then is left out: it is not waited for, so that none keeps its neighbours waiting, and no
/// two deadlock.
pub(super) fn advance_all(connection: &mut DbConnection, next: &[&Session]) -> QueryResult<Vec<SessionId>> {
    match connection {
        DbConnection::Postgres(_) if next.is_empty() => Ok(Vec::new()),
        DbConnection::Postgres(postgres) => AdvanceAll::new(next).load(postgres),
        DbConnection::Sqlite(_) => Ok(Vec::new()),
    }
}

/// The statement of [`advance`], which is prepared once a connection: diesel prepares an update anew each time that it
/// runs, and to PostgreSQL that is one more journey.
struct Advance<'a>(&'a Session);

impl QueryId for Advance<'_> {
    type QueryId = Advance<'static>;

    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<DB: Backend> QueryFragment<DB> for Advance<'_>
where
    SessionId: ToSql<Binary, DB>,
    Generation: ToSql<BigInt, DB>,
    Timestamp: ToSql<BigInt, DB>,
    Option<String>: ToSql<Nullable<Text>, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        let Self(next) = self;
        out.push_sql("UPDATE sessions SET grace_uses = 0, generation = ");
        out.push_bind_param::<BigInt, _>(&next.generation)?;
        out.push_sql(", rotated_at = ");
        out.push_bind_param::<BigInt, _>(&next.rotated_at)?;
        out.push_sql(", expires_at = ");
        out.push_bind_param::<BigInt, _>(&next.expires_at)?;
        out.push_sql(", ip = ");
        out.push_bind_param::<Nullable<Text>, _>(&next.ip)?;
        out.push_sql(" WHERE id = ");
        out.push_bind_param::<Binary, _>(&next.id)?;
        out.push_sql(" AND revoked_at IS NULL AND generation + 1 = ");
        out.push_bind_param::<BigInt, _>(&next.generation)
    }
}

impl<Conn> RunQueryDsl<Conn> for Advance<'_> {}

/// The statement of [`advance_all`], likewise.
struct AdvanceAll {
    ids: Vec<SessionId>,
    generations: Vec<Generation>,
    rotated_at: Vec<Timestamp>,
    expires_at: Vec<Timestamp>,
    ips: Vec<Option<String>>,
}

impl AdvanceAll {
    fn new(next: &[&Session]) -> Self {
        Self {
            ids: next.iter().map(|next| next.id).collect(),
            generations: next.iter().map(|next| next.generation).collect(),
            rotated_at: next.iter().map(|next| next.rotated_at).collect(),
            expires_at: next.iter().map(|next| next.expires_at).collect(),
            ips: next.iter().map(|next| next.ip.clone()).collect(),
        }
    }
}

impl QueryId for AdvanceAll {
    type QueryId = Self;

    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for AdvanceAll {
    type SqlType = Binary;
}

impl QueryFragment<Pg> for AdvanceAll {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH free AS MATERIALIZED (SELECT next.* FROM unnest(");
        out.push_bind_param::<Array<Binary>, _>(&self.ids)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.generations)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.rotated_at)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.expires_at)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.ips)?;
        out.push_sql(") AS next (id, generation, rotated_at, expires_at, ip) JOIN sessions ON sessions.id = next.id ");
        out.push_sql("FOR NO KEY UPDATE OF sessions SKIP LOCKED) ");
        out.push_sql(
            "UPDATE sessions SET grace_uses = 0, generation = free.generation, rotated_at = free.rotated_at, ",
        );
        out.push_sql("expires_at = free.expires_at, ip = free.ip FROM free WHERE sessions.id = free.id ");
        out.push_sql(
            "AND sessions.revoked_at IS NULL AND sessions.generation + 1 = free.generation RETURNING sessions.id",
        );
        Ok(())
    }
}

impl<Conn> RunQueryDsl<Conn> for AdvanceAll {}

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

/// Revokes these sessions.
pub(super) fn revoke_these(
    connection: &mut DbConnection,
    ids: Vec<SessionId>,
    now: Timestamp,
    reason: &str,
) -> QueryResult<usize> {
    // For none at all SQLite would read the whole table.
    if ids.is_empty() {
        return Ok(0);
    }
    revoke_all(connection, Box::new(sessions::id.eq_any(ids)), now, reason)
}

/// Which rows of a table.
pub(super) type Condition<T = sessions::table> =
    Box<dyn BoxableExpression<T, <DbConnection as Connection>::Backend, SqlType = Bool>>;

/// Revokes those of `which` that live. The first reason stands: what is dead is not killed again.
fn revoke_all(connection: &mut DbConnection, which: Condition, now: Timestamp, reason: &str) -> QueryResult<usize> {
    diesel::update(sessions::table.filter(which).filter(sessions::revoked_at.is_null()))
        .set((sessions::revoked_at.eq(now), sessions::revoked_reason.eq(reason)))
        .execute(connection)
}

/// Forgets up to `most` sessions that ended before `before`, the oldest first; answers how many.
pub fn sweep(connection: &mut DbConnection, before: Timestamp, most: i64) -> QueryResult<usize> {
    Aging { table: "sessions", key: "id", age: "ends_at" }.sweep(connection, before.0, most)
}
