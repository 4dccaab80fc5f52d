//! Notices between the servers on one PostgreSQL (LISTEN and NOTIFY): what one of them changed, the others see at once.
//!
//! They make it quick, not right: a notice may be lost, and then the next look at the table sees the change (ADR 13).

use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;

use super::{DbConnection, DbError, connection, executor};
use crate::config::DatabaseUrl;

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The signing keys.
    SigningKeys,
    /// The servers that run.
    Instances,
    /// Nothing: a server wants to know whether notices arrive.
    Probe,
}

/// The channel that all notices of a database go through.
const CHANNEL: &str = "jeton";

/// How often a connection is asked for notices: it costs a look at a socket.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// For so many looks the first notice is waited for: 5 s, and more on a busy machine.
const PROBE_LOOKS: u32 = 250;

/// The pause before another attempt to connect, which doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// What it doubles up to.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

impl Notice {
    const ALL: [Self; 3] = [Self::SigningKeys, Self::Instances, Self::Probe];

    fn as_str(self) -> &'static str {
        match self {
            Self::SigningKeys => "signing_keys",
            Self::Instances => "instances",
            Self::Probe => "probe",
        }
    }
}

/// Tells every server, once this transaction is committed. A database that knows no notices is left in peace: the
/// savepoint keeps its refusal from the transaction.
pub fn tell(connection: &mut DbConnection, notice: Notice) {
    let DbConnection::Postgres(postgres) = connection else { return };
    if let Err(error) = postgres.transaction(|postgres| send(postgres, notice)) {
        tracing::debug!(%error, "the database passes on no notice");
    }
}

fn send(postgres: &mut PgConnection, notice: Notice) -> QueryResult<usize> {
    diesel::sql_query("SELECT pg_notify($1, $2)")
        .bind::<Text, _>(CHANNEL)
        .bind::<Text, _>(notice.as_str())
        .execute(postgres)
}

/// Hears what the servers tell, on a connection and a thread of its own. Dropped, it ends within a look, or with the
/// attempt to connect that is under way.
pub struct Listener {
    /// Nothing is ever sent: its end is the sign.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Starts to listen; none on SQLite, which one machine looks into often enough.
    ///
    /// `hear` gets each notice and, after a pause in the connection, every possible one: nobody knows what was missed.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(url: &DatabaseUrl, hear: impl Fn(Notice) + Send + 'static) -> Result<Option<Self>, DbError> {
        let DatabaseUrl::Postgres(url) = url.clone() else { return Ok(None) };
        let (stop, stopped) = crossbeam_channel::bounded(0);
        let thread = executor::spawn("db-notices", move || listen(&url, &stopped, &hear))?;
        Ok(Some(Self { stop: Some(stop), thread: Some(thread) }))
    }
}

/// The thread closes its connection before the process may end, as those of the executor do.
impl Drop for Listener {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It panics nowhere, and it is the end of the server.
            drop(thread.join());
        }
    }
}

/// How listening on one connection ended.
enum End {
    /// The server ends.
    Stopped,
    /// The connection broke; another one may do.
    Lost(String),
    /// Notices do not get through here, and never will.
    Deaf,
}

fn listen(url: &str, stopped: &Receiver<()>, hear: &impl Fn(Notice)) {
    let (mut pause, mut proven) = (FIRST_PAUSE, false);
    loop {
        let end = match connection::open_postgres(url) {
            Ok(mut postgres) => {
                pause = FIRST_PAUSE;
                attend(&mut postgres, url, &mut proven, stopped, hear)
            }
            Err(error) => End::Lost(error.to_string()),
        };
        match end {
            End::Stopped => return,
            End::Deaf => {
                tracing::info!("the database passes on no notices: what other servers change is seen a moment later");
                return;
            }
            End::Lost(error) => tracing::debug!(%error, "no connection for notices; it is tried again"),
        }
        if is_over(stopped, pause) {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn attend(
    postgres: &mut PgConnection,
    url: &str,
    proven: &mut bool,
    stopped: &Receiver<()>,
    hear: &impl Fn(Notice),
) -> End {
    if let Err(error) = postgres.batch_execute(&format!("LISTEN {CHANNEL}")) {
        let answers = postgres.batch_execute("SELECT 1").is_ok();
        return if answers && !*proven { End::Deaf } else { End::Lost(error.to_string()) };
    }
    if !*proven && let Err(error) = probe(url) {
        return error;
    }
    Notice::ALL.into_iter().for_each(hear);
    for looks in 0_u32.. {
        for notice in postgres.notifications_iter() {
            match notice {
                Ok(notice) => {
                    *proven = true;
                    Notice::ALL.into_iter().filter(|known| known.as_str() == notice.payload).for_each(hear);
                }
                Err(error) => return End::Lost(error.to_string()),
            }
        }
        if !*proven && looks > PROBE_LOOKS {
            return End::Deaf;
        }
        if is_over(stopped, LOOK_EVERY) {
            break;
        }
    }
    End::Stopped
}

/// Sends a notice from another connection: a pooler that gives every transaction another one would pass on our own.
fn probe(url: &str) -> Result<(), End> {
    let mut other = connection::open_postgres(url).map_err(|error| End::Lost(error.to_string()))?;
    match send(&mut other, Notice::Probe) {
        Ok(_) => Ok(()),
        Err(_) if other.batch_execute("SELECT 1").is_ok() => Err(End::Deaf),
        Err(error) => Err(End::Lost(error.to_string())),
    }
}

/// Waits; true where the server ends.
fn is_over(stopped: &Receiver<()>, wait: Duration) -> bool {
    !matches!(stopped.recv_timeout(wait), Err(RecvTimeoutError::Timeout))
}
