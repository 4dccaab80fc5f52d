//! Connections: one type for both databases, and how each is opened.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::r2d2::{ManageConnection, R2D2Connection};
use diesel::{Connection, ConnectionError, PgConnection, SqliteConnection};

use zeroize::Zeroizing;

use super::DbError;
use crate::config::DatabaseUrl;

/// A connection to either database: every query is written once and runs on both.
#[derive(diesel::MultiConnection)]
pub enum DbConnection {
    /// PostgreSQL, where more than one machine is needed.
    Postgres(PgConnection),
    /// The embedded database.
    Sqlite(SqliteConnection),
}

/// `FULL`: an answer that says "done" is on the disk (security 27). `busy_timeout` bounds the wait for another process
/// while a connection is opened; each write sets its own. A connection forgets the pages that it keeps when another one
/// commits, so that more than 512 KiB of them would be memory alone (ADR 26).
const SQLITE_SETTINGS: &str = "
    PRAGMA busy_timeout = 2000;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA cache_size = -512;
";

/// A statement, or a wait for a lock, that takes longer is given up and rolled back, where no deadline is nearer.
pub const STATEMENT: Duration = Duration::from_secs(2);

/// Opens connections for the pool.
pub struct Manager(DatabaseUrl);

impl Manager {
    /// Prepares to open connections to `url`, and makes a SQLite file where there is none.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn new(url: DatabaseUrl) -> Result<Self, DbError> {
        #[cfg(debug_assertions)]
        super::statements::write_down();
        if let DatabaseUrl::Sqlite(path) = &url {
            make_private_file(path)?;
            turn_on_wal(path)?;
        }
        Ok(Self(url))
    }
}

/// Opens a connection to PostgreSQL.
///
/// # Errors
/// It does not answer, or refuses.
pub fn open_postgres(url: &str) -> Result<PgConnection, ConnectionError> {
    let mut connection = PgConnection::establish(&with_timeouts(url))?;
    connection.batch_execute(&postgres_settings()).map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}

fn postgres_settings() -> String {
    let most = STATEMENT.as_millis();
    format!(
        "SET statement_timeout = {most};
         SET lock_timeout = {most};
         SET idle_in_transaction_session_timeout = '10s';
         SET client_min_messages = 'warning';"
    )
}

/// libpq would wait for ever for a server that does not answer, and for two hours on a connection without a word; what
/// the URL itself says stands.
fn with_timeouts(url: &str) -> Zeroizing<String> {
    let mut url = Zeroizing::new(url.to_owned());
    for (parameter, value) in [("connect_timeout", "2"), ("tcp_user_timeout", "3000"), ("keepalives_idle", "10")] {
        if !url.contains(parameter) {
            let separator = if url.contains('?') { '&' } else { '?' };
            url.extend([separator]);
            url.extend([parameter, "=", value]);
        }
    }
    url
}

/// Makes the file and its folder where there are none, for nobody but the server's own user: SQLite's other files take
/// the mode of this one.
fn make_private_file(path: &Path) -> Result<(), DbError> {
    let failed = |error| DbError::Unavailable(format!("cannot make {}: {error}", path.display()));
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop).map_err(failed)
}

/// Readers wait for no writer (WAL). The mode stays with the file, so it is turned on once, before there are several
/// connections; another process that does the same at this moment is waited for, as SQLite itself would not.
fn turn_on_wal(path: &Path) -> Result<(), DbError> {
    let attempt = || {
        let mut connection = SqliteConnection::establish(&path.to_string_lossy()).map_err(|error| error.to_string())?;
        connection.batch_execute("PRAGMA journal_mode = WAL;").map_err(|error| error.to_string())
    };
    let mut result = attempt();
    for _ in 0..100 {
        if result.is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
        result = attempt();
    }
    result.map_err(|error| DbError::Unavailable(format!("cannot open {}: {error}", path.display())))
}

impl ManageConnection for Manager {
    type Connection = DbConnection;
    type Error = ConnectionError;

    fn connect(&self) -> Result<DbConnection, ConnectionError> {
        match &self.0 {
            DatabaseUrl::Sqlite(path) => {
                let mut connection = SqliteConnection::establish(&path.to_string_lossy())?;
                connection.batch_execute(SQLITE_SETTINGS).map_err(ConnectionError::CouldntSetupConfiguration)?;
                Ok(DbConnection::Sqlite(connection))
            }
            DatabaseUrl::Postgres(url) => open_postgres(url).map(DbConnection::Postgres),
        }
    }

    fn is_valid(&self, connection: &mut DbConnection) -> Result<(), ConnectionError> {
        connection.ping().map_err(ConnectionError::CouldntSetupConfiguration)
    }

    fn has_broken(&self, connection: &mut DbConnection) -> bool {
        std::thread::panicking() || connection.is_broken()
    }
}
