//! How keys were passed before April 2020.

use std::time::Duration;

use jeton_test_macros::both_databases;
use serde_json::json;

use super::braze;
use crate::{
    harness::{Answer, ApiKey, Jeton, Request, Tenant},
    product::Product,
};

/// The first of October 2027, when nothing is read any more.
const SUNSET: i64 = 1_822_348_800;

/// The product with the old ways turned on, and an app group in it.
fn lenient(jeton: Jeton) -> (Product, Tenant) {
    let product = Product::changed(jeton, "braze", "enabled = false", "enabled = true");
    let tenant = product.tenant();
    (product, tenant)
}

fn in_the_query(product: &Product, key: &ApiKey) -> Request {
    product.get(format!("/campaigns/list?page=1&api_key={}", key.key))
}

/// As a proxy asks that sends the body along, which nginx does not.
fn in_the_body(product: &Product, key: &ApiKey) -> Answer {
    let question = product.jeton.post("/api/v1/auth/forward").header("X-Original-Method", "POST");
    let body = json!({"api_key": key.key, "attributes": [{"external_id": "7"}]});
    question.header("X-Original-URI", "/users/track").json(body)
}

#[track_caller]
fn expect_marked(answer: &Answer) {
    assert_eq!(answer.header("Deprecation"), Some("@1585699200"), "the first of April 2020: {}", answer.told());
    assert_eq!(answer.header("Sunset"), Some("Fri, 01 Oct 2027 00:00:00 GMT"), "{}", answer.told());
}

#[track_caller]
fn expect_unmarked(answer: &Answer) {
    assert_eq!((answer.header("Deprecation"), answer.header("Sunset")), (None, None), "{}", answer.told());
}

/// > Braze now has updated the way in which we read API keys. (The old one is off.)
#[both_databases]
fn the_old_ways_are_off(jeton: Jeton) {
    let (product, tenant) = braze(jeton);
    let key = tenant.api_key(["campaigns.list", "users.track"]);
    expect_unmarked(&product.refuses(in_the_query(&product, &key), 401, "invalid_api_key"));
    expect_unmarked(&in_the_body(&product, &key).expect_problem(401, "invalid_api_key"));
    let body = json!({"api_key": key.key}).to_string();
    let through_nginx = product.post("/users/track").header("Content-Type", "application/json").with_body(body);
    product.refuses(through_nginx, 401, "invalid_api_key");
}

/// > Prior to April 2020, API keys would be included as a part of the API request body or within the request URL as a
/// > parameter. ... While the old way of passing API keys continues to work
#[both_databases]
fn the_old_ways_work_where_they_are_turned_on(jeton: Jeton) {
    let (product, tenant) = lenient(jeton);
    let key = tenant.api_key(["campaigns.list", "users.track"]);

    let admitted = product.admits(in_the_query(&product, &key));
    assert_eq!((admitted.jwt.text("sub"), admitted.jwt.text("scope")), (&*key.id, "campaigns.list"));
    expect_marked(&admitted.answer);

    let answer = in_the_body(&product, &key).expect_status(200);
    let jwt = product.jeton.verified(answer.header("Authorization").expect("a token").trim_start_matches("Bearer "));
    assert_eq!((jwt.text("sub"), jwt.text("scope")), (&*key.id, "users.track"));
    expect_marked(&answer);

    let today = product.get("/campaigns/list").bearer(&key.key);
    expect_unmarked(&product.admits(today).answer);
}

/// They open no more than the new way.
#[both_databases]
fn the_old_ways_have_the_rules_of_the_new(jeton: Jeton) {
    let (product, tenant) = lenient(jeton);
    let (key, other) = (tenant.api_key(["users.delete"]), product.tenant());
    product.refuses(in_the_query(&product, &key), 403, "insufficient_scope");
    in_the_body(&product, &key).expect_problem(403, "insufficient_scope");
    product.refuses(in_the_query(&product, &key).tenant(&other.id), 403, "tenant_mismatch");
    product.refuses(in_the_query(&product, &key).bearer(&key.key), 400, "malformed_request");
    let twice = format!("/campaigns/list?api_key={}&api_key={}", key.key, key.key);
    product.refuses(product.get(twice), 400, "malformed_request");
    product.refuses(product.get(format!("/campaigns/list?API_KEY={}", key.key)), 401, "invalid_api_key");

    tenant.admin().revoke(&key).expect_status(204);
    product.refuses(in_the_query(&product, &key), 401, "invalid_api_key");
    in_the_body(&product, &key).expect_problem(401, "invalid_api_key");
}

/// > after a period of time this will be permanently removed
#[both_databases]
fn the_old_ways_end_at_their_sunset(jeton: Jeton) {
    let (product, tenant) = lenient(jeton);
    let key = tenant.api_key(["campaigns.list", "users.track"]);
    let move_to = |time: i64| {
        product.jeton.advance(Duration::from_secs(u64::try_from(time - product.jeton.now()).expect("it is to come")));
    };

    move_to(SUNSET - 60);
    expect_marked(&product.admits(in_the_query(&product, &key)).answer);
    expect_marked(&in_the_body(&product, &key).expect_status(200));

    move_to(SUNSET);
    expect_unmarked(&product.refuses(in_the_query(&product, &key), 401, "invalid_api_key"));
    expect_unmarked(&in_the_body(&product, &key).expect_problem(401, "invalid_api_key"));
    product.admits(product.get("/campaigns/list").bearer(&key.key));
}
