//! Table `audit_events`.

use std::slice;

use chrono::TimeDelta;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::schema::audit_events;
use super::{DbConnection, audit_chains};
use crate::domain::audit::{AuditEvent, AuditFilter};
use crate::domain::audit_chain::{ChainedEvent, SignedPlace};
use crate::domain::page::Page;
use crate::domain::{AuditChainId, AuditEventId, TenantId, Timestamp};

columns! {
    /// A line.
    LINE: Line = audit_events { id, at, tenant_id, action, outcome, actor, target, ip, user_agent, request_id, details }
}

/// A line with its place in its chain.
type Chained = (Line, audit_events::sequence, audit_events::link);
/// The same.
const CHAINED: Chained = (LINE, audit_events::sequence, audit_events::link);

/// Adds a line to the audit log, in the transaction of what it tells (security 25), and last in it: see
/// [`audit_chains::extend`].
pub fn record(connection: &mut DbConnection, event: &AuditEvent) -> QueryResult<()> {
    insert(connection, slice::from_ref(event))
}

/// Adds lines, else as [`record`], so that a transaction calls this once. It takes few journeys, however many they are.
pub fn record_all(connection: &mut DbConnection, events: impl IntoIterator<Item = AuditEvent>) -> QueryResult<()> {
    let mut events: Vec<_> = events.into_iter().collect();
    events.sort_by_key(|event| event.tenant_id);
    insert(connection, &events)
}

/// Adds lines that are in the order of their chains.
fn insert(connection: &mut DbConnection, events: &[AuditEvent]) -> QueryResult<()> {
    let places = audit_chains::extend(connection, events)?;
    let rows = events.iter().zip(places).map(|(event, end)| {
        (
            (
                audit_events::id.eq(event.id),
                audit_events::at.eq(event.at),
                audit_events::tenant_id.eq(event.tenant_id),
                audit_events::action.eq(&event.action),
                audit_events::outcome.eq(&event.outcome),
                audit_events::actor.eq(&event.actor),
                audit_events::target.eq(&event.target),
                audit_events::ip.eq(&event.ip),
                audit_events::user_agent.eq(&event.user_agent),
                audit_events::request_id.eq(&event.request_id),
                audit_events::details.eq(&event.details),
            ),
            audit_events::chain.eq(end.chain),
            audit_events::sequence.eq(end.sequence),
            audit_events::link.eq(end.link),
        )
    });
    let rows: Vec<_> = rows.collect();
    // Most often it is one line, whose statement is prepared once a connection.
    let into = diesel::insert_into(audit_events::table);
    match <[_; 1]>::try_from(rows) {
        Ok([one]) => per_backend!(connection, inner => into.values(one).execute(inner)),
        Err(rows) => per_backend!(connection, inner => into.values(rows).execute(inner)),
    }
    .map(drop)
}

/// The lines of a tenant, newest first.
pub fn list(
    connection: &mut DbConnection,
    tenant: TenantId,
    filter: &AuditFilter,
    page: Page,
) -> QueryResult<Vec<AuditEvent>> {
    let mut lines = audit_events::table
        .filter(audit_events::tenant_id.eq(tenant).and(audit_events::id.lt(page.before::<AuditEventId>())))
        .select(LINE)
        .order(audit_events::id.desc())
        .limit(page.fetch())
        .into_boxed();
    if let Some(action) = &filter.action {
        lines = lines.filter(audit_events::action.eq(action.as_str()));
    }
    if let Some(actor) = &filter.actor {
        lines = lines.filter(audit_events::actor.eq(actor.as_str()));
    }
    // Their ids sort by time: those that are wanted need not be looked for among all.
    if let Some(since) = filter.since {
        lines = lines.filter(audit_events::at.ge(since).and(audit_events::id.ge(AuditEventId::first_of(since))));
    }
    if let Some(until) = filter.until {
        let after = AuditEventId::first_of(until.plus(TimeDelta::milliseconds(1)));
        lines = lines.filter(audit_events::at.lt(until).and(audit_events::id.lt(after)));
    }
    lines.load(connection)
}

/// The lines of a chain from behind `after` to `until`, in its order.
pub fn of_chain(
    connection: &mut DbConnection,
    chain: AuditChainId,
    after: i64,
    until: i64,
    limit: i64,
) -> QueryResult<Vec<ChainedEvent>> {
    audit_events::table
        .filter(audit_events::chain.eq(chain))
        .filter(audit_events::sequence.gt(after).and(audit_events::sequence.le(until)))
        .select(CHAINED)
        .order(audit_events::sequence.asc())
        .limit(limit)
        .load(connection)
}

/// Every line of one tenant, or of all, behind this one: the oldest first.
pub fn after(
    connection: &mut DbConnection,
    tenant: Option<TenantId>,
    last: AuditEventId,
    limit: i64,
) -> QueryResult<Vec<ChainedEvent>> {
    let lines = audit_events::table.filter(audit_events::id.gt(last)).select(CHAINED).order(audit_events::id.asc());
    match tenant {
        Some(tenant) => lines.filter(audit_events::tenant_id.eq(tenant)).limit(limit).load(connection),
        None => lines.limit(limit).load(connection),
    }
}

/// How many lines belong to no chain, and how many of them say that they are not before this moment.
pub fn count_unchained(connection: &mut DbConnection, since: Timestamp) -> QueryResult<(i64, i64)> {
    let unchained = || audit_events::table.filter(audit_events::sequence.is_null());
    let all = unchained().count().get_result(connection)?;
    let since = unchained().filter(audit_events::at.ge(since)).count().get_result(connection)?;
    Ok((all, since))
}

/// How many lines claim a place in a chain that it has not: in one statement, while lines are added.
pub fn count_misplaced(connection: &mut DbConnection) -> QueryResult<i64> {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        lines: i64,
    }

    let count: Count = diesel::sql_query(
        "SELECT count(*) AS lines FROM audit_events e LEFT JOIN audit_chains c ON c.id = e.chain
         WHERE NOT (e.chain IS NULL AND e.sequence IS NULL AND e.link IS NULL)
           AND (c.id IS NULL OR e.sequence IS NULL OR e.link IS NULL
                OR e.sequence <= c.forgotten OR e.sequence > c.sequence)",
    )
    .get_result(connection)?;
    Ok(count.lines)
}

/// The oldest lines behind `after` and from before `before`, each with its chain; ids sort by time.
pub fn oldest(
    connection: &mut DbConnection,
    after: AuditEventId,
    before: AuditEventId,
    limit: i64,
) -> QueryResult<Vec<(AuditEventId, Option<AuditChainId>)>> {
    audit_events::table
        .filter(audit_events::id.gt(after).and(audit_events::id.lt(before)))
        .select((audit_events::id, audit_events::chain))
        .order(audit_events::id.asc())
        .limit(limit)
        .load(connection)
}

/// Forgets a chain up to this place.
pub fn forget(connection: &mut DbConnection, place: &SignedPlace) -> QueryResult<usize> {
    diesel::delete(audit_events::table)
        .filter(audit_events::chain.eq(place.chain).and(audit_events::sequence.le(place.sequence)))
        .execute(connection)
}

/// Forgets a line that belongs to no chain.
pub fn forget_unchained(connection: &mut DbConnection, before: AuditEventId) -> QueryResult<usize> {
    diesel::delete(audit_events::table)
        .filter(audit_events::id.lt(before).and(audit_events::sequence.is_null()))
        .execute(connection)
}
