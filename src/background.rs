//! What runs by the clock beside the requests, from the start of the server to its end.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::app::{App, StartError};
use crate::db::DbError;
use crate::db::notices::{Listener, Notice};
use crate::domain::Refusal;
use crate::manage;

/// How often what is counted in memory is written.
const FLUSH_EVERY: Duration = Duration::from_secs(5);

/// How often the signing keys in memory are compared with the database, so that a key that was revoked on another
/// server is forgotten within a second even where no notice of it comes; and how often it is looked whether one is to
/// go on in its life. These are two pieces of work, for to make a key takes time.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often what has ended is forgotten.
const SWEEP_EVERY: Duration = Duration::from_mins(10);

/// The background work of a server. Each piece has its own time: a long sweep holds up no heartbeat.
pub struct Background {
    app: Arc<App>,
    listener: Option<Listener>,
    stop: watch::Sender<bool>,
    /// What must not be interrupted.
    whole: [JoinHandle<()>; 2],
    others: [JoinHandle<()>; 3],
}

impl Background {
    /// Starts it. A notice of another server brings the turn of the work that it is about forward.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(app: &Arc<App>) -> Result<Self, DbError> {
        let (stop, stopped) = watch::channel(false);
        let [reload, heartbeat] = [(); 2].map(|()| Arc::new(Notify::new()));
        let run = |every, work, called: &Arc<Notify>| {
            tokio::spawn(repeat(Arc::clone(app), every, Arc::clone(called), stopped.clone(), work))
        };
        let (never, look_every) = (Arc::default(), look_every());
        Ok(Self {
            app: Arc::clone(app),
            whole: [
                run(FLUSH_EVERY, Work::Flush, &never),
                run(manage::instances::HEARTBEAT_EVERY, Work::Heartbeat, &heartbeat),
            ],
            others: [
                run(look_every, Work::Reload, &reload),
                run(look_every, Work::Advance, &never),
                run(SWEEP_EVERY, Work::Sweep, &never),
            ],
            listener: Listener::start(&app.config.database.url, move |notice| match notice {
                Notice::SigningKeys => reload.notify_one(),
                Notice::Instances => heartbeat.notify_one(),
                Notice::Probe => {}
            })?,
            stop,
        })
    }

    /// Ends it after the last request. A flush is never interrupted, for nobody could say then what of it is written;
    /// what it leaves is written now. Nor is a heartbeat, which could come after the goodbye.
    pub async fn stop(self) {
        self.others.iter().for_each(JoinHandle::abort);
        let _ = self.stop.send(true);
        for work in self.whole {
            let _ = work.await;
        }
        // It may have to wait for an attempt to connect.
        let _ = tokio::task::spawn_blocking(move || drop(self.listener)).await;
        if let Err(error) = self.app.usage.flush(&self.app.db).await {
            tracing::warn!(%error, "the last uses of some API keys are lost");
        }
        if let Err(error) = manage::instances::leave(&self.app).await {
            tracing::warn!(%error, "the other servers notice only later that this one is gone");
        }
    }
}

/// [`LOOK_EVERY`], or what a test of a debug build wants, in milliseconds.
fn look_every() -> Duration {
    #[cfg(debug_assertions)]
    if let Some(milliseconds) = std::env::var("JETON_TEST_LOOK_EVERY").ok().and_then(|text| text.parse().ok()) {
        return Duration::from_millis(milliseconds);
    }
    LOOK_EVERY
}

#[derive(Clone, Copy, Debug)]
enum Work {
    Flush,
    Heartbeat,
    Reload,
    Advance,
    Sweep,
}

impl Work {
    async fn once(self, app: &App) -> Result<(), StartError> {
        match self {
            Self::Flush => app.usage.flush(&app.db).await.map_err(StartError::from),
            Self::Heartbeat => manage::instances::join(app).await.map_err(StartError::from),
            Self::Reload => manage::signing_keys::reload(app).await,
            Self::Advance => manage::signing_keys::advance(app).await,
            Self::Sweep => manage::sweep::sweep(app).await,
        }
    }
}

/// Does a piece of work by the clock, and when it is called. What fails is tried again at the next turn; turns that
/// were missed while the process was stopped are not made up for. A failure is told when it begins, not at every turn.
async fn repeat(app: Arc<App>, every: Duration, called: Arc<Notify>, mut stopped: watch::Receiver<bool>, work: Work) {
    let mut turns = tokio::time::interval(every);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        tokio::select! {
            _ = turns.tick() => {}
            () = called.notified() => {}
            _ = stopped.changed() => return,
        }
        // A panic is a failure like any other: the work would never be done again.
        let done = AssertUnwindSafe(work.once(&app)).catch_unwind().await.unwrap_or(Err(Refusal::Internal.into()));
        match &done {
            Err(error) if !failing => tracing::warn!(%error, ?work, "background work failed; it is tried again"),
            Ok(()) if failing => tracing::info!(?work, "background work goes on"),
            _ => {}
        }
        failing = done.is_err();
    }
}
