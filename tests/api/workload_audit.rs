//! What the audit log says of refused workloads, and how often (docs/OPERATIONS.md).

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use jeton_test_macros::both_databases;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::{
    exhaustion::until,
    harness::Jeton,
    workload::{World, trust},
};

impl World {
    /// What the tenant's audit log says of refused workloads, the newest first.
    fn refusals(&self) -> Vec<Value> {
        // They are written down behind the answers, in their order: this one comes last.
        let last = |world: &Self| world.jeton.audit().iter().filter(|row| row.outcome == "invalid_api_key").count();
        let before = last(self);
        self.jeton.post("/api/v1/auth/exchange").tenant(&self.tenant.id).bearer("nonsense").send().expect_status(401);
        let deadline = Instant::now() + Duration::from_secs(10);
        while last(self) == before && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(last(self), before + 1);
        let path = self.tenant.path("audit-events?action=workload.refused&limit=100");
        self.tenant.admin().get(&path).expect_status(200).items()
    }
}

/// Whoever has any token of a public issuer could write into the log of a tenant whose id they know.
#[both_databases]
fn a_token_that_was_meant_for_others_leaves_nothing_with_the_tenant(jeton: Jeton) {
    let world = World::new(jeton, Algorithm::ES256);
    let entry = json!({"audience": "https://second.test"});
    let second = trust(&world.tenant, &world.issuer, entry).expect_status(201).text("id");
    for _ in 0..20 {
        world.exchange_with(json!({"aud": "https://other.test"})).expect_oauth_error(400, "invalid_request");
    }
    assert_eq!(world.refusals(), Vec::<Value>::new());
    let noted = || world.jeton.audited("wants its aud");
    assert_eq!(noted(), 1, "the operator hears of it once a minute");
    world.jeton.advance(Duration::from_secs(61));
    world.exchange_with(json!({"aud": "https://other.test"})).expect_oauth_error(400, "invalid_request");
    world.refusals();
    assert_eq!(noted(), 2);
    // What is meant for an entry is told of that entry, even where another one is older.
    let claims = json!({"aud": "https://second.test", "repository": "octo/other"});
    world.exchange_with(claims).expect_oauth_error(400, "invalid_request");
    let told = world.refusals();
    assert_eq!(told.len(), 1, "{told:#?}");
    let details = told[0]["details"].as_str().unwrap();
    assert!(details.contains(&format!("{second} wants its repository")), "{details}");
}

#[both_databases]
fn conditions_that_are_not_met_are_told_once_a_minute(jeton: Jeton) {
    let world = World::new(jeton, Algorithm::ES256);
    for _ in 0..20 {
        world.exchange_with(json!({"repository": "octo/other"})).expect_oauth_error(400, "invalid_request");
    }
    assert_eq!(world.refusals().len(), 1);
    world.jeton.advance(Duration::from_secs(61));
    world.exchange_with(json!({"repository": "octo/other"})).expect_oauth_error(400, "invalid_request");
    assert_eq!(world.refusals().len(), 2);
}

/// As of an API key's token.
#[both_databases]
fn what_a_workload_may_not_do_here_is_told_once_a_minute(jeton: Jeton) {
    let scopes = json!({"scopes": ["bookings:read"]});
    let world = World::with(jeton.with("profile", "engium"), Algorithm::ES256, scopes);
    let token = world.token();
    let keys = world.tenant.path("api-keys");
    for _ in 0..3 {
        world.jeton.get(&keys).bearer(&token).send().expect_problem(403, "access_type_not_allowed");
        let asked = world.jeton.post("/oauth2/introspect").bearer(&token).form(&[("token", &token)]);
        asked.expect_oauth_error(403, "insufficient_scope");
    }
    let told = world.refusals();
    let outcomes: BTreeSet<_> = told.iter().map(|row| row["outcome"].as_str().unwrap()).collect();
    assert_eq!((told.len(), outcomes), (2, ["access_type_not_allowed", "insufficient_scope"].into()));
    let workload = format!("trusted-issuer:{}", world.trusted);
    assert!(told.iter().all(|row| row["actor"] == workload && row["target"] == workload), "{told:#?}");

    world.jeton.advance(Duration::from_secs(61));
    let request = world.jeton.get("/api/v1/auth/forward").header("X-Original-Method", "DELETE");
    let request = request.header("X-Original-URI", "/api/v1/bookings/7").bearer(&token).tenant(&world.tenant.id);
    request.send().expect_problem(403, "insufficient_scope");
    let told = world.refusals();
    assert_eq!(told.len(), 3, "{told:#?}");
    assert_eq!(told[0]["outcome"], "insufficient_scope");
}

#[both_databases]
fn a_workload_whose_tenant_is_suspended_is_told_of(jeton: Jeton) {
    let world = World::with(jeton.with("profile", "engium"), Algorithm::ES256, json!({"scopes": ["bookings:read"]}));
    let token = world.token();
    world.tenant.suspend();
    let request = world.jeton.get("/api/v1/auth/forward").header("X-Original-Method", "GET");
    let request = request.header("X-Original-URI", "/api/v1/bookings").bearer(&token).tenant(&world.tenant.id);
    request.send().expect_problem(403, "tenant_suspended");
    let workload = format!("trusted-issuer:{}", world.trusted);
    until("it is recorded", || {
        let rows = world.jeton.audit();
        rows.iter()
            .any(|row| row.action == "workload.refused" && row.outcome == "tenant_suspended" && row.actor == workload)
    });
}
