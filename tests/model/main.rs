//! Many clients, mixed operations, servers that are killed, ended and paused, a clock that is moved: whatever happens,
//! I1 to I8 hold.
//!
//! | | |
//! | --- | --- |
//! | I1 | nothing is minted by a request that began after a revocation was acknowledged, on any instance |
//! | I2 | one live successor per generation |
//! | I3 | no session is lost to a client that retries within the grace |
//! | I4 | a detected reuse stays dead |
//! | I5 | keys never exceed the limit; one key per idempotency key |
//! | I6 | every acknowledged change has exactly one audit row |
//! | I7 | `jti` is unique, the scope is within the grant, the tenant constant |
//! | I8 | every token verifies against the JWKS until its `exp` |
//!
//! A run is made from a seed: `JETON_MODEL_SEED` (1), `JETON_MODEL_SEEDS` runs from there on (2), each of
//! `JETON_MODEL_SECONDS` (4). Odd seeds have one server, even ones two. The same seed makes the same choices; what
//! threads and the kernel make of them differs.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::panic,
    reason = "a test fails by panicking, and owns the server that it talks to"
)]

mod check;
mod clients;
mod fate;
#[expect(dead_code, unused_imports, reason = "it is made for `tests/api`, which uses all of it")]
#[path = "../api/harness/mod.rs"]
mod harness;
mod log;
mod rng;
mod stored;
mod world;

use std::{io::Write, time::Duration};

use fate::Fate;
use harness::Jeton;
use world::World;

/// Clients of a run.
const CLIENTS: u64 = 8;

#[test]
fn nothing_breaks_on_sqlite() {
    run_all("sqlite", || Some(Jeton::on_sqlite()));
}

#[test]
fn nothing_breaks_on_postgres() {
    run_all("postgres", Jeton::on_postgres);
}

fn run_all(database: &str, jeton: impl Fn() -> Option<Jeton>) {
    let (first, runs, seconds) = (variable("SEED", 1), variable("SEEDS", 2), variable("SECONDS", 4));
    let (mut kills, mut slowest) = (0, Duration::ZERO);
    for seed in first..first + runs {
        let Some(jeton) = jeton() else { return };
        let (breaches, summary, fate) = run(jeton.clone(), seed, Duration::from_secs(seconds));
        (kills, slowest) = (kills + fate.kills, slowest.max(fate.slowest));
        tell(&format!("model on {database}, seed {seed}: {summary}"));
        assert!(
            breaches.is_empty(),
            "{} breaches; the first of them:\n  {}\nTo try again: JETON_MODEL_SEED={seed} JETON_MODEL_SEEDS=1 \
             JETON_MODEL_SECONDS={seconds} cargo test --test model {database}",
            breaches.len(),
            breaches.iter().take(12).cloned().collect::<Vec<_>>().join("\n  "),
        );
    }
    let slowest = slowest.as_secs_f32();
    tell(&format!("model on {database}: {kills} kills in all, ready again within {slowest:.1} s, no breach"));
}

/// Not by `eprintln!`, whose output the test runner keeps from a test that passes.
fn tell(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}

fn run(jeton: Jeton, seed: u64, lasting: Duration) -> (Vec<String>, String, Fate) {
    let world = World::new(jeton, seed, if seed.is_multiple_of(2) { 2 } else { 1 });
    let mut fate = std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let world = &world;
            scope.spawn(move || clients::run(world, number));
        }
        fate::run(&world, lasting)
    });
    world.servers.iter().for_each(|server| fate.end(server.take()));
    let (breaches, summary) = check::check(&world, &fate);
    (breaches, summary, fate)
}

fn variable(name: &str, otherwise: u64) -> u64 {
    let value = std::env::var(format!("JETON_MODEL_{name}"));
    value.map_or(otherwise, |value| value.parse().expect("a number"))
}
