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

use tracing::Instrument as _;

use crate::deadline;
use crate::domain::Refusal;

/// Does work to its end, also where whoever asked goes away meanwhile: a guess must be counted, though the attacker
/// resets each connection, and a tenant must not stay half deleted.
///
/// # Errors
/// Those of `work`.
pub async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::spawn(deadline::carried(work.in_current_span())).await.unwrap_or(Err(Refusal::Internal))
}
