//! The rest of the page: how keys end, and what is said then.

use std::time::Duration;

use jeton_test_macros::both_databases;
use serde_json::json;

use super::{INVALID, PLAN, data, engagetrack, expect_error};
use crate::harness::Jeton;

/// > API keys can have an optional expiration date. Expired keys return 401 Unauthorized.
#[both_databases]
fn an_expired_key_returns_401(jeton: Jeton) {
    let (product, tenant) = engagetrack(jeton);
    let expiry = product.jeton.in_seconds(600);
    let key = tenant.api_key_with(json!({"scopes": ["sites:read"], "expires_at": expiry}));
    let call = || product.get(data(&tenant, "sites")).bearer(&key.key);

    let admitted = product.admits(call());
    assert!(admitted.jwt.number("exp") <= product.jeton.now() + 600, "no token outlives its key");
    product.jeton.advance(Duration::from_secs(590));
    product.admits(call());

    product.jeton.advance(Duration::from_secs(11));
    expect_error(&product.refuses(call(), 401, "invalid_api_key"), INVALID);
    let shown = tenant.admin().session().call("GET", key.path()).send().expect_status(200);
    assert_eq!(shown.text("state"), "expired");
}

/// > We recommend setting an expiration and rotating keys periodically. Rotate before expiry.
#[both_databases]
fn a_key_is_rotated_without_a_gap(jeton: Jeton) {
    let (product, tenant) = engagetrack(jeton);
    let key = tenant.api_key(["sites:read"]);
    let call = |key: &str| product.get(data(&tenant, "sites")).bearer(key);

    let successor = tenant.admin().rotate(&key, json!({"overlap_seconds": 60})).expect_status(201).into_key(&tenant);
    product.admits(call(&key.key));
    product.admits(call(&successor.key));

    product.jeton.advance(Duration::from_secs(61));
    product.refuses(call(&key.key), 401, "invalid_api_key");
    product.admits(call(&successor.key));
}

/// > One key per integration. If one integration is compromised, you can revoke it without affecting others.
#[both_databases]
fn a_revoked_key_affects_no_other(jeton: Jeton) {
    let (product, tenant) = engagetrack(jeton);
    let (leaked, other) = (tenant.api_key(["sites:read"]), tenant.api_key(["sites:read"]));

    tenant.admin().revoke(&leaked).expect_status(204);

    product.refuses(product.get(data(&tenant, "sites")).bearer(&leaked.key), 401, "invalid_api_key");
    product.admits(product.get(data(&tenant, "sites")).bearer(&other.key));
}

/// > 401 Unauthorized { "error": "Invalid or expired API key" } The key does not exist, has been revoked, or has expired.
#[both_databases]
fn all_dead_keys_look_alike(jeton: Jeton) {
    let (product, tenant) = engagetrack(jeton);
    let revoked = tenant.api_key(["sites:read"]);
    tenant.admin().revoke(&revoked).expect_status(204);
    let expires_at = product.jeton.in_seconds(5);
    let expired = tenant.api_key_with(json!({"scopes": ["sites:read"], "expires_at": expires_at}));
    product.jeton.advance(Duration::from_secs(6));
    let strange =
        ["et_live_00000000000000000000000000000000", "et_test_00000000000000000000000000000000", "et_live_", "x"];

    for key in [&*revoked.key, &*expired.key].into_iter().chain(strange) {
        let call = product.get(data(&tenant, "sites")).bearer(key).header("X-Request-ID", "one");
        let refused = product.refuses(call, 401, "invalid_api_key");
        expect_error(&refused, INVALID);
        assert_eq!(refused.header("WWW-Authenticate"), Some(r#"Bearer realm="jeton""#));
    }
}

/// > 402 Payment Required { "error": "API key access requires a Startup plan or higher" } Upgrade your plan
#[both_databases]
fn an_upgrade_mends_402(jeton: Jeton) {
    let (product, _) = engagetrack(jeton);
    let tenant = product.tenant_on("free");
    let refused = tenant.admin().create_api_key(json!({"scopes": ["sites:read"]}));
    expect_error(&refused.expect_problem(402, "plan_required"), PLAN);

    let operator = product.jeton.operator();
    operator.patch(format!("/api/v1/tenants/{}", tenant.id), json!({"plan": "startup"})).expect_status(200);

    product.admits(product.get(data(&tenant, "sites")).bearer(&tenant.api_key(["sites:read"]).key));
}

/// > 403 Forbidden { "error": "API key missing required scope: analytics:read" } ... Create a new key with the correct scopes.
#[both_databases]
fn a_new_key_mends_403(jeton: Jeton) {
    let (product, tenant) = engagetrack(jeton);
    let key = tenant.api_key(["sites:read"]);
    let call = |key: &str| product.get(data(&tenant, "analytics/stats")).bearer(key);
    expect_error(
        &product.refuses(call(&key.key), 403, "insufficient_scope"),
        "API key missing required scope: analytics:read",
    );

    let more = tenant.admin().patch(key.path(), json!({"scopes": ["analytics:read"]}));
    more.expect_problem(422, "immutable_field");

    product.admits(call(&tenant.api_key(["analytics:read"]).key));
}

/// > For full key management (creating, listing, and revoking keys) see the API Keys guide.
#[both_databases]
fn keys_are_created_listed_and_revoked(jeton: Jeton) {
    let (_, tenant) = engagetrack(jeton);
    let (admin, key) = (tenant.admin(), tenant.api_key(["sites:read"]));
    let state = || {
        let items = admin.get(tenant.path("api-keys")).expect_status(200).items();
        items.iter().find(|item| item["id"] == key.id).expect("it is listed")["state"].clone()
    };
    assert_eq!(state(), "active");
    admin.revoke(&key).expect_status(204);
    assert_eq!(state(), "revoked");
}
