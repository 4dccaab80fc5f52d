//! What happens to the servers of a run: they are killed, ended and paused, their clock is moved, their keys are
//! rotated.

use std::{
    collections::BTreeSet,
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types::BigInt};
use serde_json::Value;

use crate::{
    harness::{Client, Database, Jwt, Server},
    log::Act,
    rng::Rng,
    world::{Body, KEY_LIMIT, World},
};

#[derive(Clone, Copy)]
enum Blow {
    Kill,
    End,
    Pause,
    Clock(i64),
    Rotate,
    Count,
}

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;

const BLOWS: [(usize, Blow); 12] = [
    (20, Blow::Kill),
    (4, Blow::End),
    (8, Blow::Pause),
    (6, Blow::Clock(SECOND)),
    (6, Blow::Clock(-SECOND)),
    (10, Blow::Clock(11 * SECOND)),
    (6, Blow::Clock(31 * SECOND)),
    (4, Blow::Clock(11 * 60 * SECOND)),
    (3, Blow::Clock(HOUR)),
    (2, Blow::Clock(-HOUR)),
    (5, Blow::Rotate),
    (12, Blow::Count),
];

/// What was done to the servers, and what was seen of them meanwhile.
#[derive(Default)]
pub struct Fate {
    pub kills: usize,
    /// How long it took at most until a server that had been killed could issue again.
    pub slowest: Duration,
    pub breaches: Vec<String>,
}

/// A run on a machine that is busy lasts longer, until so much was asked.
const CALLS: usize = 400;

/// Strikes until the run has lasted this long.
pub fn run(world: &World, lasting: Duration) -> Fate {
    let (begun, mut rng, mut fate) = (Instant::now(), Rng::new(world.seed, u64::MAX), Fate::default());
    let mut sum = 0;
    while begun.elapsed() < lasting || world.log.length() < CALLS {
        thread::sleep(Duration::from_millis(20 + 10 * u64::try_from(rng.below(20)).expect("it is small")));
        let server = rng.pick(&world.servers).expect("there is one");
        match rng.weighted(&BLOWS) {
            Blow::Kill => {
                fate.kill(server.take());
                fate.slowest = fate.slowest.max(server.resume(&world.jeton));
            }
            Blow::End => {
                fate.end(server.take());
                server.resume(&world.jeton);
            }
            Blow::Pause => {
                server.signal("STOP");
                thread::sleep(Duration::from_millis(100 + 100 * u64::try_from(rng.below(8)).expect("it is small")));
                server.signal("CONT");
            }
            // Not so far back that what is recorded lies before the run.
            Blow::Clock(by) if sum + by >= 0 => {
                sum += by;
                if by.abs() > 60 * SECOND {
                    agree(world);
                }
                world.log.shift(&world.jeton, by);
            }
            Blow::Clock(_) => {}
            Blow::Rotate => {
                let done = world.jeton.cli(["signing-key", "rotate"]).code;
                if done != Some(0) {
                    fate.breaches.push(format!("`signing-key rotate` ended with {done:?}"));
                }
            }
            Blow::Count => fate.breaches.extend(count_keys(world)),
        }
    }
    world.over.store(true, Ordering::SeqCst);
    fate
}

impl Fate {
    fn kill(&mut self, server: Server) {
        self.look_at_log(&server);
        server.kill();
        self.kills += 1;
    }

    pub fn end(&mut self, server: Server) {
        self.look_at_log(&server);
        let end = server.end_by("TERM");
        if end.code() != Some(0) {
            self.breaches.push(format!("SIGTERM ended a server with {end}"));
        }
    }

    /// Nothing panics, whatever happens.
    fn look_at_log(&mut self, server: &Server) {
        self.breaches.extend(server.log().into_iter().filter(|line| line.contains("panicked")));
    }
}

/// Waits until all servers publish the keys that the database has and sign with the one that it says. A clock that
/// leaps an hour between two glances at the database would otherwise leave them no time to learn of each other's steps.
fn agree(world: &World) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !agreed(world) {
        assert!(Instant::now() < deadline, "the servers learn of each other's signing keys");
        thread::sleep(Duration::from_millis(50));
    }
}

fn agreed(world: &World) -> bool {
    let list = world.jeton.cli(["signing-key", "list", "--json"]);
    let Ok(list) = serde_json::from_str::<Value>(&list.stdout) else { return false };
    let kids = |states: &[&str]| -> BTreeSet<String> {
        let keys = list["items"].as_array().into_iter().flatten();
        let keys = keys.filter(|key| key["state"].as_str().is_some_and(|state| states.contains(&state)));
        keys.filter_map(|key| key["kid"].as_str().map(str::to_owned)).collect()
    };
    let (published, active) = (kids(&["pending", "active", "retiring"]), kids(&["active"]));
    world.servers.iter().all(|server| {
        let signs_with = signs_with(world, server.client());
        fetch_kids(world, server.client()) == published && signs_with.is_some_and(|kid| active.contains(&kid))
    })
}

fn fetch_kids(world: &World, client: &Client) -> BTreeSet<String> {
    let reply = world.ask(Act::Jwks, client.get("/.well-known/jwks.json"), Body::None);
    let keys = reply.map(|reply| reply.body["keys"].as_array().cloned().unwrap_or_default()).unwrap_or_default();
    keys.iter().filter_map(|key| key["kid"].as_str().map(str::to_owned)).collect()
}

/// The key that this server signs with: the operator logs in, whom nobody suspends or disables.
fn signs_with(world: &World, client: &Client) -> Option<String> {
    let session = world.login_at(client, &world.operator)?;
    Jwt::parse(&session.access_token).header["kid"].as_str().map(str::to_owned)
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Keys never exceed the limit, at any moment (I5).
fn count_keys(world: &World) -> Vec<String> {
    let now = world.log.highest();
    let query = sql_query(format!(
        "SELECT COUNT(*) AS count FROM api_keys WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > {now})
         GROUP BY tenant_id"
    ));
    let counts: Result<Vec<Count>, _> = match world.jeton.database() {
        Database::Sqlite => query.load(&mut world.jeton.sqlite()),
        Database::Postgres { .. } => query.load(&mut world.jeton.postgres()),
    };
    let counts = counts.expect("the keys can be counted");
    let many = counts.iter().filter(|count| count.count > KEY_LIMIT);
    many.map(|count| format!("I5: {} keys of one tenant live, of {KEY_LIMIT} at most", count.count)).collect()
}
