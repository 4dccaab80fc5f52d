//! The database: the only way to SQL, on SQLite and PostgreSQL alike.
//!
//! [`Db::read`] and [`Db::write`] are all that the rest of Jeton sees. A table's queries stand in the file of its name.
//!
//! A row that its key names is read with `get_result`, never with `first`: that adds a `LIMIT ?`, for which SQLite
//! compiles the statement anew every time that it is run.

#![expect(clippy::missing_errors_doc, reason = "a query fails where the database does; what else can go wrong is said")]

/// The columns that a type is read from, in its order: as a value to select and as a type.
macro_rules! columns {
    ($(#[$doc:meta])* $visibility:vis $value:ident: $type:ident = $table:ident { $($column:ident),+ $(,)? }) => {
        $(#[$doc])*
        $visibility type $type = ($($table::$column,)+);
        $(#[$doc])*
        $visibility const $value: $type = ($($table::$column,)+);
    };
}

/// Runs a query on the connection of whichever database it is, as if there were no other: of one that runs for every
/// request the text is then put together once, and not each time.
macro_rules! per_backend {
    ($connection:expr, $inner:ident => $query:expr) => {
        match $connection {
            $crate::db::DbConnection::Sqlite($inner) => $query,
            $crate::db::DbConnection::Postgres($inner) => $query,
        }
    };
}

pub mod advances;
pub mod api_keys;
pub mod app_identifiers;
pub mod audit;
mod audit_behind;
pub mod audit_chains;
pub mod audit_checkpoints;
pub mod backup;
mod changes;
mod connection;
pub mod error;
mod executor;
pub mod idempotency;
mod insistence;
pub mod instances;
pub mod key_callers;
pub mod key_groups;
pub mod key_reader;
pub mod large_tenants;
pub mod locks;
pub mod login_failures;
pub mod master_keys;
pub mod memberships;
pub mod migrations;
pub mod notices;
mod prepared;
mod schema;
pub mod secrets;
pub mod sessions;
pub mod signing_keys;
#[cfg(debug_assertions)]
mod statements;
pub mod statuses;
pub mod tenants;
mod together;
pub mod trusted_issuers;
mod types;
pub mod usage;
pub mod users;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::RunQueryDsl;
use diesel::r2d2::Pool;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::config::DatabaseUrl;
use crate::deadline::{self, PATIENCE};
use audit_behind::Behind;
use changes::Changes;
pub use connection::DbConnection;
use connection::Manager;
pub use error::DbError;
use executor::Executor;

/// With less time left nothing is begun: most likely it would be given up, and take others of its group along.
const LEAST: Duration = Duration::from_millis(100);

/// How long a migration may take, once there is a connection.
const UNHURRIED: Duration = Duration::from_hours(1);

/// Connections to PostgreSQL, and threads that use them: each carries one transaction at a time.
const POSTGRES_CONNECTIONS: u32 = 16;

/// When a wait for the database that begins now ends; with too little time left none begins.
fn end_of_wait() -> Result<Instant, DbError> {
    let deadline = deadline::of_wait();
    if Instant::now() + LEAST <= deadline { Ok(deadline) } else { Err(DbError::out_of_time()) }
}

/// A handle to the database; cheap to clone.
#[derive(Clone)]
pub struct Db(Arc<Inner>);

struct Inner {
    pool: Pool<Manager>,
    /// Where writes run, and on PostgreSQL reads too: both wait, for a disk, a lock or the network.
    executor: Executor,
    /// Lines of the audit log that nobody waits for.
    behind: Behind,
    /// The file of an SQLite database, whose reads take microseconds and wait for no one (WAL): they run where they are
    /// asked for.
    file: Option<PathBuf>,
}

/// How busy the database's connections are.
#[derive(Clone, Copy, Debug)]
pub struct DbLoad {
    /// Open connections.
    pub connections: u32,
    /// Those of them that nobody uses.
    pub idle: u32,
    /// Work that waits for a thread.
    pub queued: usize,
    /// Lines of the audit log that nobody waited for and that are lost.
    pub audit_lines_dropped: u64,
}

impl Db {
    /// Opens the database; a SQLite file and its folder are made where there are none.
    ///
    /// # Errors
    /// The file cannot be opened or made, the pool's threads cannot be started, or there is no runtime.
    pub fn open(url: &DatabaseUrl, readers: u32) -> Result<Self, DbError> {
        let file = if let DatabaseUrl::Sqlite(file) = url { Some(file.clone()) } else { None };
        // One writes, and one is open always (`Changes`).
        let connections = if file.is_some() { readers.saturating_add(2) } else { POSTGRES_CONNECTIONS };
        let pool = Pool::builder()
            .max_size(connections)
            // None is opened ahead of need: it might still be opening when the process ends (see `Executor`).
            .min_idle(Some(0))
            .connection_timeout(PATIENCE)
            .test_on_check_out(false)
            .build_unchecked(Manager::new(url.clone())?);
        let executor = if file.is_some() {
            Executor::grouping(pool.clone())?
        } else {
            Executor::parallel(&pool, POSTGRES_CONNECTIONS)?
        };
        Ok(Self(Arc::new(Inner { pool, executor, behind: Behind::new()?, file })))
    }

    /// Runs queries that change nothing, each on what is committed when it begins. It is waited for until the request
    /// must be answered ([`crate::deadline`]).
    ///
    /// # Errors
    /// `E`, from the queries, or made from a [`DbError`] where the database does not answer.
    pub async fn read<T, E>(
        &self,
        queries: impl FnOnce(&mut DbConnection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        if self.0.file.is_some() {
            // It waits for a connection alone: what is told at the deadline can still be read.
            let patience = deadline::of_wait().saturating_duration_since(Instant::now()).max(LEAST);
            let mut connection = self.0.pool.get_timeout(patience).map_err(DbError::from)?;
            return queries(&mut connection);
        }
        self.0.executor.run(executor::Kind::Read, end_of_wait()?, queries).await
    }

    /// Runs queries in one transaction and answers after it is committed and synced.
    /// Whatever error they end with, nothing of what they did remains.
    ///
    /// A caller that goes away does not stop them.
    ///
    /// # Errors
    /// `E`, from the queries, or made from a [`DbError`] where the database does not answer or cannot commit.
    pub async fn write<T, E>(
        &self,
        queries: impl FnOnce(&mut DbConnection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        self.0.executor.run(executor::Kind::Write, end_of_wait()?, queries).await
    }

    /// A [`Db::write`] that may take as long as it needs: a migration.
    ///
    /// # Errors
    /// As [`Db::write`].
    pub async fn write_unhurried<T, E>(
        &self,
        queries: impl FnOnce(&mut DbConnection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        self.0.executor.run(executor::Kind::Write, Instant::now() + UNHURRIED, queries).await
    }

    /// Starts a [`Db::write`] that nobody waits for. While much else waits it is dropped: what a stranger's bad
    /// requests cause never takes the place of what somebody waits for.
    pub fn write_behind(&self, queries: impl FnOnce(&mut DbConnection) -> Result<(), DbError> + Send + 'static) {
        if self.has_room() {
            drop(self.0.executor.run(executor::Kind::Write, Instant::now() + PATIENCE, queries));
        }
    }

    fn has_room(&self) -> bool {
        self.0.executor.queued() < executor::QUEUE / 4
    }

    /// Watches for commits, where they can be seen without a query: on SQLite.
    fn changes(&self) -> Result<Option<Changes>, DbError> {
        let Some(file) = &self.0.file else { return Ok(None) };
        Changes::watch(file, self.0.pool.get_timeout(PATIENCE)?)
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// There is none.
    pub async fn ping(&self) -> Result<(), DbError> {
        self.read(|connection| Ok(diesel::sql_query("SELECT 1").execute(connection).map(drop)?)).await
    }

    /// Begins work that goes on though the worker that began it ends, and for which the process waits (`Db::drain`).
    pub fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        let counted = self.0.executor.counted();
        self.0.behind.runtime().spawn(async move {
            let _counted = counted;
            work.await
        })
    }

    /// The runtime that goes on while those of the workers end.
    fn runtime(&self) -> Handle {
        self.0.behind.runtime().clone()
    }

    /// Waits, for a few seconds at most, until what was begun is finished: before the process ends.
    pub async fn drain(&self) {
        let begun = Instant::now();
        while (self.0.executor.unfinished() > 0 || self.0.behind.is_writing()) && begun.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Whether there is a connection to it. One that broke counts until somebody needs it.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.load().connections > 0
    }

    /// How busy the connections are, for the metrics.
    #[must_use]
    pub fn load(&self) -> DbLoad {
        let state = self.0.pool.state();
        DbLoad {
            connections: state.connections,
            idle: state.idle_connections,
            queued: self.0.executor.queued(),
            audit_lines_dropped: self.0.behind.dropped(),
        }
    }
}
