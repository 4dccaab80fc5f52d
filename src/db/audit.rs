//! Table `audit_events`.

use diesel::prelude::*;

use super::DbConnection;
use super::schema::audit_events;
use crate::domain::audit::{AuditEvent, AuditFilter};
use crate::domain::page::Page;
use crate::domain::{AuditEventId, TenantId};

/// Adds a line to the audit log, in the transaction of what it tells (security 25).
pub fn record(connection: &mut DbConnection, event: &AuditEvent) -> QueryResult<()> {
    diesel::insert_into(audit_events::table)
        .values((
            audit_events::id.eq(event.id),
            audit_events::at.eq(event.at),
            audit_events::tenant_id.eq(event.tenant_id),
            audit_events::action.eq(&event.action),
            audit_events::outcome.eq(&event.outcome),
            audit_events::actor.eq(&event.actor),
            audit_events::target.eq(&event.target),
            audit_events::ip.eq(&event.ip),
            audit_events::user_agent.eq(&event.user_agent),
            audit_events::request_id.eq(&event.request_id),
            audit_events::details.eq(&event.details),
        ))
        .execute(connection)
        .map(drop)
}

/// The lines of a tenant, newest first.
pub fn list(
    connection: &mut DbConnection,
    tenant: TenantId,
    filter: &AuditFilter,
    page: Page,
) -> QueryResult<Vec<AuditEvent>> {
    let mut lines = audit_events::table
        .filter(audit_events::tenant_id.eq(tenant).and(audit_events::id.lt(page.before::<AuditEventId>())))
        .order(audit_events::id.desc())
        .limit(page.fetch())
        .into_boxed();
    if let Some(action) = &filter.action {
        lines = lines.filter(audit_events::action.eq(action));
    }
    if let Some(actor) = &filter.actor {
        lines = lines.filter(audit_events::actor.eq(actor));
    }
    if let Some(since) = filter.since {
        lines = lines.filter(audit_events::at.ge(since));
    }
    if let Some(until) = filter.until {
        lines = lines.filter(audit_events::at.lt(until));
    }
    lines.load(connection)
}
