//! `/api/v1/tenants/{tenant_id}/audit-events` (contract section 4.6).

use actix_web::Responder;
use actix_web::web::{Data, Json as Answer};

use crate::app::App;
use crate::domain::audit::AuditEvent;
use crate::domain::page::Paged;
use crate::domain::{Refusal, TenantId, Timestamp};
use crate::extract::Then;
use crate::extract::principal::{InTenant, ReadAudit};
use crate::extract::query::AuditQuery;
use crate::manage;

/// Lists what happened in the tenant.
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant_id}/audit-events", operation_id = "list_audit_events", tag = "audit",
    security(("bearer" = [])),
    params(
        ("tenant_id" = TenantId, Path),
        ("action" = Option<String>, Query), ("actor" = Option<String>, Query),
        ("since" = Option<Timestamp>, Query), ("until" = Option<Timestamp>, Query),
        ("limit" = Option<u8>, Query, minimum = 1, maximum = 100), ("cursor" = Option<String>, Query, min_length = 1)
    ),
    responses((status = 200, description = "Events, newest first", body = Paged<AuditEvent>))
)]
pub async fn list(
    app: Data<App>,
    Then(caller, query): Then<InTenant<ReadAudit>, AuditQuery>,
) -> Result<impl Responder, Refusal> {
    Ok(Answer(manage::audit::list(&app, caller.tenant, query.filter, query.page).await?))
}
