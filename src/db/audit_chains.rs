//! Table `audit_chains`: where each chain of the audit log ends.

use std::collections::BTreeMap;

use diesel::prelude::*;

use super::DbConnection;
use super::error::{changed_meanwhile, inserts};
use super::prepared::{self, Piece};
use super::schema::audit_chains;
use crate::domain::AuditChainId;
use crate::domain::audit::AuditEvent;
use crate::domain::audit_chain::{ChainEnd, Link, SignedPlace};

columns! {
    /// Where a chain ends.
    END: End = audit_chains { id, sequence, link, forgotten }
}

/// Makes room for lines at the ends of their chains, and says where. They are in the order of their chains.
///
/// The chains' rows are held from here to the end of the transaction, so that their lines are numbered in the order in
/// which they are committed. Hence a transaction records last what it does: whoever waits for a chain has all other
/// rows that it needs.
pub fn extend(connection: &mut DbConnection, events: &[AuditEvent]) -> QueryResult<Vec<ChainEnd>> {
    let mut chains: Vec<AuditChainId> = events.iter().map(|event| event.tenant_id.into()).collect();
    chains.dedup();
    let mut ends = hold(connection, &chains)?;
    if ends.len() < chains.len() {
        chains.iter().filter(|chain| !ends.contains_key(chain)).try_for_each(|chain| begin(connection, *chain))?;
        ends = hold(connection, &chains)?;
    }
    let mut places = Vec::with_capacity(events.len());
    for event in events {
        let end = ends.get_mut(&event.tenant_id.into()).ok_or_else(changed_meanwhile)?;
        end.sequence += 1;
        end.link = end.link.next(end.sequence, event);
        places.push(*end);
    }
    ends.values().try_for_each(|end| note_end(connection, end))?;
    Ok(places)
}

/// Holds the chains that there are of these, in their order: two transactions never wait for each other crosswise. On
/// SQLite whoever writes is alone.
fn hold(connection: &mut DbConnection, chains: &[AuditChainId]) -> QueryResult<BTreeMap<AuditChainId, ChainEnd>> {
    let wanted = || {
        let wanted = audit_chains::table.filter(audit_chains::id.eq_any(chains));
        wanted.select(END).order(audit_chains::id.asc())
    };
    let ends: Vec<ChainEnd> = match connection {
        DbConnection::Sqlite(sqlite) => wanted().load(sqlite)?,
        DbConnection::Postgres(postgres) => wanted().for_no_key_update().load(postgres)?,
    };
    Ok(ends.into_iter().map(|end| (end.chain, end)).collect())
}

/// Writes where a chain that is held ends now.
fn note_end(connection: &mut DbConnection, end: &ChainEnd) -> QueryResult<()> {
    let pieces = [
        Piece::Sql("UPDATE audit_chains SET sequence = "),
        Piece::Number(end.sequence),
        Piece::Sql(", link = "),
        Piece::Bytes(&end.link.0),
        Piece::Sql(" WHERE id = "),
        Piece::Bytes(end.chain.as_bytes()),
    ];
    prepared::execute(connection, &pieces).map(drop)
}

/// Begins a chain, unless somebody else has begun it meanwhile.
fn begin(connection: &mut DbConnection, chain: AuditChainId) -> QueryResult<()> {
    inserts(connection, |connection| {
        diesel::insert_into(audit_chains::table)
            .values((
                audit_chains::id.eq(chain),
                audit_chains::sequence.eq(0),
                audit_chains::link.eq(Link::first(chain)),
                audit_chains::forgotten.eq(0),
                audit_chains::signed.eq(0),
            ))
            .execute(connection)
    })
    .map(drop)
}

/// The end of a chain.
pub fn find(connection: &mut DbConnection, chain: AuditChainId) -> QueryResult<Option<ChainEnd>> {
    audit_chains::table.find(chain).select(END).get_result(connection).optional()
}

/// The ends of all chains.
pub fn list(connection: &mut DbConnection) -> QueryResult<Vec<ChainEnd>> {
    audit_chains::table.select(END).order(audit_chains::id.asc()).load(connection)
}

/// Chains that have grown since their end was signed last, from the first on or behind `after`.
pub fn unsigned(connection: &mut DbConnection, after: Option<AuditChainId>, limit: i64) -> QueryResult<Vec<ChainEnd>> {
    let grown = audit_chains::table
        .filter(audit_chains::signed.lt(audit_chains::sequence))
        .select(END)
        .order(audit_chains::id.asc())
        .limit(limit);
    match after {
        Some(after) => grown.filter(audit_chains::id.gt(after)).load(connection),
        None => grown.load(connection),
    }
}

/// Notes that the end of a chain is signed.
pub fn note_signed(connection: &mut DbConnection, place: &SignedPlace) -> QueryResult<()> {
    diesel::update(audit_chains::table.find(place.chain).filter(audit_chains::signed.lt(place.sequence)))
        .set(audit_chains::signed.eq(place.sequence))
        .execute(connection)
        .map(drop)
}

/// Notes up to where a chain is forgotten; false where it is forgotten further already.
pub fn note_forgotten(connection: &mut DbConnection, place: &SignedPlace) -> QueryResult<bool> {
    diesel::update(audit_chains::table.find(place.chain).filter(audit_chains::forgotten.lt(place.sequence)))
        .set(audit_chains::forgotten.eq(place.sequence))
        .execute(connection)
        .map(|rows| rows == 1)
}
