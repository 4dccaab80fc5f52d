//! "Best Practices for using an API Key", and what else the page says of keys in use.

use std::time::Duration;

use jeton_test_macros::both_databases;
use serde_json::json;

use super::{LISTED, OTHERS, call, key_of, optimove, wanted};
use crate::{harness::Jeton, product::Product};

/// > If you are a third party collaborating with us, we kindly request the client you're assisting to generate a key for
/// > your use.
#[both_databases]
fn a_third_party_makes_no_keys(jeton: Jeton) {
    let (product, tenant) = optimove(jeton);
    let key = key_of(&tenant, "integrations");
    let keys = product.jeton.post(tenant.path("api-keys"));
    keys.bearer(&key.token()).json(wanted("integrations", json!({}))).expect_problem(403, "access_type_not_allowed");
    let keys = product.jeton.post(tenant.path("api-keys")).header("X-API-Key", &key.key);
    keys.json(wanted("integrations", json!({}))).expect_status(401);
}

/// > Use a different API key for each application.
#[both_databases]
fn each_application_is_told_apart(jeton: Jeton) {
    let (product, tenant) = optimove(jeton);
    for name in ["Push", "SMS", "Mail"] {
        let key = tenant.api_key_with(wanted("integrations", json!({"name": name})));
        let admitted = product.admits(call(&product, LISTED[0], &key));
        assert_eq!(admitted.request.header("X-Auth-Subject"), Some(&*key.id));
        assert_eq!(tenant.admin().get(key.path()).expect_status(200).text("name"), name);
    }
}

/// > Regenerate API keys periodically.
#[both_databases]
fn a_key_is_regenerated(jeton: Jeton) {
    let (product, tenant) = optimove(jeton);
    let old = key_of(&tenant, "integrations");
    let rotate = |overlap: u32| tenant.admin().rotate(&old, json!({"overlap_seconds": overlap})).expect_status(201);

    let answer = rotate(60);
    assert_eq!(answer.text("replaces"), old.id);
    assert_eq!((&*answer.text("name"), &*answer.text("contact_email")), ("Acme Push", "ada@example.com"));
    let new = answer.into_key(&tenant);
    product.admits(call(&product, LISTED[0], &old));
    product.admits(call(&product, LISTED[0], &new));

    product.jeton.advance(Duration::from_secs(61));
    product.refuses(call(&product, LISTED[0], &old), 401, "invalid_api_key");
    product.admits(call(&product, LISTED[0], &new));
    product.refuses(call(&product, OTHERS[0], &new), 403, "access_type_not_allowed");
}

/// > Set up rate limits to control the usage of API keys.
#[both_databases]
fn a_rate_limit_is_set_up_in_the_profile(jeton: Jeton) {
    let product = Product::changed(jeton, "optimove", "[tenant]", "[limits]\nrequests_per_minute = 3\n\n[tenant]");
    let tenant = product.tenant();
    let (key, other) = (key_of(&tenant, "admin"), key_of(&tenant, "admin"));
    for _ in 0..3 {
        product.admits(call(&product, LISTED[0], &key));
    }
    let refused = product.refuses(call(&product, LISTED[0], &key), 429, "rate_limited");
    let wait = refused.header("Retry-After").and_then(|told| told.parse().ok()).expect("seconds");
    product.admits(call(&product, LISTED[0], &other));
    product.jeton.advance(Duration::from_secs(wait));
    product.admits(call(&product, LISTED[0], &key));
}

/// > Monitor API key usage regularly.
#[both_databases]
fn there_is_usage_to_look_at(jeton: Jeton) {
    let (product, tenant) = optimove(jeton);
    let (key, other) = (key_of(&tenant, "integrations"), key_of(&tenant, "integrations"));
    for endpoint in LISTED {
        product.admits(call(&product, endpoint, &key));
    }
    for endpoint in &OTHERS[..3] {
        product.refuses(call(&product, *endpoint, &key), 403, "access_type_not_allowed");
    }
    // What is counted is written now and then, and at the end.
    product.jeton.restart();

    let usage = |path: String| tenant.admin().get(format!("{path}/usage?days=30")).expect_status(200).json();
    let seen = usage(key.path());
    assert_eq!((&seen["api_key_id"], &seen["days"]), (&json!(key.id), &json!(30)));
    assert_eq!((&seen["exchanges"], &seen["refusals"]), (&json!(8), &json!({"access_type_not_allowed": 3})));
    assert!(!seen["items"].as_array().expect("by day").is_empty(), "{seen}");
    assert!(tenant.admin().get(key.path()).expect_status(200).json()["last_used_at"].is_string());

    let unused = usage(other.path());
    assert_eq!((&unused["exchanges"], &unused["items"]), (&json!(0), &json!([])));
    assert!(tenant.admin().get(other.path()).expect_status(200).json()["last_used_at"].is_null());
}

/// > Please use your API key ONLY for production purposes.
#[both_databases]
fn all_keys_are_for_production(jeton: Jeton) {
    let (_, tenant) = optimove(jeton);
    let key = key_of(&tenant, "admin");
    assert!(key.key.starts_with("opt_live_"), "{}", key.key);
    tenant.admin().create_api_key(wanted("admin", json!({"environment": "test"}))).expect_field("environment");
}
