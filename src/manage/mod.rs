//! Changes to what is stored, each with its rules and its audit row. Every door comes through here.

pub mod api_keys;
pub mod app_identifiers;
pub mod audit;
pub mod audit_checkpoints;
pub mod backup;
pub mod first_start;
pub mod idempotency;
pub mod instances;
pub mod key_groups;
pub mod login_guesses;
pub mod master_keys;
pub mod revocation;
pub mod sessions;
pub mod signing_keys;
pub mod sweep;
pub mod tenants;
pub mod trusted_issuers;
pub mod usage;
pub mod users;

use std::sync::Arc;

use tracing::Instrument as _;

use crate::app::App;
use crate::deadline;
use crate::domain::Refusal;
use crate::domain::audit::AuditEvent;

/// Why an attempt was refused. Of whoever would have given, or taken, more than they hold it is remembered, as
/// `change.refused` (security 25): so it looks when somebody tries to become an administrator.
fn overreach(app: &App, attempt: AuditEvent, refusal: Refusal) -> Refusal {
    if let Refusal::InsufficientScope { scope, .. } = &refusal {
        let details = format!("{} for lack of {scope}", attempt.action);
        let attempt = attempt.outcome(refusal.code()).details(details);
        app.db.record_behind(AuditEvent { action: "change.refused".to_owned(), ..attempt });
    }
    refusal
}

/// Does work to its end, also where whoever asked goes away meanwhile, or the server begins to end: a guess must be
/// counted, though the attacker resets each connection, and a tenant must not stay half deleted.
///
/// # Errors
/// Those of `work`.
pub async fn to_its_end<T: Send + 'static, W>(app: &Arc<App>, work: impl FnOnce(Arc<App>) -> W) -> Result<T, Refusal>
where
    W: Future<Output = Result<T, Refusal>> + Send + 'static,
{
    let work = deadline::carried(work(Arc::clone(app)).in_current_span());
    app.db.spawn(work).await.unwrap_or(Err(Refusal::Internal))
}
