//! Key groups: sets of API keys with the same rights.

use diesel::Queryable;

use super::{AccessTypeName, KeyGroupId, Name, Scopes, TenantId, Timestamp};

/// A named set of API keys of one access type with one set of scopes. Neither ever changes, so each key holds a copy.
#[derive(Clone, Debug, Queryable)]
pub struct KeyGroup {
    /// Its id.
    pub id: KeyGroupId,
    /// The tenant it belongs to.
    pub tenant_id: TenantId,
    /// What people call it.
    pub name: Name,
    /// The preset of its keys, where the profile has presets.
    pub access_type: Option<AccessTypeName>,
    /// What its keys may do.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
}
