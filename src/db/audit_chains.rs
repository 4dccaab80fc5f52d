//! Table `audit_chains`: where each chain of the audit log ends.

use diesel::prelude::*;

use super::DbConnection;
use super::error::{changed_meanwhile, inserts};
use super::schema::audit_chains;
use crate::domain::AuditChainId;
use crate::domain::audit::AuditEvent;
use crate::domain::audit_chain::{ChainEnd, Link, SignedPlace};

columns! {
    /// Where a chain ends.
    END: End = audit_chains { id, sequence, link, forgotten }
}

/// Makes room for a line at the end of its chain, and says where.
///
/// The chain's row is held from here to the end of the transaction, so that its lines are numbered in the order in
/// which they are committed. Hence a transaction records last what it does: whoever waits for a chain has all other
/// rows that it needs.
pub fn extend(connection: &mut DbConnection, event: &AuditEvent) -> QueryResult<ChainEnd> {
    let chain = event.tenant_id.into();
    let held = if let Some(end) = hold(connection, chain)? {
        end
    } else {
        begin(connection, chain)?;
        hold(connection, chain)?.ok_or_else(changed_meanwhile)?
    };
    let end = ChainEnd { link: held.link.next(held.sequence, event), ..held };
    diesel::update(audit_chains::table.find(chain)).set(audit_chains::link.eq(end.link)).execute(connection)?;
    Ok(end)
}

/// Counts one more line; the link is still the one before it.
fn hold(connection: &mut DbConnection, chain: AuditChainId) -> QueryResult<Option<ChainEnd>> {
    diesel::update(audit_chains::table.find(chain))
        .set(audit_chains::sequence.eq(audit_chains::sequence + 1))
        .returning(END)
        .get_result(connection)
        .optional()
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
