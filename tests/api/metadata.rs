//! Keys and metadata: JWKS, discovery, health, documentation, request ids (contract 4, 4.5).

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use jeton_test_macros::both_databases;
use serde_json::{Value, json};

use crate::harness::{Database, Jeton, Jwt, thumbprint};

const JWKS: &str = "/.well-known/jwks.json";

#[both_databases]
fn the_jwks_has_public_keys_named_by_their_thumbprints(jeton: Jeton) {
    let jeton =
        jeton.with("tokens.audience", r#"["api", {name="edge",algorithm="EdDSA"}, {name="old",algorithm="RS256"}]"#);
    let keys = jeton.jwks()["keys"].as_array().unwrap().clone();
    assert_eq!(keys.len(), 3);
    let mut kids = BTreeSet::new();
    for key in &keys {
        assert_eq!(key["kid"], thumbprint(key), "RFC 7638");
        assert_eq!(key["use"], "sig");
        for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            assert_eq!(key[private], Value::Null, "no private member: {private}");
        }
        match key["alg"].as_str().unwrap() {
            "ES256" => assert_eq!((&key["kty"], &key["crv"]), (&json!("EC"), &json!("P-256"))),
            "EdDSA" => assert_eq!((&key["kty"], &key["crv"]), (&json!("OKP"), &json!("Ed25519"))),
            "RS256" => assert!(key["n"].as_str().unwrap().len() * 6 >= 3072, "RSA of at least 3072 bits"),
            other => panic!("no algorithm of ours: {other}"),
        }
        kids.insert(key["kid"].as_str().unwrap().to_owned());
    }
    assert_eq!(kids.len(), 3, "unique");
}

#[both_databases]
fn the_configured_algorithm_signs(jeton: Jeton) {
    for algorithm in ["EdDSA", "RS256", "ES256"] {
        jeton.set("keys.algorithm", algorithm);
        // The very first key signs at once, those that follow it when every verifier can know them.
        jeton.restart();
        jeton.advance(Duration::from_secs(601));
        let (user, key) = (jeton.tenant().user("member"), jeton.tenant().api_key([]));
        let signs = || jeton.verified(&key.token()).header["alg"] == algorithm;
        let deadline = Instant::now() + Duration::from_secs(10);
        while !signs() {
            assert!(Instant::now() < deadline, "{algorithm} signs");
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(jeton.verified(&user.session().access_token).header["alg"], algorithm);
    }
}

#[both_databases]
fn the_jwks_may_be_cached_and_asked_for_again(jeton: Jeton) {
    let answer = jeton.get(JWKS).send().expect_status(200);
    let cache = answer.header("cache-control").unwrap();
    let directives: Vec<_> = cache.split(',').map(str::trim).collect();
    assert!(directives.contains(&"public") && directives.contains(&"max-age=300"), "{cache}");
    assert!(directives.iter().any(|directive| directive.starts_with("stale-while-revalidate=")), "{cache}");
    let tag = answer.header("etag").unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2, "a strong ETag: {tag}");

    let ask = |tags: &str| jeton.get(JWKS).header("If-None-Match", tags).send();
    for same in [tag.clone(), format!("\"other\", {tag}"), format!("W/{tag}"), "*".to_owned()] {
        let not_modified = ask(&same).expect_status(304);
        assert_eq!(not_modified.body, b"");
        assert_eq!(not_modified.header("etag"), Some(&*tag));
        assert!(not_modified.header("cache-control").is_some());
    }
    for other in ["\"other\"", "", &tag[1..]] {
        assert_eq!(ask(other).expect_status(200).body, answer.body);
    }
    jeton.restart();
    assert_eq!(ask(&tag).status, 304, "the same keys after a restart");
}

#[both_databases]
fn the_age_of_a_cached_jwks_is_configured(jeton: Jeton) {
    let answer = jeton.with("jwks.max_age", "1m").get(JWKS).send().expect_status(200);
    assert!(answer.header("cache-control").unwrap().contains("max-age=60"));
}

#[both_databases]
fn both_discovery_documents_say_the_same(jeton: Jeton) {
    let oauth = jeton.get("/.well-known/oauth-authorization-server").send().expect_status(200).json();
    let openid = jeton.get("/.well-known/openid-configuration").send().expect_status(200).json();
    assert_eq!(oauth, openid);

    assert_eq!(oauth["issuer"], "https://jeton.test");
    assert_eq!(oauth["token_endpoint"], "https://jeton.test/oauth2/token");
    assert_eq!(oauth["jwks_uri"], "https://jeton.test/.well-known/jwks.json");
    let list = |member: &str| -> BTreeSet<String> {
        let values = oauth[member].as_array().unwrap_or_else(|| panic!("{member} in {oauth}"));
        values.iter().map(|value| value.as_str().unwrap().to_owned()).collect()
    };
    let grants = ["client_credentials", "refresh_token", "urn:ietf:params:oauth:grant-type:token-exchange"];
    assert_eq!(list("grant_types_supported"), grants.map(ToOwned::to_owned).into());
    let methods = list("token_endpoint_auth_methods_supported");
    assert!(methods.contains("client_secret_basic") && methods.contains("client_secret_post"), "{methods:?}");
    assert!(oauth["response_types_supported"].is_array(), "RFC 8414 section 2 requires it");
    assert_eq!(oauth["revocation_endpoint"], "https://jeton.test/oauth2/revoke");
    let by_key = ["client_secret_basic", "client_secret_post"];
    let holder = [&by_key[..], &["none"]].concat();
    assert_eq!(oauth["revocation_endpoint_auth_methods_supported"], json!(holder));
    assert_eq!(oauth["introspection_endpoint"], "https://jeton.test/oauth2/introspect");
    let caller = [&by_key[..], &["Bearer"]].concat();
    assert_eq!(oauth["introspection_endpoint_auth_methods_supported"], json!(caller));
}

/// RFC 8414 section 3.1.
#[both_databases]
fn the_metadata_of_an_issuer_with_a_path_is_behind_the_well_known_part(jeton: Jeton) {
    let jeton = jeton.with("server.public_url", "https://jeton.test/auth/v1");
    let at = |path: &str| jeton.get(format!("/.well-known/oauth-authorization-server{path}")).send();
    let told = at("/auth/v1").expect_status(200);
    assert_eq!(told.json()["issuer"], "https://jeton.test/auth/v1");
    assert_eq!(told.json()["token_endpoint"], "https://jeton.test/auth/v1/oauth2/token");
    assert_eq!(told.body, at("").expect_status(200).body, "a proxy may take the path away");
    for other in ["/", "/auth", "/auth/v1/", "/auth/v1/x", "/auth%2Fv1", "/Auth/v1", "//auth/v1"] {
        at(other).expect_problem(404, "not_found");
    }
}

#[both_databases]
fn a_running_server_is_healthy_and_ready(jeton: Jeton) {
    jeton.get("/healthz").send().expect_status(200);
    jeton.get("/readyz").send().expect_status(200);
    let head = jeton.client().call("HEAD", "/healthz").send().expect_status(200);
    assert_eq!(head.body, b"", "RFC 9110 section 9.1: HEAD wherever GET is");
}

/// The database goes away and comes back: only PostgreSQL can.
#[test]
fn the_jwks_is_served_while_the_database_is_down() {
    let Some(jeton) = Jeton::on_postgres() else { return };
    let user = jeton.tenant().user("member");
    let session = user.session();
    let jwks = jeton.jwks();
    let Database::Postgres { cluster, name } = jeton.database() else { panic!("it is PostgreSQL") };

    cluster.run(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"));
    cluster.run(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"));
    assert_eq!(jeton.jwks(), jwks);
    jeton.get("/healthz").send().expect_status(200);
    let ready = jeton.get("/readyz").send().expect_status(503);
    assert!(!ready.body.is_empty(), "with reasons");
    for refused in [user.login(), session.refresh(), session.logout()] {
        let refused = refused.expect_problem(503, "unavailable");
        assert!(refused.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
        let told = refused.told().to_lowercase();
        assert!(!told.contains("postgres") && !told.contains("connection"), "nothing internal: {told}");
    }

    cluster.run(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while jeton.get("/readyz").send().status != 200 {
        assert!(std::time::Instant::now() < deadline, "recovers by itself within 5 s");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    session.refreshed();
}

#[both_databases]
fn a_browser_is_led_to_the_console_and_others_to_the_documentation(jeton: Jeton) {
    let browser = jeton.get("/").header("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8").send();
    assert_eq!((browser.status, browser.header("location")), (303, Some("/console")));
    let answer = jeton.get("/").send();
    assert!((300..400).contains(&answer.status), "{}", answer.told());
    assert_eq!(answer.header("location"), Some("/docs"));
    let mut docs = jeton.get("/docs").send();
    if (300..400).contains(&docs.status) {
        docs = jeton.get(docs.header("location").unwrap()).send();
    }
    let docs = docs.expect_status(200);
    assert!(docs.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    let policy = docs.header("content-security-policy").expect("pages have a policy");
    assert!(!policy.contains("unsafe-inline") && policy.contains("frame-ancestors 'none'"), "{policy}");
    for (file, coding) in
        [("swagger-ui-bundle.js", Some("gzip")), ("swagger-ui.css", Some("gzip")), ("swagger-initializer.js", None)]
    {
        let asset = jeton.get(format!("/docs/{file}")).send().expect_status(200);
        assert_eq!(asset.header("content-encoding"), coding, "{file}");
    }
}

#[both_databases]
fn every_answer_has_a_request_id(jeton: Jeton) {
    for path in ["/healthz", JWKS, "/api/v1/auth/me", "/nowhere", "/openapi.json", "/docs", "/"] {
        let ask = || jeton.get(path);
        let own = ask().header("X-Request-ID", "abc.DEF_12-3").send();
        assert_eq!(own.header("x-request-id"), Some("abc.DEF_12-3"), "{path}");
        let longest = "x".repeat(128);
        assert_eq!(ask().header("X-Request-ID", &longest).send().header("x-request-id"), Some(&*longest));
        let mut made = BTreeSet::new();
        for unusable in ["", "two words", "x\ty", "a/b", "é", &"x".repeat(129)] {
            let answer = ask().header("X-Request-ID", unusable).send();
            let id = answer.header("x-request-id").unwrap_or_else(|| panic!("an id for {path}")).to_owned();
            assert_ne!(id, unusable);
            made.insert(id);
        }
        assert_eq!(made.len(), 6, "made anew for each: {made:?}");
    }
}

#[both_databases]
fn the_issuer_is_the_public_address_without_one_configured(jeton: Jeton) {
    jeton.unset_variable("JETON_SERVER__PUBLIC_URL");
    let token = jeton.tenant().api_key([]).token();
    assert_eq!(Jwt::parse(&token).text("iss"), format!("http://{}", jeton.client().address()));
}

#[both_databases]
fn tokens_are_for_no_cache(jeton: Jeton) {
    let user = jeton.tenant().user("member");
    assert_eq!(user.login().header("cache-control"), Some("no-store"));
    let made = jeton.tenant().admin().create_api_key(json!({})).expect_status(201);
    assert_eq!(made.header("cache-control"), Some("no-store"), "a key is shown in it");
}

#[both_databases]
fn answers_tell_nothing_of_the_machinery(jeton: Jeton) {
    let answer = jeton.get("/healthz").send();
    assert_eq!(answer.header("server"), None);
    assert_eq!(answer.header("x-powered-by"), None);
    assert_eq!(jeton.get("/api/v1/auth/me").send().header("x-content-type-options"), Some("nosniff"));
}
