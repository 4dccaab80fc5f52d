//! The servers on one database count each other, so that each lets through its share of a rate limit (ADR 6), and tell
//! which master key they have (ADR 12).

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use chrono::TimeDelta;
use serde::Serialize;

use crate::app::App;
use crate::db::instances::{self, Instance};
use crate::db::notices::{self, Notice};
use crate::db::{Db, DbConnection, DbError};
use crate::domain::{InstanceId, Timestamp};
use crate::tokens::master_key_file;
use crate::tokens::secret_box::fingerprint;

/// How often the other servers are told that this one runs.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(2);

/// A server that was not seen for so long no longer counts. It is a few heartbeats, and some seconds by which the
/// clocks of two machines may differ.
const ALIVE: TimeDelta = TimeDelta::seconds(4 * HEARTBEAT_EVERY.as_secs().cast_signed());

/// For how long one that was not seen is remembered.
const REMEMBERED: TimeDelta = TimeDelta::minutes(1);

/// A server that runs, as people see it.
#[derive(Clone, Debug, Serialize)]
pub struct Server {
    /// Which one.
    pub id: InstanceId,
    /// Its machine and address.
    pub name: Option<String>,
    /// When it was last seen.
    pub seen_at: Timestamp,
    /// The fingerprint of the master key that it would start with now; none where it cannot tell.
    pub master_key: Option<String>,
}

impl From<Instance> for Server {
    fn from(Instance { id, name, seen_at, master_key }: Instance) -> Self {
        Self { id, name, seen_at, master_key }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (seen at {})", self.name.as_deref().unwrap_or("a server without a name"), self.seen_at)
    }
}

/// Tells the other servers that this one runs, and counts them: at the start, and every few seconds from then on.
///
/// # Errors
/// The database does not answer; the limits stay shared as they are.
pub async fn join(app: &App) -> Result<(), DbError> {
    let keys = app.config.keys.clone();
    // A file, so not here. It is read anew: one that was replaced is the one of the next start.
    let key = tokio::task::spawn_blocking(move || master_key_file::configured(&keys).ok()).await.ok().flatten();
    let server = Instance {
        id: app.instance,
        seen_at: app.now(),
        name: Some(name(app)),
        master_key: key.as_ref().map(fingerprint),
    };
    app.limits.set_servers(heartbeat(&app.db, server).await?);
    Ok(())
}

/// Tells the other servers that this one ends.
///
/// # Errors
/// The database does not answer; the others notice after a few seconds.
pub async fn leave(app: &App) -> Result<(), DbError> {
    let id = app.instance;
    let leave = move |connection: &mut DbConnection| {
        instances::delete(connection, id)?;
        notices::tell(connection, Notice::Instances);
        Ok::<_, DbError>(())
    };
    app.db.write(leave).await
}

/// Its machine, where that has a name, and its address.
fn name(app: &App) -> String {
    let bind = app.config.server.bind;
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match machine.trim() {
        "" => bind.to_string(),
        machine => format!("{machine} {bind}"),
    }
}

async fn heartbeat(db: &Db, server: Instance) -> Result<NonZeroU32, DbError> {
    let now = server.seen_at;
    let count = db
        .write(move |connection| {
            if instances::note(connection, &server)? {
                notices::tell(connection, Notice::Instances);
            }
            instances::forget_unseen(connection, now.plus(-REMEMBERED))?;
            instances::count_seen(connection, now.plus(-ALIVE), now.plus(ALIVE)).map_err(DbError::from)
        })
        .await?;
    Ok(u32::try_from(count).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DatabaseUrl;
    use crate::db::migrations;

    #[tokio::test]
    async fn servers_count_those_that_were_seen_of_late() {
        let folder = std::env::temp_dir().join(format!("jeton-instances-{}", std::process::id()));
        let db = Db::open(&DatabaseUrl::Sqlite(folder.join("jeton.db")), 1).unwrap();
        db.write_unhurried(migrations::run).await.unwrap();
        let [one, two] = [1, 2].map(|number| InstanceId::from(uuid::Uuid::from_u128(number)));
        let seen = async |id, seconds| {
            let now = Timestamp(1_800_000_000_000_000).plus(TimeDelta::seconds(seconds));
            let server = Instance { id, seen_at: now, name: None, master_key: None };
            heartbeat(&db, server).await.unwrap().get()
        };

        assert_eq!(seen(one, 0).await, 1);
        assert_eq!(seen(one, 2).await, 1, "itself, once");
        assert_eq!(seen(two, 4).await, 2);
        // A clock that is some seconds ahead or behind changes nothing.
        for second in 2..20 {
            assert_eq!(seen(one, second * 2).await, 2, "after {second} beats");
            assert_eq!(seen(two, second * 2 + 5).await, 2, "after {second} beats");
        }
        assert_eq!(seen(one, 50).await, 2, "still");
        assert_eq!(seen(one, 60).await, 1, "the other has been away for more than 8 seconds");
        assert_eq!(seen(two, 62).await, 2, "and is back");
        // A clock that jumps ahead forgets the others until they are heard of again, and counts for none of them
        // meanwhile.
        assert_eq!(seen(two, 9_000).await, 1);
        assert_eq!(seen(one, 64).await, 1);
        assert_eq!(seen(two, 65).await, 2);
        db.write(move |connection| instances::delete(connection, two).map_err(DbError::from)).await.unwrap();
        assert_eq!(seen(one, 66).await, 1);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
