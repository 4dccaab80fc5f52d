use std::path::PathBuf;

use super::*;

fn load(file: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    static FILES: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = FILES.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("jeton-config-{}-{number}.toml", std::process::id()));
    std::fs::write(&path, file).unwrap();
    let config = Config::load(Some(&path), env.iter().map(|&(name, value)| (name.into(), value.into())));
    std::fs::remove_file(path).unwrap();
    config
}

fn error(file: &str, env: &[(&str, &str)]) -> String {
    let error = load(file, env).expect_err(&format!("{file:?} {env:?} is accepted")).to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let config = load("", &[]).unwrap();
    let shown: Vec<_> = config.provenance().iter().map(|it| format!("{} {}", it.key, it.value)).collect();
    assert_eq!(
        shown,
        [
            "server.bind \"127.0.0.1:8080\"",
            "server.tls_cert null",
            "server.tls_key null",
            "server.public_url \"http://127.0.0.1:8080\"",
            &format!("server.workers {}", std::thread::available_parallelism().unwrap()),
            "server.trusted_proxies []",
            "server.allowed_origins []",
            "server.metrics_bind \"127.0.0.1:9464\"",
            "database.url \"sqlite://data/jeton.db\"",
            "keys.dir \"keys\"",
            "keys.master_key null",
            "keys.algorithm \"ES256\"",
            "keys.rotate_every \"90d\"",
            "tokens.access_ttl \"30m\"",
            "tokens.refresh_ttl \"30d\"",
            "tokens.session_ttl \"90d\"",
            "tokens.refresh_grace \"30s\"",
            "tokens.exchange_ttl \"15m\"",
            "tokens.exchange_ttl_max \"1h\"",
            "tokens.audience [\"api\"]",
            "jwks.max_age \"5m\"",
            "revocations.ttl \"1m\"",
            "password.min_length 15",
            "password.one_time_ttl \"7d\"",
            "password.argon2.memory_kib 19456",
            "password.argon2.iterations 2",
            "password.argon2.parallelism 1",
            "login.account_failures 10",
            "login.address_failures 100",
            "audit.keep \"400d\"",
            "workload.allowed_networks []",
            "workload.ca_file null",
            "profile \"default\"",
        ]
    );
    assert!(config.is_bare());
    assert!(config.provenance().iter().all(|setting| setting.source == Source::Default));
}

#[test]
fn the_environment_overrides_the_file_and_both_are_named() {
    let config = load(
        "[server]\nworkers = 3\nbind = \"127.0.0.1:1\"\n[password]\nargon2 = { iterations = 4 }\n[jwks]\n",
        &[
            ("JETON_SERVER__BIND", "127.0.0.1:2"),
            ("JETON_PASSWORD__ARGON2__MEMORY_KIB", "64"),
            ("JETON_LOG", "trace"),
            ("HOME", "/root"),
        ],
    )
    .unwrap();
    assert_eq!((config.server.workers, config.server.bind.port()), (3, 2));
    assert_eq!(config.server.public_url.issuer(), "http://127.0.0.1:2");
    assert_eq!(config.password.argon2, Argon2Cost { memory_kib: 64, iterations: 4, parallelism: 1 });
    let source = |key| config.source(key).unwrap().to_string();
    assert!(source("server.workers").ends_with(".toml:2"));
    assert_eq!(source("server.bind"), "env JETON_SERVER__BIND");
    assert!(source("password.argon2.iterations").ends_with(".toml:5"));
}

#[test]
fn lists_are_separated_by_commas_or_arrays() {
    for (text, names) in [
        ("api", vec![("api", None)]),
        ("api, edge", vec![("api", None), ("edge", None)]),
        (" api ,edge ", vec![("api", None), ("edge", None)]),
        (" [\"api\"]\n", vec![("api", None)]),
        (r#"["api", {"name": "edge", "algorithm": "EdDSA"}]"#, vec![("api", None), ("edge", Some(Algorithm::EdDsa))]),
        (r#"["api", { name = "edge", algorithm = "EdDSA" }]"#, vec![("api", None), ("edge", Some(Algorithm::EdDsa))]),
    ] {
        let config = load("", &[("JETON_TOKENS__AUDIENCE", text)]).unwrap();
        let found: Vec<_> = config.tokens.audience.iter().map(|it| (it.name.as_str(), it.algorithm)).collect();
        assert_eq!(found, names);
    }
    let config = load("server.trusted_proxies = [\"10.0.0.0/8\", \"::1\"]", &[]).unwrap();
    assert_eq!(config.server.trusted_proxies, ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
}

#[test]
fn algorithms_in_use_are_those_of_the_audiences() {
    let config = load("tokens.audience = [{ name = \"edge\", algorithm = \"EdDSA\" }, \"api\"]", &[]).unwrap();
    assert_eq!(config.algorithms(), BTreeSet::from([Algorithm::EdDsa, Algorithm::Es256]));
}

#[test]
fn off_is_a_value() {
    let config = load(
        "keys.rotate_every = 0\nlogin.address_failures = 0\ntokens.refresh_grace = \"0s\"",
        &[("JETON_SERVER__METRICS_BIND", "")],
    )
    .unwrap();
    assert_eq!((config.keys.rotate_every, config.login.address_failures), (None, None));
    assert_eq!((config.tokens.refresh_grace, config.server.metrics_bind), (TimeDelta::zero(), None));
}

#[test]
fn a_given_database_is_never_bare() {
    assert!(!load("database.url = \"sqlite://data/jeton.db\"", &[]).unwrap().is_bare());
    assert!(!load("", &[("DATABASE_URL", "postgres://h/db")]).unwrap().is_bare());
}

#[test]
fn the_default_issuer_follows_a_port_chosen_by_the_system() {
    let address = "127.0.0.1:4242".parse().unwrap();
    let issuer =
        |env: &[(&str, &str)]| load("", env).unwrap().listening_on(address).server.public_url.issuer().to_owned();
    let any_port = ("JETON_SERVER__BIND", "127.0.0.1:0");
    assert_eq!(issuer(&[any_port]), "http://127.0.0.1:4242");
    assert_eq!(issuer(&[any_port, ("JETON_SERVER__PUBLIC_URL", "https://a")]), "https://a");
    assert_eq!(issuer(&[]), "http://127.0.0.1:8080");
}

#[test]
fn unknown_keys_are_named_with_their_place() {
    for (file, env, key, place) in [
        ("[server]\n\nbnd = 1", None, "`server.bnd`", ".toml:3)"),
        ("server = 1", None, "`server`", ".toml:1)"),
        ("[sever]", None, "`sever`", ".toml:1)"),
        ("server.bind.port = 1", None, "`server.bind.port`", ".toml:1)"),
        ("\"server.bind\" = \"127.0.0.1:1\"", None, "`\"server.bind\"`", ".toml:1)"),
        ("keys.master_key = \"AAAA\"", None, "`\"keys.master_key\"`", ".toml:1)"),
        ("", Some("JETON_SERVER__BND"), "`server.bnd`", "(env JETON_SERVER__BND)"),
        ("", Some("JETON_SERVER_BIND"), "`server_bind`", "(env JETON_SERVER_BIND)"),
        ("", Some("JETON_server__bind"), "`JETON_server__bind`", "(env JETON_server__bind)"),
        ("", Some("JETON_KEYS__MASTER_KEY"), "`JETON_KEYS__MASTER_KEY`", "(env JETON_KEYS__MASTER_KEY)"),
    ] {
        let env: Vec<_> = env.map(|name| (name, "value")).into_iter().collect();
        let error = error(file, &env);
        assert!(error.starts_with("unknown key") && error.contains(key) && error.contains(place), "{error}");
    }
}

#[test]
fn an_unknown_key_is_told_with_the_known_ones_beside_it() {
    assert!(error("jwks.maxage = 1", &[]).ends_with(": expected one of jwks.max_age"));
    assert!(error("", &[("JETON_JWKS_MAX_AGE", "1m")]).contains(
        "server, database, keys, tokens, jwks, revocations, password, login, audit, workload, profile; a variable is"
    ));
}

#[test]
fn bad_values_are_named_with_what_is_allowed() {
    for (key, value) in [
        ("server.bind", "\"localhost\""),
        ("server.bind", "8080"),
        ("server.public_url", "\"https://a/\""),
        ("server.workers", "0"),
        ("server.workers", "\"many\""),
        ("server.trusted_proxies", "\"10.0.0.0/33\""),
        ("server.allowed_origins", "[\"null\"]"),
        ("server.allowed_origins", "[1]"),
        ("server.metrics_bind", "\"off\""),
        ("keys.dir", "\"\""),
        ("keys.algorithm", "\"HS256\""),
        ("keys.rotate_every", "\"10m\""),
        ("tokens.access_ttl", "\"0s\""),
        ("tokens.access_ttl", "1800"),
        ("tokens.access_ttl", "\"1500ms\""),
        ("tokens.access_ttl", "\"99999d\""),
        ("tokens.refresh_grace", "\"61s\""),
        ("tokens.exchange_ttl", "\"2h\""),
        ("tokens.audience", "[]"),
        ("tokens.audience", "[\"api\", { name = \"api\", algorithm = \"EdDSA\" }]"),
        ("tokens.audience", "[{ name = \"edge\", algoritm = \"EdDSA\" }]"),
        ("tokens.audience", "[\"a b\"]"),
        ("jwks.max_age", "\"0s\""),
        ("revocations.ttl", "\"0s\""),
        ("revocations.ttl", "\"6m\""),
        ("password.min_length", "7"),
        ("password.one_time_ttl", "\"0s\""),
        ("password.one_time_ttl", "\"91d\""),
        ("password.argon2.memory_kib", "7"),
        ("password.argon2.parallelism", "-1"),
        ("login.account_failures", "101"),
        ("profile", "7"),
    ] {
        let error = error(&format!("\n{key} = {value}"), &[]);
        assert!(error.starts_with("bad value ") && error.contains(&format!("for `{key}` (file ")), "{error}");
        assert!(error.contains(".toml:2): expected "), "{error}");
    }
}

#[test]
fn no_error_and_no_print_shows_a_secret() {
    for (name, value) in [("DATABASE_URL", "mysql://jeton:hunter2@h"), ("JETON_MASTER_KEY", "hunter2")] {
        let error = error("", &[(name, value)]);
        assert!(error.contains(name) && !error.contains("hunter2"), "{error}");
    }
    let key = MasterKey::new([7; 32]).to_base64();
    let config = load("", &[("DATABASE_URL", "postgres://jeton:hunter2@h/db"), ("JETON_MASTER_KEY", &key)]).unwrap();
    let shown = format!("{config:?} {}", serde_json::to_string(config.provenance()).unwrap());
    assert!(!shown.contains("hunter2") && !shown.contains(key.as_str()), "{shown}");
    assert!(shown.contains("postgres://jeton:****@h/db"));
}

#[test]
fn a_key_set_twice_is_refused() {
    let twice = [("DATABASE_URL", "sqlite://a"), ("JETON_DATABASE__URL", "sqlite://b")];
    assert!(error("", &twice).contains("(env DATABASE_URL and env JETON_DATABASE__URL)"));
    assert!(error("profile = \"\"\nprofile = \"\"", &[]).contains(".toml:2: "));
}

#[test]
fn a_broken_file_is_named_with_its_line_and_without_its_text() {
    let error = error("[database]\nurl = \"postgres://jeton:hunter2@h", &[]);
    assert!(error.contains(".toml:2: ") && !error.contains("hunter2"), "{error}");
}

#[test]
fn a_missing_file_is_an_error_only_if_it_was_named() {
    let missing = PathBuf::from("/nonexistent/jeton.toml");
    let error = Config::load(Some(&missing), []).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/jeton.toml"), "{error}");
    Config::load(None, []).unwrap();
}

#[test]
fn what_kubernetes_adds_is_no_key() {
    for service in ["JETON", "JETON_METRICS"] {
        let variables = [
            ("SERVICE_HOST", "10.0.0.1"),
            ("SERVICE_PORT", "8080"),
            ("SERVICE_PORT_HTTP", "8080"),
            ("PORT", "tcp://10.0.0.1:8080"),
            ("PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("PORT_8080_TCP_PROTO", "tcp"),
            ("PORT_8080_TCP_PORT", "8080"),
            ("PORT_8080_TCP_ADDR", "10.0.0.1"),
        ];
        let env = variables.map(|(name, value)| (format!("{service}_{name}"), value.to_owned()));
        assert!(Config::load(None, env).is_ok(), "{service}");
    }
    for misspelt in ["JETON_PORT", "JETON_PORTS", "JETON_PORT_8080", "JETON_SERVER_BIND", "JETON_SERVER__SERVICE_HOST"]
    {
        let error = Config::load(None, [(misspelt.to_owned(), "9000".to_owned())]).unwrap_err().to_string();
        let key = misspelt.to_lowercase().replace("jeton_", "").replace("__", ".");
        assert!(error.contains(misspelt) || error.contains(&key), "{error}");
    }
}

#[test]
fn the_profile_is_a_file_or_built_in() {
    let load = |text: &str| Config::load(None, [("JETON_PROFILE".to_owned(), text.to_owned())]);
    assert_eq!(load("braze").unwrap().profile.name, "braze");
    assert_eq!(load("").unwrap().profile.name, "default");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/profiles/optimove.toml");
    assert_eq!(load(file).unwrap().profile.name, "optimove");
    let error = load("profiles/none.toml").unwrap_err().to_string();
    assert!(error.contains("profiles/none.toml"), "{error}");
}
