//! Table `api_keys`.

use std::collections::HashMap;
use std::sync::Arc;

use diesel::prelude::*;

use super::DbConnection;
use super::prepared::{self, Piece};
use super::schema::{api_keys, tenants};
use crate::domain::api_key::ApiKey;
use crate::domain::change::Change;
use crate::domain::page::Page;
use crate::domain::{ApiKeyId, Email, KeyGroupId, Name, Tenant, TenantId, Timestamp};

columns! {
    /// What [`ApiKey`] is read from: all but the key's hash.
    API_KEY: Columns = api_keys {
        id, tenant_id, name, hint, environment, scopes, allowed_ips, contact_email, replaces, created_at, created_by,
        expires_at, revoked_at, last_used_at, access_type, group_id, constraints, previous_until, secret_changed_at,
        status_index, previous_status_index,
    }
}

/// A key as it is read for whoever presents it: with its tenant.
pub type StoredKey = (ApiKey, Tenant);

/// Adds a key under the hash of its plain text.
pub fn insert(connection: &mut DbConnection, key: &ApiKey, hash: &[u8]) -> QueryResult<()> {
    diesel::insert_into(api_keys::table)
        .values((
            api_keys::id.eq(key.id),
            api_keys::tenant_id.eq(key.tenant_id),
            api_keys::name.eq(&key.name),
            api_keys::key_hash.eq(hash),
            api_keys::hint.eq(&key.hint),
            api_keys::environment.eq(&key.environment),
            api_keys::scopes.eq(&key.scopes),
            api_keys::allowed_ips.eq(&key.allowed_ips),
            api_keys::contact_email.eq(&key.contact_email),
            api_keys::replaces.eq(key.replaces),
            api_keys::created_at.eq(key.created_at),
            api_keys::created_by.eq(&key.created_by),
            api_keys::expires_at.eq(key.expires_at),
            api_keys::revoked_at.eq(key.revoked_at),
            api_keys::last_used_at.eq(key.last_used_at),
            api_keys::access_type.eq(&key.access_type),
            api_keys::group_id.eq(key.group_id),
            api_keys::constraints.eq(&key.constraints),
            api_keys::previous_until.eq(key.previous_until),
            api_keys::secret_changed_at.eq(key.secret_changed_at),
            api_keys::status_index.eq(key.status_index),
        ))
        .execute(connection)
        .map(drop)
}

/// Finds a key and its tenant by the hash of a secret that works: where keys may have two, also of the one before the
/// last rotation, and then as it is for that one.
pub fn find_by_secret(
    connection: &mut DbConnection,
    hash: &[u8],
    two_secrets: bool,
    now: Timestamp,
) -> QueryResult<Option<StoredKey>> {
    match find_by_hash(connection, hash)? {
        None if two_secrets => find_by_previous_secret(connection, hash, now),
        found => Ok(found),
    }
}

/// Finds a key and its tenant by the hash of the secret before the last rotation, while that still works: the key as it
/// is for that one.
pub fn find_by_previous_secret(
    connection: &mut DbConnection,
    hash: &[u8],
    now: Timestamp,
) -> QueryResult<Option<StoredKey>> {
    let found = find_by_previous_hash(connection, hash, now)?;
    Ok(found.map(|(key, tenant)| (key.by_previous_secret(), tenant)))
}

/// Finds a key and its tenant by the hash of its plain text.
pub(super) fn find_by_hash(connection: &mut DbConnection, hash: &[u8]) -> QueryResult<Option<StoredKey>> {
    let key = || {
        let named = api_keys::table.inner_join(tenants::table).filter(api_keys::key_hash.eq(hash));
        named.select((API_KEY, tenants::all_columns))
    };
    per_backend!(connection, inner => key().get_result(inner)).optional()
}

/// Finds those keys that have one of these hashes, each under its hash.
pub(super) fn find_by_hashes(
    connection: &mut DbConnection,
    hashes: &[Vec<u8>],
) -> QueryResult<HashMap<Vec<u8>, Arc<StoredKey>>> {
    let keys = || {
        let named = api_keys::table.inner_join(tenants::table).filter(api_keys::key_hash.eq_any(hashes));
        named.select((api_keys::key_hash, (API_KEY, tenants::all_columns)))
    };
    let rows: Vec<(Vec<u8>, StoredKey)> = per_backend!(connection, inner => keys().load(inner))?;
    Ok(rows.into_iter().map(|(hash, key)| (hash, Arc::new(key))).collect())
}

/// Finds a key and its tenant by the hash of the secret that was replaced last, while that still works.
fn find_by_previous_hash(connection: &mut DbConnection, hash: &[u8], now: Timestamp) -> QueryResult<Option<StoredKey>> {
    api_keys::table
        .inner_join(tenants::table)
        .filter(api_keys::previous_hash.eq(hash).and(api_keys::previous_until.gt(now)))
        .select((API_KEY, tenants::all_columns))
        .get_result(connection)
        .optional()
}

/// Finds a key, in whichever tenant it is, and its tenant: for tokens, which name their key.
pub fn find_with_tenant(connection: &mut DbConnection, id: ApiKeyId) -> QueryResult<Option<StoredKey>> {
    api_keys::table
        .inner_join(tenants::table)
        .filter(api_keys::id.eq(id))
        .select((API_KEY, tenants::all_columns))
        .get_result(connection)
        .optional()
}

/// Gives a living key the secret behind `hash`. The one that it had works until `key.previous_until`, where that is
/// given; the one before that no more, whose place in the status lists the caller remembers. False where the key is
/// revoked.
pub fn replace_secret(connection: &mut DbConnection, key: &ApiKey, hash: &[u8]) -> QueryResult<bool> {
    let row = || {
        let living = api_keys::tenant_id.eq(key.tenant_id).and(api_keys::revoked_at.is_null());
        diesel::update(api_keys::table.find(key.id)).filter(living)
    };
    if key.previous_until.is_some() {
        row().set(api_keys::previous_hash.eq(api_keys::key_hash.nullable())).execute(connection)?;
    } else {
        row().set(api_keys::previous_hash.eq(None::<Vec<u8>>)).execute(connection)?;
    }
    row().set(api_keys::previous_status_index.eq(api_keys::status_index.nullable())).execute(connection)?;
    row()
        .set((
            api_keys::key_hash.eq(hash),
            api_keys::hint.eq(&key.hint),
            api_keys::previous_until.eq(key.previous_until),
            api_keys::secret_changed_at.eq(key.secret_changed_at),
            api_keys::status_index.eq(key.status_index),
        ))
        .execute(connection)
        .map(|rows| rows == 1)
}

/// Revokes all living keys of a group for good; answers how many. In the order of their ids, as uses of keys are
/// written: so neither waits for the other crosswise.
pub fn revoke_of_group(
    connection: &mut DbConnection,
    tenant: TenantId,
    group: KeyGroupId,
    now: Timestamp,
) -> QueryResult<usize> {
    let ids: Vec<ApiKeyId> = api_keys::table
        .filter(api_keys::tenant_id.eq(tenant).and(api_keys::group_id.eq(group)))
        .filter(api_keys::revoked_at.is_null())
        .order(api_keys::id.asc())
        .select(api_keys::id)
        .load(connection)?;
    for id in &ids {
        revoke(connection, tenant, *id, now)?;
    }
    Ok(ids.len())
}

/// Finds a key of a tenant.
pub fn find(connection: &mut DbConnection, tenant: TenantId, id: ApiKeyId) -> QueryResult<Option<ApiKey>> {
    api_keys::table.find(id).filter(api_keys::tenant_id.eq(tenant)).select(API_KEY).get_result(connection).optional()
}

/// The tenant of a key: for the command line, which names keys by their id alone.
pub fn tenant_of(connection: &mut DbConnection, id: ApiKeyId) -> QueryResult<Option<TenantId>> {
    api_keys::table.find(id).select(api_keys::tenant_id).get_result(connection).optional()
}

/// The keys of a tenant, dead ones too.
pub fn list(connection: &mut DbConnection, tenant: TenantId, page: Page) -> QueryResult<Vec<ApiKey>> {
    api_keys::table
        .filter(api_keys::tenant_id.eq(tenant).and(api_keys::id.lt(page.before::<ApiKeyId>())))
        .order(api_keys::id.desc())
        .limit(page.fetch())
        .select(API_KEY)
        .load(connection)
}

/// Lists the keys of a group, dead ones too. The tenant is not asked for again: by it SQLite would go through all of
/// its keys.
pub fn list_of_group(connection: &mut DbConnection, group: KeyGroupId, page: Page) -> QueryResult<Vec<ApiKey>> {
    api_keys::table
        .filter(api_keys::group_id.eq(group).and(api_keys::id.lt(page.before::<ApiKeyId>())))
        .order(api_keys::id.desc())
        .limit(page.fetch())
        .select(API_KEY)
        .load(connection)
}

/// Whether a key was rotated already: what is left of it is an overlap.
pub fn is_replaced(connection: &mut DbConnection, tenant: TenantId, id: ApiKeyId) -> QueryResult<bool> {
    api_keys::table
        .filter(api_keys::tenant_id.eq(tenant).and(api_keys::replaces.eq(id)))
        .count()
        .get_result::<i64>(connection)
        .map(|successors| successors > 0)
}

/// How many keys of a tenant live.
pub fn count_live(connection: &mut DbConnection, tenant: TenantId, now: Timestamp) -> QueryResult<i64> {
    api_keys::table
        .filter(api_keys::tenant_id.eq(tenant).and(api_keys::revoked_at.is_null()))
        .filter(api_keys::expires_at.is_null().or(api_keys::expires_at.gt(now)))
        .count()
        .get_result(connection)
}

/// Changes what may be changed of a key: `None` leaves the name as it is. False where nothing was to be changed.
pub fn update(
    connection: &mut DbConnection,
    tenant: TenantId,
    id: ApiKeyId,
    name: Option<&Name>,
    contact_email: &Change<Email>,
) -> QueryResult<bool> {
    let key = || api_keys::table.find(id).filter(api_keys::tenant_id.eq(tenant));
    let mut rows = 0;
    if let Some(name) = name {
        rows = diesel::update(key()).set(api_keys::name.eq(name)).execute(connection)?;
    }
    let email = match contact_email {
        Change::Keep => return Ok(rows == 1),
        Change::Set(email) => Some(email),
        Change::Clear => None,
    };
    diesel::update(key()).set(api_keys::contact_email.eq(email)).execute(connection).map(|rows| rows == 1)
}

/// Revokes a key for good; false where it is dead already.
pub fn revoke(connection: &mut DbConnection, tenant: TenantId, id: ApiKeyId, now: Timestamp) -> QueryResult<bool> {
    diesel::update(api_keys::table.find(id))
        .filter(api_keys::tenant_id.eq(tenant).and(api_keys::revoked_at.is_null()))
        .set(api_keys::revoked_at.eq(now))
        .execute(connection)
        .map(|rows| rows == 1)
}

/// Revokes a key for good by a secret that works; false where it is dead already, or that secret was replaced
/// meanwhile.
pub fn revoke_by_secret(connection: &mut DbConnection, id: ApiKeyId, hash: &[u8], now: Timestamp) -> QueryResult<bool> {
    let previous = api_keys::previous_hash.eq(hash).and(api_keys::previous_until.gt(now));
    diesel::update(api_keys::table.find(id))
        .filter(api_keys::key_hash.eq(hash).or(previous))
        .filter(api_keys::revoked_at.is_null())
        .set(api_keys::revoked_at.eq(now))
        .execute(connection)
        .map(|rows| rows == 1)
}

/// Lets a living key end at `end`; false where it is revoked.
pub fn expire(connection: &mut DbConnection, tenant: TenantId, id: ApiKeyId, end: Timestamp) -> QueryResult<bool> {
    diesel::update(api_keys::table.find(id))
        .filter(api_keys::tenant_id.eq(tenant).and(api_keys::revoked_at.is_null()))
        .set(api_keys::expires_at.eq(end))
        .execute(connection)
        .map(|rows| rows == 1)
}

/// Notes when a key was last used.
pub fn note_use(connection: &mut DbConnection, id: ApiKeyId, at: Timestamp) -> QueryResult<()> {
    let pieces = [
        Piece::Sql("UPDATE api_keys SET last_used_at = "),
        Piece::Number(at.0),
        Piece::Sql(" WHERE id = "),
        Piece::Bytes(id.as_bytes()),
        Piece::Sql(" AND (last_used_at IS NULL OR last_used_at < "),
        Piece::Number(at.0),
        Piece::Sql(")"),
    ];
    prepared::execute(connection, &pieces).map(drop)
}
