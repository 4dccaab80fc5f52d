//! Table `master_keys`: which master key is in use, and, while it is being replaced, the one before it. Never in plain
//! text.

use diesel::prelude::*;

use super::DbConnection;
use super::schema::{idempotency_records, master_keys, secrets, signing_keys};
use crate::domain::Timestamp;

/// A master key, by its fingerprint.
#[derive(Clone, Debug, Queryable)]
pub struct MasterKeyRow {
    /// The fingerprint.
    pub id: String,
    /// When it came into use.
    pub created_at: Timestamp,
    /// The key that takes its place.
    pub successor: Option<String>,
    /// While one is replaced by the other: the other one, encrypted under this.
    pub sealed_other: Option<Vec<u8>>,
}

/// The keys in use: one, or two while one is replaced by the other; none in a database that no server has opened yet.
pub fn list(connection: &mut DbConnection) -> QueryResult<Vec<MasterKeyRow>> {
    master_keys::table
        .select((master_keys::id, master_keys::created_at, master_keys::successor, master_keys::sealed_other))
        .order((master_keys::created_at.asc(), master_keys::id.asc()))
        .load(connection)
}

/// Adds a key. The same one again is a unique violation.
pub fn insert(connection: &mut DbConnection, key: &MasterKeyRow) -> QueryResult<()> {
    diesel::insert_into(master_keys::table)
        .values((
            master_keys::id.eq(&key.id),
            master_keys::created_at.eq(key.created_at),
            master_keys::successor.eq(&key.successor),
            master_keys::sealed_other.eq(&key.sealed_other),
        ))
        .execute(connection)
        .map(drop)
}

/// What was sealed before master keys had names is sealed under this one.
pub fn claim_unnamed(connection: &mut DbConnection, id: &str) -> QueryResult<()> {
    diesel::update(secrets::table.filter(secrets::master_key.is_null()))
        .set(secrets::master_key.eq(id))
        .execute(connection)?;
    diesel::update(signing_keys::table.filter(signing_keys::master_key.is_null()))
        .set(signing_keys::master_key.eq(id))
        .execute(connection)?;
    diesel::update(idempotency_records::table.filter(idempotency_records::master_key.is_null()))
        .set(idempotency_records::master_key.eq(id))
        .execute(connection)
        .map(drop)
}

/// Names the key that takes the place of `id`, encrypted under that; false where `id` is not the only one in use.
pub fn succeed(connection: &mut DbConnection, id: &str, successor: &str, sealed: &[u8]) -> QueryResult<bool> {
    let settled = master_keys::successor.is_null().and(master_keys::sealed_other.is_null());
    diesel::update(master_keys::table.find(id).filter(settled))
        .set((master_keys::successor.eq(successor), master_keys::sealed_other.eq(sealed)))
        .execute(connection)
        .map(|rows| rows == 1)
}

/// Forgets the key whose place `id` has taken. A foreign key violation where something is sealed under it still.
pub fn settle(connection: &mut DbConnection, id: &str) -> QueryResult<bool> {
    let gone = diesel::delete(master_keys::table.filter(master_keys::successor.eq(id))).execute(connection)?;
    diesel::update(master_keys::table.find(id))
        .set(master_keys::sealed_other.eq(None::<Vec<u8>>))
        .execute(connection)
        .map(|_| gone == 1)
}
