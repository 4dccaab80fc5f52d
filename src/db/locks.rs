//! Locks by name, so that of several servers one at a time does what runs by the clock.
//!
//! A lock saves the others the work; what makes the work right is what it does to the rows, so that nothing fails on a
//! database where these locks do nothing.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use super::DbConnection;

/// What one server at a time does. The numbers lie beside that of the migrations.
#[derive(Clone, Copy, Debug)]
#[repr(i64)]
pub enum Lock {
    /// The next step of a signing key that is due.
    Rotation = 5_426_117_398_042,
    /// Forgetting what has ended.
    Sweep = 5_426_117_398_043,
    /// Adding up what each server has counted of the uses of API keys.
    Usage = 5_426_117_398_044,
}

#[derive(QueryableByName)]
struct Taken {
    #[diesel(sql_type = Bool)]
    taken: bool,
}

/// Waits for a lock, and has it until the end of this transaction: for work that no other server does instead.
pub fn wait_for(connection: &mut DbConnection, lock: Lock) -> QueryResult<()> {
    match connection {
        DbConnection::Sqlite(_) => Ok(()),
        DbConnection::Postgres(postgres) => diesel::sql_query("SELECT pg_advisory_xact_lock($1)")
            .bind::<BigInt, _>(lock as i64)
            .execute(postgres)
            .map(drop),
    }
}

/// Takes a lock until the end of this transaction; false where another server has it, which is not waited for. It goes
/// with the transaction, so a server that is killed holds none. On SQLite the transaction itself is alone.
pub fn take(connection: &mut DbConnection, lock: Lock) -> QueryResult<bool> {
    match connection {
        DbConnection::Sqlite(_) => Ok(true),
        DbConnection::Postgres(postgres) => diesel::sql_query("SELECT pg_try_advisory_xact_lock($1) AS taken")
            .bind::<BigInt, _>(lock as i64)
            .get_result::<Taken>(postgres)
            .map(|row| row.taken),
    }
}
