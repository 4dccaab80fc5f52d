//! The command line (contract 2): the same rules as over HTTP, by another door.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use jeton_test_macros::both_databases;
use serde_json::{Value, json};

use crate::harness::{Conduct, ForeignIssuer, Jeton, User, command, run, unique};

const PASSWORD: &str = "another-Meadow-2209-kettle";
const NOBODY: &str = "0199b0a0-0000-7000-8000-000000000000";

#[test]
fn every_command_has_help() {
    let jeton = Jeton::on_sqlite();
    for words in [
        &[][..],
        &["serve"],
        &["migrate"],
        &["doctor"],
        &["tenant"],
        &["tenant", "create"],
        &["tenant", "list"],
        &["tenant", "set-plan"],
        &["tenant", "suspend"],
        &["tenant", "resume"],
        &["tenant", "delete"],
        &["user"],
        &["user", "create"],
        &["user", "list"],
        &["user", "disable"],
        &["user", "enable"],
        &["user", "set-password"],
        &["api-key"],
        &["api-key", "create"],
        &["api-key", "list"],
        &["api-key", "revoke"],
        &["api-key", "rotate"],
        &["signing-key"],
        &["signing-key", "list"],
        &["config"],
        &["config", "print"],
        &["openapi"],
    ] {
        let arguments = words.iter().chain(&["--help"]);
        let run = crate::harness::run(jeton.folder(), jeton.environment(), arguments, None).expect_code(0);
        assert!(run.stdout.contains("Usage:") && run.stderr.is_empty(), "{run:?}");
        assert!(run.stdout.contains("--config"), "every subcommand takes --config: {run:?}");
        assert!(run.stdout.contains("--json"), "all of them take --json: {run:?}");
    }
}

#[test]
fn the_version_names_its_commit() {
    let printed = Jeton::on_sqlite().cli(["--version"]).expect_code(0).stdout;
    let words: Vec<_> = printed.split_whitespace().collect();
    assert_eq!(words[..2], ["jeton", env!("CARGO_PKG_VERSION")]);
    assert_eq!(words.len(), 3, "version and commit: {printed}");
}

#[test]
fn wrong_usage_exits_with_2() {
    let jeton = Jeton::on_sqlite();
    jeton.cli(["serv"]).expect_refusal(2, &["serv"]);
    jeton.cli(["serve", "--port", "1"]).expect_refusal(2, &["--port"]);
    jeton.cli(["tenant"]).expect_refusal(2, &[]);
    jeton.cli(["tenant", "create"]).expect_refusal(2, &["--name"]);
    jeton.cli(["tenant", "suspend", "no-uuid"]).expect_refusal(2, &["no-uuid"]);
    jeton
        .cli(["user", "create", "--email", "a@example.com", "--tenant", NOBODY])
        .expect_refusal(2, &["--password-stdin"]);
    let both =
        ["user", "create", "--email", "a@example.com", "--tenant", NOBODY, "--password-stdin", "--generate-password"];
    jeton.cli(both).expect_refusal(2, &["--generate-password"]);
    jeton
        .cli(["user", "create", "--email", "nobody", "--tenant", NOBODY, "--password-stdin"])
        .expect_refusal(2, &["nobody"]);
    jeton.cli(["user", "disable"]).expect_refusal(2, &[]);
    jeton.cli(["api-key", "create", "--tenant", NOBODY]).expect_refusal(2, &["--name"]);
    let badly_written = ["api-key", "create", "--tenant", NOBODY, "--name", "x", "--scope", "goals"];
    jeton.cli(badly_written).expect_refusal(2, &["goals"]);
    let no_time = ["api-key", "create", "--tenant", NOBODY, "--name", "x", "--expires-in", "soon"];
    jeton.cli(no_time).expect_refusal(2, &["soon"]);
    let for_ever = ["api-key", "create", "--tenant", NOBODY, "--name", "x", "--expires-in", "9000y"];
    jeton.cli(for_ever).expect_refusal(2, &["3650d"]);
    jeton.cli(["config"]).expect_refusal(2, &[]);
}

#[both_databases]
fn tenants_are_made_listed_suspended_and_deleted(jeton: Jeton) {
    jeton.start();
    let id = "0199b0a0-1234-7000-8000-00000000abcd";
    let made = jeton.cli(["tenant", "create", "--name", "Acme", "--id", id, "--json"]).expect_code(0).json();
    assert_eq!((&made["id"], &made["name"]), (&json!(id), &json!("Acme")));
    jeton.cli(["tenant", "create", "--name", "Again", "--id", id]).expect_refusal(1, &[]);
    jeton.cli(["tenant", "create", "--name", ""]).expect_refusal(2, &[]);

    let find = || {
        let list = jeton.cli(["tenant", "list", "--json"]).expect_code(0).json();
        list["items"].as_array().unwrap().iter().find(|tenant| tenant["id"] == id).cloned()
    };
    assert_eq!(find().expect("it is listed")["name"], "Acme");
    assert!(jeton.cli(["tenant", "list"]).expect_code(0).stdout.contains("Acme"), "for people");
    let before = find();
    jeton.cli(["tenant", "suspend", id, "--json"]).expect_code(0).json();
    assert_ne!(find(), before, "it shows that it is suspended");
    jeton.cli(["tenant", "suspend", id]).expect_code(0);
    jeton.cli(["tenant", "resume", id, "--json"]).expect_code(0).json();
    assert_eq!(find(), before);
    jeton.cli(["tenant", "delete", id, "--json"]).expect_code(0).json();
    assert_eq!(find(), None);
    for verb in ["suspend", "resume", "delete"] {
        jeton.cli(["tenant", verb, id]).expect_refusal(1, &[]);
    }
    let no_plan = jeton.cli(["tenant", "set-plan", &jeton.tenant().id, "startup"]);
    no_plan.expect_refusal(1, &["plan"]);
}

#[both_databases]
fn users_are_made_listed_and_disabled(jeton: Jeton) {
    let tenant = jeton.tenant();
    let email = format!("{}@example.com", unique("cli"));
    let create = ["user", "create", "--email", &email, "--tenant", &tenant.id, "--generate-password", "--json"];
    let made = jeton.cli(create).expect_code(0).json();
    assert_eq!(made["email"], *email);
    let password = made["password"].as_str().expect("shown once").to_owned();
    let login = |password: &str| jeton.post("/api/v1/auth/login").json(json!({"email": email, "password": password}));
    login(&password).expect_scope("");

    let list = jeton.cli(["user", "list", "--json"]).expect_code(0);
    assert!(list.stdout.contains(&email) && !list.stdout.contains(&password) && !list.stdout.contains("argon2"));
    jeton.cli(["user", "disable", &email, "--json"]).expect_code(0).json();
    login(&password).expect_problem(401, "invalid_credentials");
    jeton.cli(["user", "enable", &email, "--json"]).expect_code(0).json();
    login(&password).expect_tokens();
    let set = ["user", "set-password", &email, "--password-stdin", "--json"];
    jeton.cli_with_stdin(set, Some(&format!("{PASSWORD}\n"))).expect_code(0).json();
    login(&password).expect_status(401);
    login(PASSWORD).expect_tokens();
    jeton.cli(["user", "disable", &email.to_uppercase()]).expect_code(0);
}

#[both_databases]
fn what_a_user_cannot_be_is_refused(jeton: Jeton) {
    let tenant = jeton.tenant();
    let user = tenant.user("member");
    let create = |email: &str, tenant: &str, role: &str, password: &str| {
        let arguments = ["user", "create", "--email", email, "--tenant", tenant, "--role", role, "--password-stdin"];
        jeton.cli_with_stdin(arguments, Some(password))
    };
    create(&user.email, &tenant.id, "member", PASSWORD).expect_refusal(1, &[]);
    create("a@example.com", NOBODY, "member", PASSWORD).expect_refusal(1, &["tenant"]);
    create("a@example.com", &tenant.id, "owner", PASSWORD).expect_refusal(1, &["role", "admin, member"]);
    create("a@example.com", &tenant.id, "The owner", PASSWORD).expect_refusal(2, &["The owner"]);
    for weak in ["", "short", "passwordpassword", "a@example.com-a@example.com"] {
        create("a@example.com", &tenant.id, "member", weak).expect_refusal(1, &["password"]);
    }
    for verb in ["disable", "enable"] {
        jeton.cli(["user", verb, "nobody@example.com"]).expect_refusal(1, &["user"]);
    }
    let set = ["user", "set-password", "nobody@example.com", "--password-stdin"];
    jeton.cli_with_stdin(set, Some(PASSWORD)).expect_refusal(1, &["user"]);
}

#[both_databases]
fn an_operator_is_made_by_the_command_line(jeton: Jeton) {
    let operator = jeton.operator();
    operator.get("/api/v1/tenants").expect_status(200);
    jeton.tenant().admin().get("/api/v1/tenants").expect_problem(403, "insufficient_scope");
}

#[both_databases]
fn api_keys_are_made_listed_rotated_and_revoked(jeton: Jeton) {
    let tenant = jeton.tenant();
    let create = [
        "api-key",
        "create",
        "--tenant",
        &tenant.id,
        "--name",
        "CI",
        "--scope",
        "goals:read",
        "--scope",
        "sites:read",
        "--expires-in",
        "90d",
        "--allow-ip",
        "127.0.0.0/8",
        "--json",
    ];
    let made = jeton.cli(create).expect_code(0);
    let (id, key) = (made.text("id"), made.text("key"));
    let exchange = |key: &str| jeton.post("/api/v1/auth/exchange").bearer(key).tenant(&tenant.id).send();
    exchange(&key).expect_scope("goals:read sites:read");

    let list = jeton.cli(["api-key", "list", "--tenant", &tenant.id, "--json"]).expect_code(0);
    assert!(!list.stdout.contains(&key), "shown once");
    let listed = &list.json()["items"][0];
    assert_eq!((&listed["id"], &listed["state"]), (&json!(id), &json!("active")));
    let over_http = tenant.admin().get(tenant.path(&format!("api-keys/{id}"))).expect_status(200).json();
    for member in ["name", "scopes", "hint", "expires_at", "allowed_ips"] {
        assert_eq!(listed[member], over_http[member], "{member}: one shape by all doors");
    }

    let rotated = jeton.cli(["api-key", "rotate", &id, "--overlap", "24h", "--json"]).expect_code(0);
    exchange(&rotated.text("key")).expect_scope("goals:read sites:read");
    exchange(&key).expect_tokens();
    jeton.advance(Duration::from_secs(24 * 60 * 60 + 1));
    exchange(&key).expect_problem(401, "invalid_api_key");
    exchange(&rotated.text("key")).expect_tokens();

    jeton.cli(["api-key", "revoke", &rotated.text("id"), "--json"]).expect_code(0).json();
    exchange(&rotated.text("key")).expect_problem(401, "invalid_api_key");
    jeton.cli(["api-key", "revoke", &rotated.text("id")]).expect_code(0);
    jeton.cli(["api-key", "revoke", NOBODY]).expect_refusal(1, &[]);
    jeton.cli(["api-key", "rotate", &rotated.text("id")]).expect_refusal(1, &[]);
    jeton.cli(["api-key", "list", "--tenant", NOBODY]).expect_refusal(1, &["tenant"]);
    jeton.cli(["api-key", "create", "--tenant", NOBODY, "--name", "x"]).expect_refusal(1, &["tenant"]);
}

#[both_databases]
fn signing_keys_are_listed_without_their_private_half(jeton: Jeton) {
    jeton.start();
    let run = jeton.cli(["signing-key", "list", "--json"]).expect_code(0);
    let list = run.json();
    let published = jeton.jwks();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(list["items"][0]["kid"], published["keys"][0]["kid"]);
    assert_eq!(list["items"][0]["state"], "active");
    assert!(!run.stdout.contains("\"d\"") && !run.stdout.contains("PRIVATE"), "{run:?}");
}

#[test]
fn the_openapi_document_is_the_servers() {
    let jeton = Jeton::on_sqlite();
    let printed = jeton.cli(["openapi"]).expect_code(0).json();
    assert_eq!(printed, jeton.get("/openapi.json").send().expect_status(200).json());
}

#[both_databases]
fn the_doctor_finds_nothing_in_a_sound_server(jeton: Jeton) {
    jeton.unset_variable("JETON_SERVER__PUBLIC_URL");
    jeton.start();
    jeton.set("server.bind", &jeton.client().address());
    let run = jeton.cli(["doctor", "--json"]).expect_code(0);
    let checks = run.stdout.to_lowercase();
    for what in ["configuration", "database", "migrations", "master key", "clock", "signing key", "jwks"] {
        assert!(checks.contains(what), "{what}: {run:?}");
    }
    run.json();
    assert!(!jeton.cli(["doctor"]).expect_code(0).stdout.contains("FAIL"));
}

#[both_databases]
fn the_doctor_tells_what_is_wrong_and_how_to_mend_it(jeton: Jeton) {
    let failed = |what: &str| {
        let run = jeton.cli(["doctor"]).expect_code(1);
        let found = run.stdout.lines().any(|line| line.contains("FAIL") && line.to_lowercase().contains(what));
        assert!(found, "{what}: {run:#?}");
        let told = run.stderr.to_lowercase();
        assert!(told.lines().count() == 1 && told.starts_with("error: ") && told.contains(what), "{run:#?}");
    };
    jeton.start();
    jeton.stop();
    failed("jwks");
    jeton.set_variable("JETON_MASTER_KEY", &data_encoding::BASE64.encode(&[9; 32]));
    failed("signing key");
    jeton.unset_variable("JETON_MASTER_KEY");
    let url = jeton.database().url();
    let nowhere =
        if url.starts_with("sqlite") { "sqlite://missing/jeton.db" } else { "postgres://jeton@127.0.0.1:1/none" };
    jeton.set_variable("DATABASE_URL", nowhere);
    failed("database");
    jeton.set_variable("DATABASE_URL", &url);
    jeton.set("tokens.refresh_grace", "2h");
    failed("configuration");
}

#[test]
fn commands_need_no_server() {
    let jeton = Jeton::on_sqlite();
    jeton.cli(["migrate", "--json"]).expect_code(0).json();
    let tenant = jeton.cli(["tenant", "create", "--name", "Acme", "--json"]).expect_code(0).text("id");
    let key = jeton.cli(["api-key", "create", "--tenant", &tenant, "--name", "CI", "--json"]).expect_code(0);
    jeton.cli(["migrate"]).expect_code(0);
    jeton.post("/api/v1/auth/exchange").bearer(&key.text("key")).tenant(&tenant).send().expect_tokens();
    assert_ne!(key.json()["id"], Value::Null);
}

#[both_databases]
fn a_person_who_is_known_becomes_an_operator(jeton: Jeton) {
    let tenant = jeton.tenant();
    let user = tenant.user("admin");
    assert!(!user.login().expect_tokens().text("scope").contains("tenants:write"));
    let promote =
        ["user", "create", "--email", &user.email, "--tenant", &tenant.id, "--operator", "--generate-password"];
    jeton.cli(promote).expect_code(0);
    assert!(user.login().expect_tokens().text("scope").contains("tenants:write"), "with the password that it had");
    jeton.cli(promote).expect_refusal(1, &["taken"]);
}

/// The role that is named is the one that they have then, and the log says no other.
#[both_databases]
fn a_member_who_becomes_an_operator_takes_the_role_that_is_named(jeton: Jeton) {
    let tenant = jeton.tenant();
    let (admin, member) = (tenant.admin(), tenant.user("member"));
    let promote = |user: &User, role: &[&str]| {
        let create = ["user", "create", "--operator", "--generate-password", "--json", "--tenant", &tenant.id];
        let arguments = [&create[..], &["--email", &user.email], role].concat();
        run(jeton.folder(), jeton.environment(), arguments, None)
    };
    let told = || jeton.audit().pop().map(|row| (row.action, row.details.unwrap_or_default())).unwrap();
    let expected = |details: &str| ("user.role_changed".to_owned(), details.to_owned());

    assert_eq!(promote(&member, &["--role", "admin"]).expect_code(0).text("role"), "admin");
    assert_eq!(told(), expected("role admin, operator"));
    member.get(tenant.path("users")).expect_status(200);
    // Who is an operator already may still take another role; and without a word about it the role stays.
    assert_eq!(promote(&member, &["--role", "member"]).expect_code(0).text("role"), "member");
    assert_eq!(told(), expected("role member"));
    assert_eq!(promote(admin, &[]).expect_code(0).text("role"), "admin");
    assert_eq!(told(), expected("operator"));
    promote(&member, &["--role", "member"]).expect_refusal(1, &["taken"]);
    promote(admin, &["--role", "member"]).expect_refusal(1, &["administrator"]);
}

#[test]
fn a_list_in_the_wrong_folder_makes_no_database() {
    let jeton = Jeton::on_sqlite();
    jeton.set_variable("DATABASE_URL", "sqlite://elsewhere/jeton.db");
    for list in [["tenant", "list"], ["user", "list"], ["signing-key", "list"]] {
        jeton.cli(list).expect_refusal(1, &["elsewhere/jeton.db", "jeton migrate"]);
    }
    assert!(!jeton.folder().join("elsewhere").exists());
    jeton.cli(["tenant", "create", "--name", "First"]).expect_code(0);
    jeton.cli(["tenant", "list"]).expect_code(0);
}

#[test]
fn a_database_that_is_away_is_told_of_soon() {
    let jeton = Jeton::on_sqlite();
    jeton.set_variable("DATABASE_URL", "postgres://jeton@127.0.0.1:1/none");
    for command in [["migrate", "--json"], ["tenant", "list"], ["serve", "--migrate"]] {
        let began = Instant::now();
        let run = jeton.cli(command);
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.stderr.contains("does not answer"), "{run:?}");
        // Not a measure of speed: without a bound it would wait for an hour.
        assert!(began.elapsed() < Duration::from_mins(1), "{command:?}");
    }
}

#[both_databases]
fn the_doctor_knows_its_own_keys_from_anothers(jeton: Jeton) {
    let other = Jeton::on_sqlite();
    other.start();
    jeton.start();
    jeton.set("server.public_url", &format!("http://{}", other.client().address()));
    let run = jeton.cli(["doctor"]).expect_code(1);
    assert!(run.stdout.lines().any(|line| line.contains("FAIL") && line.contains("other keys")), "{run:?}");
}

/// As a service sees it that fetches the keys: a certificate that it refuses is no sound one, nor is another server.
#[test]
fn the_doctor_tells_what_a_service_meets_over_https() {
    let jeton = Jeton::on_sqlite();
    let keys = jeton.jwks().to_string();
    let is_told = |words: &[&str]| {
        let run = jeton.cli(["doctor"]).expect_code(1);
        let line = run.stdout.lines().find(|line| line.contains("JWKS")).unwrap();
        assert!(line.starts_with("FAIL") && words.iter().all(|word| line.contains(word)), "{words:?}: {line}");
    };
    let expired = ForeignIssuer::start_certified(&[], 2020);
    jeton.set("server.public_url", &expired.url);
    expired.is_reachable_from(&jeton);
    is_told(&["certificate expired", "mend the certificate"]);

    let other = ForeignIssuer::start(&[]);
    jeton.set("server.public_url", &other.url);
    is_told(&["invalid peer certificate", "mend the certificate"]);
    other.is_reachable_from(&jeton);
    is_told(&["404", "server.public_url"]);
    for (body, told) in [("<html>", "not Jeton"), ("{\"keys\":[]}", "other keys")] {
        other.behave(Some(Conduct::Answers(200, "X-Nothing: here".to_owned(), body.to_owned())));
        is_told(&[told]);
    }
    other.behave(Some(Conduct::Answers(200, "X-Nothing: here".to_owned(), keys)));
    assert!(!jeton.cli(["doctor"]).expect_code(0).stdout.contains("FAIL"));
}

/// Nor is anything made that would be lost.
#[test]
fn a_secret_that_nobody_would_see_is_not_made() {
    let jeton = Jeton::on_sqlite();
    let tenant = jeton.tenant();
    let (key, user) = (tenant.api_key(["a:b"]), tenant.admin());
    let closed = |arguments: &[&str]| {
        let binary = command(jeton.folder(), jeton.environment());
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec \"$0\" \"$@\" >&-"]).arg(binary.get_program()).args(arguments);
        shell.current_dir(jeton.folder()).env_clear().envs(jeton.environment());
        let ended = shell.output().unwrap();
        (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
    };
    let rows = || ["api_keys", "users", "audit_events"].map(|table| jeton.rows(table));
    let before = rows();
    let join = ["--tenant", &tenant.id, "--email", "new@example.com"];
    for arguments in [
        &["api-key", "create", "--tenant", &tenant.id, "--name", "Lost"][..],
        &["api-key", "rotate", &key.id],
        &[&["user", "create", "--generate-password"], &join[..]].concat(),
        &[&["user", "create", "--one-time-password"], &join[..]].concat(),
        &["user", "set-password", &user.email, "--generate-password", "--json"],
    ] {
        let (code, told) = closed(arguments);
        assert!(code == Some(1) && told.contains("standard output is closed"), "{arguments:?}: {code:?} {told}");
    }
    assert_eq!(rows(), before);
    assert_eq!(closed(&["api-key", "revoke", &key.id]).0, Some(0), "there is nothing to lose");
}
