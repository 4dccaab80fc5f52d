//! Table `secrets`: the server's own symmetric keys, encrypted.

use diesel::prelude::*;

use super::DbConnection;
use super::schema::secrets;
use crate::domain::Timestamp;
use crate::domain::sealed::Sealed;

/// The encrypted secret of this name.
pub fn find(connection: &mut DbConnection, name: &str) -> QueryResult<Option<Sealed>> {
    secrets::table.find(name).select((secrets::master_key, secrets::sealed_value)).get_result(connection).optional()
}

/// Adds a secret. A second one of the same name is a unique violation.
pub fn insert(connection: &mut DbConnection, name: &str, sealed: &Sealed, now: Timestamp) -> QueryResult<()> {
    diesel::insert_into(secrets::table)
        .values((
            secrets::name.eq(name),
            secrets::sealed_value.eq(&sealed.bytes),
            secrets::created_at.eq(now),
            secrets::master_key.eq(&sealed.master_key),
        ))
        .execute(connection)
        .map(drop)
}

/// The secrets that are not encrypted under this master key.
pub fn list_sealed_otherwise(connection: &mut DbConnection, master_key: &str) -> QueryResult<Vec<(String, Sealed)>> {
    secrets::table
        .filter(secrets::master_key.ne(master_key).or(secrets::master_key.is_null()))
        .select((secrets::name, (secrets::master_key, secrets::sealed_value)))
        .order(secrets::name)
        .load(connection)
}

/// Writes a secret that was encrypted anew.
pub fn reseal(connection: &mut DbConnection, name: &str, sealed: &Sealed) -> QueryResult<()> {
    diesel::update(secrets::table.find(name))
        .set((secrets::sealed_value.eq(&sealed.bytes), secrets::master_key.eq(&sealed.master_key)))
        .execute(connection)
        .map(drop)
}
