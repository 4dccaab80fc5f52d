//! Table `instances`: the servers that run on this database.

use diesel::prelude::*;

use super::DbConnection;
use super::schema::instances;
use crate::domain::{InstanceId, Timestamp};

columns! {
    /// A server, in the order of [`Instance`].
    COLUMNS: Columns = instances { id, seen_at, name, master_key }
}

/// A server that runs.
#[derive(Clone, Debug, Queryable)]
pub struct Instance {
    /// Which one.
    pub id: InstanceId,
    /// When it was seen.
    pub seen_at: Timestamp,
    /// Where it runs, for people.
    pub name: Option<String>,
    /// The fingerprint of the master key that it would start with now; none where that cannot be read.
    pub master_key: Option<String>,
}

/// Notes that a server runs; true where nobody knew.
pub fn note(connection: &mut DbConnection, server: &Instance) -> QueryResult<bool> {
    let known = diesel::update(instances::table.find(server.id))
        .set((instances::seen_at.eq(server.seen_at), instances::master_key.eq(&server.master_key)))
        .execute(connection)?;
    if known == 0 {
        // No other server has this id, so nobody inserts it at the same time.
        diesel::insert_into(instances::table)
            .values((
                instances::id.eq(server.id),
                instances::seen_at.eq(server.seen_at),
                instances::name.eq(&server.name),
                instances::master_key.eq(&server.master_key),
            ))
            .execute(connection)?;
    }
    Ok(known == 0)
}

/// How many servers were seen after `since` and before `until`: what was noted by a clock that was ahead counts for
/// nobody.
pub fn count_seen(connection: &mut DbConnection, since: Timestamp, until: Timestamp) -> QueryResult<i64> {
    instances::table
        .filter(instances::seen_at.gt(since).and(instances::seen_at.lt(until)))
        .count()
        .get_result(connection)
}

/// All servers that are not forgotten yet, by name.
pub fn list(connection: &mut DbConnection) -> QueryResult<Vec<Instance>> {
    instances::table.select(COLUMNS).order((instances::name.asc(), instances::id.asc())).load(connection)
}

/// Forgets servers that were not seen after `since`.
pub fn forget_unseen(connection: &mut DbConnection, since: Timestamp) -> QueryResult<()> {
    diesel::delete(instances::table.filter(instances::seen_at.le(since))).execute(connection).map(drop)
}

/// Forgets a server.
pub fn delete(connection: &mut DbConnection, id: InstanceId) -> QueryResult<()> {
    diesel::delete(instances::table.find(id)).execute(connection).map(drop)
}
