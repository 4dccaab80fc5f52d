//! The audit log: read, and checked (ADR 18).

use serde::Serialize;

use crate::app::{App, StartError};
use crate::db::{DbConnection, DbError, audit, audit_chains};
use crate::domain::audit::{AuditEvent, AuditFilter};
use crate::domain::audit_chain::{ChainEnd, ChainFault, ChainedEvent, Link, Signed, Walk};
use crate::domain::page::{Page, Paged};
use crate::domain::{AuditChainId, AuditEventId, Refusal, TenantId, Timestamp};
use crate::manage::audit_checkpoints;
use crate::tokens::checkpoint::Checkpoints;

/// Rows to read at a time.
pub(super) const BATCH: i64 = 500;

/// Lists what happened in a tenant.
///
/// # Errors
/// The database does not answer.
pub async fn list(app: &App, tenant: TenantId, filter: AuditFilter, page: Page) -> Result<Paged<AuditEvent>, Refusal> {
    let lines =
        app.db.read(move |connection| audit::list(connection, tenant, &filter, page).map_err(Refusal::from)).await?;
    Ok(page.of(lines, |event| event.id.uuid()))
}

/// The lines behind this one, of one tenant or of all, the oldest first: some hundreds at a time.
///
/// # Errors
/// The database does not answer.
pub async fn after(app: &App, tenant: Option<TenantId>, last: AuditEventId) -> Result<Vec<ChainedEvent>, Refusal> {
    app.db.read(move |connection| audit::after(connection, tenant, last, BATCH).map_err(Refusal::from)).await
}

/// What a check of the audit log found.
#[derive(Debug, Default, Serialize)]
pub struct Verification {
    /// Chains that were walked over: one for each tenant, and the server's own.
    pub chains: usize,
    /// Lines that are as they were written.
    pub lines: u64,
    /// Checkpoints whose signature and order are right.
    pub checkpoints: usize,
    /// Those of them that are said to be of signing keys which open no more: the next one alone vouches for them.
    pub unreadable: usize,
    /// Lines behind the last checkpoint: somebody who writes to the database could have written them anew.
    pub unsigned: u64,
    /// Lines from before there were chains.
    pub unchained: i64,
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// What cannot be checked any more.
    pub notes: Vec<String>,
}

/// Something wrong with the audit log, and where.
#[derive(Debug, Serialize)]
pub struct Fault {
    /// The chain; none where it is about checkpoints.
    pub chain: Option<AuditChainId>,
    /// What, for people.
    pub detail: String,
}

impl Verification {
    fn fault(&mut self, chain: AuditChainId, fault: &ChainFault) {
        let detail = format!("{}: {fault}", chain.owner());
        self.faults.push(Fault { chain: Some(chain), detail });
    }

    fn fault_of_checkpoints(&mut self, detail: String) {
        self.faults.push(Fault { chain: None, detail });
    }
}

/// Walks over the whole audit log, chain by chain, and tells what was altered, moved, added or taken away. `expected`
/// is the hash of a checkpoint that must be there, as the log of a server has it.
///
/// What is written meanwhile is not looked at: each chain is walked to where it ended when this began, or when some of
/// its lines were forgotten meanwhile.
///
/// # Errors
/// The database does not answer.
pub async fn verify(app: &App, expected: Option<Link>) -> Result<Verification, StartError> {
    let mut found = Verification::default();
    let mut said = Checkpoints::default();
    let mut seen = expected.is_none();
    audit_checkpoints::read_on(app, &mut said, |_, hash| seen |= expected == Some(hash)).await?;
    if !seen {
        found.fault_of_checkpoints("the checkpoint that is to be there is not".to_owned());
    }
    let ends = app.db.read(|connection| audit_chains::list(connection).map_err(DbError::from)).await?;
    let chains: Vec<_> = ends.into_iter().map(|end| (end, said.take(end.chain))).collect();
    for (chain, signed) in said.rest() {
        found.fault(chain, &ChainFault::CutOff { sequence: signed.last().unwrap_or_default() });
    }
    for (end, signed) in chains {
        check(app, &mut found, &mut said, end, signed).await?;
    }
    (found.checkpoints, found.unreadable, found.notes) = (said.vouched_for(), said.unreadable(), said.notes());
    for fault in said.faults() {
        found.fault_of_checkpoints(fault);
    }
    let misplaced = app.db.read(|connection| audit::count_misplaced(connection).map_err(DbError::from)).await?;
    if misplaced > 0 {
        found.fault_of_checkpoints(format!("{misplaced} lines stand where no chain has a line"));
    }
    let since = said.first().unwrap_or(Timestamp::MAX);
    let (all, added) =
        app.db.read(move |connection| audit::count_unchained(connection, since).map_err(DbError::from)).await?;
    found.unchained = all;
    if added > 0 {
        found.fault_of_checkpoints(format!(
            "{added} lines are outside every chain, and later than the first checkpoint"
        ));
    }
    Ok(found)
}

/// Walks over a chain of which this was signed. Where something is wrong it looks again, at what was `said` since: a
/// running server may have forgotten lines for their age, and goes on.
async fn check(
    app: &App,
    found: &mut Verification,
    said: &mut Checkpoints,
    end: ChainEnd,
    signed: Signed,
) -> Result<(), StartError> {
    let chain = end.chain;
    let (mut end, mut now_signed) = (end, signed.clone());
    loop {
        let forgotten = (end.forgotten, now_signed.first_place(chain).sequence);
        let last_signed = now_signed.last().unwrap_or_default();
        let (lines, faults) = walk(app, Walk::begin(end, now_signed), end).await?.finish();
        if !faults.is_empty() {
            audit_checkpoints::read_on(app, said, |_, _| {}).await?;
            now_signed = signed.clone().followed_by(said.of(chain));
            let find =
                move |connection: &mut DbConnection| audit_chains::find(connection, chain).map_err(DbError::from);
            let later = app.db.read(find).await?.unwrap_or(end);
            if later.forgotten > forgotten.0 || now_signed.first_place(chain).sequence > forgotten.1 {
                end = later;
                continue;
            }
        }
        found.chains += 1;
        found.lines += lines;
        found.unsigned += u64::try_from(end.sequence.saturating_sub(last_signed)).unwrap_or_default();
        for fault in &faults {
            found.fault(chain, fault);
        }
        return Ok(());
    }
}

/// Walks on, to where the chain ended.
pub(super) async fn walk(app: &App, mut walk: Walk, end: ChainEnd) -> Result<Walk, DbError> {
    loop {
        let after = walk.sequence();
        let lines = app
            .db
            .read(move |connection| {
                audit::of_chain(connection, end.chain, after, end.sequence, BATCH).map_err(DbError::from)
            })
            .await?;
        if lines.is_empty() {
            return Ok(walk);
        }
        for line in &lines {
            walk.step(line);
        }
    }
}
