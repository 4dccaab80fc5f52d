//! Tables `status_counter` and `ended_statuses`, and what the others say of sessions and keys that have ended: the
//! status lists (ADR 10).

use chrono::TimeDelta;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::prepared::Aging;
use super::schema::{api_keys, ended_statuses, sessions, status_counter, tenants, trusted_issuers};
use super::sessions::Condition;
use super::{DbConnection, signing_keys};
use crate::domain::rotation::MARGIN;
use crate::domain::status_list::StatusIndex;
use crate::domain::{TenantId, Timestamp};

/// What has ended is listed for so much longer than it need be: a clock that was ahead and was put back, or that goes
/// behind those of who verifies, brings no revoked token back to life.
const CLOCK_STEPS: TimeDelta = TimeDelta::hours(2);

/// What has no row is remembered for so much longer than it is listed: it cannot be had back when the clock was wrong.
const KEPT_UNLISTED: TimeDelta = TimeDelta::days(1);

/// Tenants whose keys are read by one statement.
const TENANTS_AT_ONCE: usize = 500;

/// What is remembered of a place.
const PLACE: (ended_statuses::status_index, ended_statuses::ended_at) =
    (ended_statuses::status_index, ended_statuses::ended_at);

/// Takes `count` places for good; answers the one after them.
pub fn reserve(connection: &mut DbConnection, count: i64) -> QueryResult<StatusIndex> {
    diesel::update(status_counter::table)
        .set(status_counter::next.eq(status_counter::next + count))
        .execute(connection)?;
    next(connection)
}

/// The first place that nobody has.
pub fn next(connection: &mut DbConnection) -> QueryResult<StatusIndex> {
    status_counter::table.select(status_counter::next).get_result(connection)
}

/// What ended before this moment has no token any more: of none that a published key may have signed, nor of one by
/// this configuration, whichever lives longer.
pub fn listed_since(connection: &mut DbConnection, longest: TimeDelta, now: Timestamp) -> QueryResult<Timestamp> {
    let keys = signing_keys::list_public(connection)?;
    let published = keys.iter().filter(|key| key.state.is_published());
    let longest = published.map(|key| TimeDelta::seconds(key.token_seconds)).fold(longest, TimeDelta::max);
    Ok(now.plus(-(longest + MARGIN + CLOCK_STEPS)))
}

/// What ended after `since`, in order: sessions and keys that were revoked, by whatever rule, keys and secrets whose
/// time was up, keys and trusted issuers of suspended tenants, and what has no row any more. It is read from the rows
/// themselves, so that no change of theirs can forget to tell.
///
/// What has no row is read last: rows go there, and never come back.
pub fn ended(connection: &mut DbConnection, since: Timestamp, now: Timestamp) -> QueryResult<Vec<StatusIndex>> {
    let places = (api_keys::status_index, api_keys::previous_status_index);
    let mut ended: Vec<StatusIndex> =
        sessions::table.filter(sessions::revoked_at.gt(since)).select(sessions::status_index).load(connection)?;
    let mut keys: Vec<(StatusIndex, Option<StatusIndex>)> =
        api_keys::table.filter(api_keys::revoked_at.gt(since)).select(places).load(connection)?;
    let over = api_keys::expires_at.gt(since).and(api_keys::expires_at.le(now));
    keys.extend(api_keys::table.filter(over).select(places).load::<(StatusIndex, Option<StatusIndex>)>(connection)?);
    // Not by a join: for one PostgreSQL would rather read all keys than look up those of some tenants.
    let suspended: Vec<TenantId> =
        tenants::table.filter(tenants::suspended_at.gt(since)).select(tenants::id).load(connection)?;
    for tenants in suspended.chunks(TENANTS_AT_ONCE) {
        let theirs = api_keys::table.filter(api_keys::tenant_id.eq_any(tenants)).select(places);
        keys.extend(theirs.load::<(StatusIndex, Option<StatusIndex>)>(connection)?);
        let theirs = trusted_issuers::table.filter(trusted_issuers::tenant_id.eq_any(tenants));
        ended.extend(theirs.select(trusted_issuers::status_index).load::<StatusIndex>(connection)?);
    }
    ended.extend(keys.into_iter().flat_map(|(current, previous)| [Some(current), previous]).flatten());
    ended.extend(secrets_that_ended(connection, since, now)?);
    let gone = ended_statuses::table.filter(ended_statuses::ended_at.gt(since)).select(ended_statuses::status_index);
    ended.extend(gone.load::<StatusIndex>(connection)?);
    ended.sort_unstable();
    ended.dedup();
    Ok(ended)
}

/// The secrets that were replaced, and work no more, since `since`.
fn secrets_that_ended(
    connection: &mut DbConnection,
    since: Timestamp,
    now: Timestamp,
) -> QueryResult<Vec<StatusIndex>> {
    let at_once = api_keys::secret_changed_at.gt(since).and(api_keys::previous_until.is_null());
    let with_the_overlap = api_keys::previous_until.gt(since).and(api_keys::previous_until.le(now));
    let previous = api_keys::previous_status_index;
    let mut ended: Vec<Option<StatusIndex>> = api_keys::table.filter(at_once).select(previous).load(connection)?;
    let overlapped = api_keys::table.filter(with_the_overlap).select(previous);
    ended.extend(overlapped.load::<Option<StatusIndex>>(connection)?);
    Ok(ended.into_iter().flatten().collect())
}

/// Remembers places whose rows will not say any more that they have ended.
pub fn end(connection: &mut DbConnection, indexes: &[StatusIndex], now: Timestamp) -> QueryResult<()> {
    for index in indexes {
        diesel::insert_into(ended_statuses::table)
            .values((ended_statuses::status_index.eq(index), ended_statuses::ended_at.eq(now)))
            .execute(connection)?;
    }
    Ok(())
}

/// Remembers these sessions, whose rows are about to go.
pub(super) fn end_sessions(connection: &mut DbConnection, which: Condition, now: Timestamp) -> QueryResult<()> {
    let places = sessions::table.filter(which).select((sessions::status_index, now.0.into_sql::<BigInt>()));
    places.insert_into(ended_statuses::table).into_columns(PLACE).execute(connection).map(drop)
}

/// Remembers the secrets of these keys, whose rows are about to go.
pub(super) fn end_keys(
    connection: &mut DbConnection,
    which: impl Fn() -> Condition<api_keys::table>,
    now: Timestamp,
) -> QueryResult<()> {
    let at = || now.0.into_sql::<BigInt>();
    let current = api_keys::table.filter(which()).select((api_keys::status_index, at()));
    current.insert_into(ended_statuses::table).into_columns(PLACE).execute(connection)?;
    let previous = api_keys::previous_status_index;
    let replaced = api_keys::table.filter(which()).filter(previous.is_not_null());
    let replaced = replaced.select((previous.assume_not_null(), at()));
    replaced.insert_into(ended_statuses::table).into_columns(PLACE).execute(connection).map(drop)
}

/// Remembers all sessions, keys and trusted issuers of a tenant, whose rows are about to go.
pub fn end_tenant(connection: &mut DbConnection, tenant: TenantId, now: Timestamp) -> QueryResult<()> {
    end_sessions(connection, Box::new(sessions::tenant_id.eq(tenant)), now)?;
    end_keys(connection, || Box::new(api_keys::tenant_id.eq(tenant)), now)?;
    let issuers = trusted_issuers::table.filter(trusted_issuers::tenant_id.eq(tenant));
    let places = issuers.select((trusted_issuers::status_index, now.0.into_sql::<BigInt>()));
    places.insert_into(ended_statuses::table).into_columns(PLACE).execute(connection).map(drop)
}

/// Forgets up to `most` places that ended long before `listed`, since when all are; answers how many.
pub fn sweep(connection: &mut DbConnection, listed: Timestamp, most: i64) -> QueryResult<usize> {
    let places = Aging { table: "ended_statuses", key: "status_index", age: "ended_at" };
    places.sweep(connection, listed.plus(-KEPT_UNLISTED).0, most)
}
