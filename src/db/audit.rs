//! Table `audit_events`.

use diesel::prelude::*;

use super::DbConnection;
use super::schema::audit_events;
use crate::domain::audit::AuditEvent;

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
