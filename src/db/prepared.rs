//! Statements as text that run often: prepared once a connection, where diesel prepares `sql_query` and each update
//! anew every time. To PostgreSQL that is a journey less, on SQLite no SQL is parsed.

use diesel::backend::Backend;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, Binary, Text};

use super::DbConnection;
use crate::domain::TenantId;

/// A piece of a statement.
pub enum Piece<'a> {
    /// Its text.
    Sql(&'static str),
    /// A value.
    Number(i64),
    /// A value.
    Bytes(&'a [u8]),
    /// A value.
    Words(&'a str),
}

/// Runs a statement that is made of these pieces; answers how many rows it wrote.
pub fn execute(connection: &mut DbConnection, pieces: &[Piece<'_>]) -> QueryResult<usize> {
    let statement = Statement(pieces);
    per_backend!(connection, inner => statement.execute(inner))
}

/// Rows of a table that are forgotten in batches.
pub struct Aging {
    /// The table.
    pub table: &'static str,
    /// The columns of its primary key, with commas.
    pub key: &'static str,
    /// The column that says how old a row is.
    pub age: &'static str,
}

impl Aging {
    /// Forgets up to `most` rows whose age is before `before`, the oldest first; answers how many.
    ///
    /// In one statement, for each is a journey. The rows that it finds are asked again when their turn comes: one may
    /// have been used anew meanwhile.
    pub fn sweep(&self, connection: &mut DbConnection, before: i64, most: i64) -> QueryResult<usize> {
        let Self { table, key, age } = self;
        let pieces = [
            Piece::Sql("DELETE FROM "),
            Piece::Sql(table),
            Piece::Sql(" WHERE ("),
            Piece::Sql(key),
            Piece::Sql(") IN (SELECT "),
            Piece::Sql(key),
            Piece::Sql(" FROM "),
            Piece::Sql(table),
            Piece::Sql(" WHERE "),
            Piece::Sql(age),
            Piece::Sql(" < "),
            Piece::Number(before),
            Piece::Sql(" ORDER BY "),
            Piece::Sql(age),
            Piece::Sql(" LIMIT "),
            Piece::Number(most),
            Piece::Sql(") AND "),
            Piece::Sql(age),
            Piece::Sql(" < "),
            Piece::Number(before),
        ];
        execute(connection, &pieces)
    }

    /// Forgets up to `most` rows of the first `keys` API keys of a tenant; answers how many. They have a column
    /// `api_key_id`.
    pub fn forget_of_keys(
        &self,
        connection: &mut DbConnection,
        tenant: TenantId,
        keys: i64,
        most: i64,
    ) -> QueryResult<usize> {
        let Self { table, key, .. } = self;
        let pieces = [
            Piece::Sql("DELETE FROM "),
            Piece::Sql(table),
            Piece::Sql(" WHERE ("),
            Piece::Sql(key),
            Piece::Sql(") IN (SELECT "),
            Piece::Sql(key),
            Piece::Sql(" FROM "),
            Piece::Sql(table),
            Piece::Sql(" WHERE api_key_id IN (SELECT id FROM api_keys WHERE tenant_id = "),
            Piece::Bytes(tenant.as_bytes()),
            Piece::Sql(" ORDER BY id LIMIT "),
            Piece::Number(keys),
            Piece::Sql(") LIMIT "),
            Piece::Number(most),
            Piece::Sql(")"),
        ];
        execute(connection, &pieces)
    }
}

struct Statement<'a>(&'a [Piece<'a>]);

/// It is known again by its text.
impl QueryId for Statement<'_> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<DB: Backend> QueryFragment<DB> for Statement<'_>
where
    i64: ToSql<BigInt, DB>,
    [u8]: ToSql<Binary, DB>,
    str: ToSql<Text, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        for piece in self.0 {
            match piece {
                Piece::Sql(text) => out.push_sql(text),
                Piece::Number(number) => out.push_bind_param::<BigInt, _>(number)?,
                Piece::Bytes(bytes) => out.push_bind_param::<Binary, [u8]>(bytes)?,
                Piece::Words(words) => out.push_bind_param::<Text, str>(words)?,
            }
        }
        Ok(())
    }
}

impl<Conn> RunQueryDsl<Conn> for Statement<'_> {}
