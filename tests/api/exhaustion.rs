//! What runs out, and what stands still: disk, file descriptors, connections, memory, time (security 3). It is told, it
//! passes, and nothing that was acknowledged goes with it.

use std::{
    fs,
    io::Write,
    net::TcpStream,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread::{scope, sleep},
    time::{Duration, Instant},
};

use diesel::{PgConnection, QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_query, sql_types::BigInt};
use jeton_test_macros::both_databases;
use serde_json::json;
use uuid::Uuid;

use crate::harness::{Answer, ApiKey, Client, Database, Jeton, Server, Session, at_once, command, leave_out};

/// The file system takes no byte more, as `RLIMIT_FSIZE` has it: that needs neither a mount nor root.
#[test]
fn a_full_disk_is_told_and_outlived() {
    let jeton = Jeton::on_sqlite();
    // SQLite gets an error, as from a disk that is full, where the kernel would otherwise send a signal.
    jeton.start_under("trap '' XFSZ");
    let tenant = jeton.tenant();
    let (admin, user) = (tenant.admin(), tenant.user("member"));
    let (session, key, doomed) = (user.session(), tenant.api_key(["a:b"]), tenant.api_key(["a:b"]));
    admin.token();

    limit_files(&jeton, "4096");
    for _ in 0..2 {
        let refused = [
            user.login(),
            session.refresh(),
            session.logout(),
            admin.create_api_key(json!({"name": "Key"})),
            admin.revoke(&doomed),
        ];
        for answer in refused {
            let refused = answer.expect_problem(503, "unavailable");
            assert!(refused.header("retry-after").is_some(), "{}", refused.told());
        }
        jeton.jwks();
        key.exchange().expect_scope("a:b");
        doomed.exchange().expect_scope("a:b");
    }

    limit_files(&jeton, "unlimited");
    until("there is room again", || user.login().status == 200);
    session.refreshed();
    admin.revoke(&doomed).expect_status(204);
    doomed.exchange().expect_status(401);
    assert_eq!(admin.get(tenant.path("api-keys")).items().len(), 2, "what was refused is not there");
    jeton.cli(["audit", "verify"]).expect_code(0);
    jeton.kill();
    doomed.exchange().expect_status(401);
}

fn limit_files(jeton: &Jeton, most: &str) {
    let id = jeton.server(Server::id).to_string();
    let limits = format!("--fsize={most}:");
    let limited = Command::new("prlimit").args(["--pid", &id, &limits]).status().expect("util-linux is there");
    assert!(limited.success(), "the limit is set");
}

/// More connections than the server may have open: those beyond wait or are lost, and all is well when they are gone.
#[test]
fn too_many_connections_pass() {
    let jeton = Jeton::on_sqlite();
    jeton.start_under("ulimit -n 96");
    let tenant = jeton.tenant();
    let (key, user) = (tenant.api_key(["a:b"]), tenant.user("member"));
    for _ in 0..2 {
        let address = jeton.client().address();
        let idle: Vec<_> = (0..150).map(|_| TcpStream::connect(&address).expect("the kernel takes them")).collect();
        sleep(Duration::from_millis(300));
        drop(idle);
        until("the server has room again", || healthy(&jeton.client()));
        key.exchange().expect_scope("a:b");
        user.session().refreshed();
    }
    let log = jeton.server(Server::log).join("\n");
    assert!(!log.contains("panicked"), "{log}");
    assert_eq!(jeton.stop().code(), Some(0));
}

/// Whether a server answers at all, on a connection of its own.
fn healthy(client: &Client) -> bool {
    client.get("/healthz").try_send().is_ok_and(|answer| answer.status == 200)
}

/// Somebody holds a lock that every change needs, and more callers wait for it than there are connections.
#[both_databases]
fn a_database_in_which_nothing_moves_is_told(jeton: Jeton) {
    let tenant = jeton.tenant();
    let sessions: Vec<Session> = (0..4).map(|_| tenant.user("member").session()).collect();
    let jwks = jeton.jwks();
    let mut holder: Box<dyn SimpleConnection> = match jeton.database() {
        Database::Sqlite => Box::new(jeton.sqlite()),
        Database::Postgres { .. } => Box::new(jeton.postgres()),
    };
    let lock = match jeton.database() {
        Database::Sqlite => "BEGIN IMMEDIATE",
        Database::Postgres { .. } => "BEGIN; LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE",
    };
    holder.batch_execute(lock).unwrap();
    let over = AtomicBool::new(false);
    scope(|scope| {
        let looker = scope.spawn(|| {
            let mut looks = 0;
            while !over.load(Ordering::SeqCst) {
                assert_eq!(jeton.jwks(), jwks);
                looks += 1;
            }
            looks
        });
        let answers = at_once(48, |number| sessions[number % sessions.len()].refresh());
        over.store(true, Ordering::SeqCst);
        assert!(looker.join().unwrap() > 0, "the keys are there all the time");
        for answer in answers {
            assert!(answer.header("retry-after").is_some(), "{}", answer.told());
            assert!(["unavailable", "overloaded"].contains(&answer.expect_status(503).text("code").as_str()));
        }
    });
    holder.batch_execute("ROLLBACK").unwrap();
    // Nothing was carried out behind the back of those who were refused: each token is the current one still.
    for session in &sessions {
        session.refreshed().refreshed();
    }
}

/// One of two servers stands still while the other ends things; its clients wait. When it goes on nothing comes alive.
#[both_databases]
fn a_server_that_stood_still_mints_nothing_for_what_ended_meanwhile(jeton: Jeton) {
    let tenant = jeton.tenant();
    let admin = tenant.admin();
    let (session, key) = (tenant.user("member").session(), tenant.api_key(["a:b"]));
    admin.token();
    let (still, elsewhere) = jeton.second();
    exchange(&elsewhere, &key).expect_scope("a:b");
    // On SQLite it may hold the lock of all writers at this very moment: then they are told so, and it is stopped
    // again.
    until("it stands still, and not in the midst of a write", || {
        still.signal("STOP");
        let revoked = admin.revoke(&key).status == 204;
        if !revoked {
            still.signal("CONT");
        }
        revoked
    });
    session.logout().expect_status(204);
    let refresh =
        |client: &Client| client.post("/api/v1/auth/refresh").json(json!({"refresh_token": session.refresh_token}));
    scope(|scope| {
        // Sent to a server that does not listen at the moment, after the end was acknowledged.
        let late = [scope.spawn(|| exchange(&elsewhere, &key)), scope.spawn(|| refresh(&elsewhere))];
        sleep(Duration::from_secs(2));
        still.signal("CONT");
        for answer in late {
            answer.join().unwrap().expect_status(401);
        }
    });
    exchange(&jeton.client(), &key).expect_status(401);
    refresh(&jeton.client()).expect_status(401);
    tenant.user("member").session().refreshed();
    assert_eq!(still.end_by("TERM").code(), Some(0));
}

fn exchange(client: &Client, key: &ApiKey) -> Answer {
    client.post("/api/v1/auth/exchange").bearer(&key.key).tenant(&key.tenant_id).send()
}

/// What strangers are refused leaves lines in one chain of the audit log, which one transaction has at a time. Somebody
/// has it here, and for longer than anybody waits: nobody else is held up.
#[test]
fn refused_keys_hold_up_nobody() {
    let Some(jeton) = Jeton::on_postgres() else { return };
    let tenant = jeton.tenant();
    let (mut session, key) = (tenant.user("member").session(), tenant.api_key(["a:b"]));
    let strange = |number: usize| key.forged(format!("jtn_live_{number:032x}")).exchange();
    strange(0).expect_status(401);
    until("it is recorded", || jeton.audited("api_key.refused") == 1);

    let mut holder = jeton.postgres();
    holder
        .batch_execute("BEGIN; LOCK TABLE audit_chains IN ROW SHARE MODE; SELECT * FROM audit_chains FOR UPDATE")
        .unwrap();
    for answer in at_once(64, |number| strange(number + 1)) {
        answer.expect_status(401);
    }
    // More than there are connections, one after the other: none waits for a line.
    for _ in 0..20 {
        session = session.refreshed();
        key.exchange().expect_scope("a:b");
    }
    holder.batch_execute("ROLLBACK").unwrap();
    strange(99).expect_status(401);
    until("lines are recorded again", || jeton.audited("api_key.refused") > 1);
}

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;

/// A clock that leaps: no panic, no 5xx, nothing dead comes alive, and what lives goes on.
#[both_databases]
fn a_clock_that_leaps_brings_nothing_back(jeton: Jeton) {
    let tenant = jeton.tenant();
    let user = tenant.user("member");
    let first = user.session();
    let mut living = first.refreshed().refreshed();
    let reused = user.session();
    reused.refreshed().refreshed();
    reused.refresh().expect_problem(401, "refresh_token_reused");
    let left = user.session();
    left.logout().expect_status(204);
    let (key, dead_key) = (tenant.api_key(["a:b"]), tenant.api_key(["a:b"]));
    tenant.admin().revoke(&dead_key).expect_status(204);

    for step in [SECOND, -SECOND, HOUR, -HOUR, -HOUR, HOUR, -SECOND, SECOND] {
        jeton.shift(step);
        for dead in [&reused, &left] {
            dead.refresh().expect_status(401);
        }
        dead_key.exchange().expect_problem(401, "invalid_api_key");
        key.exchange().expect_scope("a:b");
        living = living.refreshed();
        let fresh = user.session();
        fresh.call("GET", "/api/v1/auth/me").send().expect_status(200);
        jeton.verified(&fresh.access_token);
        jeton.get("/readyz").send().expect_status(200);
        for old in [&reused, &left, &living] {
            let answer = old.call("GET", "/api/v1/auth/me").send();
            assert!(answer.status < 500, "{}", answer.told());
        }
    }
    first.refresh().expect_problem(401, "refresh_token_reused");
    living.refresh().expect_status(401);
    let log = jeton.server(Server::log).join("\n");
    assert!(!log.contains("panicked"), "{log}");
}

/// An old database, whose migration is killed again and again: it is all there before as after.
#[test]
fn a_migration_that_is_killed_leaves_the_old_data_whole() {
    for database in [Some(Database::Sqlite), Database::empty_postgres()].into_iter().flatten() {
        let jeton = Jeton::on(database);
        let id = an_old_database(&jeton);
        let mut killed = 0;
        for number in 0..6 {
            let holder = hold_up_migration(&jeton);
            let mut migrate = command(jeton.folder(), jeton.environment());
            let mut process = migrate.arg("migrate").stdout(Stdio::null()).spawn().expect("the binary runs");
            match holder {
                Some(_) => until("it waits in its midst", || count(&jeton, WAITING) == 1),
                None => sleep(Duration::from_millis(6 * number)),
            }
            process.kill().expect("it is our child");
            killed += usize::from(process.wait().expect("it is our child").code().is_none());
            let versions = count(&jeton, "SELECT COUNT(*) AS count FROM __diesel_schema_migrations");
            assert!(versions == 1 || holder.is_none() && versions > 2, "none or all of them: {versions}");
        }
        assert!(killed > 0, "some of them were under way");
        jeton.cli(["migrate"]).expect_code(0);
        let list = jeton.cli(["tenant", "list", "--json"]).expect_code(0).json();
        assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
        assert_eq!(list["items"][0]["id"], *id);
        jeton.tenant().user("member").session().refreshed();
    }
}

const WAITING: &str = "SELECT COUNT(*) AS count FROM pg_locks WHERE NOT granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// Lets the migration of PostgreSQL come as far as its third step, until this is dropped.
fn hold_up_migration(jeton: &Jeton) -> Option<PgConnection> {
    let Database::Postgres { .. } = jeton.database() else { return None };
    let mut holder = jeton.postgres();
    holder.batch_execute("BEGIN; LOCK TABLE signing_keys IN ACCESS SHARE MODE").unwrap();
    Some(holder)
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

fn count(jeton: &Jeton, query: &str) -> i64 {
    let count: Result<Count, _> = match jeton.database() {
        Database::Sqlite => sql_query(query).get_result(&mut jeton.sqlite()),
        Database::Postgres { .. } => sql_query(query).get_result(&mut jeton.postgres()),
    };
    count.unwrap().count
}

/// The database as the first version made it, with a tenant in it.
fn an_old_database(jeton: &Jeton) -> String {
    let kind = if matches!(jeton.database(), Database::Sqlite) { "sqlite" } else { "postgres" };
    let first = format!("{}/migrations/{kind}/2026-11-21-000000_initial/up.sql", env!("CARGO_MANIFEST_DIR"));
    let id = "0199b0a0-1234-7000-8000-00000000abcd";
    let hex = Uuid::parse_str(id).unwrap().simple();
    let blob = if kind == "sqlite" { format!("x'{hex}'") } else { format!("decode('{hex}', 'hex')") };
    if kind == "sqlite" {
        fs::create_dir_all(jeton.folder().join("data")).unwrap();
    }
    jeton.execute(&fs::read_to_string(first).unwrap());
    jeton.execute(&format!(
        "CREATE TABLE __diesel_schema_migrations
             (version VARCHAR(50) PRIMARY KEY NOT NULL, run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);
         INSERT INTO __diesel_schema_migrations (version) VALUES ('20261121000000');
         INSERT INTO tenants (id, name, project_token, created_at) VALUES ({blob}, 'Old', 'old', 1)"
    ));
    id.to_owned()
}

/// Callers who go away in the midst of their login: memory stays bounded, and all that was lent comes back.
#[test]
fn many_logins_at_once_half_of_them_given_up_take_no_more_memory_than_there_are_permits() {
    const LOGINS: usize = 500;
    if !fs::exists("/proc/self/status").unwrap_or_default() {
        return leave_out("the memory of a server", "run it on Linux");
    }
    let jeton = Jeton::on_sqlite().with("login.address_failures", "0");
    jeton.unset_variable("JETON_PASSWORD__ARGON2__MEMORY_KIB");
    jeton.unset_variable("JETON_PASSWORD__ARGON2__ITERATIONS");
    let tenant = jeton.tenant();
    let (user, key) = (tenant.user("member"), tenant.api_key(["a:b"]));
    let mut session = user.session();
    let idle = memory(&jeton, "VmRSS");

    // Addresses that nobody has cost as much as others, and no account is locked by them.
    let mut connections: Vec<TcpStream> = (0..LOGINS).map(|number| begin_login(&jeton, number)).collect();
    connections.truncate(LOGINS / 2);
    for _ in 0..5 {
        key.exchange().expect_scope("a:b");
        session = session.refreshed();
    }
    until("all that was lent comes back", || {
        let metrics = Client::new(&jeton.server(|server| server.metrics.clone())).get("/metrics").send().body;
        let metrics = String::from_utf8(metrics).unwrap();
        ["jeton_hashing_queue_length 0", "jeton_hashing_in_progress 0"].iter().all(|line| metrics.contains(line))
    });
    drop(connections);
    until("people log in again", || user.login().status == 200);

    let permits = std::thread::available_parallelism().unwrap().get();
    let most = idle + permits * 19 * 1024 + 64 * 1024;
    let peak = memory(&jeton, "VmHWM");
    assert!(peak <= most, "{peak} KiB at most, where {idle} were used before and {permits} may hash at once");
}

fn begin_login(jeton: &Jeton, number: usize) -> TcpStream {
    let mut stream = TcpStream::connect(jeton.client().address()).expect("the server listens");
    let body =
        json!({"email": format!("nobody-{number}@example.com"), "password": "Quartz-lantern-4711-meadow"}).to_string();
    let head = "POST /api/v1/auth/login HTTP/1.1\r\nHost: test\r\nContent-Type: application/json";
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).expect("a socket");
    stream
}

/// What the kernel says of the server's memory, in KiB.
fn memory(jeton: &Jeton, what: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", jeton.server(Server::id))).expect("it runs");
    let line = status.lines().find(|line| line.starts_with(what)).expect("Linux tells it");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !holds() {
        assert!(Instant::now() < deadline, "in time: {what}");
        sleep(Duration::from_millis(20));
    }
}
