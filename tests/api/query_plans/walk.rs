//! A server that is asked for everything that it does with tables that grow.

use std::time::{Duration, Instant};

use jsonwebtoken::Algorithm;
use serde_json::json;

use crate::console::Browser;
use crate::forward_auth::ask;
use crate::harness::{Jeton, Tenant, User, unique};
use crate::profiles::{ID_AND_SECRET, with_profile};
use crate::workload::World;

/// Longer than anything is remembered.
const AN_AGE: Duration = Duration::from_hours(24 * 500);

/// Does everything, and waits until what was forgotten for its age is gone.
pub fn everything(jeton: Jeton) -> Jeton {
    let world = World::new(jeton, Algorithm::ES256);
    let (jeton, tenant) = (&world.jeton, &world.tenant);
    let operator = jeton.operator();
    for _ in 0..2 {
        world.token();
    }
    keys(jeton, tenant);
    people(jeton, tenant, &operator);
    sessions(jeton, tenant);
    lists(jeton, tenant, &operator);
    for path in ["/.well-known/revocations", "/.well-known/revocations/0", "/.well-known/jwks.json"] {
        jeton.get(path).send();
    }
    jeton.stop();
    let vault = with_profile(jeton.clone(), ID_AND_SECRET);
    two_secrets(&vault);
    ends(&vault, tenant, &operator);
    vault.stop();
    vault.advance(AN_AGE);
    let old = (vault.now() - 450 * 24 * 3600) * 1_000_000;
    let begun = Instant::now();
    vault.start();
    while vault.rows(&format!("audit_events WHERE at < {old}")) > 0 {
        assert!(begun.elapsed() < Duration::from_mins(1), "what is old is forgotten");
        std::thread::sleep(Duration::from_millis(50));
    }
    vault.stop();
    vault
}

fn keys(jeton: &Jeton, tenant: &Tenant) {
    let admin = tenant.admin();
    let path = tenant.path("api-keys");
    for _ in 0..2 {
        let create = admin.call("POST", &path).header("Idempotency-Key", "once");
        create.json(json!({"name": "Once", "scopes": ["a:b"]})).expect_status(201);
    }
    let key = tenant.api_key(["a:b", "tokens:introspect"]);
    let token = key.token();
    key.exchange_for(json!({"scope": "x:y"})).expect_problem(403, "insufficient_scope");
    key.forged(format!("jtn_live_{:032}", 0)).exchange().expect_problem(401, "invalid_api_key");
    jeton.post("/oauth2/introspect").bearer(&key.key).form(&[("token", &token)]).expect_status(200);
    ask(jeton, "GET", "/nowhere").bearer(&token).tenant(&tenant.id).send();
    admin.patch(key.path(), json!({"name": "Another", "contact_email": "a@example.com"})).expect_status(200);
    admin.get(key.path()).expect_status(200);
    let next = admin.rotate(&key, json!({"overlap_seconds": 60})).expect_status(201).into_key(tenant);
    admin.rotate(&key, json!({}));
    jeton.post("/oauth2/revoke").form(&[("token", &next.key)]).expect_status(200);
    admin.revoke(&tenant.api_key([])).expect_status(204);
    let expiring = json!({"expires_at": jeton.in_seconds(3600)});
    tenant.api_key_with(expiring).exchange().expect_tokens();

    let group = json!({"name": "Group", "scopes": ["a:b"]});
    let group = admin.post(tenant.path("key-groups"), group).expect_status(201).text("id");
    tenant.api_key_with(json!({"group_id": group}));
    let app = json!({"name": "App"});
    let app = admin.post(tenant.path("app-identifiers"), app).expect_status(201).text("id");
    for path in [format!("key-groups/{group}"), format!("app-identifiers/{app}")] {
        admin.get(tenant.path(&path)).expect_status(200);
        admin.delete(tenant.path(&path)).expect_status(204);
    }
    // Uses are written at the latest when the server ends.
    jeton.restart();
    admin.get(format!("{}/usage", key.path())).expect_status(200);
}

fn people(jeton: &Jeton, tenant: &Tenant, operator: &User) {
    let admin = tenant.admin();
    let invited = json!({"email": "invited@example.com", "role": "member"});
    let invited = admin.post(tenant.path("users"), invited).expect_status(201).text("id");
    let path = tenant.path(&format!("users/{invited}"));
    admin.get(&path).expect_status(200);
    admin.patch(&path, json!({"role": "admin"})).expect_status(200);
    admin.delete(&path).expect_status(204);
    let member = tenant.user("member");
    member.session();
    for command in [["user", "disable"], ["user", "enable"]] {
        jeton.cli([command[0], command[1], &member.email]).expect_code(0);
    }
    let path = format!("/api/v1/tenants/{}", jeton.tenant().id);
    operator.patch(&path, json!({"name": "Renamed"})).expect_status(200);
    for step in ["suspend", "resume"] {
        operator.post(format!("{path}/{step}"), json!({})).expect_status(200);
    }
}

fn sessions(jeton: &Jeton, tenant: &Tenant) {
    let user = tenant.user("member");
    let wrong = json!({"password": "no-password-of-anybody"});
    user.login_with(wrong.clone()).expect_problem(401, "invalid_credentials");
    user.login_with(json!({"email": "nobody@example.com"})).expect_problem(401, "invalid_credentials");
    let first = user.session();
    user.login_with(wrong).expect_problem(401, "invalid_credentials");
    let second = first.refreshed();
    first.refresh().expect_tokens();
    second.call("GET", "/api/v1/auth/sessions?limit=1").send().expect_status(200);
    second.call("GET", "/api/v1/auth/me").send().expect_status(200);
    let other = user.session();
    second.call("DELETE", format!("/api/v1/auth/sessions/{}", other.id())).send().expect_status(204);
    jeton.advance(Duration::from_secs(61));
    second.refreshed();
    first.refresh().expect_problem(401, "refresh_token_reused");
    user.session().logout().expect_status(204);
    let last = user.session();
    user.change_password(&last, "another-Meadow-2209-kettle").expect_status(204);
    last.call("POST", "/api/v1/auth/logout-all").send().expect_status(204);
}

/// Each list from its beginning and from a cursor, with each filter.
fn lists(jeton: &Jeton, tenant: &Tenant, operator: &User) {
    let admin = tenant.admin();
    for list in ["api-keys", "users", "key-groups", "app-identifiers", "trusted-issuers", "audit-events"] {
        let page = admin.get(tenant.path(&format!("{list}?limit=1"))).expect_status(200);
        if let Some(cursor) = page.json()["next_cursor"].as_str() {
            admin.get(tenant.path(&format!("{list}?limit=1&cursor={cursor}"))).expect_status(200);
        }
    }
    for filter in ["action=user.login", "actor=cli", "since=2020-01-01T00:00:00Z", "until=2090-01-01T00:00:00Z"] {
        admin.get(tenant.path(&format!("audit-events?{filter}"))).expect_status(200);
    }
    let group = admin.post(tenant.path("key-groups"), json!({"name": "All", "scopes": ["a:b"]}));
    let group = group.expect_status(201).text("id");
    tenant.api_key_with(json!({"group_id": group}));
    let mut browser = Browser::of(jeton, admin);
    for page in ["keys", "keys/new", "groups", "users", "audit", "trusted-issuers", "app-identifiers", "account"] {
        browser.get(&format!("/console/{page}")).expect_status(200);
    }
    browser.get(&format!("/console/groups/{group}")).expect_status(200);
    for list in ["tenants?limit=1", "signing-keys"] {
        operator.get(format!("/api/v1/{list}")).expect_status(200);
    }
}

/// A key that keeps its id when its secret is replaced.
fn two_secrets(jeton: &Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key([]);
    for overlap in [60, 60, 0] {
        let next = tenant.admin().rotate(&key, json!({"overlap_seconds": overlap})).expect_status(201);
        ask(jeton, "GET", "/x").basic(&key.id, &next.text("key")).send().expect_status(200);
        ask(jeton, "GET", "/x").basic(&key.id, &key.key).send();
    }
}

/// A tenant that goes with all that it has; the time of all that is left.
fn ends(jeton: &Jeton, tenant: &Tenant, operator: &User) {
    jeton.cli(["signing-key", "rotate"]).expect_code(0);
    let other = jeton.tenant();
    let key = other.api_key([]);
    other.admin().rotate(&key, json!({"overlap_seconds": 60})).expect_status(201);
    let path = format!("/api/v1/tenants/{}", other.id);
    operator.session().call("DELETE", path).send().expect_status(204);
    assert_ne!(other.id, tenant.id, "{}", unique("another"));
}
