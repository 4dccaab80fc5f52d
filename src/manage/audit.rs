//! The audit log, read.

use crate::app::App;
use crate::db::audit;
use crate::domain::audit::{AuditEvent, AuditFilter};
use crate::domain::page::{Page, Paged};
use crate::domain::{Refusal, TenantId};

/// Lists what happened in a tenant.
///
/// # Errors
/// The database does not answer.
pub async fn list(app: &App, tenant: TenantId, filter: AuditFilter, page: Page) -> Result<Paged<AuditEvent>, Refusal> {
    let lines =
        app.db.read(move |connection| audit::list(connection, tenant, &filter, page).map_err(Refusal::from)).await?;
    Ok(page.of(lines, |event| event.id.uuid()))
}
