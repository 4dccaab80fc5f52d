//! What every test stands on: the real binary on a free port, a database of its own, a clock that
//! can be moved, and the people who call.

mod answer;

mod cast;
mod cli;
mod client;
mod cluster;
mod database;
mod foreign_issuer;
mod jeton;
mod jwt;
mod server;
mod stored;
mod wire;

pub use answer::Answer;
pub use cast::{ApiKey, Session, Tenant, User, create_user, merge};
pub use cli::{Run, command, run};
pub use client::{Client, Request};
pub use database::Database;
pub use foreign_issuer::{Conduct, ForeignIssuer, ForeignKey};
pub use jeton::Jeton;
pub use jwt::{Jwt, base64url, thumbprint};
pub use server::Server;
pub use wire::Wire;

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

/// Says what is left out where it is seen, whatever becomes of the test's output.
///
/// # Panics
/// In CI, where nothing is left out.
pub fn leave_out(what: &str, remedy: &str) {
    use std::io::Write;
    assert!(std::env::var("CI").as_deref() != Ok("true"), "missing: {what}; {remedy}");
    // Not by `eprintln!`, whose output the test runner keeps from a test that passes.
    drop(writeln!(std::io::stderr(), "\n!!! LEFT OUT: {what}. To have it tested: {remedy}\n"));
}

/// A port that nothing listens on, for a program that cannot choose one itself. It lies below those that the system
/// gives out, so that nobody gets it meanwhile.
pub fn free_port() -> u16 {
    use std::{net::TcpListener, sync::Mutex};
    static LAST: Mutex<Option<u16>> = Mutex::new(None);
    let mut last = LAST.lock().expect("nobody panics with it");
    let range = 20_000..32_000;
    let begin = last.unwrap_or_else(|| 20_000 + u16::try_from(std::process::id() * 97 % 12_000).expect("it is small"));
    let ports = range.clone().cycle().skip(usize::from(begin - range.start) + 1).take(range.len());
    let port = ports.into_iter().find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    *last = port;
    port.expect("a free port")
}

/// A name that no other test of this process uses.
pub fn unique(name: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}
