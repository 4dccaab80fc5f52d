//! Table `audit_checkpoints`: what was signed about the chains of the audit log.

use diesel::prelude::*;

use super::DbConnection;
use super::schema::audit_checkpoints;
use crate::domain::Timestamp;

/// Adds a checkpoint. A second one of the same number is a unique violation: somebody else was first.
pub fn insert(connection: &mut DbConnection, number: i64, token: &str, now: Timestamp) -> QueryResult<()> {
    diesel::insert_into(audit_checkpoints::table)
        .values((
            audit_checkpoints::number.eq(number),
            audit_checkpoints::token.eq(token),
            audit_checkpoints::created_at.eq(now),
        ))
        .execute(connection)
        .map(drop)
}

/// The last one: its number and the JWS.
pub fn last(connection: &mut DbConnection) -> QueryResult<Option<(i64, String)>> {
    audit_checkpoints::table
        .select((audit_checkpoints::number, audit_checkpoints::token))
        .order(audit_checkpoints::number.desc())
        .first(connection)
        .optional()
}

/// Those after the one with this number, in order.
pub fn after(connection: &mut DbConnection, number: i64, limit: i64) -> QueryResult<Vec<(i64, String)>> {
    audit_checkpoints::table
        .filter(audit_checkpoints::number.gt(number))
        .select((audit_checkpoints::number, audit_checkpoints::token))
        .order(audit_checkpoints::number.asc())
        .limit(limit)
        .load(connection)
}
