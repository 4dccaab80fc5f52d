//! Table `instances`: the servers that run on this database.

use diesel::prelude::*;

use super::DbConnection;
use super::schema::instances;
use crate::domain::{InstanceId, Timestamp};

/// Notes that a server runs; true where nobody knew.
pub fn note(connection: &mut DbConnection, id: InstanceId, now: Timestamp) -> QueryResult<bool> {
    let known = diesel::update(instances::table.find(id)).set(instances::seen_at.eq(now)).execute(connection)?;
    if known == 0 {
        // No other server has this id, so nobody inserts it at the same time.
        diesel::insert_into(instances::table)
            .values((instances::id.eq(id), instances::seen_at.eq(now)))
            .execute(connection)?;
    }
    Ok(known == 0)
}

/// How many servers were seen after `since` and before `until`: what was noted by a clock that was ahead counts for nobody.
pub fn count_seen(connection: &mut DbConnection, since: Timestamp, until: Timestamp) -> QueryResult<i64> {
    instances::table
        .filter(instances::seen_at.gt(since).and(instances::seen_at.lt(until)))
        .count()
        .get_result(connection)
}

/// Forgets servers that were not seen after `since`.
pub fn forget_unseen(connection: &mut DbConnection, since: Timestamp) -> QueryResult<()> {
    diesel::delete(instances::table.filter(instances::seen_at.le(since))).execute(connection).map(drop)
}

/// Forgets a server.
pub fn delete(connection: &mut DbConnection, id: InstanceId) -> QueryResult<()> {
    diesel::delete(instances::table.find(id)).execute(connection).map(drop)
}
