//! Table `secrets`: the server's own symmetric keys, encrypted.

use diesel::prelude::*;

use super::DbConnection;
use super::schema::secrets;
use crate::domain::Timestamp;

/// The encrypted secret of this name.
pub fn find(connection: &mut DbConnection, name: &str) -> QueryResult<Option<Vec<u8>>> {
    secrets::table.find(name).select(secrets::sealed_value).get_result(connection).optional()
}

/// Adds a secret. A second one of the same name is a unique violation.
pub fn insert(connection: &mut DbConnection, name: &str, sealed: &[u8], now: Timestamp) -> QueryResult<()> {
    diesel::insert_into(secrets::table)
        .values((secrets::name.eq(name), secrets::sealed_value.eq(sealed), secrets::created_at.eq(now)))
        .execute(connection)
        .map(drop)
}
