//! Table `idempotency_records`: answers kept for clients that ask again.

use diesel::prelude::*;

use super::DbConnection;
use super::prepared::Aging;
use super::schema::idempotency_records;
use crate::domain::sealed::Sealed;
use crate::domain::{TenantId, Timestamp};

/// An answer that was given, encrypted.
#[derive(Clone, Debug, Queryable)]
pub struct Record {
    /// What the request was.
    pub request_hash: Vec<u8>,
    /// What was answered.
    pub sealed_answer: Sealed,
    /// Until when it is given again.
    pub expires_at: Timestamp,
}

/// An encrypted answer, and what it is kept under.
#[derive(Queryable)]
pub struct SealedAnswer {
    /// Whose it is.
    pub tenant: TenantId,
    /// A hash of the client's key.
    pub key_hash: Vec<u8>,
    /// The answer.
    pub sealed_answer: Sealed,
}

/// An answer to be kept.
pub struct NewRecord {
    /// What the request was.
    pub request_hash: Vec<u8>,
    /// What is answered.
    pub sealed_answer: Sealed,
    /// Until when it is given again.
    pub expires_at: Timestamp,
}

/// Finds the answer that was given under a key.
pub fn find(connection: &mut DbConnection, tenant: TenantId, key_hash: &[u8]) -> QueryResult<Option<Record>> {
    idempotency_records::table
        .filter(idempotency_records::tenant_id.eq(tenant).and(idempotency_records::key_hash.eq(key_hash)))
        .select((
            idempotency_records::request_hash,
            (idempotency_records::master_key, idempotency_records::sealed_answer),
            idempotency_records::expires_at,
        ))
        .get_result(connection)
        .optional()
}

/// Keeps an answer. A second one under the same key is a unique violation.
pub fn insert(
    connection: &mut DbConnection,
    tenant: TenantId,
    key_hash: &[u8],
    record: &NewRecord,
    now: Timestamp,
) -> QueryResult<()> {
    diesel::insert_into(idempotency_records::table)
        .values((
            idempotency_records::tenant_id.eq(tenant),
            idempotency_records::key_hash.eq(key_hash),
            idempotency_records::request_hash.eq(&record.request_hash),
            idempotency_records::sealed_answer.eq(&record.sealed_answer.bytes),
            idempotency_records::master_key.eq(&record.sealed_answer.master_key),
            idempotency_records::created_at.eq(now),
            idempotency_records::expires_at.eq(record.expires_at),
        ))
        .execute(connection)
        .map(drop)
}

/// The answers that are not encrypted under this master key.
pub fn list_sealed_otherwise(connection: &mut DbConnection, master_key: &str) -> QueryResult<Vec<SealedAnswer>> {
    idempotency_records::table
        .filter(idempotency_records::master_key.ne(master_key).or(idempotency_records::master_key.is_null()))
        .select((
            idempotency_records::tenant_id,
            idempotency_records::key_hash,
            (idempotency_records::master_key, idempotency_records::sealed_answer),
        ))
        .order((idempotency_records::tenant_id, idempotency_records::key_hash))
        .load(connection)
}

/// Writes an answer that was encrypted anew.
pub fn reseal(connection: &mut DbConnection, tenant: TenantId, key_hash: &[u8], sealed: &Sealed) -> QueryResult<()> {
    diesel::update(idempotency_records::table.find((tenant, key_hash)))
        .set((
            idempotency_records::sealed_answer.eq(&sealed.bytes),
            idempotency_records::master_key.eq(&sealed.master_key),
        ))
        .execute(connection)
        .map(drop)
}

/// Forgets the answer under a key.
pub fn delete(connection: &mut DbConnection, tenant: TenantId, key_hash: &[u8]) -> QueryResult<()> {
    diesel::delete(idempotency_records::table.find((tenant, key_hash))).execute(connection).map(drop)
}

/// Forgets up to `most` answers that nobody may ask for any more, the oldest first; answers how many.
pub fn sweep(connection: &mut DbConnection, now: Timestamp, most: i64) -> QueryResult<usize> {
    let answers = Aging { table: "idempotency_records", key: "tenant_id, key_hash", age: "expires_at" };
    answers.sweep(connection, now.0, most)
}
