//! The whole embedded database at once.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::Text;

use super::DbConnection;

/// Copies what is committed at this moment into a file that is empty yet. Writers do not wait for it.
pub fn copy_into(connection: &mut DbConnection, file: &str) -> QueryResult<()> {
    sql_query("VACUUM INTO ?").bind::<Text, _>(file).execute(connection).map(drop)
}
