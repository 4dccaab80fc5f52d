//! Table `signing_keys`.

use diesel::prelude::*;

use super::DbConnection;
use super::schema::signing_keys;
use crate::domain::signing_key::{KeyState, SigningKeyInfo};
use crate::domain::{Algorithm, Timestamp};

/// A signing key as it is stored: the private half is encrypted.
#[derive(Clone, Queryable)]
pub struct SigningKeyRow {
    /// The key's RFC 7638 thumbprint.
    pub kid: String,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// Where it is in its life.
    pub state: KeyState,
    /// The public half, a JWK (RFC 7517).
    pub public_jwk: String,
    /// The private half (PKCS #8), encrypted under the master key.
    pub sealed_private: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it began to sign.
    pub activated_at: Option<Timestamp>,
    /// When it stopped.
    pub retired_at: Option<Timestamp>,
}

/// Adds a key. A second active one of the same algorithm is a unique violation.
pub fn insert(connection: &mut DbConnection, key: &SigningKeyRow) -> QueryResult<()> {
    diesel::insert_into(signing_keys::table)
        .values((
            signing_keys::kid.eq(&key.kid),
            signing_keys::algorithm.eq(key.algorithm),
            signing_keys::state.eq(key.state),
            signing_keys::public_jwk.eq(&key.public_jwk),
            signing_keys::sealed_private.eq(&key.sealed_private),
            signing_keys::created_at.eq(key.created_at),
            signing_keys::activated_at.eq(key.activated_at),
            signing_keys::retired_at.eq(key.retired_at),
        ))
        .execute(connection)
        .map(drop)
}

/// All keys, oldest first.
pub fn list(connection: &mut DbConnection) -> QueryResult<Vec<SigningKeyRow>> {
    signing_keys::table.order((signing_keys::created_at.asc(), signing_keys::kid.asc())).load(connection)
}

/// All keys, oldest first, without their private halves.
pub fn list_public(connection: &mut DbConnection) -> QueryResult<Vec<SigningKeyInfo>> {
    signing_keys::table
        .select((
            signing_keys::kid,
            signing_keys::algorithm,
            signing_keys::state,
            signing_keys::created_at,
            signing_keys::activated_at,
            signing_keys::retired_at,
        ))
        .order((signing_keys::created_at.asc(), signing_keys::kid.asc()))
        .load(connection)
}

/// Whether a key of this algorithm signs.
pub fn has_active(connection: &mut DbConnection, algorithm: Algorithm) -> QueryResult<bool> {
    let active = signing_keys::algorithm.eq(algorithm).and(signing_keys::state.eq(KeyState::Active));
    signing_keys::table.filter(active).count().get_result::<i64>(connection).map(|count| count > 0)
}
