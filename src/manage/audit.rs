//! The audit log: read, signed for, checked, and forgotten in time (ADR 18).

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde::Serialize;

use crate::app::{App, StartError};
use crate::db::locks::{self, Lock};
use crate::db::{DbError, audit, audit_chains, audit_checkpoints, signing_keys};
use crate::domain::audit::{AuditEvent, AuditFilter};
use crate::domain::audit_chain::{ChainEnd, ChainFault, ChainedEvent, Checkpoint, Link, Signed, SignedPlace, Walk};
use crate::domain::page::{Page, Paged};
use crate::domain::{AuditChainId, AuditEventId, Refusal, TenantId, Timestamp};
use crate::tokens::checkpoint;
use crate::tokens::signing_key::SigningKey;

/// Rows to read or to forget at a time.
const BATCH: i64 = 500;

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

/// Signs for the ends of all chains that have grown.
///
/// # Errors
/// The database does not answer; no key signs.
pub async fn sign_ends(app: &App) -> Result<(), Refusal> {
    loop {
        let grown: Vec<ChainEnd> =
            app.db.read(|connection| audit_chains::unsigned(connection, BATCH).map_err(Refusal::from)).await?;
        if grown.is_empty()
            || !add_checkpoint(app, grown.into_iter().map(SignedPlace::from).collect(), Vec::new()).await?
        {
            return Ok(());
        }
    }
}

/// Forgets what is older than `audit.keep`. A checkpoint says so, so that what is missing for another reason is found.
///
/// # Errors
/// The database does not answer; no key signs.
pub async fn forget_old(app: &App) -> Result<(), Refusal> {
    let Some(keep) = app.config.audit.keep else { return Ok(()) };
    let before = oldest_id(app.now().plus(-keep));
    app.db.write(move |connection| audit::forget_unchained(connection, before).map_err(Refusal::from)).await?;
    loop {
        let oldest =
            app.db.read(move |connection| audit::oldest(connection, before, BATCH).map_err(Refusal::from)).await?;
        let mut places = BTreeMap::new();
        for ChainedEvent { event, sequence, link } in oldest {
            let chain = AuditChainId::from(event.tenant_id);
            if let (Some(sequence), Some(link)) = (sequence, link) {
                let place = SignedPlace { chain, sequence, link };
                let last = places.entry(chain).or_insert(place);
                if last.sequence < sequence {
                    *last = place;
                }
            }
        }
        if places.is_empty() || !add_checkpoint(app, Vec::new(), places.into_values().collect()).await? {
            return Ok(());
        }
    }
}

/// Signs a checkpoint and keeps it, with what it says; false where another server was first.
async fn add_checkpoint(app: &App, ends: Vec<SignedPlace>, forgotten: Vec<SignedPlace>) -> Result<bool, Refusal> {
    let now = app.now();
    let last = app.db.read(|connection| audit_checkpoints::last(connection).map_err(Refusal::from)).await?;
    let checkpoint = Checkpoint {
        iss: app.config.server.public_url.issuer().to_owned(),
        iat: now.seconds(),
        number: last.as_ref().map_or(1, |(number, _)| number.saturating_add(1)),
        previous: last.as_ref().map(|(_, token)| Link::of_text(token)),
        ends,
        forgotten,
    };
    let keys = app.keyring.keys();
    let key = keys.signer(app.config.keys.algorithm, app.config.keys.algorithm, &app.config.algorithms())?;
    let token = checkpoint::sign(key, &checkpoint)?;
    let kept = app
        .db
        .write(move |connection| {
            if !locks::take(connection, Lock::Sweep)? {
                return Ok(false);
            }
            audit_checkpoints::insert(connection, checkpoint.number, &token, now)?;
            for place in &checkpoint.ends {
                audit_chains::note_signed(connection, place)?;
            }
            for place in &checkpoint.forgotten {
                audit_chains::note_forgotten(connection, place)?;
                audit::forget(connection, place)?;
            }
            Ok(true)
        })
        .await;
    match kept {
        Err(DbError::Conflict) => Ok(false),
        other => Ok(other?),
    }
}

/// The lowest id of a line that is not older than this: ids of version 7 begin with their time (RFC 9562 section 5.7).
fn oldest_id(at: Timestamp) -> AuditEventId {
    uuid::Builder::from_unix_timestamp_millis(at.millis(), &[0; 10]).into_uuid().into()
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
    /// Lines behind the last checkpoint: somebody who writes to the database could have written them anew.
    pub unsigned: u64,
    /// Lines from before there were chains.
    pub unchained: i64,
    /// What is wrong.
    pub faults: Vec<Fault>,
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

/// Walks over the whole audit log, chain by chain, and tells what was altered, moved, added or taken away.
///
/// What is written meanwhile is not looked at: each chain is walked to where it ended when this began.
///
/// # Errors
/// The database does not answer, or a signing key cannot be read.
pub async fn verify(app: &App) -> Result<Verification, StartError> {
    let mut found = Verification::default();
    let (mut signed, first) = read_checkpoints(app, &mut found).await?;
    let ends = app.db.read(|connection| audit_chains::list(connection).map_err(DbError::from)).await?;
    let named = app.db.read(|connection| audit::chains(connection).map_err(DbError::from)).await?;

    for end in &ends {
        let signed = signed.remove(&end.chain).unwrap_or_default();
        let last_signed = signed.last().unwrap_or_default();
        let (lines, faults) = walk(app, *end, signed).await?;
        found.chains += 1;
        found.lines += lines;
        found.unsigned += u64::try_from(end.sequence.saturating_sub(last_signed)).unwrap_or_default();
        for fault in &faults {
            found.fault(end.chain, fault);
        }
    }
    for (chain, signed) in signed {
        found.fault(chain, &ChainFault::CutOff { sequence: signed.last().unwrap_or_default() });
    }
    for chain in named.into_iter().filter(|chain| !ends.iter().any(|end| end.chain == *chain)) {
        // It may have begun since the ends were read.
        let begun = app.db.read(move |connection| audit_chains::find(connection, chain).map_err(DbError::from)).await?;
        if begun.is_none() {
            found.fault(chain, &ChainFault::Altered { sequence: 1 });
        }
    }
    let since = first.unwrap_or(Timestamp::MAX);
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

async fn walk(app: &App, end: ChainEnd, signed: Signed) -> Result<(u64, Vec<ChainFault>), DbError> {
    let (chain, mut after) = (end.chain, end.forgotten);
    let mut walk = Walk::begin(end, signed);
    loop {
        let lines = app
            .db
            .read(move |connection| {
                audit::of_chain(connection, chain, after, end.sequence, BATCH).map_err(DbError::from)
            })
            .await?;
        let Some(last) = lines.last().and_then(|line| line.sequence) else { return Ok(walk.finish()) };
        for line in &lines {
            walk.step(line);
        }
        after = last;
    }
}

/// What the checkpoints say about each chain, and when the first of them was signed.
///
/// Each names the one before it: the last one that a trusted key signed vouches for all before it, even for those of a key that
/// has leaked since. What comes behind that one counts for nothing.
async fn read_checkpoints(
    app: &App,
    found: &mut Verification,
) -> Result<(BTreeMap<AuditChainId, Signed>, Option<Timestamp>), StartError> {
    let rows = app.db.read(|connection| signing_keys::list(connection).map_err(DbError::from)).await?;
    let keys = rows.iter().map(|row| SigningKey::read(row, &app.secrets)).collect::<Result<Vec<_>, _>>()?;
    let mut signed: BTreeMap<AuditChainId, Signed> = BTreeMap::new();
    let mut unvouched: Vec<Checkpoint> = Vec::new();
    let (mut number, mut previous, mut first) = (0, None, None);
    loop {
        let page = app
            .db
            .read(move |connection| audit_checkpoints::after(connection, number, BATCH).map_err(DbError::from))
            .await?;
        if page.is_empty() {
            break;
        }
        for (at, token) in page {
            match checkpoint::read(&keys, &token) {
                Some((said, trusted)) if said.number == at && at == number + 1 && said.previous == previous => {
                    first = first.or_else(|| Some(Timestamp::of_seconds(said.iat).plus(TimeDelta::seconds(1))));
                    unvouched.push(said);
                    if trusted {
                        found.checkpoints += unvouched.len();
                        unvouched.drain(..).for_each(|said| apply(&mut signed, &said));
                    }
                }
                _ => found.fault_of_checkpoints(format!(
                    "checkpoint {at} was altered or added, or the one before it is missing"
                )),
            }
            (number, previous) = (at, Some(Link::of_text(&token)));
        }
    }
    Ok((signed, first))
}

fn apply(signed: &mut BTreeMap<AuditChainId, Signed>, said: &Checkpoint) {
    for place in &said.ends {
        signed.entry(place.chain).or_default().end(place);
    }
    for place in &said.forgotten {
        signed.entry(place.chain).or_default().forget(place);
    }
}
