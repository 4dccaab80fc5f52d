//! The master key is changed, and nobody notices: whatever is sealed is encrypted anew, and servers with the old key
//! work on.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread::{self, sleep},
    time::{Duration, Instant},
};

use data_encoding::BASE64;
use jeton_test_macros::both_databases;
use serde_json::{Value, json};

use crate::harness::{Answer, ApiKey, Client, Database, Jeton, Server, Session, Tenant, command, run};

const STATUS: [&str; 3] = ["master-key", "status", "--json"];
const ROTATE: [&str; 3] = ["master-key", "rotate", "--json"];
const FINISH: [&str; 3] = ["master-key", "finish", "--json"];
const INSTALL: [&str; 3] = ["master-key", "install", "--json"];

/// Every table with something sealed, but for the master keys themselves, says which key it needs.
#[test]
fn whatever_is_sealed_names_its_master_key() {
    let jeton = Jeton::on_sqlite();
    jeton.start();
    let sealed = "SELECT DISTINCT t.name AS value FROM sqlite_schema t JOIN pragma_table_info(t.name) c
        WHERE t.type = 'table' AND t.name <> 'master_keys' AND c.name LIKE 'sealed%'";
    let named = format!(
        "{sealed} AND EXISTS (SELECT 1 FROM pragma_foreign_key_list(t.name) k
        WHERE k.\"table\" = 'master_keys' AND k.\"from\" = 'master_key')"
    );
    assert!(jeton.query(sealed).len() >= 3);
    assert_eq!(jeton.query(sealed), jeton.query(&named));
}

#[both_databases]
fn a_change_encrypts_everything_anew_and_everybody_goes_on(jeton: Jeton) {
    let mut held = Held::new(&jeton);
    let (old_file, old_sealed) = (master_key(&jeton), sealed(&jeton));
    for (table, values) in &old_sealed {
        assert!(!values.is_empty(), "something is in {table}, or this test proves nothing of it");
    }
    let before = jeton.cli(STATUS).expect_code(0);
    let old = before.text("current");
    assert_eq!((&before.json()["previous"], before.text("here")), (&Value::Null, old.clone()));

    let begun = jeton.cli(ROTATE).expect_code(0);
    let new = begun.text("current");
    assert_eq!((begun.text("previous"), begun.text("here")), (old.clone(), new.clone()));
    assert_ne!(new, old);
    for (table, values) in sealed(&jeton) {
        assert_eq!(values.len(), old_sealed[&table].len(), "{table}");
        assert!(values.iter().all(|value| !old_sealed[&table].contains(value)), "each of {table} is encrypted anew");
    }
    assert_ne!(master_key(&jeton), old_file);
    assert_eq!(fs::read_to_string(keys(&jeton).join(format!("master.key.{old}"))).unwrap(), old_file);
    expect_private(&jeton);
    held.works();
    jeton.cli(ROTATE).expect_refusal(1, &["master-key finish"]);
    assert!(doctor(&jeton).contains("master-key finish"));
    jeton.restart();
    held.works();

    finish(&jeton);
    held.works();
    jeton.restart();
    held.works();
    assert_eq!(jeton.query("SELECT id AS value FROM master_keys"), std::slice::from_ref(&new));
    assert!(sealed_other(&jeton).is_empty(), "the old key is in the database no more");
    jeton.cli(FINISH).expect_refusal(1, &["master-key rotate"]);
    assert!(doctor(&jeton).contains(&new));
    jeton.stop();
    jeton.set_variable("JETON_MASTER_KEY", &old_file);
    for arguments in [&["serve"][..], &["tenant", "list"], &ROTATE] {
        run(jeton.folder(), jeton.environment(), arguments, None).expect_refusal(1, &["not the master key"]);
    }
    jeton.unset_variable("JETON_MASTER_KEY");
    held.works();
    assert_eq!((jeton.audited("master_key.rotated"), jeton.audited("master_key.finished")), (1, 1));
}

#[both_databases]
fn two_servers_never_fail_while_the_master_key_changes(jeton: Jeton) {
    let held = Held::new(&jeton);
    let (_server, second, elsewhere) = beside(&jeton);
    let clients = [jeton.client(), second.clone()];
    let (over, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for number in 0..4 {
            let (held, clients, over, done) = (held.clone(), &clients, &over, &done);
            scope.spawn(move || {
                // Whatever one server answered the other one knows.
                let mut session = held.session.clone();
                if number > 0 {
                    session = Session::of(&held.jeton, &held.login(&clients[0]).expect_tokens());
                }
                let mut round = 0;
                while !over.load(Ordering::SeqCst) {
                    let [here, there] = [&clients[round % 2], &clients[(round + 1) % 2]];
                    held.login(here).expect_tokens();
                    let body = json!({"refresh_token": session.refresh_token});
                    session = Session::of(&held.jeton, &there.post("/api/v1/auth/refresh").json(body).expect_tokens());
                    held.exchange(here).expect_tokens();
                    let name = format!("{number}-{round}");
                    let made = held.create(here, &name).expect_status(201);
                    let again = held.create(there, &name).expect_status(201);
                    assert_eq!(again.text("key"), made.text("key"), "the same answer");
                    // A tenant has no room for all of them.
                    let path = held.tenant.path(&format!("api-keys/{}", made.text("id")));
                    here.call("DELETE", path).bearer(held.tenant.admin().token()).send().expect_status(204);
                    round += 1;
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..3 {
                wait_for_rounds(&done);
                jeton.cli(ROTATE).expect_code(0);
                wait_for_rounds(&done);
                jeton.cli(FINISH).expect_refusal(1, &["127.0.0.1", "master-key install"]);
                elsewhere.cli(&FINISH).expect_refusal(1, &["master-key install"]);
                elsewhere.cli(&INSTALL).expect_code(0);
                elsewhere.cli(&INSTALL).expect_code(0);
                finish(&jeton);
                wait_for_rounds(&done);
            }
        }));
        over.store(true, Ordering::SeqCst);
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    assert_eq!(elsewhere.master_key(), master_key(&jeton));
    let log = jeton.server(Server::log).join("\n");
    assert!(!log.contains("cannot decrypt") && !log.contains("not the master key"), "{log}");
}

#[both_databases]
fn servers_with_either_key_start_until_the_end(jeton: Jeton) {
    let mut held = Held::new(&jeton);
    let (server, _, elsewhere) = beside(&jeton);
    let old = elsewhere.master_key();
    jeton.cli(ROTATE).expect_code(0);
    server.kill();
    let again = elsewhere.start().expect("the old key is still read");
    held.exchange(&Client::new(&again.address)).expect_tokens();
    // Both seal under the new one, whichever they were started with.
    let made = held.create(&Client::new(&again.address), "late").expect_status(201).text("key");
    held.works();
    assert_eq!(held.create(&jeton.client(), "late").expect_status(201).text("key"), made);
    assert_eq!(elsewhere.master_key(), old, "no server writes it by itself");

    // One that is dead holds the end up for a minute; or somebody says that it is dead.
    again.kill();
    jeton.cli(FINISH).expect_refusal(1, &["--force"]);
    jeton.cli(["master-key", "finish", "--force"]).expect_code(0);
    assert!(jeton.audited("forced") == 1);
    held.works();
    let refused = elsewhere.start().err().expect("it has the old key");
    assert!(refused.contains("not the master key") && refused.contains("changed"), "{refused}");
}

/// A thief has the old key, and may write to the database: what is sealed under it is believed no more.
#[both_databases]
fn what_was_sealed_under_the_key_before_opens_no_more(jeton: Jeton) {
    jeton.start();
    let (encode, decode) = match jeton.database() {
        Database::Sqlite => ("hex(sealed_private)", "X'{}'"),
        Database::Postgres { .. } => ("encode(sealed_private, 'hex')", "decode('{}', 'hex')"),
    };
    let kids =
        || -> Vec<Value> { jeton.jwks()["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect() };
    let kid = kids().remove(0);
    let before = jeton.query(&format!("SELECT {encode} AS value FROM signing_keys")).remove(0);
    jeton.cli(ROTATE).expect_code(0);
    finish(&jeton);
    jeton.cli(["signing-key", "rotate", "--emergency"]).expect_code(0);
    assert!(kids().contains(&kid), "it is published until its last token is dead");
    let kid_text = kid.as_str().unwrap();
    let before = decode.replace("{}", &before);
    jeton.execute(&format!("UPDATE signing_keys SET sealed_private = {before} WHERE kid = '{kid_text}'"));
    // Whatever changes, all are read again.
    jeton.cli(["signing-key", "rotate"]).expect_code(0);
    let deadline = Instant::now() + Duration::from_secs(20);
    while kids().contains(&kid) {
        assert!(Instant::now() < deadline, "it is left out");
        sleep(Duration::from_millis(50));
    }
}

#[both_databases]
fn the_end_waits_for_every_server_whatever_the_time_is_here(jeton: Jeton) {
    jeton.start();
    let (_server, _, _) = beside(&jeton);
    jeton.cli(ROTATE).expect_code(0);
    let ahead = jeton.folder().join("ahead");
    fs::write(&ahead, "120000000").unwrap();
    let mut environment = jeton.environment();
    environment.retain(|(name, _)| name != "JETON_TEST_CLOCK");
    environment.push(("JETON_TEST_CLOCK".to_owned(), ahead.display().to_string()));
    run(jeton.folder(), environment, FINISH, None).expect_refusal(1, &["127.0.0.1", "master-key install"]);
}

/// A server that looks at nothing by itself, as one that is paused: only what it is asked makes it learn.
#[test]
fn a_server_that_has_not_heard_reads_what_is_new_and_leaves_nothing_unreadable() {
    let jeton = Jeton::on_sqlite();
    let held = Held::new(&jeton);
    jeton.set_variable("JETON_TEST_LOOK_EVERY", "3600000");
    let (_first, reads) = jeton.second();
    let (_second, writes) = jeton.second();
    jeton.cli(ROTATE).expect_code(0);
    let made = held.create(&jeton.client(), "first").expect_status(201).text("key");
    assert_eq!(held.create(&reads, "first").expect_status(201).text("key"), made, "sealed under the new key");
    held.create(&writes, "second").expect_status(201);
    jeton.cli(["master-key", "finish", "--force"]).expect_code(0);
    for client in [&reads, &jeton.client()] {
        assert_eq!(held.create(client, "second").expect_status(201).text("name"), "second", "sealed under the old one");
    }
    held.create(&writes, "third").expect_problem(503, "unavailable");
    held.create(&reads, "third").expect_status(201);
}

#[both_databases]
fn a_master_key_from_the_environment_is_followed_by_one_that_the_operator_brings(jeton: Jeton) {
    let [old, new] = [1, 2].map(|byte| BASE64.encode(&[byte; 32]));
    jeton.set_variable("JETON_MASTER_KEY", &old);
    let mut held = Held::new(&jeton);
    jeton.cli(ROTATE).expect_refusal(1, &["--new-key"]);
    jeton.cli(INSTALL).expect_refusal(1, &["JETON_MASTER_KEY"]);
    let file = jeton.folder().join("new.key");
    let name = file.to_str().unwrap();
    let rotate = ["master-key", "rotate", "--new-key", name];
    jeton.cli(rotate).expect_refusal(1, &["no ", "new.key"]);
    for (text, mode, word) in [("too short", 0o600, "32 bytes"), (&new, 0o644, "chmod 600"), (&old, 0o600, "in use")] {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        jeton.cli(rotate).expect_refusal(1, &[word]);
    }
    fs::write(&file, format!("{new}\n")).unwrap();
    let run = jeton.cli(rotate).expect_code(0);
    assert!(!run.stdout.contains(&new), "no key is shown: {run:?}");
    assert!(!keys(&jeton).join("master.key").exists(), "no file is made");
    held.works();
    jeton.restart();
    held.works();

    jeton.cli(FINISH).expect_refusal(1, &["JETON_MASTER_KEY"]);
    jeton.set_variable("JETON_MASTER_KEY", &new);
    jeton.cli(FINISH).expect_refusal(1, &["restart"]);
    jeton.restart();
    held.works();
    jeton.cli(FINISH).expect_code(0);
    held.works();
}

#[both_databases]
fn what_fails_changes_nothing(jeton: Jeton) {
    let mut held = Held::new(&jeton);
    jeton.stop();
    let before = (files(&jeton), sealed(&jeton));
    for (table, operation) in [
        ("master_keys", "UPDATE"),
        ("master_keys", "INSERT"),
        ("secrets", "UPDATE"),
        ("signing_keys", "UPDATE"),
        ("idempotency_records", "UPDATE"),
        ("audit_events", "INSERT"),
    ] {
        jeton.break_writes(table, operation);
        let failed = jeton.cli(ROTATE);
        jeton.mend_writes(table);
        failed.expect_refusal(1, &[]);
        assert_eq!((files(&jeton), sealed(&jeton)), before, "{table} {operation}");
    }
    held.works();
    jeton.execute("INSERT INTO secrets (name, sealed_value, created_at) VALUES ('alien', 'nonsense', 0)");
    jeton.cli(ROTATE).expect_refusal(1, &["secret alien"]);
    jeton.execute("DELETE FROM secrets WHERE name = 'alien'");
    assert_eq!(files(&jeton), before.0);

    jeton.stop();
    jeton.cli(ROTATE).expect_code(0);
    for (table, operation) in [("master_keys", "UPDATE"), ("master_keys", "DELETE"), ("audit_events", "INSERT")] {
        break_finish(&jeton, table, operation);
        jeton.cli(FINISH).expect_refusal(1, &[]);
        jeton.mend_writes(table);
        assert_eq!(jeton.query("SELECT id AS value FROM master_keys").len(), 2, "{table} {operation}");
    }
    held.works();
    finish(&jeton);
    held.works();
}

/// A command that was killed leaves a key behind that nobody uses: it is told, and gone with the next change.
#[test]
fn what_a_killed_command_has_left_is_told_and_taken_away() {
    let jeton = Jeton::on_sqlite();
    jeton.cli(["tenant", "create", "--name", "Acme"]).expect_code(0);
    let left = keys(&jeton).join(".master.key.0123456789abcdef");
    let leave = || fs::write(&left, master_key(&jeton)).unwrap();
    for change in [ROTATE, FINISH] {
        leave();
        let told = jeton.cli(["doctor"]);
        assert!(told.stdout.contains(".master.key.0123456789abcdef"), "{told:#?}");
        jeton.cli(change).expect_code(0);
        assert!(!left.exists(), "gone after {change:?}");
        assert!(!jeton.cli(["doctor"]).stdout.contains(".master.key."), "nothing is left");
    }
}

#[both_databases]
fn a_kill_at_any_moment_leaves_a_pair_that_works(jeton: Jeton) {
    let mut held = Held::new(&jeton);
    let mut interrupted = 0;
    for delay in [5, 20, 40, 60, 80, 100, 120, 150, 200, 300] {
        let mut rotation = command(jeton.folder(), jeton.environment());
        let mut rotation = rotation.args(ROTATE).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        sleep(Duration::from_millis(delay));
        rotation.kill().unwrap();
        interrupted += usize::from(!rotation.wait().unwrap().success());
        jeton.kill();
        held.works();
        if jeton.cli(STATUS).expect_code(0).json()["previous"].is_string() {
            jeton.cli(INSTALL).expect_code(0);
            // The killed server would hold it up for a minute.
            jeton.execute("DELETE FROM instances");
            finish(&jeton);
            held.works();
        }
        expect_private(&jeton);
    }
    assert!(interrupted > 0, "some of them were killed");
}

#[both_databases]
fn a_database_from_before_master_keys_had_names_goes_on(jeton: Jeton) {
    let mut held = Held::new(&jeton);
    jeton.stop();
    for table in ["secrets", "signing_keys", "idempotency_records"] {
        jeton.execute(&format!("UPDATE {table} SET master_key = NULL"));
    }
    jeton.execute("DELETE FROM master_keys");
    jeton.set_variable("JETON_MASTER_KEY", &BASE64.encode(&[9; 32]));
    jeton.cli(["serve"]).expect_refusal(1, &["not the master key"]);
    jeton.unset_variable("JETON_MASTER_KEY");
    held.works();
    jeton.cli(ROTATE).expect_code(0);
    finish(&jeton);
    held.works();
}

/// Somebody who holds all that depends on what is sealed.
#[derive(Clone)]
struct Held {
    jeton: Jeton,
    tenant: Tenant,
    session: Session,
    key: ApiKey,
}

impl Held {
    fn new(jeton: &Jeton) -> Self {
        let tenant = jeton.tenant();
        let held =
            Self { session: tenant.admin().session(), key: tenant.api_key(["a:b"]), jeton: jeton.clone(), tenant };
        held.tenant.admin().token();
        held.create(&jeton.client(), "first").expect_status(201);
        held
    }

    /// All of it, on the server as it is now.
    #[track_caller]
    fn works(&mut self) {
        let client = self.jeton.client();
        self.login(&client).expect_tokens();
        self.session = self.session.refreshed();
        self.jeton.verified(&self.exchange(&client).expect_scope("a:b").text("access_token"));
        let again = self.create(&client, "first").expect_status(201);
        assert_eq!(again.text("key"), self.create(&client, "first").text("key"));
        let keys = self.tenant.admin().get(self.tenant.path("api-keys?limit=100")).items();
        assert_eq!(keys.iter().filter(|key| key["name"] == "first").count(), 1, "answered again, not made again");
    }

    fn login(&self, client: &Client) -> Answer {
        let admin = self.tenant.admin();
        client.post("/api/v1/auth/login").json(json!({"email": admin.email, "password": admin.password}))
    }

    fn exchange(&self, client: &Client) -> Answer {
        client.post("/api/v1/auth/exchange").bearer(&self.key.key).tenant(&self.tenant.id).send()
    }

    /// A key that this `name` stands for, however often it is asked for.
    fn create(&self, client: &Client, name: &str) -> Answer {
        let call = client.post(self.tenant.path("api-keys")).bearer(self.tenant.admin().token());
        call.header("Idempotency-Key", name).json(json!({"name": name}))
    }
}

/// Another machine: the same database, and a copy of the keys.
struct Elsewhere {
    folder: PathBuf,
    environment: Vec<(String, String)>,
}

impl Elsewhere {
    fn cli(&self, arguments: &[&str]) -> crate::harness::Run {
        run(&self.folder, self.environment.clone(), arguments, None)
    }

    fn start(&self) -> Result<Server, String> {
        Server::start(&self.folder, self.environment.clone())
    }

    fn master_key(&self) -> String {
        fs::read_to_string(self.folder.join("elsewhere/master.key")).unwrap()
    }
}

fn beside(jeton: &Jeton) -> (Server, Client, Elsewhere) {
    let copy = jeton.folder().join("elsewhere");
    fs::create_dir(&copy).unwrap();
    fs::copy(keys(jeton).join("master.key"), copy.join("master.key")).unwrap();
    let mut environment = jeton.environment();
    environment.push(("JETON_KEYS__DIR".to_owned(), "elsewhere".to_owned()));
    let elsewhere = Elsewhere { folder: jeton.folder().to_owned(), environment };
    let server = elsewhere.start().expect("a second server starts");
    let client = Client::new(&server.address);
    (server, client, elsewhere)
}

/// Ends the change; a server needs a moment to tell that it has the new key.
#[track_caller]
fn finish(jeton: &Jeton) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let run = jeton.cli(FINISH);
        if run.code == Some(0) {
            assert_eq!(run.json()["previous"], Value::Null);
            return;
        }
        assert!(run.stderr.contains("missing at") && Instant::now() < deadline, "{run:?}");
        sleep(Duration::from_millis(200));
    }
}

#[track_caller]
fn wait_for_rounds(done: &AtomicUsize) {
    let (begun, deadline) = (done.load(Ordering::SeqCst), Instant::now() + Duration::from_secs(30));
    while done.load(Ordering::SeqCst) < begun + 8 {
        assert!(Instant::now() < deadline, "the clients go on");
        sleep(Duration::from_millis(20));
    }
}

/// All that is sealed, by table and column, as the schema names it.
fn sealed(jeton: &Jeton) -> BTreeMap<String, Vec<String>> {
    let (columns, hex) = match jeton.database() {
        Database::Sqlite => (
            "SELECT t.name || ' ' || c.name AS value FROM sqlite_schema t JOIN pragma_table_info(t.name) c
             WHERE t.type = 'table' AND t.name <> 'master_keys' AND c.name LIKE 'sealed%'",
            "hex({})",
        ),
        Database::Postgres { .. } => (
            "SELECT table_name || ' ' || column_name AS value FROM information_schema.columns
             WHERE table_schema = 'public' AND table_name <> 'master_keys' AND column_name LIKE 'sealed%'",
            "encode({}, 'hex')",
        ),
    };
    let values = |name: String| {
        let (table, column) = name.split_once(' ').unwrap();
        let values = jeton.query(&format!("SELECT {} AS value FROM {table}", hex.replace("{}", column)));
        (name.clone(), values)
    };
    jeton.query(columns).into_iter().map(values).collect()
}

fn sealed_other(jeton: &Jeton) -> Vec<String> {
    jeton.query("SELECT id AS value FROM master_keys WHERE sealed_other IS NOT NULL")
}

fn break_finish(jeton: &Jeton, table: &str, operation: &str) {
    match jeton.database() {
        Database::Postgres { .. } if operation == "DELETE" => jeton.execute(&format!(
            "CREATE FUNCTION injected() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'injected'; END $$;
             CREATE TRIGGER injected BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION injected()"
        )),
        _ => jeton.break_writes(table, operation),
    }
}

fn doctor(jeton: &Jeton) -> String {
    let checks = jeton.cli(["doctor", "--json"]).json()["items"].as_array().unwrap().clone();
    let check = checks.iter().find(|check| check["name"] == "master key").unwrap();
    assert_eq!(check["result"], "ok", "{check}");
    check["detail"].as_str().unwrap().to_owned()
}

fn keys(jeton: &Jeton) -> PathBuf {
    jeton.folder().join("keys")
}

fn master_key(jeton: &Jeton) -> String {
    fs::read_to_string(keys(jeton).join("master.key")).unwrap()
}

fn files(jeton: &Jeton) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |path: PathBuf| (path.clone(), fs::read(path).unwrap());
    fs::read_dir(keys(jeton)).unwrap().map(|entry| read(entry.unwrap().path())).collect()
}

/// No key is there for others to read.
#[track_caller]
fn expect_private(jeton: &Jeton) {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for path in files(jeton).into_keys() {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}
