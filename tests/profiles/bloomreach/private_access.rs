//! "Private API access", and how secrets change and end.

use std::time::Duration;

use jeton_test_macros::both_databases;
use serde_json::json;

use super::{DATA, EVERYTHING, TRACK, bloomreach, private, public};
use crate::harness::{ApiKey, Jeton};

/// > Private API access works with all API methods and is suitable for sensitive data operations.
#[both_databases]
fn private_access_works_with_all_methods(jeton: Jeton) {
    let project = bloomreach(jeton);
    let key = project.key("private", &EVERYTHING);
    for method in TRACK.into_iter().chain(DATA) {
        let admitted = project.product.admits(private(project.call(method), &key));
        assert_eq!((admitted.jwt.text("access_type"), admitted.jwt.text("scope")), ("private", method.0));
    }
}

/// > To use private API access, generate an API Key ID and an API Secret. Include both in the authorization header of
/// > every request that requires private access.
#[both_databases]
fn a_private_key_is_an_id_and_a_secret(jeton: Jeton) {
    let project = bloomreach(jeton);
    let (key, other) = (project.key("private", &EVERYTHING), project.key("private", &EVERYTHING));
    let public_key = project.key("public", &EVERYTHING);
    for method in TRACK.into_iter().chain(DATA) {
        let call = || project.call(method);
        let admitted = project.product.admits(private(call(), &key));
        assert!(!admitted.request.contains(&key.key), "the API does not get it: {:?}", admitted.request);
        project.product.refuses(public(call(), &key), 401, "invalid_api_key");
        let halves = [(&*key.id, ""), ("", &*key.key), (&key.key, &key.id), (&other.id, &key.key)];
        for (id, secret) in halves.into_iter().chain([(&*public_key.id, &*key.key), (&project.token, &key.key)]) {
            project.product.refuses(call().basic(id, secret), 401, "invalid_api_key");
        }
    }
}

/// > The API Secret adds an extra layer of protection for your most sensitive data. Limit access to it
#[both_databases]
fn a_secret_is_shown_once(jeton: Jeton) {
    let project = bloomreach(jeton);
    let key = project.key("private", &EVERYTHING);
    let random = key.key.trim_start_matches("brx_live_");
    for path in [project.tenant.path("api-keys"), key.path(), project.tenant.path("key-groups")] {
        let shown = project.tenant.admin().get(path).expect_status(200);
        assert!(!String::from_utf8_lossy(&shown.body).contains(random), "{}", shown.told());
    }
}

/// > you can rotate ... the API Secret at any time. ... programmatically using the ... Rotate API Secret endpoint.
#[both_databases]
fn a_rotation_keeps_the_id_and_changes_the_secret(jeton: Jeton) {
    let project = bloomreach(jeton);
    let key = project.key("private", &EVERYTHING);
    let (rotate, call) = (
        |overlap: u32| project.tenant.admin().rotate(&key, json!({"overlap_seconds": overlap})).expect_status(201),
        |key: &ApiKey| private(project.call(DATA[0]), key),
    );
    let group = project.product.admits(call(&key)).jwt.text("group_id").to_owned();

    let second = rotate(0).into_key(&project.tenant);
    assert_eq!(second.id, key.id);
    assert_ne!(second.key, key.key);
    project.product.refuses(call(&key), 401, "invalid_api_key");
    let admitted = project.product.admits(call(&second));
    assert_eq!((admitted.jwt.text("sub"), admitted.jwt.text("group_id")), (&*key.id, &*group));

    let third = rotate(60).into_key(&project.tenant);
    assert_eq!(third.id, key.id);
    project.product.admits(call(&second));
    project.product.admits(call(&third));
    project.product.jeton.advance(Duration::from_secs(61));
    project.product.refuses(call(&second), 401, "invalid_api_key");
    project.product.admits(call(&third));
}

/// > you can ... revoke the API Secret at any time. ... programmatically using the Revoke API Secret ... endpoint.
#[both_databases]
fn a_revoked_secret_is_dead_at_once(jeton: Jeton) {
    let project = bloomreach(jeton);
    let group = project.group("private", &EVERYTHING);
    let (key, other) = (project.key_in(&group), project.key_in(&group));
    let admin = project.tenant.admin();
    let second = admin.rotate(&key, json!({"overlap_seconds": 3600})).expect_status(201).into_key(&project.tenant);

    admin.revoke(&key).expect_status(204);

    for secret in [&key, &second] {
        project.product.refuses(private(project.call(DATA[0]), secret), 401, "invalid_api_key");
    }
    assert_eq!(admin.get(key.path()).expect_status(200).text("state"), "revoked");
    admin.rotate(&key, json!({})).expect_problem(409, "api_key_not_active");
    project.product.admits(private(project.call(DATA[0]), &other));
}

/// > Rotate keys regularly based on your security requirements. (Of a public key the token is all there is.)
#[both_databases]
fn a_rotated_token_gives_way_to_another(jeton: Jeton) {
    let project = bloomreach(jeton);
    let key = project.key("public", &EVERYTHING);

    let answer = project.tenant.admin().rotate(&key, json!({})).expect_status(201);

    assert_eq!(answer.text("replaces"), key.id);
    project.product.refuses(public(project.call(TRACK[0]), &key), 401, "invalid_api_key");
    project.product.admits(public(project.call(TRACK[0]), &answer.into_key(&project.tenant)));
}
