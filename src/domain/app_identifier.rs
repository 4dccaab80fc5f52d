//! App identifiers: public names of a tenant's apps, which open nothing.

use diesel::Queryable;

use super::{AppIdentifierId, Name, TenantId, Timestamp};

/// An app of a tenant, such as its iOS app. Its id is public, is assigned by the server and has no permissions.
#[derive(Clone, Debug, Queryable)]
pub struct AppIdentifier {
    /// Its id: what SDKs call the `app_id`.
    pub id: AppIdentifierId,
    /// The tenant it belongs to.
    pub tenant_id: TenantId,
    /// What people call it.
    pub name: Name,
    /// What it runs on, as people call it.
    pub platform: Option<Name>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
}
