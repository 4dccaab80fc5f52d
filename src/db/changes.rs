//! Tells without a query whether anything was committed to an SQLite database since a moment, by whichever process.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;

use diesel::connection::SimpleConnection;
use diesel::r2d2::PooledConnection;

use super::DbError;
use super::connection::Manager;

/// The header of the wal-index, <https://sqlite.org/walformat.html#the_wal_index_header>: it says how far the log goes,
/// with a checksum over all of it, and a commit is done when it is written there.
const HEADER: usize = 48;

/// The only version of the wal-index that there ever was, as its first four bytes.
const VERSION: [u8; 4] = 3_007_000_u32.to_ne_bytes();

/// What is committed, as SQLite's own readers see it: before it believes what it has in memory, a connection compares
/// these same bytes.
pub struct Changes {
    /// Never closed: with any of its descriptors of a file a process loses all locks that it has on it, SQLite's own
    /// too.
    index: &'static File,
    /// While one connection is open no process takes the file away and makes another one.
    _open: Mutex<PooledConnection<Manager>>,
}

/// A moment of the database: between two that are equal nothing was committed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Moment([u8; HEADER]);

impl Changes {
    /// Watches the database in this file, which `connection` has open. None where it has no log in shared memory, or
    /// one that we cannot read: then nothing can be told without a query.
    pub fn watch(database: &Path, mut connection: PooledConnection<Manager>) -> Result<Option<Self>, DbError> {
        // The file is there once something was read.
        connection.batch_execute("SELECT 1 FROM sqlite_schema LIMIT 1")?;
        let Ok(path) = database.canonicalize() else { return Ok(None) };
        let mut path = path.into_os_string();
        path.push("-shm");
        let Ok(index) = File::open(path) else { return Ok(None) };
        let changes = Self { index: Box::leak(Box::new(index)), _open: Mutex::new(connection) };
        Ok(changes.now().is_some().then_some(changes))
    }

    /// This moment; none where it cannot be told.
    pub fn now(&self) -> Option<Moment> {
        let mut header = [0; HEADER];
        self.index.read_exact_at(&mut header, 0).ok()?;
        header.starts_with(&VERSION).then_some(Moment(header))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use diesel::r2d2::Pool;

    use super::*;
    use crate::config::DatabaseUrl;

    #[test]
    fn every_commit_makes_another_moment_and_nothing_else_does() {
        let folder = std::env::temp_dir().join(format!("jeton-changes-{}", std::process::id()));
        let file: PathBuf = folder.join("jeton.db");
        let pool = Pool::builder().build_unchecked(Manager::new(DatabaseUrl::Sqlite(file.clone())).unwrap());
        let changes = Changes::watch(&file, pool.get().unwrap()).unwrap().unwrap();
        let (mut writer, mut reader) = (pool.get().unwrap(), pool.get().unwrap());
        let mut changed_by = |statements: &str| {
            let before = changes.now().unwrap();
            writer.batch_execute(statements).unwrap();
            changes.now().unwrap() != before
        };
        assert!(changed_by("CREATE TABLE t (a)"));
        let mut moments = Vec::new();
        for _ in 0..20 {
            assert!(changed_by("INSERT INTO t VALUES (1)"));
            reader.batch_execute("SELECT * FROM t").unwrap();
            assert!(changed_by("BEGIN; UPDATE t SET a = a + 1; COMMIT"));
            assert!(!changed_by("BEGIN; DELETE FROM t; ROLLBACK; SELECT * FROM t"));
            // The log begins anew, and looks as short as it did before.
            changed_by("PRAGMA wal_checkpoint(TRUNCATE)");
            moments.push(changes.now().unwrap().0);
        }
        moments.sort_unstable();
        moments.dedup();
        assert_eq!(moments.len(), 20);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
