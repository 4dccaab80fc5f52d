//! Table `login_failures`: failed logins that count against an account or a client's address.

use diesel::prelude::*;

use super::DbConnection;
use super::error::inserts;
use super::prepared::Aging;
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

/// Takes the last of these failures back, which was none, unless all of them are forgotten; and its moment, unless
/// there was another one meanwhile. Those that were forgotten and begun anew are later; a clock that is behind makes the
/// first of them earlier.
pub fn take_back(
    connection: &mut DbConnection,
    counter: &Counter,
    failures: Failures,
    before: Timestamp,
) -> QueryResult<()> {
    let one_less = login_failures::count.eq(login_failures::count - 1);
    let row = login_failures::table
        .find((&counter.subject, &counter.device))
        .filter(login_failures::count.gt(0).and(login_failures::first_at.le(failures.first_at)));
    let was_last = row.filter(login_failures::last_at.eq(failures.last_at));
    if diesel::update(was_last).set((one_less, login_failures::last_at.eq(before))).execute(connection)? == 0 {
        diesel::update(row).set(one_less).execute(connection)?;
    }
    Ok(())
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
    Aging { table: "login_failures", key: "subject, device", age: "last_at" }.sweep(connection, before.0, most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DatabaseUrl;
    use crate::db::{Db, DbError, migrations};

    #[tokio::test]
    async fn what_is_taken_back_is_one_failure_and_its_own_moment() {
        let folder = std::env::temp_dir().join(format!("jeton-failures-{}", std::process::id()));
        let db = Db::open(&DatabaseUrl::Sqlite(folder.join("jeton.db")), 1).unwrap();
        db.write_unhurried(migrations::run).await.unwrap();
        let all = |connection: &mut DbConnection| -> QueryResult<()> {
            let counter = Counter { subject: vec![1], device: Vec::new() };
            let failures = |count, last_at| Failures { count, first_at: Timestamp(10), last_at: Timestamp(last_at) };
            let [one, two, three] = [failures(1, 10), failures(2, 20), failures(3, 30)];
            let mut then = |seen, next, taken: Failures, before| {
                forget(connection, &counter)?;
                assert!(replace(connection, &counter, None, seen)?);
                assert!(replace(connection, &counter, Some(seen), next)?);
                take_back(connection, &counter, taken, Timestamp(before))?;
                find(connection, &counter)
            };
            assert_eq!(then(one, two, two, 10)?, Some(one), "the last one, and when it was");
            assert_eq!(then(two, three, two, 10)?, Some(failures(2, 30)), "another one failed meanwhile");
            let later = Failures { count: 1, first_at: Timestamp(40), last_at: Timestamp(40) };
            assert_eq!(then(two, later, two, 10)?, Some(later), "it was forgotten meanwhile");
            Ok(())
        };
        db.write(move |connection| all(connection).map_err(DbError::from)).await.unwrap();
        std::fs::remove_dir_all(folder).unwrap();
    }
}
