//! Table `login_failures`: failed logins that count against an account or a client's address.

use diesel::prelude::*;

use super::DbConnection;
use super::error::inserts;
use super::schema::login_failures;
use crate::domain::Timestamp;
use crate::domain::login_failures::{Counter, Failures};

/// What was counted, if anything was.
pub fn find(connection: &mut DbConnection, counter: &Counter) -> QueryResult<Option<Failures>> {
    login_failures::table
        .find((&counter.subject, &counter.device))
        .select((login_failures::count, login_failures::first_at, login_failures::last_at))
        .get_result(connection)
        .optional()
}

/// Puts `next` where `seen` was found: one compare-and-set, so that of many who saw the same one succeeds.
pub fn replace(
    connection: &mut DbConnection,
    counter: &Counter,
    seen: Option<Failures>,
    next: Failures,
) -> QueryResult<bool> {
    let Some(seen) = seen else { return insert(connection, counter, next) };
    diesel::update(login_failures::table.find((&counter.subject, &counter.device)))
        .filter(login_failures::count.eq(seen.count))
        .filter(login_failures::first_at.eq(seen.first_at).and(login_failures::last_at.eq(seen.last_at)))
        .set((
            login_failures::count.eq(next.count),
            login_failures::first_at.eq(next.first_at),
            login_failures::last_at.eq(next.last_at),
        ))
        .execute(connection)
        .map(|rows| rows == 1)
}

/// In a savepoint: a row that another server made a moment ago must not spoil the whole transaction.
fn insert(connection: &mut DbConnection, counter: &Counter, failures: Failures) -> QueryResult<bool> {
    inserts(connection, |connection| {
        diesel::insert_into(login_failures::table)
            .values((
                login_failures::subject.eq(&counter.subject),
                login_failures::device.eq(&counter.device),
                login_failures::count.eq(failures.count),
                login_failures::first_at.eq(failures.first_at),
                login_failures::last_at.eq(failures.last_at),
            ))
            .execute(connection)
    })
}

/// Takes one failure back that was none, and the moment of it.
pub fn take_back(connection: &mut DbConnection, counter: &Counter, last_at: Timestamp) -> QueryResult<()> {
    diesel::update(login_failures::table.find((&counter.subject, &counter.device)))
        .filter(login_failures::count.gt(0))
        .set((login_failures::count.eq(login_failures::count - 1), login_failures::last_at.eq(last_at)))
        .execute(connection)
        .map(drop)
}

/// Forgets what was counted.
pub fn forget(connection: &mut DbConnection, counter: &Counter) -> QueryResult<()> {
    diesel::delete(login_failures::table.find((&counter.subject, &counter.device))).execute(connection).map(drop)
}

/// Forgets what was counted for a subject, on all of its devices.
pub fn forget_all(connection: &mut DbConnection, subject: &[u8]) -> QueryResult<()> {
    diesel::delete(login_failures::table.filter(login_failures::subject.eq(subject))).execute(connection).map(drop)
}

/// Forgets up to `most` counters whose last failure was before `before`, the oldest first; answers how many.
pub fn sweep(connection: &mut DbConnection, before: Timestamp, most: i64) -> QueryResult<usize> {
    let old = login_failures::table
        .filter(login_failures::last_at.lt(before))
        .order(login_failures::last_at.asc())
        .select((login_failures::subject, login_failures::device))
        .limit(most)
        .load::<(Vec<u8>, Vec<u8>)>(connection)?;
    for (subject, device) in &old {
        // Unless somebody has failed again meanwhile.
        diesel::delete(login_failures::table.find((subject, device)).filter(login_failures::last_at.lt(before)))
            .execute(connection)?;
    }
    Ok(old.len())
}
