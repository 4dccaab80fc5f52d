//! Signing keys: one for each algorithm in use, and how they follow one another.
//!
//! Every change is made in one way, by whichever of the servers comes first: all keys are read, `domain::rotation` says
//! from them what is to be done, and [`carry_out`] does it in one transaction if nothing has changed meanwhile.

use std::collections::BTreeSet;

use diesel::result::QueryResult;
use serde::Serialize;

use crate::app::{App, StartError};
use crate::db::locks::{self, Lock};
use crate::db::master_keys::MasterKeyRow;
use crate::db::notices::{self, Notice};
use crate::db::signing_keys::{NewSigningKey, SigningKeyRow};
use crate::db::{DbConnection, DbError, audit, master_keys, signing_keys};
use crate::deadline;
use crate::domain::audit::AuditEvent;
use crate::domain::rotation::{Change, KeyOutlook, RotationPolicy, find};
use crate::domain::signing_key::{KeyState, SigningKeyInfo};
use crate::domain::{Actor, Algorithm, Refusal, Timestamp};
use crate::tokens::key_file::KeyFile;
use crate::tokens::signing_key::{KeyPair, SigningKeyError};

pub use import::{ImportError, import};

mod import;

/// How often a change is tried anew that somebody else came before.
const TRIES: usize = 20;

/// What came of a rotation.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Rotation {
    /// The keys that sign next, one for each algorithm in use; in an emergency those that sign now.
    pub keys: Vec<KeyOutlook>,
    /// What breaks for a while, in an emergency.
    pub warning: Option<String>,
}

/// What came of a revocation.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Revocation {
    /// The key that is published no more.
    #[serde(flatten)]
    pub key: KeyOutlook,
    /// The key that signs with its algorithm now, if that is in use.
    pub successor: Option<String>,
}

/// Says which algorithms are in use, makes the first keys, and does what is due: at the start of a server. Of servers
/// that start together one makes the keys, and all use them.
///
/// # Errors
/// See [`StartError`].
pub async fn start(app: &App) -> Result<(), StartError> {
    declare_algorithms(app).await?;
    import::import_folder(app).await?;
    repeatedly(app, &Actor::SYSTEM, |policy, keys, _| policy.first(keys)).await?;
    advance(app).await?;
    reload(app).await
}

/// Does what is due by itself, one step after the other; where another server is about it, nothing.
///
/// # Errors
/// See [`StartError`].
pub async fn advance(app: &App) -> Result<(), StartError> {
    for _ in 0..TRIES {
        let (keys, policy, now) = look(app).await?;
        let changes = policy.due(&keys, now);
        if changes.is_empty() {
            return Ok(());
        }
        if !carry_out(app, &Actor::SYSTEM, keys, changes, now, Some(Lock::Rotation), &[]).await? {
            return Ok(());
        }
        reload(app).await?;
    }
    Ok(())
}

/// Begins a rotation for each algorithm in use: another key is published, and signs once every verifier can know it.
/// One that is under way is answered, not doubled. In an emergency the other key signs at once.
///
/// # Errors
/// The database does not answer.
pub async fn rotate(app: &App, actor: &Actor, emergency: bool) -> Result<Rotation, Refusal> {
    repeatedly(
        app,
        actor,
        |policy, keys, now| {
            if emergency { policy.hasten(keys, now) } else { policy.begin(keys, now) }
        },
    )
    .await?;
    let (keys, policy) = told(app).await?;
    let warning = emergency.then(|| {
        let seconds = policy.promised(&keys).num_seconds();
        format!("services that keep an older copy of the key set refuse new tokens until they renew it, for up to {seconds} s")
    });
    let next = |&algorithm: &Algorithm| {
        let pending = find(&keys, algorithm, KeyState::Pending);
        pending.or_else(|| find(&keys, algorithm, KeyState::Active)).map(|key| key.kid.clone())
    };
    let next: Vec<_> = policy.in_use.iter().filter_map(next).collect();
    let keys = policy.outlook(keys).into_iter().filter(|outlook| next.contains(&outlook.key.kid)).collect();
    Ok(Rotation { keys, warning })
}

/// Takes a key out of use at once and for good; another one signs in its place. Again: nothing happens, and that is no
/// error.
///
/// # Errors
/// [`Refusal::NotFound`]; the database does not answer.
pub async fn revoke(app: &App, actor: &Actor, kid: &str) -> Result<Revocation, Refusal> {
    repeatedly(app, actor, |policy, keys, now| policy.revoke(kid, keys, now)).await?;
    let (keys, policy) = told(app).await?;
    let revoked = keys.iter().find(|key| key.kid == kid).ok_or(Refusal::NotFound)?;
    let successor = find(&keys, revoked.algorithm, KeyState::Active).map(|key| key.kid.clone());
    let key = policy.outlook(keys).into_iter().find(|outlook| outlook.key.kid == kid).ok_or(Refusal::NotFound)?;
    Ok(Revocation { key, successor })
}

/// What came of a change that is done: to say now that it takes too long would be wrong.
async fn told(app: &App) -> Result<(Vec<SigningKeyInfo>, RotationPolicy), Refusal> {
    let tell = async {
        reload(app).await?;
        let (keys, policy, _) = look(app).await?;
        Ok((keys, policy))
    };
    deadline::apart(tell).await
}

/// Reads the keys anew if they have changed, and learns of another master key. It is cheap, and done all the time, so
/// that every server forgets a revoked key within a second, also one that cannot read the others: it has missed a
/// change of the master key, or a row is damaged.
///
/// # Errors
/// The database does not answer, or a key cannot be read.
pub async fn reload(app: &App) -> Result<(), StartError> {
    let _turn = app.keyring.turn().await;
    let known = app.keyring.keys();
    let (states, read) = app
        .db
        .read(move |connection| {
            let states = signing_keys::list_states(connection)?;
            let rows = if known.are(&states) { Ok(None) } else { signing_keys::list(connection).map(Some) };
            // After what they open: a key that came into use meanwhile is among them.
            let read = rows.and_then(|rows| Ok((rows, master_keys::list(connection)?)));
            Ok::<_, DbError>((states, read.map_err(DbError::from)))
        })
        .await?;
    let renewed = read.map_err(StartError::from).and_then(|(rows, master_keys)| renew(app, rows, &master_keys));
    if renewed.is_err() {
        app.keyring.forget_unpublished(&states);
    }
    renewed
}

fn renew(app: &App, rows: Option<Vec<SigningKeyRow>>, master_keys: &[MasterKeyRow]) -> Result<(), StartError> {
    app.secrets.learn(master_keys).map_err(|_| StartError::MasterKeyWrong)?;
    match rows {
        Some(rows) => app.keyring.replace(&rows, &app.secrets)?,
        None => app.keyring.confirm(),
    }
    Ok(())
}

/// The keys, oldest first, without their private halves, and what becomes of each.
///
/// # Errors
/// The database does not answer.
pub async fn list(app: &App) -> Result<Vec<KeyOutlook>, Refusal> {
    let (keys, policy, _) = look(app).await?;
    Ok(policy.outlook(keys))
}

/// Why tokens cannot be signed, if they cannot.
#[must_use]
pub fn impediment(app: &App) -> Option<&'static str> {
    if app.keyring.keys().algorithms().is_empty() {
        return Some("no key signs");
    }
    (!app.keyring.is_trusted()).then_some("the signing keys could not be compared with the database for a while")
}

/// The algorithms in use are those of the server that started last. So a rolling restart with other ones is one change,
/// and the servers that still run with the old ones do not undo it.
async fn declare_algorithms(app: &App) -> Result<(), StartError> {
    for _ in 0..TRIES {
        let wanted = app.config.algorithms();
        let details = wanted.iter().map(|algorithm| algorithm.as_str()).collect::<Vec<_>>().join(" ");
        let event = app.event(&Actor::SYSTEM, "signing_key.algorithms_changed", app.now())?.details(details);
        let declared = app
            .db
            .write(move |connection| {
                if signing_keys::algorithms(connection)? == wanted {
                    return Ok(());
                }
                signing_keys::set_algorithms(connection, &wanted)?;
                Ok(audit::record(connection, &event)?)
            })
            .await;
        match declared {
            Err(DbError::Conflict) => {}
            other => return Ok(other?),
        }
    }
    Ok(())
}

/// The keys as they are, what is to become of them, and the time.
async fn look(app: &App) -> Result<(Vec<SigningKeyInfo>, RotationPolicy, Timestamp), DbError> {
    let look = |connection: &mut DbConnection| -> QueryResult<_> {
        Ok((signing_keys::list_public(connection)?, signing_keys::algorithms(connection)?))
    };
    let (keys, declared) = app.db.read(move |connection| look(connection).map_err(DbError::from)).await?;
    Ok((keys, policy(app, declared), app.now()))
}

fn policy(app: &App, declared: BTreeSet<Algorithm>) -> RotationPolicy {
    RotationPolicy {
        in_use: if declared.is_empty() { app.config.algorithms() } else { declared },
        rotate_every: app.config.keys.rotate_every,
        max_age: app.config.jwks.max_age,
        longest_token: app.config.longest_signed(),
    }
}

/// Looks and acts, until what was seen has not changed before it was acted on.
async fn repeatedly(
    app: &App,
    actor: &Actor,
    step: impl Fn(&RotationPolicy, &[SigningKeyInfo], Timestamp) -> Vec<Change>,
) -> Result<(), StartError> {
    for _ in 0..TRIES {
        let (keys, policy, now) = look(app).await?;
        let changes = step(&policy, &keys, now);
        if changes.is_empty() || carry_out(app, actor, keys, changes, now, None, &[]).await? {
            return Ok(());
        }
    }
    Err(Refusal::Overloaded.into())
}

/// What is written for a change: the key, and its line in the audit log.
enum Write {
    Insert(NewSigningKey, AuditEvent),
    Advance(KeyState, SigningKeyInfo, Option<AuditEvent>),
}

/// Makes these changes in one transaction, each with its audit row, if the keys are still those that were `seen`; false
/// where somebody else was first. However many servers try the same step, one makes it: what was seen is compared, each
/// key is written only in the state that it was seen in, and one key an algorithm may be pending or active. A new key
/// is one that was `brought`, where one of its algorithm was.
async fn carry_out(
    app: &App,
    actor: &Actor,
    seen: Vec<SigningKeyInfo>,
    changes: Vec<Change>,
    now: Timestamp,
    lock: Option<Lock>,
    brought: &[&KeyFile],
) -> Result<bool, StartError> {
    let mut writes = Vec::new();
    for change in changes {
        writes.push(prepare(app, actor, change, now, brought).await?);
    }
    let done = app
        .db
        .write(move |connection| {
            let ours = lock.map_or(Ok(true), |lock| locks::take(connection, lock))?;
            let mut unchanged = ours && signing_keys::list_public(connection)? == seen;
            for write in &writes {
                unchanged = unchanged && perform(connection, write)?;
            }
            // An error, so that nothing remains of what was done before the first that was not as seen.
            if !unchanged {
                return Err(DbError::Conflict);
            }
            notices::tell(connection, Notice::SigningKeys);
            Ok(())
        })
        .await;
    match done {
        Ok(()) => Ok(true),
        Err(DbError::Conflict) => Ok(false),
        // The master key that the new key is sealed under went out of use.
        Err(DbError::Gone) => Err(Refusal::Unavailable.into()),
        Err(error) => Err(error.into()),
    }
}

fn perform(connection: &mut DbConnection, write: &Write) -> QueryResult<bool> {
    match write {
        Write::Insert(row, event) => {
            signing_keys::insert(connection, row)?;
            audit::record(connection, event)?;
            Ok(true)
        }
        Write::Advance(from, key, event) => {
            let done = signing_keys::advance(connection, *from, key)?;
            if let Some(event) = event.as_ref().filter(|_| done) {
                audit::record(connection, event)?;
            }
            Ok(done)
        }
    }
}

async fn prepare(
    app: &App,
    actor: &Actor,
    change: Change,
    now: Timestamp,
    brought: &[&KeyFile],
) -> Result<Write, StartError> {
    let event = |action, kid: &str| Ok::<_, Refusal>(app.event(actor, action, now)?.target("signing-key", kid));
    let (algorithm, signs_at) = match change {
        Change::Publish { algorithm, signs_at } => (algorithm, Some(signs_at)),
        Change::Make(algorithm) => (algorithm, None),
        Change::Note(key) => return Ok(Write::Advance(key.state, key, None)),
        Change::Move { from, key } => {
            let action = match key.state {
                KeyState::Pending => "signing_key.created",
                KeyState::Active => "signing_key.activated",
                KeyState::Retiring => "signing_key.retiring",
                KeyState::Retired => "signing_key.retired",
                KeyState::Compromised => "signing_key.revoked",
            };
            let details = format!("algorithm {}, was {}", key.algorithm, from.as_str());
            let event = event(action, &key.kid)?.details(details);
            return Ok(Write::Advance(from, key, Some(event)));
        }
    };
    let (pair, action, origin) = if let Some(file) = brought.iter().find(|file| file.pair.algorithm == algorithm) {
        (file.pair.clone(), "signing_key.imported", format!(", file {}", file.name))
    } else {
        // RSA takes seconds, which no worker has, and which are longer than a request has for all else.
        let made = tokio::task::spawn_blocking(move || KeyPair::generate(algorithm));
        let made = deadline::uncounted(made).await;
        (made.unwrap_or(Err(SigningKeyError::Generate))?, "signing_key.created", String::new())
    };
    let mut row = pair.into_row(&app.secrets, now, signs_at)?;
    row.info.cache_seconds = app.config.jwks.max_age.num_seconds();
    row.info.token_seconds = app.config.longest_signed().num_seconds();
    let begins = signs_at.map_or_else(|| "signs at once".to_owned(), |at| format!("signs from {at} on"));
    let event = event(action, &row.info.kid)?.details(format!("algorithm {algorithm}, {begins}{origin}"));
    Ok(Write::Insert(row, event))
}
