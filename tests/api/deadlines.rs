//! However often a request waits for the database, it is answered within 3 s (security section 3); what it must put
//! right is put right behind it.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{scope, sleep, spawn},
    time::{Duration, Instant},
};

use diesel::connection::SimpleConnection;
use serde_json::json;

use crate::exhaustion::until;
use crate::harness::{Answer, Database, Jeton, Session};

/// 3 s are promised; a busy machine is late itself.
const PROMISED: Duration = Duration::from_millis(3_500);

const COUNTED: &str = "SELECT CAST(coalesce(sum(count), 0) AS BIGINT) AS number FROM login_failures";

#[test]
fn a_slow_database_is_told_in_time_however_often_it_is_asked() {
    let Some(jeton) = Jeton::on_postgres() else { return };
    let slow = Slow::before(&jeton);
    let tenant = jeton.tenant();
    let (admin, user) = (tenant.admin(), tenant.user("member"));
    let mut session = user.session();
    admin.create_api_key(json!({"name": "Key"})).expect_status(201);

    // A login ends while it looks for its user, and in its last write, when it was counted.
    for milliseconds in [400, 150, 400, 150] {
        slow.journeys_take(milliseconds);
        in_time(|| user.login());
        in_time(|| admin.create_api_key(json!({"name": "Key"})));
        in_time(|| user.change_password(&session, "Basalt-lantern-4711-meadow"));
        let refreshed = in_time(|| session.refresh());
        slow.journeys_take(0);
        if refreshed.status == 200 {
            session = Session::of(&jeton, &refreshed);
        }
        session = session.refreshed();
        until("what was no failure is not counted", || jeton.number(COUNTED) == 0);
    }
}

/// Only SQLite has one writer at a time.
#[test]
fn a_lock_that_comes_while_a_password_is_tried_is_told_in_time_and_counts_nothing() {
    let jeton = Jeton::on_sqlite();
    jeton.set("password.argon2.memory_kib", "19456");
    jeton.set("password.argon2.iterations", "8");
    let user = jeton.tenant().user("member");
    let mut other = jeton.sqlite();
    scope(|scope| {
        let login = scope.spawn(|| in_time(|| user.login()));
        until("the guess is counted", || jeton.number(COUNTED) == 1);
        other.batch_execute("BEGIN IMMEDIATE").unwrap();
        login.join().unwrap().expect_status(503);
    });
    // Longer than it is tried to put that right for the first time.
    sleep(Duration::from_secs(3));
    other.batch_execute("ROLLBACK").unwrap();
    until("a right password is no failure", || jeton.number(COUNTED) == 0);
    // A machine that is too busy for such a hash says so, and counts nothing.
    until("a wrong one is told", || user.login_with(json!({"password": "Basalt-lantern-4711-meadow"})).status == 401);
    until("it is one of the account, and one of the address", || jeton.number(COUNTED) == 2);
    until("a right one is taken", || user.login().status == 200);
    until("that of the address stays", || jeton.number(COUNTED) == 1);
}

/// Where each line had journeys of its own, a hundred were not written in the time that they have.
#[test]
fn many_lines_of_the_audit_log_that_nobody_waits_for_are_written_over_a_long_way() {
    let Some(jeton) = Jeton::on_postgres() else { return };
    let slow = Slow::before(&jeton);
    let keys: Vec<_> = (0..8).map(|_| jeton.tenant().api_key([])).collect();
    jeton.execute("UPDATE api_keys SET revoked_at = 1");
    let mut holder = jeton.hold_audit();
    for key in keys.iter().cycle().take(100) {
        key.exchange().expect_problem(401, "invalid_api_key");
    }
    slow.journeys_take(20);
    holder.batch_execute("ROLLBACK").unwrap();
    until("all are written", || jeton.audited("api_key.refused") == 100);
    slow.journeys_take(0);
    jeton.cli(["audit", "verify"]).expect_code(0);
}

/// Asks, and is answered in time.
#[track_caller]
fn in_time(ask: impl FnOnce() -> Answer) -> Answer {
    let since = Instant::now();
    let answer = ask();
    let took = since.elapsed();
    assert!(took < PROMISED, "{took:?} for {}", answer.told());
    assert!(answer.status < 300 || answer.header("retry-after").is_some(), "{}", answer.told());
    answer
}

/// The way to PostgreSQL, which can be made long.
pub struct Slow(Arc<AtomicU64>);

impl Slow {
    /// Leads the servers of this test to their database.
    pub fn before(jeton: &Jeton) -> Self {
        let Database::Postgres { .. } = jeton.database() else { panic!("it is PostgreSQL") };
        let url = jeton.database().url();
        let (head, rest) = url.split_once('@').unwrap();
        let (database, path) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        jeton.set_variable("DATABASE_URL", &format!("{head}@{}/{path}", listener.local_addr().unwrap()));
        let (delay, database) = (Arc::new(AtomicU64::new(0)), database.to_owned());
        let slow = Self(Arc::clone(&delay));
        spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(&database).unwrap();
                pass(server.try_clone().unwrap(), client.try_clone().unwrap(), Arc::default());
                pass(client, server, Arc::clone(&delay));
            }
        });
        slow
    }

    pub fn journeys_take(&self, milliseconds: u64) {
        self.0.store(milliseconds, Ordering::SeqCst);
    }
}

/// Hands on what comes, each time after a while.
fn pass(mut from: TcpStream, mut to: TcpStream, delay: Arc<AtomicU64>) {
    to.set_nodelay(true).unwrap();
    spawn(move || {
        let mut bytes = [0; 0x4000];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            sleep(Duration::from_millis(delay.load(Ordering::SeqCst)));
            if to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        drop(to.shutdown(Shutdown::Both));
        drop(from.shutdown(Shutdown::Both));
    });
}
