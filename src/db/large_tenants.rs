//! Tenants that have more rows than one statement may take: a batch at a time (ADR 27).

use diesel::prelude::*;
use uuid::Uuid;

use super::schema::{api_keys, idempotency_records, memberships, sessions};
use super::{DbConnection, key_callers, memberships as members, sessions as all_sessions, statuses, usage};
use crate::domain::{ApiKeyId, SessionId, TenantId, Timestamp, UserId};

/// Rows of a batch: well below the time that a statement has, and other writers get their turn in between.
const BATCH: i64 = 1_000;

/// API keys of a batch, whose usage went before.
const KEYS: i64 = 20;

/// How far the sessions of a suspended tenant have ended.
#[derive(Clone, Copy)]
pub enum Ended {
    /// Logins of the members up to this one were waited for.
    AwaitedUpTo(UserId),
    /// So were all, and the sessions up to this one are dead.
    UpTo(SessionId),
}

impl Ended {
    /// Nothing is done yet.
    #[must_use]
    pub fn nothing() -> Self {
        Self::AwaitedUpTo(Uuid::nil().into())
    }
}

/// Ends the next batch of a suspended tenant's sessions; answers how far that is, none where all are dead.
///
/// First the logins of all members are waited for: each has either begun its session, which ends here then, or will see
/// the suspension. On SQLite whoever writes is alone.
///
/// A batch is counted in sessions, whether they live or not: however many are dead, no batch looks for long.
pub fn end_sessions(
    connection: &mut DbConnection,
    tenant: TenantId,
    ended: Ended,
    now: Timestamp,
    reason: &str,
) -> QueryResult<Option<Ended>> {
    let after = match ended {
        Ended::UpTo(session) => session,
        Ended::AwaitedUpTo(member) => {
            if let DbConnection::Postgres(_) = connection
                && let Some(member) = members::hold_some(connection, tenant, member, BATCH)?
            {
                return Ok(Some(Ended::AwaitedUpTo(member)));
            }
            Uuid::nil().into()
        }
    };
    let batch = sessions_behind(connection, tenant, after)?;
    let rest = batch.last().copied().filter(|_| is_full(&batch, BATCH));
    all_sessions::revoke_these(connection, batch, now, reason)?;
    Ok(rest.map(Ended::UpTo))
}

/// Deletes a batch of what a tenant has so much of that it does not go with the tenant's own row; false where all that
/// is left may go at once.
///
/// Each batch begins at the beginning: on PostgreSQL it marks the rows of the one before as gone in the index, which
/// would else be left to the last statement, all of them.
pub fn forget_some(connection: &mut DbConnection, tenant: TenantId, now: Timestamp) -> QueryResult<bool> {
    Ok(forget_sessions(connection, tenant, now)?
        || forget_usage(connection, tenant)?
        || forget_keys(connection, tenant, now)?
        || forget_members(connection, tenant)?
        || forget_answers(connection, tenant)?)
}

fn forget_sessions(connection: &mut DbConnection, tenant: TenantId, now: Timestamp) -> QueryResult<bool> {
    let batch = sessions_behind(connection, tenant, Uuid::nil().into())?;
    if !is_full(&batch, BATCH) {
        return Ok(false);
    }
    statuses::end_sessions(connection, Box::new(sessions::id.eq_any(batch.clone())), now)?;
    diesel::delete(sessions::table.filter(sessions::id.eq_any(batch))).execute(connection)?;
    Ok(true)
}

fn sessions_behind(connection: &mut DbConnection, tenant: TenantId, after: SessionId) -> QueryResult<Vec<SessionId>> {
    sessions::table
        .filter(sessions::tenant_id.eq(tenant).and(sessions::id.gt(after)))
        .order(sessions::id.asc())
        .limit(BATCH)
        .select(sessions::id)
        .load(connection)
}

/// Of the keys that go next, or with the tenant: more than a year of usage may be very many rows.
fn forget_usage(connection: &mut DbConnection, tenant: TenantId) -> QueryResult<bool> {
    for rows in [usage::OUTCOMES, usage::SCOPES, key_callers::CALLERS] {
        let forgotten = rows.forget_of_keys(connection, tenant, KEYS, BATCH)?;
        if i64::try_from(forgotten).is_ok_and(|forgotten| forgotten >= BATCH) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn forget_keys(connection: &mut DbConnection, tenant: TenantId, now: Timestamp) -> QueryResult<bool> {
    let of_tenant = api_keys::table.filter(api_keys::tenant_id.eq(tenant));
    let batch: Vec<ApiKeyId> = of_tenant.order(api_keys::id.asc()).limit(KEYS).select(api_keys::id).load(connection)?;
    if !is_full(&batch, KEYS) {
        return Ok(false);
    }
    statuses::end_keys(connection, || Box::new(api_keys::id.eq_any(batch.clone())), now)?;
    diesel::delete(api_keys::table.filter(api_keys::id.eq_any(batch))).execute(connection)?;
    Ok(true)
}

fn forget_members(connection: &mut DbConnection, tenant: TenantId) -> QueryResult<bool> {
    let of_tenant = memberships::table.filter(memberships::tenant_id.eq(tenant));
    let batch: Vec<UserId> =
        of_tenant.order(memberships::user_id.asc()).limit(BATCH).select(memberships::user_id).load(connection)?;
    if !is_full(&batch, BATCH) {
        return Ok(false);
    }
    diesel::delete(of_tenant.filter(memberships::user_id.eq_any(batch))).execute(connection)?;
    Ok(true)
}

fn forget_answers(connection: &mut DbConnection, tenant: TenantId) -> QueryResult<bool> {
    let of_tenant = idempotency_records::table.filter(idempotency_records::tenant_id.eq(tenant));
    let hash = idempotency_records::key_hash;
    let batch: Vec<Vec<u8>> = of_tenant.order(hash.asc()).limit(BATCH).select(hash).load(connection)?;
    if !is_full(&batch, BATCH) {
        return Ok(false);
    }
    diesel::delete(of_tenant.filter(hash.eq_any(batch))).execute(connection)?;
    Ok(true)
}

/// Whether there may be more behind a batch.
pub(super) fn is_full<T>(batch: &[T], most: i64) -> bool {
    i64::try_from(batch.len()).is_ok_and(|rows| rows >= most)
}
