//! The first start, and every other one (contract 2).

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use diesel::connection::SimpleConnection as _;
use jeton_test_macros::both_databases;
use serde_json::Value;

use crate::exhaustion::until;
use crate::harness::{Client, Database, Jeton, Server};
use crate::notices::hold_lock;

fn unconfigured() -> Jeton {
    let jeton = Jeton::on_sqlite();
    jeton.unset_variable("DATABASE_URL");
    jeton.unset_variable("JETON_SERVER__PUBLIC_URL");
    jeton
}

#[test]
fn a_first_start_with_nothing_configured_prints_credentials_and_lines_that_work() {
    let jeton = unconfigured();
    jeton.get("/readyz").send().expect_status(200);
    let printed = printed(&jeton);
    assert!(printed.contains("curl"), "{printed}");

    let script = shell_lines(&printed);
    let run = Command::new("bash").args(["-euo", "pipefail", "-c", &script]).stdin(Stdio::null()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "the lines work when pasted:\n{script}\n-> {out}\n{err}");
    assert!(out.contains("access_token"), "and get a token:\n{script}\n-> {out}\n{err}");
    assert!(!out.contains("urn:jeton:problem"), "and nothing is refused:\n{script}\n-> {out}\n{err}");

    let key = fs::read_to_string(jeton.folder().join("keys/master.key")).unwrap();
    let mode = fs::metadata(jeton.folder().join("keys/master.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(data_encoding::BASE64.decode(key.trim().as_bytes()).unwrap().len(), 32);
    assert!(jeton.folder().join("data/jeton.db").is_file());
    assert_eq!(jeton.jwks()["keys"].as_array().map(Vec::len), Some(1));
}

#[test]
fn the_lines_of_a_first_start_work_in_every_profile() {
    for profile in ["engium", "engagetrack", "bloomreach", "braze", "optimove"] {
        let jeton = unconfigured().with("profile", profile);
        let script = shell_lines(&printed(&jeton));
        let run = Command::new("bash").args(["-euo", "pipefail", "-c", &script]).stdin(Stdio::null()).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        assert!(run.status.success() && out.contains("issued_token_type"), "{profile}:\n{script}\n-> {out}\n{err}");
        assert!(!out.contains("urn:jeton:problem"), "{profile}:\n{script}\n-> {out}\n{err}");
    }
}

#[test]
fn the_credentials_are_printed_once_and_never_logged() {
    let jeton = unconfigured();
    let printed = printed(&jeton);
    let password = printed
        .split_whitespace()
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()))
        .find(|word| word.len() >= 20 && word.chars().all(char::is_alphanumeric))
        .unwrap_or_else(|| panic!("a password in {printed}"))
        .to_owned();
    let log = jeton.server(Server::log).join("\n");
    assert!(!log.contains(&password), "{log}");
    jeton.restart();
    assert_eq!(jeton.server(Server::printed), "");
    assert!(!jeton.server(Server::log).join("\n").contains(&password));
}

#[test]
fn programs_read_the_first_account_as_json() {
    let jeton = unconfigured();
    let server = Server::start_with(jeton.folder(), jeton.environment(), &["serve", "--json"]).expect("it starts");
    let deadline = Instant::now() + Duration::from_secs(10);
    let account: Value = loop {
        match serde_json::from_str(&server.printed()) {
            Ok(account) => break account,
            Err(error) => assert!(Instant::now() < deadline, "{error} in {}", server.printed()),
        }
        thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(account["url"], format!("http://{}", server.address));
    let login = serde_json::json!({"email": account["email"], "password": account["password"]});
    let answer = Client::new(&server.address).post("/api/v1/auth/login").json(login).expect_tokens();
    assert_eq!(answer.text("tenant_id"), account["tenant_id"].as_str().unwrap());
}

/// The password is shown only once: nothing may fail behind it.
#[test]
fn a_start_that_fails_makes_no_account() {
    let jeton = unconfigured();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    jeton.set("server.metrics_bind", &taken.local_addr().unwrap().to_string());
    let run = jeton.cli(["serve"]);
    assert!(run.code == Some(1) && run.stdout.is_empty() && run.stderr.contains("server.metrics_bind"), "{run:?}");
    jeton.set("server.metrics_bind", "127.0.0.1:0");
    assert!(printed(&jeton).contains("curl"));
}

#[test]
fn a_server_whose_only_tenant_was_deleted_starts_and_says_how_to_go_on() {
    let jeton = unconfigured();
    printed(&jeton);
    let tenants = jeton.cli(["tenant", "list", "--json"]).expect_code(0).json();
    jeton.cli(["tenant", "delete", tenants["items"][0]["id"].as_str().unwrap()]).expect_code(0);
    jeton.restart();
    jeton.get("/readyz").send().expect_status(200);
    assert_eq!(jeton.server(Server::printed), "", "no second account");
    let log = jeton.server(Server::log).join("\n");
    assert!(log.contains("jeton tenant create") && log.contains("jeton user create"), "{log}");
}

/// What the first start prints, once it has printed all of it.
fn printed(jeton: &Jeton) -> String {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let printed = jeton.server(Server::printed);
        thread::sleep(Duration::from_millis(100));
        if !printed.is_empty() && printed == jeton.server(Server::printed) {
            return printed;
        }
        assert!(Instant::now() < deadline, "the first start prints something: {printed}");
    }
}

/// What a person would paste: from the first `curl`, assignment or function on, to the end.
fn shell_lines(printed: &str) -> String {
    let is_shell = |line: &&str| {
        let first = line.split([' ', '=']).next().unwrap_or_default();
        let assigns = line.contains("=$(") && first.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        first == "curl" || first.ends_with("()") || assigns
    };
    let lines = printed.lines().skip_while(|line| !is_shell(line));
    lines.collect::<Vec<_>>().join("\n")
}

#[both_databases]
fn with_a_database_configured_no_account_is_made(jeton: Jeton) {
    jeton.start();
    assert_eq!(jeton.server(Server::printed), "", "nothing is printed");
    let users = jeton.cli(["user", "list", "--json"]).expect_code(0).json();
    assert_eq!(users["items"], Value::Array(Vec::new()));
    let log = jeton.server(Server::log).join("\n");
    assert!(
        log.contains("jeton user create") || log.contains("jeton tenant create"),
        "the log says which command: {log}"
    );
}

#[test]
fn servers_that_start_at_once_on_a_new_database_make_one_signing_key() {
    for database in [Some(Database::Sqlite), Database::empty_postgres()].into_iter().flatten() {
        let jeton = Jeton::on(database);
        let start = || Server::start_with(jeton.folder(), jeton.environment(), &["serve", "--migrate"]);
        let servers: Vec<Server> = thread::scope(|scope| {
            let started: Vec<_> = (0..3).map(|_| scope.spawn(start)).collect();
            started.into_iter().map(|server| server.join().unwrap().expect("each of them starts")).collect()
        });
        let published: Vec<_> = servers
            .iter()
            .map(|server| Client::new(&server.address).get("/.well-known/jwks.json").send().expect_status(200).json())
            .collect();
        assert_eq!(published[0]["keys"].as_array().map(Vec::len), Some(1));
        assert!(published.iter().all(|jwks| *jwks == published[0]), "{published:#?}");
    }
}

#[test]
fn postgresql_is_migrated_only_when_told_to() {
    let Some(database) = Database::empty_postgres() else { return };
    let jeton = Jeton::on(database);
    jeton.cli(["serve"]).expect_refusal(1, &["migrat"]);
    jeton.cli(["tenant", "list"]).expect_refusal(1, &["migrat"]);
    jeton.cli(["migrate"]).expect_code(0);
    jeton.get("/readyz").send().expect_status(200);
    jeton.cli(["tenant", "list"]).expect_code(0);
}

/// Whoever wants something of it meanwhile is told why that cannot be, and soon.
#[test]
fn commands_do_not_wait_for_a_migration() {
    let Some(jeton) = Jeton::on_postgres() else { return };
    let migration = hold_lock(&jeton, 5_426_117_398_041);
    jeton.cli(["tenant", "list"]).expect_refusal(1, &["being migrated"]);
    jeton.cli(["serve"]).expect_refusal(1, &["being migrated"]);
    drop(migration);
    jeton.cli(["tenant", "list"]).expect_code(0);
}

/// Its tables are not those that an earlier version writes.
#[both_databases]
fn a_database_of_a_later_version_is_left_alone(jeton: Jeton) {
    jeton.tenant();
    jeton.stop();
    jeton.execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('29990101000000')");
    let told = ["a later version", "29990101000000", "backup"];
    for command in [["serve", "--migrate"], ["migrate", "--json"], ["tenant", "list"]] {
        jeton.cli(command).expect_refusal(1, &told);
    }
    jeton.cli(["serve"]).expect_refusal(1, &told);
    let found = jeton.cli(["doctor"]).expect_code(1).stdout;
    let line = found.lines().find(|line| line.contains("migrations")).unwrap();
    assert!(line.starts_with("FAIL") && told.iter().all(|word| line.contains(word)), "{line}");
    jeton.execute("DELETE FROM __diesel_schema_migrations WHERE version = '29990101000000'");
    jeton.get("/readyz").send().expect_status(200);
}

#[test]
fn postgresql_is_reached_over_tls() {
    let Some(jeton) = Jeton::on_postgres() else { return };
    jeton.set_variable("DATABASE_URL", &jeton.database().url_with("require"));
    jeton.tenant().api_key(["a:b"]).exchange().expect_scope("a:b");
    let Database::Postgres { cluster, name } = jeton.database() else { panic!("it is PostgreSQL") };
    let plain = format!(
        "DO $$ BEGIN IF EXISTS (SELECT FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) \
         WHERE datname = '{name}' AND NOT ssl) THEN RAISE 'a connection without TLS'; END IF; \
         IF NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = '{name}') THEN RAISE 'no connection'; END IF; END $$"
    );
    cluster.run(&plain);
}

#[both_databases]
fn another_master_key_is_refused_at_start(jeton: Jeton) {
    jeton.tenant().api_key([]).exchange().expect_tokens();
    jeton.stop();
    jeton.set_variable("JETON_MASTER_KEY", &data_encoding::BASE64.encode(&[9; 32]));
    jeton.cli(["serve"]).expect_refusal(1, &["master key"]);
    jeton.unset_variable("JETON_MASTER_KEY");
    jeton.get("/readyz").send().expect_status(200);
}

/// Both find a database that knows no master key yet.
#[test]
fn of_servers_that_start_at_once_with_different_master_keys_one_is_refused() {
    let Some(jeton) = Jeton::on_postgres() else { return };
    let mut other = jeton.postgres();
    other.batch_execute("BEGIN; LOCK TABLE master_keys IN SHARE MODE").unwrap();
    let start = |byte| {
        let mut environment = jeton.environment();
        environment.push(("JETON_MASTER_KEY".to_owned(), data_encoding::BASE64.encode(&[byte; 32])));
        Server::start(jeton.folder(), environment)
    };
    let started: Vec<_> = thread::scope(|scope| {
        let started = [8, 9].map(|byte| scope.spawn(move || start(byte)));
        let inserts = "SELECT COUNT(*) AS number FROM pg_stat_activity WHERE datname = current_database()
                       AND wait_event_type = 'Lock' AND query ILIKE 'insert into%master_keys%'";
        until("both would give theirs a name", || jeton.number(inserts) == 2);
        other.batch_execute("ROLLBACK").unwrap();
        started.map(|server| server.join().unwrap()).into()
    });
    let refused: Vec<_> = started.iter().filter_map(|server| server.as_ref().err()).collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].contains("not the master key"), "{refused:?}");
    assert_eq!(jeton.rows("master_keys"), 1);
}

#[both_databases]
fn the_master_key_may_come_from_the_environment(jeton: Jeton) {
    jeton.set_variable("JETON_MASTER_KEY", &data_encoding::BASE64.encode(&[9; 32]));
    jeton.tenant().api_key([]).exchange().expect_tokens();
    assert!(!jeton.folder().join("keys/master.key").exists(), "no file is made then");
}

#[test]
fn an_address_in_use_is_named() {
    let jeton = Jeton::on_sqlite();
    let address = jeton.client().address();
    jeton.set("server.bind", &address);
    let run = jeton.cli(["serve"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains(&address), "{run:?}");
}

#[both_databases]
fn serve_is_what_jeton_does_without_a_word(jeton: Jeton) {
    let server = Server::start_with(jeton.folder(), jeton.environment(), &[]).expect("it starts");
    Client::new(&server.address).get("/healthz").send().expect_status(200);
    assert_eq!(server.end_by("TERM").code(), Some(0));
}

/// `cargo run` hands its own variables, those of the build script too, to the program that it starts.
#[test]
fn what_cargo_hands_to_the_program_is_no_configuration() {
    let jeton = Jeton::on_sqlite();
    let mut command = Command::new(env!("CARGO_BIN_EXE_jeton"));
    // The harness's own is none of those.
    let run =
        command.args(["config", "print"]).env_remove("JETON_BINARY").current_dir(jeton.folder()).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}
