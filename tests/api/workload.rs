//! Workload identity: tokens of an issuer that the tenant trusts, exchanged without an API key (docs/API.md, ADR 11).

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use jeton_test_macros::both_databases;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::harness::{Answer, Client, ForeignIssuer, ForeignKey, Jeton, Tenant, merge};
use crate::revocations::is_revoked;

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// A tenant that trusts an issuer with `goals:read` and `goals:write` for the workflows of `octo/app`.
pub struct World {
    pub jeton: Jeton,
    pub tenant: Tenant,
    pub issuer: ForeignIssuer,
    pub key: ForeignKey,
    pub trusted: String,
}

impl World {
    pub fn new(jeton: Jeton, algorithm: Algorithm) -> Self {
        Self::with(jeton, algorithm, json!({}))
    }

    /// The same with these members in the request to trust it.
    pub fn with(jeton: Jeton, algorithm: Algorithm, members: Value) -> Self {
        let key = ForeignKey::new("first", algorithm);
        let issuer = ForeignIssuer::start(&[&key]);
        issuer.is_reachable_from(&jeton);
        let tenant = jeton.tenant();
        let trusted = trust(&tenant, &issuer, members).expect_status(201).text("id");
        Self { jeton, tenant, issuer, key, trusted }
    }

    /// Exchanges a good token with these claims besides.
    pub fn exchange_with(&self, claims: Value) -> Answer {
        self.exchange(&self.key.sign(&self.issuer.claims(&self.jeton, claims)))
    }

    pub fn exchange(&self, token: &str) -> Answer {
        exchange(&self.jeton.client(), &self.tenant.id, token)
    }

    #[track_caller]
    pub fn token(&self) -> String {
        self.exchange_with(json!({})).expect_tokens().text("access_token")
    }
}

/// Trusts an issuer, with these members of the request besides.
pub fn trust(tenant: &Tenant, issuer: &ForeignIssuer, members: Value) -> Answer {
    let mut body = json!({
        "name": "CI", "issuer": issuer.url, "audience": "https://jeton.test",
        "conditions": {"repository": "octo/app"}, "scopes": ["goals:read", "goals:write"],
    });
    merge(&mut body, members);
    tenant.admin().post(tenant.path("trusted-issuers"), body)
}

pub fn exchange(client: &Client, tenant: &str, token: &str) -> Answer {
    let form = [("grant_type", EXCHANGE), ("subject_token", token), ("subject_token_type", JWT)];
    client.post("/oauth2/token").tenant(tenant).form(&form)
}

fn a_token_of_the_issuer_is_exchanged(jeton: Jeton, algorithm: Algorithm) {
    let world = World::new(jeton, algorithm);
    let answer = world.exchange_with(json!({})).expect_scope("goals:read goals:write");
    assert_eq!(answer.json()["issued_token_type"], "urn:ietf:params:oauth:token-type:access_token");
    assert_eq!(answer.json()["tenant_id"], world.tenant.id);
    let jwt = world.jeton.verified(&answer.text("access_token"));
    assert_eq!(jwt.header["typ"], "at+jwt");
    assert_eq!((jwt.text("sub"), jwt.text("client_id")), (world.trusted.as_str(), world.trusted.as_str()));
    assert_eq!((jwt.text("aud"), jwt.text("tenant_id")), ("api", world.tenant.id.as_str()));
    assert_eq!(jwt.text("workload"), "repo:octo/app:ref:refs/heads/main");
    for absent in ["sid", "roles", "environment", "nbf", "repository"] {
        assert_eq!(jwt.claims.get(absent), None, "{absent}");
    }
}

#[both_databases]
fn a_token_signed_with_rs256_is_exchanged(jeton: Jeton) {
    a_token_of_the_issuer_is_exchanged(jeton, Algorithm::RS256);
}

#[both_databases]
fn a_token_signed_with_es256_is_exchanged(jeton: Jeton) {
    a_token_of_the_issuer_is_exchanged(jeton, Algorithm::ES256);
}

#[test]
fn every_other_algorithm_on_the_list_is_accepted() {
    for algorithm in [
        Algorithm::ES384,
        Algorithm::EdDSA,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
    ] {
        World::new(Jeton::on_sqlite(), algorithm).token();
    }
}

#[both_databases]
fn it_may_be_called_an_id_token_and_ask_for_less(jeton: Jeton) {
    let world = World::new(jeton.with("tokens.audience", "api,edge"), Algorithm::ES256);
    let token = world.key.sign(&world.issuer.claims(&world.jeton, json!({"aud": ["other", "https://jeton.test"]})));
    let ask = |more: &[(&str, &str)]| {
        let id_token = "urn:ietf:params:oauth:token-type:id_token";
        let form = [("grant_type", EXCHANGE), ("subject_token", token.as_str()), ("subject_token_type", id_token)];
        world.jeton.post("/oauth2/token").tenant(&world.tenant.id).form(&[&form, more].concat())
    };
    let answer = ask(&[("scope", "goals:read"), ("audience", "edge")]).expect_scope("goals:read");
    assert_eq!(world.jeton.verified(&answer.text("access_token")).text("aud"), "edge");
    ask(&[("scope", "goals:delete")]).expect_oauth_error(400, "invalid_scope");
    ask(&[("audience", "nowhere")]).expect_oauth_error(400, "invalid_target");
    ask(&[("requested_token_type", JWT)]).expect_oauth_error(400, "invalid_request");
    let form = [("grant_type", EXCHANGE), ("subject_token", &token), ("subject_token_type", JWT)];
    world.jeton.post("/oauth2/token").form(&form).expect_oauth_error(400, "invalid_request");
}

#[both_databases]
fn what_is_issued_never_outlives_the_token_that_it_came_from(jeton: Jeton) {
    let world = World::new(jeton, Algorithm::ES256);
    let now = world.jeton.now();
    for (ends_in, at_most) in [(100, 100), (86_400, 900)] {
        let answer = world.exchange_with(json!({"exp": now + ends_in})).expect_tokens();
        let expires_in = answer.json()["expires_in"].as_i64().unwrap();
        assert!((at_most - 60..=at_most).contains(&expires_in), "{expires_in} of {ends_in}");
        assert!(world.jeton.verified(&answer.text("access_token")).number("exp") <= now + ends_in);
    }
}

#[both_databases]
fn a_tenant_trusts_for_itself_alone(jeton: Jeton) {
    let world = World::new(jeton, Algorithm::ES256);
    let token = world.key.sign(&world.issuer.claims(&world.jeton, json!({})));
    let other = world.jeton.tenant();
    let asked = world.issuer.asked();
    for tenant in [other.id.as_str(), "0199b0a0-0000-7000-8000-000000000000"] {
        exchange(&world.jeton.client(), tenant, &token).expect_oauth_error(400, "invalid_request");
    }
    assert_eq!(world.issuer.asked(), asked, "nobody is asked about a stranger's token");
    world.exchange(&token).expect_tokens();
    world.tenant.suspend();
    world.exchange(&token).expect_oauth_error(400, "invalid_request");
}

#[both_databases]
fn of_several_entries_that_one_counts_which_gives_what_is_asked(jeton: Jeton) {
    let world = World::new(jeton, Algorithm::ES256);
    let main = json!({"conditions": {"ref": "refs/heads/main"}, "scopes": ["releases:write"]});
    let second = trust(&world.tenant, &world.issuer, main).expect_status(201).text("id");
    let token = |claims: Value| world.key.sign(&world.issuer.claims(&world.jeton, claims));
    let ask = |token: &str, scope: &str| {
        let form = [("grant_type", EXCHANGE), ("subject_token", token), ("subject_token_type", JWT), ("scope", scope)];
        world.jeton.post("/oauth2/token").tenant(&world.tenant.id).form(&form)
    };
    let released = ask(&token(json!({})), "releases:write").expect_scope("releases:write");
    assert_eq!(world.jeton.verified(&released.text("access_token")).text("sub"), second);
    world.exchange(&token(json!({}))).expect_scope("goals:read goals:write");
    ask(&token(json!({})), "goals:read releases:write").expect_oauth_error(400, "invalid_scope");
    let branch = token(json!({"ref": "refs/heads/x"}));
    ask(&branch, "releases:write").expect_oauth_error(400, "invalid_scope");
    let stranger = token(json!({"ref": "refs/heads/x", "repository": "octo/other"}));
    world.exchange(&stranger).expect_oauth_error(400, "invalid_request");
}

#[both_databases]
fn an_issuer_that_is_deleted_is_trusted_no_more_at_once_on_every_server(jeton: Jeton) {
    let world = World::new(jeton, Algorithm::ES256);
    let (_second, elsewhere) = world.jeton.second();
    let foreign = world.key.sign(&world.issuer.claims(&world.jeton, json!({})));
    let token = exchange(&elsewhere, &world.tenant.id, &foreign).expect_tokens().text("access_token");
    world.exchange(&foreign).expect_tokens();
    let auditor = world.tenant.api_key(["tokens:introspect"]);
    let state = |client: &Client| {
        let asked = client.post("/oauth2/introspect").basic(&auditor.id, &auditor.key).form(&[("token", &token)]);
        asked.expect_status(200).json()
    };
    let alive = state(&elsewhere);
    assert_eq!(alive["active"], true);
    assert_eq!((&alive["sub"], &alive["scope"]), (&json!(world.trusted), &json!("goals:read goals:write")));
    assert_eq!(alive["workload"], "repo:octo/app:ref:refs/heads/main");

    let path = world.tenant.path(&format!("trusted-issuers/{}", world.trusted));
    world.tenant.admin().delete(&path).expect_status(204);
    for client in [world.jeton.client(), elsewhere] {
        exchange(&client, &world.tenant.id, &foreign).expect_oauth_error(400, "invalid_request");
        assert_eq!(state(&client), json!({"active": false}));
        client.get("/api/v1/auth/me").bearer(&token).send().expect_problem(401, "invalid_token");
    }
    world.tenant.admin().delete(&path).expect_problem(404, "not_found");
}

#[both_databases]
fn services_that_verify_offline_see_in_the_status_lists_what_is_trusted_no_more(jeton: Jeton) {
    let world = World::new(jeton, Algorithm::ES256);
    let (token, client) = (world.token(), world.jeton.client());
    assert!(!is_revoked(&client, &token));
    world.tenant.suspend();
    assert!(is_revoked(&client, &token));
    world.jeton.cli(["tenant", "resume", &world.tenant.id]).expect_code(0);
    assert!(!is_revoked(&client, &token));
    world.jeton.cli(["trusted-issuer", "delete", &world.trusted]).expect_code(0);
    assert!(is_revoked(&client, &token));

    trust(&world.jeton.tenant(), &world.issuer, json!({})).expect_status(201);
    let tenant = world.jeton.tenant();
    trust(&tenant, &world.issuer, json!({})).expect_status(201);
    let foreign = world.key.sign(&world.issuer.claims(&world.jeton, json!({})));
    let token = exchange(&client, &tenant.id, &foreign).expect_tokens().text("access_token");
    assert!(!is_revoked(&client, &token));
    world.jeton.cli(["tenant", "delete", &tenant.id]).expect_code(0);
    assert!(is_revoked(&client, &token));
}

#[both_databases]
fn a_workload_manages_nothing(jeton: Jeton) {
    let world = World::new(jeton, Algorithm::ES256);
    let token = world.token();
    for (method, path) in [
        ("GET", world.tenant.path("api-keys")),
        ("GET", world.tenant.path("trusted-issuers")),
        ("GET", "/api/v1/auth/me".to_owned()),
        ("GET", "/api/v1/tenants".to_owned()),
        ("GET", "/api/v1/signing-keys".to_owned()),
    ] {
        let answer = world.jeton.client().call(method, path).bearer(&token).send();
        answer.expect_problem(403, "access_type_not_allowed");
    }
    // It may ask about tokens where its issuer is trusted with that.
    let ask = |token: &str| world.jeton.post("/oauth2/introspect").bearer(token).form(&[("token", token)]);
    ask(&token).expect_oauth_error(403, "insufficient_scope");
    let entry = json!({"scopes": ["tokens:introspect"], "conditions": {"repository": "octo/auditor"}});
    trust(&world.tenant, &world.issuer, entry).expect_status(201);
    let auditor = world.exchange_with(json!({"repository": "octo/auditor"})).expect_tokens().text("access_token");
    assert_eq!(ask(&auditor).expect_status(200).json()["active"], true);
}

#[both_databases]
fn the_first_use_and_every_refusal_is_in_the_audit_log(jeton: Jeton) {
    let world = World::new(jeton, Algorithm::ES256);
    for _ in 0..3 {
        world.token();
    }
    let find = |action: &str| world.jeton.audit().into_iter().filter(|row| row.action == action).collect::<Vec<_>>();
    let used = find("trusted_issuer.first_used");
    assert_eq!(used.len(), 1, "a success is no row of its own");
    assert_eq!(used[0].actor, format!("trusted-issuer:{}", world.trusted));
    let details = used[0].details.clone().unwrap();
    assert!(details.contains("repo:octo/app:ref:refs/heads/main"), "{details}");
    let shown = world.tenant.admin().get(world.tenant.path(&format!("trusted-issuers/{}", world.trusted)));
    assert!(shown.json()["last_used_at"].is_string());

    world
        .exchange_with(json!({"repository": "octo/other", "sub": "a\nb\u{1b}[31m"}))
        .expect_oauth_error(400, "invalid_request");
    world.exchange("nonsense").expect_oauth_error(400, "invalid_request");
    // They are written down behind the answer.
    let deadline = Instant::now() + Duration::from_secs(10);
    while find("workload.refused").len() < 2 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    let refused = find("workload.refused");
    assert_eq!(refused.len(), 2, "{refused:#?}");
    assert!(refused.iter().all(|row| row.outcome == "invalid_subject_token" && row.actor == "anonymous"));
    let told: BTreeSet<_> = refused.iter().map(|row| row.target.clone()).collect();
    assert_eq!(
        told,
        [None, Some(format!("trusted-issuer:{}", world.trusted))].into(),
        "the tenant sees what its issuer signed"
    );
    let why = refused.iter().find(|row| row.target.is_some()).and_then(|row| row.details.clone()).unwrap();
    assert!(why.contains("repository") && why.contains("a\\nb\\u{1b}"), "{why}");
}

#[both_databases]
fn no_person_is_named_in_a_token(jeton: Jeton) {
    let world = World::new(jeton, Algorithm::ES256);
    let answer = world.exchange_with(json!({"sub": "ada@example.com"})).expect_tokens();
    assert_eq!(world.jeton.verified(&answer.text("access_token")).claims.get("workload"), None);
}

#[both_databases]
fn a_first_use_that_cannot_be_noted_gives_no_token(jeton: Jeton) {
    let world = World::new(jeton, Algorithm::ES256);
    world.jeton.break_writes("audit_events", "INSERT");
    let answer = world.exchange_with(json!({}));
    assert!(answer.status >= 500, "{}", answer.told());
    world.jeton.mend_writes("audit_events");
    world.token();
    assert_eq!(world.jeton.audited("trusted_issuer.first_used"), 1);
}

#[both_databases]
fn forward_auth_passes_a_workload_on_with_the_one_scope_that_it_needs(jeton: Jeton) {
    let scopes = json!({"scopes": ["bookings:read", "messages:read"]});
    let world = World::with(jeton.with("profile", "engium"), Algorithm::ES256, scopes);
    let token = world.token();
    let ask = |tenant: &str, method: &str| {
        let request = world.jeton.get("/api/v1/auth/forward").header("X-Original-Method", method);
        request.header("X-Original-URI", "/api/v1/bookings/7").bearer(&token).tenant(tenant).send()
    };
    let admitted = ask(&world.tenant.id, "GET").expect_status(200);
    assert_eq!(admitted.header("x-auth-subject"), Some(world.trusted.as_str()));
    let passed_on = admitted.header("authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap();
    let (brought, passed_on) = (world.jeton.verified(&token), world.jeton.verified(passed_on));
    assert_eq!((passed_on.text("scope"), passed_on.text("sub")), ("bookings:read", world.trusted.as_str()));
    assert_eq!(passed_on.text("workload"), "repo:octo/app:ref:refs/heads/main");
    assert!(passed_on.number("exp") <= brought.number("exp"));
    ask(&world.tenant.id, "DELETE").expect_problem(403, "insufficient_scope");
    ask(&world.jeton.tenant().id, "GET").expect_problem(403, "tenant_mismatch");
    world.jeton.cli(["trusted-issuer", "delete", &world.trusted]).expect_code(0);
    ask(&world.tenant.id, "GET").expect_problem(401, "invalid_token");
}

#[test]
fn a_workload_has_the_plan_and_the_limit_of_a_key() {
    let jeton = Jeton::on_sqlite().with("profile", "engagetrack");
    let key = ForeignKey::new("first", Algorithm::ES256);
    let issuer = ForeignIssuer::start(&[&key]);
    issuer.is_reachable_from(&jeton);
    let tenant = jeton.tenant_with(&["--plan", "startup"]);
    trust(&tenant, &issuer, json!({})).expect_status(201);
    let token = key.sign(&issuer.claims(&jeton, json!({})));
    let answers: Vec<_> = (0..130).map(|_| exchange(&jeton.client(), &tenant.id, &token)).collect();
    assert_eq!(answers[0].header("ratelimit-policy"), Some("\"key\";q=120;w=60"));
    let limited = answers.last().unwrap().clone().expect_oauth_error(429, "temporarily_unavailable");
    let wait = limited.header("retry-after").unwrap();
    let told = format!("Too many requests by workloads of this issuer; try again in {wait} s");
    assert_eq!(limited.json()["error_description"], told);
    jeton.cli(["tenant", "set-plan", &tenant.id, "free"]).expect_code(0);
    exchange(&jeton.client(), &tenant.id, &token).expect_oauth_error(400, "invalid_request");
}
