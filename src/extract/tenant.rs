//! `X-Tenant-ID`.

use actix_web::HttpRequest;

use crate::domain::{Refusal, TenantId};

/// The header.
pub const X_TENANT_ID: &str = "x-tenant-id";

/// The tenant that the header names, if it is there.
///
/// # Errors
/// [`Refusal::TenantRequired`] where it is no UUID.
pub fn named_tenant(request: &HttpRequest) -> Result<Option<TenantId>, Refusal> {
    let text = super::header(request.headers(), X_TENANT_ID)?;
    text.map(|text| text.trim().parse().map_err(|_| Refusal::TenantRequired(Vec::new()))).transpose()
}
