//! Nobody who can write to the database alters the audit log unnoticed: each line rests on the one before it, and
//! checkpoints are signed (security 25; docs/adr/0018).

use std::time::Duration;

use diesel::connection::SimpleConnection;
use jeton_test_macros::both_databases;
use serde_json::{Value, json};

use crate::harness::{Database, Jeton, at_once};

const DAY: Duration = Duration::from_hours(24);

impl Jeton {
    fn verify_audit(&self) -> Value {
        self.cli(["audit", "verify", "--json"]).expect_code(0).json()
    }

    /// What `jeton audit verify` says is wrong, in one line.
    #[track_caller]
    fn audit_faults(&self) -> String {
        let run = self.cli(["audit", "verify"]).expect_code(1);
        assert_eq!(run.stderr.trim_end().lines().count(), 1, "{run:?}");
        run.stderr
    }

    /// At its start a server signs for the ends of all chains.
    fn sign_audit(&self) {
        self.restart();
        self.wait_for("everything is signed for", || {
            let run = self.cli(["audit", "verify", "--json"]);
            run.code == Some(0) && run.json()["unsigned"] == 0
        });
    }

    fn wait_for(&self, what: &str, so: impl Fn() -> bool) {
        let deadline = std::time::Instant::now() + Duration::from_mins(1);
        while !so() {
            assert!(std::time::Instant::now() < deadline, "{what}: {:?}", self.server(crate::harness::Server::log));
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A tenant with some lines, and those of the server itself.
fn some_history(jeton: &Jeton) -> String {
    let tenant = jeton.tenant();
    let key = tenant.api_key(["a:b"]);
    tenant.user("member").session();
    key.forged("jtn_live_00000000000000000000000000000000").exchange().expect_status(401);
    tenant.admin().revoke(&key).expect_status(204);
    jeton.cli(["signing-key", "rotate"]).expect_code(0);
    jeton.wait_for("the refused key is written down", || jeton.audited("invalid_api_key") == 1);
    tenant.id
}

/// A UUID, or other bytes in hexadecimal, in a statement.
fn bytes(jeton: &Jeton, text: &str) -> String {
    let hex = text.replace('-', "");
    match jeton.database() {
        Database::Sqlite => format!("x'{hex}'"),
        Database::Postgres { .. } => format!("decode('{hex}', 'hex')"),
    }
}

#[both_databases]
fn an_audit_log_that_nobody_touched_is_sound(jeton: Jeton) {
    some_history(&jeton);
    let rows = jeton.audit().len();
    let found = jeton.verify_audit();
    assert_eq!(found["faults"], json!([]));
    assert_eq!(found["lines"], rows, "every line is in a chain");
    assert_eq!(found["chains"], 2, "the tenant's, and the server's own");
    jeton.sign_audit();
    let found = jeton.verify_audit();
    assert!(found["checkpoints"].as_u64().unwrap() >= 1, "{found}");
}

#[both_databases]
fn whatever_is_done_to_a_line_is_found(jeton: Jeton) {
    let tenant = some_history(&jeton);
    jeton.sign_audit();
    jeton.stop();
    for table in ["audit_events", "audit_chains", "audit_checkpoints"] {
        jeton.execute(&format!("CREATE TABLE saved_{table} AS SELECT * FROM {table}"));
    }
    let chain = bytes(&jeton, &tenant);
    let columns = "at, tenant_id, action, outcome, actor, target, ip, user_agent, request_id, details, chain";
    let cases = [
        ("altered", format!("UPDATE audit_events SET actor = 'cli' WHERE chain = {chain} AND sequence = 3"), "line 3"),
        ("a member is gone", format!("UPDATE audit_events SET ip = NULL WHERE chain = {chain} AND sequence = 3"), "line 3"),
        ("a moment earlier", format!("UPDATE audit_events SET at = at - 1 WHERE chain = {chain} AND sequence = 2"), "line 2"),
        ("missing", format!("DELETE FROM audit_events WHERE chain = {chain} AND sequence = 2"), "lines 2 to 2 are missing"),
        ("the last is missing",
            format!("DELETE FROM audit_events WHERE chain = {chain} AND sequence = (SELECT sequence FROM audit_chains WHERE id = {chain})"),
            "are missing"),
        ("the first is missing", format!("DELETE FROM audit_events WHERE chain = {chain} AND sequence = 1"), "lines 1 to 1"),
        ("two in another order",
            format!("UPDATE audit_events SET sequence = 99 WHERE chain = {chain} AND sequence = 2;
                     UPDATE audit_events SET sequence = 2 WHERE chain = {chain} AND sequence = 3;
                     UPDATE audit_events SET sequence = 3 WHERE chain = {chain} AND sequence = 99"),
            "line 2"),
        ("taken out of its chain",
            format!("UPDATE audit_events SET chain = NULL, sequence = NULL WHERE chain = {chain} AND sequence = 2"), "lines 2 to 2"),
        ("moved to another tenant", format!("UPDATE audit_events SET tenant_id = NULL WHERE chain = {chain} AND sequence = 2"), "line 2"),
        ("added",
            format!("INSERT INTO audit_events (id, {columns}, sequence, link)
                     SELECT {chain}, {columns}, 99, link FROM audit_events WHERE chain = {chain} AND sequence = 2;
                     UPDATE audit_chains SET sequence = 99 WHERE id = {chain}"),
            "missing"),
        ("added outside every chain",
            format!("INSERT INTO audit_events (id, {columns}) SELECT {chain}, at + 3600000000, tenant_id, action, outcome, actor, target, ip,
                     user_agent, request_id, details, NULL FROM audit_events WHERE chain = {chain} AND sequence = 2"),
            "outside every chain"),
        ("cut off, and the end made to fit",
            format!("DELETE FROM audit_events WHERE chain = {chain} AND sequence > 2;
                     UPDATE audit_chains SET sequence = 2, link = (SELECT link FROM audit_events WHERE chain = {chain} AND sequence = 2)
                     WHERE id = {chain}"),
            "by a signed checkpoint"),
        ("a whole chain is gone",
            format!("DELETE FROM audit_events WHERE chain = {chain}; DELETE FROM audit_chains WHERE id = {chain}"), "by a signed checkpoint"),
        ("its end alone is gone", format!("DELETE FROM audit_chains WHERE id = {chain}"), "by a signed checkpoint"),
        ("forgotten by nobody",
            format!("DELETE FROM audit_events WHERE chain = {chain} AND sequence <= 2;
                     UPDATE audit_chains SET forgotten = 2 WHERE id = {chain}"),
            "without a signed checkpoint"),
        ("a checkpoint is altered", "UPDATE audit_checkpoints SET token = token || 'A' WHERE number = 1".to_owned(), "checkpoint 1"),
        ("a checkpoint is gone", "DELETE FROM audit_checkpoints WHERE number = 1".to_owned(), "checkpoint"),
    ];
    let placed = |what, tenant: &str, place: &str| {
        let (chain, number) = place.split_once(", ").unwrap();
        let added = format!(
            "INSERT INTO audit_events (id, at, tenant_id, action, outcome, actor, chain, sequence, link)
             SELECT {tenant}, at, tenant_id, action, outcome, actor, {chain}, {number}, link FROM audit_events
             WHERE chain = {tenant} AND sequence = 1"
        );
        (what, added, "stand where no chain has a line")
    };
    let misplaced = [
        placed("before the first", &chain, &format!("{chain}, 0")),
        placed("far before", &chain, &format!("{chain}, -1")),
        placed("behind the end", &chain, &format!("{chain}, 999")),
        placed("with a number and no chain", &chain, "NULL, 1"),
    ];
    jeton.verify_audit();
    for (what, statements, told) in cases.into_iter().chain(misplaced) {
        jeton.execute(&statements);
        let faults = jeton.audit_faults();
        assert!(faults.contains(told), "{what}: `{told}` in {faults}");
        for table in ["audit_events", "audit_chains", "audit_checkpoints"] {
            jeton.execute(&format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM saved_{table}"));
        }
        jeton.verify_audit();
    }
}

/// Whoever has the database alone does not get a signature for what they wrote.
#[both_databases]
fn what_was_altered_is_not_signed_later(jeton: Jeton) {
    some_history(&jeton);
    jeton.sign_audit();
    // Another end, as it is where the lines before it were written anew.
    let first = "SELECT link FROM audit_events e WHERE e.chain = audit_chains.id AND e.sequence = 1";
    jeton.execute(&format!("UPDATE audit_chains SET signed = 0, link = ({first})"));
    jeton.restart();
    jeton.wait_for("a server says so", || {
        jeton.server(crate::harness::Server::log).iter().any(|line| line.contains("run `jeton audit verify`"))
    });
    assert!(jeton.audit_faults().contains("was altered"));
    let gone = jeton.cli(["audit", "verify", "--checkpoint", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]);
    assert!(gone.expect_code(1).stderr.contains("is not"));
}

#[both_databases]
fn a_checkpoint_that_lies_elsewhere_must_be_there(jeton: Jeton) {
    some_history(&jeton);
    jeton.sign_audit();
    let log = jeton.server(crate::harness::Server::log);
    let line = log.iter().rev().find(|line| line.contains("checkpoint of the audit log")).expect("it is in the log");
    let event: Value = serde_json::from_str(line).unwrap();
    let hash = event["hash"].as_str().unwrap();
    jeton.cli(["audit", "verify", "--checkpoint", hash]).expect_code(0);
    jeton.stop();
    jeton.execute("DELETE FROM audit_checkpoints; UPDATE audit_chains SET signed = 0");
    jeton.start();
    jeton.wait_for("a server signs anew", || jeton.verify_audit()["unsigned"] == 0);
    jeton.cli(["audit", "verify", "--checkpoint", hash]).expect_code(1);
}

#[both_databases]
fn a_line_with_a_wrong_time_takes_no_others_with_it(jeton: Jeton) {
    let tenant = some_history(&jeton);
    jeton.shift(-500 * 86_400 * 1_000_000);
    jeton.cli(["tenant", "suspend", &tenant]).expect_code(0);
    jeton.advance(DAY * 500);
    let rows = jeton.audit().len();
    jeton.sign_audit();
    assert!(jeton.audit().len() >= rows, "nothing is forgotten before its time");
    jeton.verify_audit();
}

#[both_databases]
fn lines_of_many_at_once_are_one_chain(jeton: Jeton) {
    let tenant = jeton.tenant();
    let admin = tenant.admin();
    admin.token();
    let (_second, other) = jeton.second();
    at_once(16, |number| {
        for round in 0..5 {
            let client = if number % 2 == 0 { jeton.client() } else { other.clone() };
            let call = client.post(tenant.path("api-keys")).bearer(admin.token());
            call.json(json!({"name": format!("Key {number} {round}")})).expect_status(201);
        }
    });
    let found = jeton.verify_audit();
    assert_eq!(found["lines"], jeton.audit().len(), "{found}");
}

#[both_databases]
fn a_checkpoint_of_a_leaked_key_counts_once_the_next_one_vouches_for_it(jeton: Jeton) {
    some_history(&jeton);
    jeton.sign_audit();
    let kid = jeton.jwks()["keys"][0]["kid"].as_str().unwrap().to_owned();
    jeton.cli(["signing-key", "revoke", &kid]).expect_code(0);
    assert!(jeton.audit_faults().contains("have leaked"), "what a leaked key signed may be anybody's");
    jeton.sign_audit();
    jeton.execute("DELETE FROM audit_checkpoints WHERE number = 1");
    assert!(jeton.audit_faults().contains("checkpoint"));
}

/// Word by word what docs/OPERATIONS.md tells an operator to do.
#[both_databases]
fn after_the_master_key_was_lost_the_audit_log_goes_on(jeton: Jeton) {
    let tenant = some_history(&jeton);
    jeton.sign_audit();
    let (signed, keys) = (jeton.rows("audit_checkpoints"), jeton.rows("signing_keys"));
    jeton.stop();
    std::fs::remove_file(jeton.folder().join("keys/master.key")).unwrap();
    let procedure = include_str!("../../docs/OPERATIONS.md").split_once("**Master key lost or leaked.**").unwrap().1;
    jeton.execute(procedure.split("```").nth(1).unwrap());
    jeton.start();
    jeton.wait_for("it is signed anew", || jeton.rows("audit_checkpoints") > signed);

    let found = jeton.cli(["audit", "verify"]).expect_code(0);
    let told = format!("note: checkpoints 1 to {signed} are of signing keys that open no more");
    assert!(found.stderr.starts_with(&told), "{found:?}");
    let found = jeton.verify_audit();
    assert_eq!((found["unreadable"].as_i64(), found["notes"].as_array().map(Vec::len)), (Some(signed), Some(1)));
    let checks = jeton.cli(["doctor"]).stdout;
    assert!(
        ["master key", "signing keys"].iter().all(|check| checks.contains(&format!("ok      {check}"))),
        "{checks}"
    );
    assert_eq!(jeton.rows("signing_keys WHERE state = 'compromised'"), keys);
    assert_eq!(jeton.jwks()["keys"].as_array().map(Vec::len), Some(1), "the old keys are published no more");

    // Nothing of it is in the way of what comes later.
    jeton.tenant().api_key(["a:b"]).exchange().expect_tokens();
    jeton.cli(["master-key", "rotate"]).expect_code(0);
    jeton.sign_audit();
    jeton.advance(DAY * 401);
    jeton.restart();
    jeton.wait_for("the old lines are forgotten", || jeton.audited("invalid_api_key") == 0);
    jeton.cli(["tenant", "suspend", &tenant]).expect_code(0);
    jeton.sign_audit();
}

#[both_databases]
fn what_is_older_than_it_is_to_be_kept_is_forgotten_and_that_is_signed(jeton: Jeton) {
    let tenant = some_history(&jeton);
    let before = jeton.audit().len();
    jeton.sign_audit();
    jeton.advance(DAY * 401);
    jeton.restart();
    jeton.wait_for("the old lines are forgotten", || jeton.audit().iter().all(|row| row.outcome != "invalid_api_key"));
    assert!(jeton.audit().len() < before);
    jeton.cli(["tenant", "suspend", &tenant]).expect_code(0);
    let found = jeton.verify_audit();
    assert_eq!(found["lines"], jeton.audit().len(), "{found}");

    let jeton = jeton.with("audit.keep", "0");
    jeton.advance(DAY * 401);
    jeton.sign_audit();
    assert!(jeton.audited("tenant.suspended") > 0, "kept for ever");
}

/// However many lines it has that are old enough.
#[both_databases]
fn a_chain_that_cannot_be_forgotten_keeps_no_lines_of_others(jeton: Jeton) {
    let stuck = bytes(&jeton, &jeton.tenant().id);
    let other = bytes(&jeton, &some_history(&jeton));
    jeton.sign_audit();
    jeton.stop();
    let lines: Vec<String> = (1..=600)
        .map(|number| {
            let id = bytes(&jeton, &format!("{number:032x}"));
            format!("({id}, 0, 'a', 'success', 'cli', {stuck}, {}, {stuck})", 1_000 + number)
        })
        .collect();
    jeton.execute(&format!(
        "UPDATE audit_events SET actor = 'cli2' WHERE chain = {stuck} AND sequence = 1;
         INSERT INTO audit_events (id, at, action, outcome, actor, chain, sequence, link) VALUES {}",
        lines.join(", ")
    ));
    jeton.advance(DAY * 401);
    jeton.start();
    let lines_of = |chain: &str| jeton.rows(&format!("audit_events WHERE chain = {chain}"));
    jeton.wait_for("what others wrote is forgotten", || lines_of(&other) == 0);
    assert!(lines_of(&stuck) > 600, "of what was altered nothing is forgotten");
}

#[both_databases]
fn chains_that_nothing_is_signed_for_keep_no_others_from_it(jeton: Jeton) {
    let tenant = bytes(&jeton, &some_history(&jeton));
    jeton.stop();
    // Each is to have a line, and has none.
    let chains: Vec<String> = (1..=500)
        .map(|number| {
            format!("({}, 1, {}, 0, 0)", bytes(&jeton, &format!("{number:032x}")), bytes(&jeton, &"0".repeat(64)))
        })
        .collect();
    jeton.execute(&format!(
        "INSERT INTO audit_chains (id, sequence, link, forgotten, signed) VALUES {}",
        chains.join(", ")
    ));
    jeton.start();
    let signed = format!("audit_chains WHERE id = {tenant} AND signed = sequence");
    jeton.wait_for("the tenant's chain is signed for", || jeton.rows(&signed) == 1);
}

/// The lines of a chain are forgotten after its checkpoints were read: no alarm.
#[test]
fn what_is_forgotten_while_the_log_is_checked_is_not_missing() {
    const TABLES: [&str; 3] = ["audit_events", "audit_chains", "audit_checkpoints"];
    // SQLite lets nobody stop a reader halfway.
    let Some(jeton) = Jeton::on_postgres() else { return };
    some_history(&jeton);
    jeton.sign_audit();
    jeton.stop();
    let each = |statement: &dyn Fn(&str) -> String| TABLES.map(statement).join("; ");
    jeton.execute(&each(&|table| format!("CREATE TABLE before_{table} AS SELECT * FROM {table}")));
    jeton.advance(DAY * 401);
    jeton.start();
    jeton.wait_for("the old lines are forgotten", || jeton.audited("invalid_api_key") == 0);
    jeton.stop();
    let put =
        |time: &str| each(&|table| format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM {time}_{table}"));
    jeton.execute(&each(&|table| format!("CREATE TABLE after_{table} AS SELECT * FROM {table}")));
    jeton.execute(&put("before"));

    let mut forgetful = jeton.postgres();
    forgetful.batch_execute("BEGIN; LOCK TABLE audit_events").unwrap();
    let found = std::thread::scope(|scope| {
        let verifying = scope.spawn(|| jeton.verify_audit());
        let waits = "pg_locks WHERE NOT granted AND relation = 'audit_events'::regclass
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        jeton.wait_for("it waits for the lines", || jeton.rows(waits) > 0);
        forgetful.batch_execute(&format!("{}; COMMIT", put("after"))).unwrap();
        verifying.join().expect("there is no fault")
    });
    assert_eq!(found["lines"], jeton.audit().len(), "{found}");
}

#[both_databases]
fn the_audit_log_is_exported_line_by_line(jeton: Jeton) {
    let tenant = some_history(&jeton);
    let export = |more: &[&str]| -> Vec<Value> {
        let arguments = [&["audit", "export"], more].concat();
        let run = crate::harness::run(jeton.folder(), jeton.environment(), arguments, None).expect_code(0);
        run.stdout.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
    };
    let all = export(&[]);
    assert_eq!(all.len(), jeton.audit().len());
    assert!(all.is_sorted_by_key(|line| line["id"].as_str().unwrap().to_owned()), "the oldest first");
    let of_tenant = export(&["--tenant", &tenant]);
    assert!(!of_tenant.is_empty() && of_tenant.len() < all.len());
    assert!(
        of_tenant
            .iter()
            .all(|line| line["tenant_id"] == tenant && line["sequence"].is_i64() && line["link"].is_string())
    );
    let later = jeton.in_seconds(60);
    assert_eq!(export(&["--since", &later]), Vec::<Value>::new());
    assert_eq!(export(&["--until", &later]).len(), all.len());
    jeton.cli(["audit", "export", "--since", "yesterday"]).expect_refusal(2, &["--since", "RFC 3339"]);
}
