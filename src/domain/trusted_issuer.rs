//! Trusted issuers: whose tokens stand for workloads of a tenant, which then need no API key.

use diesel::Queryable;

use super::claim_conditions::ClaimConditions;
use super::issuer_url::IssuerUrl;
use super::status_list::StatusIndex;
use super::{ApiKeyId, Audience, Name, Scopes, TenantId, Timestamp, TrustedIssuerId};

/// An issuer that a tenant trusts with some scopes, for those of its tokens that meet the conditions. It never changes:
/// who wants another one makes it, and deletes this.
#[derive(Clone, Debug, Queryable)]
pub struct TrustedIssuer {
    /// Its id: whom the tokens of its workloads are about.
    pub id: TrustedIssuerId,
    /// The tenant it belongs to.
    pub tenant_id: TenantId,
    /// What people call it.
    pub name: Name,
    /// The `iss` of its tokens.
    pub issuer: IssuerUrl,
    /// What its tokens must have among their `aud`.
    pub audience: Audience,
    /// What else they must say.
    pub conditions: ClaimConditions,
    /// What a workload may do with them.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When a workload used it last, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// The place of its tokens in the status lists.
    pub status_index: StatusIndex,
}

impl TrustedIssuer {
    /// As many as one tenant may have: each may make this server call another one.
    pub const MOST: i64 = 50;

    /// Under which name its requests count against the tenant's limit for each key, in whose place it stands. No key
    /// has it.
    #[must_use]
    pub fn counted_as(&self) -> ApiKeyId {
        self.id.uuid().into()
    }
}
