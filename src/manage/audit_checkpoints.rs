//! Checkpoints of the audit log: signed for what is sound, and for what is forgotten for its age (ADR 18).

use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use super::audit::{BATCH, walk};
use crate::app::{App, StartError};
use crate::db::locks::{self, Lock};
use crate::db::signing_keys::SigningKeyRow;
use crate::db::{DbError, audit, audit_chains, audit_checkpoints, signing_keys};
use crate::domain::audit_chain::{ChainEnd, Checkpoint, Link, SignedPlace, Walk};
use crate::domain::signing_key::KeyState;
use crate::domain::{AuditChainId, AuditEventId};
use crate::tokens::checkpoint::{self, Checkpoints, Signer};
use crate::tokens::signing_key::SigningKey;

/// Reads the checkpoints that came after those which are known; each is shown to `see` with its number and hash.
///
/// # Errors
/// The database does not answer.
pub async fn read_on(app: &App, known: &mut Checkpoints, mut see: impl FnMut(i64, Link)) -> Result<(), StartError> {
    let from_start = known.last().is_none();
    let rows = app.db.read(|connection| signing_keys::list(connection).map_err(DbError::from)).await?;
    let signers: Vec<_> = rows.iter().map(|row| signer(app, row)).collect();
    loop {
        let after = known.last().map_or(0, |(number, _)| number);
        let page = app
            .db
            .read(move |connection| audit_checkpoints::after(connection, after, BATCH).map_err(DbError::from))
            .await?;
        if page.is_empty() {
            return Ok(());
        }
        for (number, token) in page {
            known.add(number, &token, &signers, from_start);
            see(number, Link::of_text(&token));
        }
    }
}

/// A key that may have signed. Where its row was damaged while this server ran it is in memory still.
fn signer(app: &App, row: &SigningKeyRow) -> Signer {
    let (kid, state) = (row.info.kid.clone(), row.info.state);
    let key = match SigningKey::read(row, &app.secrets) {
        Ok(key) => Some(Arc::new(key)),
        // As after the master key was lost: nothing can be done about it, and `jeton audit verify` tells what it signed.
        Err(_) if state == KeyState::Compromised => None,
        Err(error) => {
            tracing::warn!(%error, "what a key signed of the audit log is not vouched for by it");
            app.keyring.keys().shared(&kid).filter(|_| state.is_published())
        }
    };
    Signer { kid, state, key }
}

/// Signs for the ends of all chains that have grown, and forgets what is older than `audit.keep`, as far as both are
/// what was written: what is signed for later must not hide what was altered before.
///
/// # Errors
/// The database does not answer; no key signs.
pub async fn sign_and_forget(app: &App) -> Result<(), StartError> {
    let mut known = app.checkpoints.lock().await;
    let last = read_to_the_last(app, &mut known).await?;
    if last != known.last() || !known.are_sound() {
        tracing::error!("the checkpoints of the audit log are not those that were signed: run `jeton audit verify`");
        return Ok(());
    }
    known.forget_earlier_ends();
    sign_ends(app, &mut known).await?;
    forget_old(app, &mut known).await
}

/// Reads all checkpoints that are new, and answers the last one of all, which is looked at again: another server may
/// add one between the two.
async fn read_to_the_last(app: &App, known: &mut Checkpoints) -> Result<Option<(i64, Link)>, StartError> {
    let mut before = None;
    loop {
        read_on(app, known, |_, _| {}).await?;
        let last = app.db.read(|connection| audit_checkpoints::last(connection).map_err(DbError::from)).await?;
        let last = last.map(|(number, token)| (number, Link::of_text(&token)));
        if last == known.last() || last == before {
            return Ok(last);
        }
        before = last;
    }
}

async fn sign_ends(app: &App, known: &mut Checkpoints) -> Result<(), StartError> {
    let mut after = None;
    loop {
        let grown: Vec<ChainEnd> = app
            .db
            .read(move |connection| audit_chains::unsigned(connection, after, BATCH).map_err(DbError::from))
            .await?;
        let Some(last) = grown.last() else { return Ok(()) };
        // However many are unsound, the others have their turn.
        after = Some(last.chain);
        let mut ends = Vec::new();
        for end in grown {
            let from = known.of(end.chain).last_place(end.chain);
            let (_, faults) = walk(app, Walk::resume(from, end), end).await?.finish();
            if faults.is_empty() && from.sequence <= end.sequence {
                ends.push(end.into());
            } else {
                tell_unsound(end.chain);
            }
        }
        if !ends.is_empty() && !add_checkpoint(app, known, ends, Vec::new()).await? {
            return Ok(());
        }
    }
}

async fn forget_old(app: &App, known: &mut Checkpoints) -> Result<(), StartError> {
    let Some(keep) = app.config.audit.keep else { return Ok(()) };
    let oldest = app.now().plus(-keep);
    let before = AuditEventId::first_of(oldest);
    app.db.write(move |connection| audit::forget_unchained(connection, before).map_err(DbError::from)).await?;
    let mut after = AuditEventId::from(Uuid::nil());
    // Chains of which no more is forgotten this time; nor are lines in no chain.
    let mut stuck = BTreeSet::from([None]);
    loop {
        let page = app
            .db
            .read(move |connection| audit::oldest(connection, after, before, BATCH).map_err(DbError::from))
            .await?;
        if page.is_empty() {
            return Ok(());
        }
        let chains: BTreeSet<_> = page.iter().map(|(_, chain)| *chain).collect();
        let mut forgotten = Vec::new();
        for chain in chains.difference(&stuck).copied().flatten().collect::<Vec<_>>() {
            let signed = known.of(chain);
            let (from, last) = (signed.first_place(chain), signed.last_place(chain));
            let lines = app
                .db
                .read(move |connection| {
                    audit::of_chain(connection, chain, from.sequence, last.sequence, BATCH).map_err(DbError::from)
                })
                .await?;
            let end = ChainEnd { chain, sequence: last.sequence, link: last.link, forgotten: from.sequence };
            let mut walk = Walk::resume(from, end);
            // In the order of the chain, so that one line with a wrong time takes no others with it.
            for line in lines.iter().take_while(|line| line.event.id < before && line.event.at < oldest) {
                walk.step(line);
            }
            match walk.sound_place() {
                Some(place) if place.sequence > from.sequence => {
                    forgotten.push(place);
                    continue;
                }
                Some(_) => {}
                None => tell_unsound(chain),
            }
            stuck.insert(Some(chain));
        }
        // The lines that stay are not looked at again: however many they are, those of others have their turn.
        let stay = page.iter().take_while(|(_, chain)| stuck.contains(chain));
        after = stay.last().map_or(after, |(id, _)| *id);
        if !forgotten.is_empty() && !add_checkpoint(app, known, Vec::new(), forgotten).await? {
            return Ok(());
        }
    }
}

fn tell_unsound(chain: AuditChainId) {
    tracing::error!(%chain, "the audit log is not as it was written: run `jeton audit verify`; nothing is signed for it");
}

/// Signs a checkpoint and keeps it, with what it says; false where another server was first.
async fn add_checkpoint(
    app: &App,
    known: &mut Checkpoints,
    ends: Vec<SignedPlace>,
    forgotten: Vec<SignedPlace>,
) -> Result<bool, StartError> {
    let now = app.now();
    let (number, previous) = known.last().unzip();
    let checkpoint = Checkpoint {
        iss: app.config.server.public_url.issuer().to_owned(),
        iat: now.seconds(),
        number: number.unwrap_or_default().saturating_add(1),
        previous,
        ends,
        forgotten,
    };
    let keys = app.keyring.keys();
    let key = keys.signer(app.config.keys.algorithm, app.config.keys.algorithm, &app.config.algorithms())?;
    let token = checkpoint::sign(key, &checkpoint)?;
    let (number, hash) = (checkpoint.number, Link::of_text(&token));
    let kept = app
        .db
        .write(move |connection| {
            if !locks::take(connection, Lock::Sweep)? {
                return Err(DbError::Conflict);
            }
            audit_checkpoints::insert(connection, checkpoint.number, &token, now)?;
            for place in &checkpoint.ends {
                audit_chains::note_signed(connection, place)?;
            }
            for place in &checkpoint.forgotten {
                if !audit_chains::note_forgotten(connection, place)? {
                    return Err(DbError::Conflict);
                }
                audit::forget(connection, place)?;
            }
            Ok(())
        })
        .await;
    match kept {
        Ok(()) => {}
        Err(DbError::Conflict) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    // A copy that lies elsewhere: `jeton audit verify --checkpoint` asks for it.
    tracing::info!(number, ?hash, "checkpoint of the audit log");
    read_on(app, known, |_, _| {}).await?;
    Ok(true)
}
