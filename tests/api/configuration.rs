//! Configuration: one file, the environment over it, and nothing silently ignored (contract 2).

use std::fs;

use crate::harness::{Jeton, Run};

/// `config print` is the quickest command that reads the configuration.
fn print(jeton: &Jeton) -> Run {
    jeton.cli(["config", "print"])
}

fn bare() -> Jeton {
    let jeton = Jeton::on_sqlite();
    for (name, _) in jeton.environment() {
        jeton.unset_variable(&name);
    }
    jeton
}

#[test]
fn without_anything_the_defaults_hold() {
    let printed = print(&bare()).expect_code(0).stdout;
    for (key, value) in [
        ("server.bind", "127.0.0.1:8080"),
        ("server.metrics_bind", "127.0.0.1:9464"),
        ("database.url", "sqlite://data/jeton.db"),
        ("keys.dir", "keys"),
        ("keys.algorithm", "ES256"),
        ("keys.rotate_every", "90d"),
        ("tokens.access_ttl", "30m"),
        ("tokens.refresh_ttl", "30d"),
        ("tokens.session_ttl", "90d"),
        ("tokens.refresh_grace", "30s"),
        ("tokens.exchange_ttl", "15m"),
        ("tokens.exchange_ttl_max", "1h"),
        ("tokens.audience", "api"),
        ("jwks.max_age", "5m"),
        ("password.min_length", "15"),
        ("password.argon2.memory_kib", "19456"),
        ("login.account_failures", "10"),
        ("login.address_failures", "100"),
    ] {
        let line = printed.lines().find(|line| line.starts_with(&format!("{key} ")));
        let line = line.unwrap_or_else(|| panic!("{key} in {printed}"));
        assert!(line.contains(value) && line.contains("default"), "{value} and where it came from: {line}");
    }
}

#[test]
fn the_environment_stands_over_the_file() {
    let jeton = bare();
    fs::write(jeton.folder().join("jeton.toml"), "[tokens]\naccess_ttl = \"10m\"\nrefresh_ttl = \"7d\"\n").unwrap();
    jeton.set("tokens.refresh_ttl", "5d");
    let printed = print(&jeton).expect_code(0).stdout;
    let line = |key: &str| printed.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
    assert!(line("tokens.access_ttl").contains("10m") && line("tokens.access_ttl").contains("jeton.toml"), "{printed}");
    let refresh = line("tokens.refresh_ttl");
    assert!(refresh.contains("5d") && refresh.contains("JETON_TOKENS__REFRESH_TTL"), "{refresh}");
}

#[test]
fn another_file_can_be_named() {
    let jeton = bare();
    fs::write(jeton.folder().join("other.toml"), "server.bind = \"127.0.0.1:4321\"\n").unwrap();
    let run = jeton.cli(["config", "print", "--config", "other.toml"]).expect_code(0);
    assert!(run.stdout.contains("127.0.0.1:4321"), "{run:?}");
    jeton.cli(["config", "print", "--config", "missing.toml"]).expect_refusal(1, &["missing.toml"]);
    jeton.cli(["serve", "--config", "missing.toml"]).expect_refusal(1, &["missing.toml"]);
}

#[test]
fn an_unknown_variable_is_named() {
    for name in
        ["JETON_SERVER__BIMD", "JETON_TOKENS__ACCESS_TTL__X", "JETON_NONSENSE", "JETON_PASSWORD__ARGON2__MEMORY"]
    {
        let jeton = bare();
        jeton.set_variable(name, "1");
        print(&jeton).expect_refusal(1, &[name]);
    }
}

#[test]
fn an_unknown_key_of_the_file_is_named() {
    for (file, key) in [
        ("[server]\nbnd = \"127.0.0.1:1\"\n", "bnd"),
        ("[sever]\nbind = \"127.0.0.1:1\"\n", "sever"),
        ("nonsense = 1\n", "nonsense"),
        ("[password.argon2]\nmemory = 1\n", "memory"),
    ] {
        let jeton = bare();
        fs::write(jeton.folder().join("jeton.toml"), file).unwrap();
        print(&jeton).expect_refusal(1, &["jeton.toml", key]);
    }
    let jeton = bare();
    fs::write(jeton.folder().join("jeton.toml"), "[server\n").unwrap();
    print(&jeton).expect_refusal(1, &["jeton.toml"]);
}

#[test]
fn a_bad_value_is_named() {
    for (key, value) in [
        ("server.bind", "nowhere"),
        ("server.bind", "127.0.0.1:99999"),
        ("server.public_url", "ftp://example.com"),
        ("server.public_url", "no url"),
        ("server.workers", "0"),
        ("server.workers", "many"),
        ("server.trusted_proxies", "10.0.0.0/40"),
        ("server.allowed_origins", "*"),
        ("server.allowed_origins", "null"),
        ("server.allowed_origins", "https://app.example.com/path"),
        ("server.metrics_bind", "nowhere"),
        ("keys.algorithm", "HS256"),
        ("keys.algorithm", "none"),
        ("tokens.access_ttl", "soon"),
        ("tokens.access_ttl", "0s"),
        ("tokens.access_ttl", "-5m"),
        ("tokens.refresh_grace", "61s"),
        ("tokens.exchange_ttl", "2h"),
        ("tokens.audience", ""),
        ("tokens.audience", r#" {name="edge",algorithm="EdDSA"}"#),
        ("tokens.audience", r#"api, {name="edge",algorithm="EdDSA"}"#),
        ("tokens.audience", r#""api","edge""#),
        ("password.min_length", "7"),
        ("password.argon2.memory_kib", "1"),
        ("jwks.max_age", "0s"),
    ] {
        let jeton = bare();
        jeton.set(key, value);
        let variable = format!("JETON_{}", key.to_uppercase().replace('.', "__"));
        let run = print(&jeton);
        let names_it = run.stderr.contains(key) || run.stderr.contains(&variable);
        assert!(names_it, "{key} = {value}: {run:?}");
        run.expect_refusal(1, &[]);
    }
    for url in ["mysql://localhost/x", "sqlite://", "", "jeton.db"] {
        let jeton = bare();
        jeton.set_variable("DATABASE_URL", url);
        let run = print(&jeton).expect_refusal(1, &[]);
        assert!(run.stderr.contains("DATABASE_URL") || run.stderr.contains("database.url"), "{url:?}: {run:?}");
    }
}

#[test]
fn secrets_are_masked() {
    let jeton = bare();
    jeton.set_variable("DATABASE_URL", "postgres://jeton:hunter2secret@127.0.0.1/jeton");
    let master_key = data_encoding::BASE64.encode(&[7; 32]);
    jeton.set_variable("JETON_MASTER_KEY", &master_key);
    for run in [print(&jeton), jeton.cli(["config", "print", "--json"])] {
        let run = run.expect_code(0);
        assert!(!run.stdout.contains("hunter2secret") && !run.stdout.contains(&master_key), "{run:?}");
        assert!(run.stdout.contains("127.0.0.1/jeton"), "what is no secret is shown: {run:?}");
        assert!(run.stdout.contains("DATABASE_URL"), "and where it came from: {run:?}");
    }
    jeton.cli(["config", "print", "--json"]).json();
}

#[test]
fn a_bad_secret_is_not_told() {
    let jeton = bare();
    jeton.set_variable("JETON_MASTER_KEY", "hunter2secret");
    let run = print(&jeton);
    assert!(!run.stderr.contains("hunter2secret") && !run.stdout.contains("hunter2secret"), "{run:?}");
    run.expect_refusal(1, &["JETON_MASTER_KEY"]);
    let jeton = bare();
    jeton.set_variable("DATABASE_URL", "mysql://jeton:hunter2secret@127.0.0.1/jeton");
    let run = print(&jeton).expect_refusal(1, &[]);
    assert!(!run.stderr.contains("hunter2secret"), "{run:?}");
}

#[test]
fn a_server_with_a_bad_configuration_does_not_start() {
    let jeton = bare();
    jeton.set("tokens.refresh_grace", "2m");
    jeton.cli(["serve"]).expect_refusal(1, &["refresh_grace"]);
    jeton.cli([]).expect_refusal(1, &["refresh_grace"]);
}
