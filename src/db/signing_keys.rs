//! Tables `signing_keys` and `signing_algorithms`.

use std::collections::BTreeSet;

use diesel::prelude::*;

use super::DbConnection;
use super::schema::{signing_algorithms, signing_keys};
use crate::domain::Algorithm;
use crate::domain::sealed::Sealed;
use crate::domain::signing_key::{KeyState, SigningKeyInfo};

columns! {
    /// What everybody may know of a key.
    INFO: Info = signing_keys {
        kid, algorithm, state, created_at, published_at, signs_at, activated_at, retires_at, retired_at, cache_seconds,
        token_seconds,
    }
}

/// A signing key as it is stored: the private half is encrypted.
#[derive(Clone, Queryable)]
pub struct SigningKeyRow {
    /// All but the key itself.
    pub info: SigningKeyInfo,
    /// The public half, a JWK (RFC 7517).
    pub public_jwk: String,
    /// The private half (PKCS #8), encrypted under the master key.
    pub sealed_private: Sealed,
}

/// A new signing key, to be stored.
pub struct NewSigningKey {
    /// All but the key itself.
    pub info: SigningKeyInfo,
    /// The public half, a JWK (RFC 7517).
    pub public_jwk: String,
    /// The private half (PKCS #8), encrypted.
    pub sealed_private: Sealed,
}

#[cfg(any(test, feature = "laws"))]
impl From<NewSigningKey> for SigningKeyRow {
    fn from(key: NewSigningKey) -> Self {
        Self { info: key.info, public_jwk: key.public_jwk, sealed_private: key.sealed_private }
    }
}

/// Adds a key. A second active or pending one of the same algorithm is a unique violation.
pub fn insert(connection: &mut DbConnection, key: &NewSigningKey) -> QueryResult<()> {
    let info = &key.info;
    diesel::insert_into(signing_keys::table)
        .values((
            signing_keys::kid.eq(&info.kid),
            signing_keys::algorithm.eq(info.algorithm),
            signing_keys::state.eq(info.state),
            signing_keys::public_jwk.eq(&key.public_jwk),
            signing_keys::sealed_private.eq(&key.sealed_private.bytes),
            signing_keys::master_key.eq(&key.sealed_private.master_key),
            signing_keys::created_at.eq(info.created_at),
            signing_keys::published_at.eq(info.published_at),
            signing_keys::signs_at.eq(info.signs_at),
            signing_keys::activated_at.eq(info.activated_at),
            signing_keys::retires_at.eq(info.retires_at),
            signing_keys::retired_at.eq(info.retired_at),
            signing_keys::cache_seconds.eq(info.cache_seconds),
            signing_keys::token_seconds.eq(info.token_seconds),
        ))
        .execute(connection)
        .map(drop)
}

/// Writes what became of a key, if it is in the state `from` still; false where somebody else was first.
pub fn advance(connection: &mut DbConnection, from: KeyState, key: &SigningKeyInfo) -> QueryResult<bool> {
    diesel::update(signing_keys::table.find(&key.kid).filter(signing_keys::state.eq(from)))
        .set((
            signing_keys::state.eq(key.state),
            signing_keys::signs_at.eq(key.signs_at),
            signing_keys::activated_at.eq(key.activated_at),
            signing_keys::retires_at.eq(key.retires_at),
            signing_keys::retired_at.eq(key.retired_at),
            signing_keys::cache_seconds.eq(key.cache_seconds),
            signing_keys::token_seconds.eq(key.token_seconds),
        ))
        .execute(connection)
        .map(|rows| rows == 1)
}

/// All keys, oldest first.
pub fn list(connection: &mut DbConnection) -> QueryResult<Vec<SigningKeyRow>> {
    signing_keys::table
        .select((INFO, signing_keys::public_jwk, (signing_keys::master_key, signing_keys::sealed_private)))
        .order((signing_keys::created_at.asc(), signing_keys::kid.asc()))
        .load(connection)
}

/// The keys whose private half is not encrypted under this master key.
pub fn list_sealed_otherwise(
    connection: &mut DbConnection,
    master_key: &str,
) -> QueryResult<Vec<(String, KeyState, Sealed)>> {
    signing_keys::table
        .filter(signing_keys::master_key.ne(master_key).or(signing_keys::master_key.is_null()))
        .select((signing_keys::kid, signing_keys::state, (signing_keys::master_key, signing_keys::sealed_private)))
        .order(signing_keys::kid)
        .load(connection)
}

/// Writes a private half that was encrypted anew.
pub fn reseal(connection: &mut DbConnection, kid: &str, sealed: &Sealed) -> QueryResult<()> {
    diesel::update(signing_keys::table.find(kid))
        .set((signing_keys::sealed_private.eq(&sealed.bytes), signing_keys::master_key.eq(&sealed.master_key)))
        .execute(connection)
        .map(drop)
}

/// All keys, oldest first, without their private halves.
pub fn list_public(connection: &mut DbConnection) -> QueryResult<Vec<SigningKeyInfo>> {
    signing_keys::table.select(INFO).order((signing_keys::created_at.asc(), signing_keys::kid.asc())).load(connection)
}

/// The keys that verifiers are shown, by name and state, oldest first: little enough to be asked for all the time.
pub fn list_states(connection: &mut DbConnection) -> QueryResult<Vec<(String, KeyState)>> {
    signing_keys::table
        .filter(signing_keys::state.eq_any(KeyState::PUBLISHED))
        .select((signing_keys::kid, signing_keys::state))
        .order((signing_keys::created_at.asc(), signing_keys::kid.asc()))
        .load(connection)
}

/// Whether a key is published: what it signed may still be believed.
pub fn is_published(connection: &mut DbConnection, kid: &str) -> QueryResult<bool> {
    let state =
        signing_keys::table.find(kid).select(signing_keys::state).get_result::<KeyState>(connection).optional()?;
    Ok(state.is_some_and(KeyState::is_published))
}

/// The algorithms in use, as a server said at its start; none where none ever did.
pub fn algorithms(connection: &mut DbConnection) -> QueryResult<BTreeSet<Algorithm>> {
    let algorithms: Vec<Algorithm> =
        signing_algorithms::table.select(signing_algorithms::algorithm).load(connection)?;
    Ok(algorithms.into_iter().collect())
}

/// From now on these are in use.
pub fn set_algorithms(connection: &mut DbConnection, algorithms: &BTreeSet<Algorithm>) -> QueryResult<()> {
    diesel::delete(signing_algorithms::table).execute(connection)?;
    for algorithm in algorithms {
        diesel::insert_into(signing_algorithms::table)
            .values(signing_algorithms::algorithm.eq(algorithm))
            .execute(connection)?;
    }
    Ok(())
}
