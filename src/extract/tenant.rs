//! `X-Tenant-ID`.

use actix_web::HttpRequest;

use crate::domain::{Refusal, TenantId};

/// The header.
pub const X_TENANT_ID: &str = "x-tenant-id";

/// The tenant that the header names, where it may be absent only if it is not `required`.
///
/// # Errors
/// [`Refusal::TenantRequired`] where it is no UUID, or required and absent.
pub fn tenant(request: &HttpRequest, required: bool) -> Result<Option<TenantId>, Refusal> {
    match named_tenant(request)? {
        None if required => Err(Refusal::TenantRequired(Vec::new())),
        named => Ok(named),
    }
}

/// The tenant that the header names, if it is there.
///
/// # Errors
/// [`Refusal::TenantRequired`] where it is no UUID.
pub fn named_tenant(request: &HttpRequest) -> Result<Option<TenantId>, Refusal> {
    let text = super::header(request.headers(), X_TENANT_ID)?;
    text.map(|text| text.trim().parse().map_err(|_| Refusal::TenantRequired(Vec::new()))).transpose()
}
