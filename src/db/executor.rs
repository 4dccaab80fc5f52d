//! Threads that wait for the database so that no actix worker has to.
//!
//! On SQLite one thread writes: it takes whatever has queued up, runs it in one transaction, each piece in a savepoint
//! of its own, and answers after the one commit. On PostgreSQL several threads carry one transaction each.

use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::r2d2::{Pool, PooledConnection};
use diesel::{Connection, QueryResult};
use tokio::sync::oneshot;

use super::connection::{Manager, STATEMENT};
use super::{DbConnection, DbError};

/// Work that waits for a thread; beyond it callers are told at once to come back.
pub const QUEUE: usize = 4_096;

/// Pieces of work that share a commit at most: bounds how long the first of them waits.
const GROUP: usize = 256;

/// The longest wait for a connection, however patient the work itself is: a database that is away is told of soon.
const CONNECT: Duration = Duration::from_millis(2_500);

/// The longest wait for another process's write on SQLite.
const LOCK: Duration = Duration::from_secs(30);

/// Whether work needs a transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It changes nothing.
    Read,
    /// It is committed whole, or leaves nothing behind.
    Write,
}

/// The queue and the threads behind it.
pub struct Executor {
    /// There until the end.
    queue: Option<Sender<Queued>>,
    threads: Vec<JoinHandle<()>>,
    /// Work that is queued or under way.
    unfinished: Arc<AtomicUsize>,
}

struct Queued {
    kind: Kind,
    deadline: Instant,
    turn: Turn,
    job: Box<dyn Job>,
    _counted: Counted,
}

/// Who decides whether a write happens: the thread, once it is about to commit, or the one who waits, once it is tired
/// of waiting. Whoever is first: so that what is answered "unavailable" has not happened, and never will.
#[derive(Clone, Default)]
struct Turn(Arc<AtomicBool>);

impl Turn {
    /// Takes the decision; false where the other side has it.
    fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// Counts a piece of work for as long as it lives.
pub struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(unfinished: &Arc<AtomicUsize>) -> Self {
        unfinished.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(unfinished))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Work of any result type.
trait Job: Send {
    /// Does the work and keeps its result; `Err` asks for a rollback of what it did.
    fn run(&mut self, connection: &mut DbConnection) -> Result<(), RolledBack>;

    /// Hands the result to whoever waits for it, or the reason why there is none.
    fn answer(self: Box<Self>, end: Result<(), DbError>);
}

/// A piece of work ended with an error of its own, which it keeps.
struct RolledBack;

impl From<diesel::result::Error> for RolledBack {
    fn from(_: diesel::result::Error) -> Self {
        Self
    }
}

struct Task<F, T, E> {
    queries: Option<F>,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl Executor {
    /// One thread that commits what has queued up in one transaction: for SQLite, which has one writer anyway.
    pub fn grouping(pool: Pool<Manager>) -> Result<Self, DbError> {
        let (sender, queue) = crossbeam_channel::bounded(QUEUE);
        let writer = spawn("db-writer", move || {
            while let Ok(first) = queue.recv() {
                let group = std::iter::once(first).chain(queue.try_iter().take(GROUP - 1)).collect();
                run_group(&pool, group);
            }
        })?;
        Ok(Self { queue: Some(sender), threads: vec![writer], unfinished: Arc::default() })
    }

    /// `threads` threads with a transaction each: for PostgreSQL, where waiting is mostly for round trips.
    pub fn parallel(pool: &Pool<Manager>, threads: u32) -> Result<Self, DbError> {
        let (sender, queue): (_, Receiver<Queued>) = crossbeam_channel::bounded(QUEUE);
        let start = |number| {
            let (pool, queue) = (pool.clone(), queue.clone());
            spawn(&format!("db-{number}"), move || {
                for queued in queue {
                    run_one(&pool, queued);
                }
            })
        };
        let threads = (0..threads).map(start).collect::<Result<_, _>>()?;
        Ok(Self { queue: Some(sender), threads, unfinished: Arc::default() })
    }

    /// Queues work at once; the future has its result, by `deadline` at the latest, unless it is being committed just
    /// then. Dropping the future does not stop the work.
    pub fn run<F, T, E>(
        &self,
        kind: Kind,
        deadline: Instant,
        queries: F,
    ) -> impl Future<Output = Result<T, E>> + use<F, T, E>
    where
        F: FnOnce(&mut DbConnection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Task { queries: Some(queries), result: None, reply });
        let turn = Turn::default();
        let entry = Queued { kind, deadline, turn: turn.clone(), job, _counted: self.counted() };
        let queued = self.queue.as_ref().is_some_and(|queue| queue.try_send(entry).is_ok());
        let dropped = |_| Err(DbError::Fault("the work was dropped".to_owned()).into());
        async move {
            let mut answer = answer;
            if !queued {
                return Err(DbError::Overloaded.into());
            }
            match tokio::time::timeout_at(deadline.into(), &mut answer).await {
                Ok(result) => result.unwrap_or_else(dropped),
                Err(_) if turn.take() => Err(DbError::out_of_time().into()),
                // It is being committed: only the outcome can be told.
                Err(_) => answer.await.unwrap_or_else(dropped),
            }
        }
    }

    /// Counts as work that is under way for as long as it lives.
    pub fn counted(&self) -> Counted {
        Counted::new(&self.unfinished)
    }

    /// Work that is queued or under way.
    pub fn unfinished(&self) -> usize {
        self.unfinished.load(Ordering::Relaxed)
    }

    /// Work that waits for a thread.
    pub fn queued(&self) -> usize {
        self.queue.as_ref().map_or(0, Sender::len)
    }
}

/// The threads finish what is queued, and close their connections, before the process may end: OpenSSL clears up at its
/// exit, and a thread that speaks TLS meanwhile would bring it down with a signal after all was done.
impl Drop for Executor {
    fn drop(&mut self) {
        self.queue = None;
        let this = std::thread::current().id();
        for thread in self.threads.drain(..).filter(|thread| thread.thread().id() != this) {
            // A thread catches every panic of the work that it is given.
            drop(thread.join());
        }
    }
}

/// Starts a thread that waits for the database.
pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, DbError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|error| DbError::Fault(format!("cannot start a thread: {error}")))
}

/// Runs all of `group` in one transaction. Each has a savepoint, so that one that fails takes no neighbour with it.
fn run_group(pool: &Pool<Manager>, mut group: Vec<Queued>) {
    let mut why = DbError::Overloaded;
    loop {
        let now = Instant::now();
        let (in_time, late): (Vec<_>, Vec<_>) = group.into_iter().partition(|queued| now < queued.deadline);
        answer_all(late, || Err(why.clone()));
        group = in_time;
        let Some(first) = group.iter().map(|queued| queued.deadline).min() else { return };
        match connect(pool, first).and_then(|mut connection| begin(&mut connection, first).map(|()| connection)) {
            Ok(mut connection) => {
                let end = finish(&mut connection, |connection| {
                    group.iter_mut().try_for_each(|queued| run_in_savepoint(queued, connection))
                });
                return answer_all(group, || end.clone());
            }
            // The first of them has waited as long as it may. The others wait on.
            Err(error) if first <= Instant::now() => why = error,
            Err(error) => return answer_all(group, || Err(error.clone())),
        }
    }
}

/// Runs one piece of a group. It keeps its own error; its savepoint is gone, and the group goes on.
///
/// Unless the database has rolled back the whole group by itself, as SQLite does on a full disk: the next piece would
/// begin a transaction of its own and be committed while its neighbours are not. Then the group ends here.
fn run_in_savepoint(queued: &mut Queued, connection: &mut DbConnection) -> QueryResult<()> {
    // From here on it is committed with its group.
    if !queued.turn.take() {
        return Ok(());
    }
    let _: Result<(), RolledBack> = connection.transaction(|connection| run_caught(queued.job.as_mut(), connection));
    if depth(connection) == Some(1) { Ok(()) } else { Err(diesel::result::Error::BrokenTransactionManager) }
}

fn answer_all(group: Vec<Queued>, end: impl Fn() -> Result<(), DbError>) {
    for queued in group {
        queued.job.answer(end());
    }
}

/// Runs one piece of work by itself.
fn run_one(pool: &Pool<Manager>, mut queued: Queued) {
    if queued.deadline <= Instant::now() {
        return queued.job.answer(Err(DbError::Overloaded));
    }
    let end = connect(pool, queued.deadline).and_then(|mut connection| {
        let connection: &mut DbConnection = &mut connection;
        let job = queued.job.as_mut();
        match queued.kind {
            Kind::Read => {
                // The piece keeps its own error, and there is nothing to roll back. But diesel does not notice a
                // connection that broke while a statement was prepared, and the pool would give it out again and
                // again: another word to it, and diesel knows.
                if run_caught(job, connection).is_err() {
                    let _ = connection.batch_execute("SELECT 1");
                }
                Ok(())
            }
            Kind::Write => begin(connection, queued.deadline).and_then(|()| commit_one(job, &queued.turn, connection)),
        }
    });
    queued.job.answer(end);
}

fn commit_one(job: &mut dyn Job, turn: &Turn, connection: &mut DbConnection) -> Result<(), DbError> {
    let mut own_error = false;
    let end = finish(connection, |connection| {
        let done = run_caught(job, connection);
        own_error = done.is_err();
        if done.is_ok() && turn.take() { Ok(()) } else { Err(diesel::result::Error::RollbackTransaction) }
    });
    if own_error { Ok(()) } else { end }
}

fn connect(pool: &Pool<Manager>, deadline: Instant) -> Result<PooledConnection<Manager>, DbError> {
    let patience = deadline.saturating_duration_since(Instant::now());
    Ok(pool.get_timeout(patience.min(CONNECT))?)
}

/// Begins a transaction in which no wait for a lock outlasts `deadline` by much.
///
/// SQLite's write lock is taken here: a transaction that reads first and writes later could not wait for it. PostgreSQL
/// is told in the same journey where its usual bound would be too long.
fn begin(connection: &mut DbConnection, deadline: Instant) -> Result<(), DbError> {
    let patience = deadline.saturating_duration_since(Instant::now());
    // The next whole one: none at all would be no bound to PostgreSQL.
    let milliseconds = patience.min(LOCK).as_millis() + 1;
    match connection {
        DbConnection::Sqlite(sqlite) => {
            sqlite.batch_execute(&format!("PRAGMA busy_timeout = {milliseconds}"))?;
            AnsiTransactionManager::begin_transaction_sql(sqlite, "BEGIN IMMEDIATE")?;
        }
        DbConnection::Postgres(postgres) if patience < STATEMENT => {
            let begin = format!("BEGIN; SET LOCAL statement_timeout = {milliseconds}");
            AnsiTransactionManager::begin_transaction_sql(postgres, &begin)?;
        }
        DbConnection::Postgres(_) => DbConnection::begin_transaction(connection)?,
    }
    Ok(())
}

/// Does the work of a transaction that was begun, and ends it.
fn finish(
    connection: &mut DbConnection,
    work: impl FnOnce(&mut DbConnection) -> QueryResult<()>,
) -> Result<(), DbError> {
    let end = work(connection).and_then(|()| DbConnection::commit_transaction(connection));
    while end.is_err() && depth(connection).is_some() {
        // What cannot be rolled back either is a connection that the pool throws away.
        if DbConnection::rollback_transaction(connection).is_err() {
            break;
        }
    }
    Ok(end?)
}

/// How many transactions and savepoints are open; none where the connection is broken.
fn depth(connection: &mut DbConnection) -> Option<u32> {
    let status = DbConnection::transaction_manager_status_mut(connection);
    status.transaction_depth().ok().flatten().map(NonZeroU32::get)
}

/// A panic in one piece of work must not end the thread that all others wait for.
fn run_caught(job: &mut dyn Job, connection: &mut DbConnection) -> Result<(), RolledBack> {
    catch_unwind(AssertUnwindSafe(|| job.run(connection))).unwrap_or(Err(RolledBack))
}

impl<F, T, E> Job for Task<F, T, E>
where
    F: FnOnce(&mut DbConnection) -> Result<T, E> + Send,
    T: Send,
    E: From<DbError> + Send,
{
    fn run(&mut self, connection: &mut DbConnection) -> Result<(), RolledBack> {
        let queries = self.queries.take().ok_or(RolledBack)?;
        let result = self.result.insert(queries(connection));
        result.as_ref().map(drop).map_err(|_| RolledBack)
    }

    fn answer(self: Box<Self>, end: Result<(), DbError>) {
        let result = match (end, self.result) {
            // An error of its own stands, whatever became of the others' commit.
            (_, Some(Err(error))) => Err(error),
            (Ok(()), Some(Ok(value))) => Ok(value),
            (Ok(()), None) => Err(DbError::Fault("the work panicked".to_owned()).into()),
            (Err(error), _) => Err(error.into()),
        };
        // Whoever waited may have gone away.
        drop(self.reply.send(result));
    }
}
