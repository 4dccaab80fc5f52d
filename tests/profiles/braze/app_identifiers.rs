//! "The App Identifier API Key".

use jeton_test_macros::both_databases;
use serde_json::{Value, json};

use super::{PERMISSIONS, braze};
use crate::harness::{Jeton, Tenant};

/// Has an identifier assigned to an app.
#[track_caller]
fn assign(tenant: &Tenant, name: &str, platform: &str) -> Value {
    let body = json!({"name": name, "platform": platform});
    tenant.admin().post(tenant.path("app-identifiers"), body).expect_status(201).json()
}

fn app_id(identifier: &Value) -> &str {
    identifier["app_id"].as_str().expect("a string")
}

/// > you will find that you will have an app_id for your iOS app, an app_id for your android app, and an app_id for your
/// > web integration. At Braze, you might find that you have multiple apps for the same platform
#[both_databases]
fn each_app_has_its_own(jeton: Jeton) {
    let (product, tenant) = braze(jeton);
    let apps = [("Ice Cream", "iOS"), ("Ice Cream", "Android"), ("Ice Cream", "web"), ("Ice Cream Premium", "iOS")];
    let assigned = apps.map(|(name, platform)| assign(&tenant, name, platform));
    for (number, (name, platform)) in apps.iter().enumerate() {
        let identifier = &assigned[number];
        assert_eq!((&identifier["name"], &identifier["platform"]), (&json!(name), &json!(platform)));
        assert_eq!(identifier["tenant_id"], tenant.id);
        assert!(!assigned[..number].iter().any(|other| app_id(other) == app_id(identifier)), "{assigned:?}");
    }
    // Debug and release builds of one app may each have one.
    assert_ne!(app_id(&assign(&tenant, "Ice Cream", "iOS")), app_id(&assigned[0]));
    assert_ne!(app_id(&assign(&product.tenant(), "Ice Cream", "iOS")), app_id(&assigned[0]));
}

/// > under "Identifiers", you will be able to see every app_id that exists for your apps.
#[both_databases]
fn all_are_listed(jeton: Jeton) {
    let (product, tenant) = braze(jeton);
    let mut assigned = ["iOS", "Android", "web"].map(|platform| assign(&tenant, "Ice Cream", platform));
    assign(&product.tenant(), "Sorbet", "iOS");
    assigned.reverse();

    assert_eq!(tenant.admin().get(tenant.path("app-identifiers")).expect_status(200).items(), assigned);

    let path = tenant.path(&format!("app-identifiers/{}", app_id(&assigned[0])));
    assert_eq!(tenant.admin().get(path).expect_status(200).json(), assigned[0]);
}

/// > With App identifiers, the app_id is assigned by Braze and permissions cannot be assigned or revoked.
#[both_databases]
fn they_are_assigned_and_have_no_permissions(jeton: Jeton) {
    let (_, tenant) = braze(jeton);
    let (admin, all) = (tenant.admin(), tenant.path("app-identifiers"));
    for (member, value) in [
        ("app_id", json!("my-own-choice")),
        ("id", json!("0197a000-0000-7000-8000-000000000000")),
        ("scopes", json!(["users.track"])),
        ("permissions", json!([])),
    ] {
        admin.post(&all, json!({"name": "Ice Cream", member: value})).expect_field(member);
    }
    let identifier = assign(&tenant, "Ice Cream", "iOS");
    assert!(identifier["scopes"].is_null() && identifier["key"].is_null(), "{identifier}");
    let path = format!("{all}/{}", app_id(&identifier));
    for method in ["PATCH", "PUT"] {
        admin.call(method, &path).json(json!({"scopes": ["users.track"]})).expect_status(405);
    }
}

/// Whoever reads it in an app has learnt nothing that opens anything.
#[both_databases]
fn they_open_nothing(jeton: Jeton) {
    let (product, tenant) = braze(jeton);
    let identifier = assign(&tenant, "Ice Cream", "iOS");
    let id = app_id(&identifier);
    for (permission, method) in PERMISSIONS {
        let call = || product.call(method, super::endpoint(permission));
        product.refuses(call().bearer(id), 401, "invalid_api_key");
    }
    let call = || product.post("/users/track");
    product.refuses(call().bearer(&format!("brz_live_{}", id.replace('-', ""))), 401, "invalid_api_key");
    product.refuses(call().basic(id, id), 401, "invalid_api_key");
    product.refuses(call().header("X-API-Key", id), 401, "invalid_api_key");
    product.refuses(product.post(format!("/users/track?api_key={id}&app_id={id}")), 401, "invalid_api_key");
    product.jeton.post("/api/v1/auth/exchange").bearer(id).send().expect_problem(401, "invalid_api_key");
}

/// > The App Identifier API Key or app_id is a parameter associating activity with a specific app in your app group.
/// > ... you can "omit" this field by including any string of characters as a placeholder
#[both_databases]
fn they_are_the_apis_own_parameter(jeton: Jeton) {
    let (product, tenant) = braze(jeton);
    let key = tenant.api_key(["kpi.dau.data_series", "users.track"]);
    let identifier = assign(&tenant, "Ice Cream", "iOS");
    for app in [app_id(&identifier), "placeholder", "0"] {
        let target = format!("/kpi/dau/data_series?app_id={app}&length=7");
        assert_eq!(product.admits(product.get(&target).bearer(&key.key)).request.target, target);

        let body = json!({"events": [{"app_id": app, "name": "ate"}]}).to_string();
        let call = product.post("/users/track").bearer(&key.key).header("Content-Type", "application/json");
        assert_eq!(product.admits(call.with_body(&*body)).request.body, body.as_bytes());
    }
}
