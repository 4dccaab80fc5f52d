//! Tenants.

use diesel::Queryable;
use serde::Serialize;

use super::{Name, Refusal, TenantId, Timestamp};

/// An organisation whose data is kept apart.
#[derive(Clone, Debug, Queryable)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// What people call it.
    pub name: Name,
    /// Its public, alphanumeric name in URLs.
    pub project_token: String,
    /// What it pays for, where the profile has plans.
    pub plan: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when it is suspended, if it is.
    pub suspended_at: Option<Timestamp>,
}

impl TenantId {
    /// Refuses an id that stands for no tenant: the nil UUID names the audit chain of what concerns none, and lists
    /// begin below the max UUID (RFC 9562, 5.9 and 5.10).
    ///
    /// # Errors
    /// [`Refusal::ValidationFailed`] of `id`.
    pub fn ensure_ordinary(self) -> Result<(), Refusal> {
        let uuid = self.uuid();
        if uuid.is_nil() || uuid.is_max() {
            return Err(Refusal::invalid("id", "must be neither the nil nor the max UUID"));
        }
        Ok(())
    }
}

/// Whether anything may be issued for a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TenantState {
    /// All is well.
    Active,
    /// Nobody logs in and no key works until it is resumed.
    Suspended,
}

impl Tenant {
    /// Refuses a request that names another tenant than that of its credential.
    ///
    /// # Errors
    /// [`Refusal::TenantMismatch`].
    pub fn ensure_named(&self, named: Option<TenantId>) -> Result<(), Refusal> {
        if named.is_none_or(|named| named == self.id) { Ok(()) } else { Err(Refusal::TenantMismatch) }
    }

    /// The tenant's state.
    #[must_use]
    pub fn state(&self) -> TenantState {
        if self.suspended_at.is_some() { TenantState::Suspended } else { TenantState::Active }
    }

    /// Refuses a suspended tenant.
    ///
    /// # Errors
    /// [`Refusal::TenantSuspended`].
    pub fn ensure_active(&self) -> Result<(), Refusal> {
        if self.suspended_at.is_none() { Ok(()) } else { Err(Refusal::TenantSuspended) }
    }
}
