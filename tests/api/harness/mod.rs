//! What every test stands on: the real binary on a free port, a database of its own, a clock that
//! can be moved, and the people who call.

mod answer;

mod cast;
mod cli;
mod client;
mod cluster;
mod database;
mod jeton;
mod jwt;
mod server;
mod stored;

pub use answer::Answer;
pub use cast::{ApiKey, Session, Tenant, User};
pub use cli::{Run, run};
pub use client::{Client, Request};
pub use database::Database;
pub use jeton::Jeton;
pub use jwt::{Jwt, base64url, thumbprint};
pub use server::Server;

/// Runs the same call on several threads at once, and returns what each of them got.
pub fn at_once<T: Send>(times: usize, call: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let start = std::sync::Barrier::new(times);
    std::thread::scope(|scope| {
        let call = |number| {
            start.wait();
            call(number)
        };
        let threads: Vec<_> = (0..times).map(|number| scope.spawn(move || call(number))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread ends well")).collect()
    })
}

/// A name that no other test of this process uses.
pub fn unique(name: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}
