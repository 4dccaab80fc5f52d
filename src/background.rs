//! What runs by the clock beside the requests, from the start of the server to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::app::{App, StartError};
use crate::manage;

/// How often what is counted in memory is written.
const FLUSH_EVERY: Duration = Duration::from_secs(5);

/// How often the signing keys in memory are compared with the database: a key that was revoked on another server is
/// forgotten within a second.
const RELOAD_EVERY: Duration = Duration::from_millis(500);

/// How often it is looked whether a signing key is to go on in its life. A piece of its own, for to make a key takes time.
const ADVANCE_EVERY: Duration = Duration::from_millis(500);

/// How often what has ended is forgotten.
const SWEEP_EVERY: Duration = Duration::from_mins(10);

/// The background work of a server. Each piece has its own time: a long sweep holds up no heartbeat.
pub struct Background {
    app: Arc<App>,
    stop: watch::Sender<bool>,
    /// What must not be interrupted.
    whole: [JoinHandle<()>; 2],
    others: [JoinHandle<()>; 3],
}

impl Background {
    /// Starts it.
    #[must_use]
    pub fn start(app: &Arc<App>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let run = |every, work| tokio::spawn(repeat(Arc::clone(app), every, stopped.clone(), work));
        Self {
            app: Arc::clone(app),
            whole: [run(FLUSH_EVERY, Work::Flush), run(manage::instances::HEARTBEAT_EVERY, Work::Heartbeat)],
            others: [run(RELOAD_EVERY, Work::Reload), run(ADVANCE_EVERY, Work::Advance), run(SWEEP_EVERY, Work::Sweep)],
            stop,
        }
    }

    /// Ends it after the last request. A flush is never interrupted, for nobody could say then what of it is written; what
    /// it leaves is written now. Nor is a heartbeat, which could come after the goodbye.
    pub async fn stop(self) {
        self.others.iter().for_each(JoinHandle::abort);
        let _ = self.stop.send(true);
        for work in self.whole {
            let _ = work.await;
        }
        if let Err(error) = self.app.usage.flush(&self.app.db).await {
            tracing::warn!(%error, "the last uses of some API keys are lost");
        }
        if let Err(error) = manage::instances::leave(&self.app).await {
            tracing::warn!(%error, "the other servers notice only later that this one is gone");
        }
    }
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
            Self::Sweep => manage::sweep::sweep(app).await.map_err(StartError::from),
        }
    }
}

/// Does a piece of work by the clock. What fails is tried again at the next turn; turns that were missed while the process
/// was stopped are not made up for. A failure is told when it begins, not at every turn.
async fn repeat(app: Arc<App>, every: Duration, mut stopped: watch::Receiver<bool>, work: Work) {
    let mut turns = tokio::time::interval(every);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        tokio::select! {
            _ = turns.tick() => {}
            _ = stopped.changed() => return,
        }
        let done = work.once(&app).await;
        match &done {
            Err(error) if !failing => tracing::warn!(%error, ?work, "background work failed; it is tried again"),
            Ok(()) if failing => tracing::info!(?work, "background work goes on"),
            _ => {}
        }
        failing = done.is_err();
    }
}
