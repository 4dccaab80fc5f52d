//! The page "Authentication" of `engium`, sentence by sentence.

use std::time::Duration;

use jeton_test_macros::both_databases;
use serde_json::{Value, json};

use crate::{
    harness::{Jeton, Jwt, Tenant},
    product::Product,
};

const BOOKINGS: &str = "/api/v1/bookings";
const MESSAGES: &str = "/api/v1/messages";
const EVERYTHING: [&str; 4] = ["bookings:read", "bookings:write", "messages:read", "messages:write"];

fn engium(jeton: Jeton) -> (Product, Tenant) {
    let product = Product::start(jeton, "engium");
    let tenant = product.tenant();
    (product, tenant)
}

/// > Engium supports two authentication strategies: long-lived API keys for server-to-server calls ...
#[both_databases]
fn an_api_key_calls(jeton: Jeton) {
    let (product, tenant) = engium(jeton);
    let key = tenant.api_key(EVERYTHING);
    product.jeton.advance(Duration::from_hours(24 * 400));

    let admitted = product.admits(product.get(BOOKINGS).bearer(&key.key).tenant(&tenant.id));

    assert_eq!(admitted.jwt.text("sub"), key.id);
    assert_eq!(admitted.jwt.text("scope"), "bookings:read", "what the endpoint needs, of all that the key has");
}

/// > ... and short-lived JWT tokens for user-facing browser clients.
#[both_databases]
fn a_users_token_calls(jeton: Jeton) {
    let (product, tenant) = engium(jeton);
    for role in ["admin", "member"] {
        let user = tenant.user(role);

        let admitted = product.admits(product.get(BOOKINGS).bearer(user.token()).tenant(&tenant.id));

        assert_eq!(admitted.jwt.text("sub"), user.id);
        assert_eq!(admitted.jwt.text("scope"), "bookings:read", "what the endpoint needs, of all that the user has");
        product.admits(product.post(MESSAGES).bearer(user.token()).tenant(&tenant.id));
    }
}

/// > Both require an X-Tenant-ID header.
#[both_databases]
fn neither_calls_without_its_tenant(jeton: Jeton) {
    let (product, tenant) = engium(jeton);
    let key = tenant.api_key(EVERYTHING);
    for credential in [&key.key, tenant.admin().token(), &key.token()] {
        product.refuses(product.get(BOOKINGS).bearer(credential), 400, "tenant_required");
        product.refuses(product.post(MESSAGES).bearer(credential), 400, "tenant_required");
    }
}

/// > API key from Settings → Developer → API Keys. Your Tenant ID (shown on the same page).
#[both_databases]
fn the_settings_have_keys_and_the_tenants_id(jeton: Jeton) {
    let (product, tenant) = engium(jeton);
    let made = tenant.admin().create_api_key(json!({"scopes": EVERYTHING})).expect_status(201);
    assert_eq!(made.text("tenant_id"), tenant.id);
    let key = made.text("key");
    let random = key.strip_prefix("eng_live_").expect("the prefix of the page");
    assert!(random.len() >= 32 && random.chars().all(|c| c.is_ascii_alphanumeric()), "{key}");
    let sandbox = tenant.api_key_with(json!({"environment": "test"}));
    assert!(sandbox.key.starts_with("eng_test_"), "{}", sandbox.key);

    let listed = tenant.admin().get(tenant.path("api-keys")).expect_status(200);
    assert!(listed.items().iter().all(|item| item["tenant_id"] == tenant.id && item["key"].is_null()));
    assert!(!String::from_utf8_lossy(&listed.body).contains(random), "it is shown when it is made, and never again");
    product.refuses(product.get(BOOKINGS).bearer(&sandbox.key).tenant(&tenant.id), 403, "insufficient_scope");
}

/// > `curl https://api.engium.app/api/v1/bookings -H "Authorization: Bearer eng_live_xxxxxxxxxxxx" -H "X-Tenant-ID: ..."`
/// > `curl -X POST https://api.engium.app/api/v1/auth/login -H "Content-Type: application/json" -d '{"email":...}'`
/// > `curl -X POST https://api.engium.app/api/v1/auth/refresh -H "Content-Type: application/json" -d '{"refresh_token":...}'`
#[both_databases]
fn the_commands_of_the_page_work_as_printed(jeton: Jeton) {
    let (product, tenant) = engium(jeton);
    let (key, admin) = (tenant.api_key(EVERYTHING), tenant.admin());
    let bookings = |bearer: &str| {
        let (authorization, id) = (format!("Authorization: Bearer {bearer}"), format!("X-Tenant-ID: {}", tenant.id));
        product.curl(BOOKINGS, &["-H", &authorization, "-H", &id])
    };

    assert_eq!(bookings(&key.key)["upstream"], 200, "option A");

    let json = ["-H", "Content-Type: application/json", "-d"];
    let body = format!(r#"{{"email":"{}","password":"{}"}}"#, admin.email, admin.password);
    let login = product.curl("/api/v1/auth/login", &[&["-X", "POST"], &json[..], &[&body]].concat());
    assert_eq!(bookings(text(&login, "access_token"))["upstream"], 200, "option B");

    let body = format!(r#"{{"refresh_token":"{}"}}"#, text(&login, "refresh_token"));
    let refresh = product.curl("/api/v1/auth/refresh", &[&["-X", "POST"], &json[..], &[&body]].concat());
    assert_eq!(bookings(text(&refresh, "access_token"))["upstream"], 200, "refreshed");
}

/// > Authorization: Bearer {api_key} or Bearer {jwt_token}. Present on every request.
#[both_databases]
fn a_request_without_a_credential_is_refused(jeton: Jeton) {
    let (product, tenant) = engium(jeton);
    let key = tenant.api_key(EVERYTHING);
    let call = || product.get(BOOKINGS).tenant(&tenant.id);

    product.refuses(call(), 401, "invalid_api_key");
    product.refuses(call().header("X-API-Key", &key.key), 401, "invalid_api_key");
    product.refuses(call().header("Authorization", &format!("Token {}", key.key)), 401, "invalid_api_key");
    product.refuses(call().basic(&key.id, &key.key), 401, "invalid_api_key");
    product
        .refuses(call().bearer("eng_live_xxxxxxxxxxxx"), 401, "invalid_api_key")
        .expect_detail("Invalid or expired API key");
    let in_the_query = product.get(format!("{BOOKINGS}?api_key={}", key.key)).tenant(&tenant.id);
    product.refuses(in_the_query, 401, "invalid_api_key");
}

/// > X-Tenant-ID: Header · UUID. Your Tenant UUID. ... requests without it return 400.
#[both_databases]
fn a_request_without_a_tenant_returns_400(jeton: Jeton) {
    let (product, tenant) = engium(jeton);
    let key = tenant.api_key(EVERYTHING);
    for credential in [&key.key, tenant.admin().token(), "eng_live_00000000000000000000000000000000"] {
        let call = || product.get(BOOKINGS).bearer(credential);
        product.refuses(call(), 400, "tenant_required");
        for no_uuid in ["", "acme", &tenant.name, &tenant.id[1..], &format!("{}0", tenant.id)] {
            product.refuses(call().tenant(no_uuid), 400, "tenant_required");
        }
        product.refuses(call().tenant(&tenant.id).tenant(&tenant.id), 400, "malformed_request");
    }
}

/// > All data is scoped to this tenant
#[both_databases]
fn no_credential_reaches_another_tenant(jeton: Jeton) {
    let (product, tenant) = engium(jeton);
    let (other, key) = (product.tenant(), tenant.api_key(EVERYTHING));
    let nobody = "0197a000-0000-7000-8000-000000000000";
    for credential in [&key.key, tenant.admin().token(), &key.token()] {
        let admitted = product.admits(product.get(BOOKINGS).bearer(credential).tenant(&tenant.id));
        assert_eq!(admitted.request.header("X-Tenant-ID"), Some(&*tenant.id));
        for foreign in [&*other.id, nobody] {
            product.refuses(product.get(BOOKINGS).bearer(credential).tenant(foreign), 403, "tenant_mismatch");
        }
    }
}

/// > Content-Type: Required as application/json for POST / PATCH / PUT bodies.
#[both_databases]
fn bodies_are_json(jeton: Jeton) {
    let (product, tenant) = engium(jeton);
    let (key, admin) = (tenant.api_key(EVERYTHING), tenant.admin());
    let login = json!({"email": admin.email, "password": admin.password}).to_string();
    let form = "application/x-www-form-urlencoded";
    product.post("/api/v1/auth/login").body(form, &*login).expect_problem(415, "unsupported_media_type");
    product.post("/api/v1/auth/login").body("application/json", &*login).expect_tokens();
    product.post("/api/v1/auth/refresh").body(form, "{}").expect_problem(415, "unsupported_media_type");

    for method in ["POST", "PATCH", "PUT"] {
        let call = product.call(method, format!("{BOOKINGS}/7")).bearer(&key.key).tenant(&tenant.id);
        let call = call.header("Content-Type", "application/json").with_body(r#"{"seats":2}"#);
        let request = product.admits(call).request;
        assert_eq!((&*request.method, request.header("Content-Type")), (method, Some("application/json")));
        assert_eq!(request.body, br#"{"seats":2}"#);
    }
}

/// > Endpoints: bookings and messages, to read and to write.
#[both_databases]
fn each_endpoint_needs_its_scope(jeton: Jeton) {
    let (product, tenant) = engium(jeton);
    let keys = EVERYTHING.map(|scope| (scope, tenant.api_key([scope])));
    for (path, resource) in [(BOOKINGS, "bookings"), (MESSAGES, "messages")] {
        for (method, action) in
            [("GET", "read"), ("POST", "write"), ("PATCH", "write"), ("PUT", "write"), ("DELETE", "write")]
        {
            let needed = format!("{resource}:{action}");
            for (scope, key) in &keys {
                for path in [path.to_owned(), format!("{path}/7"), format!("{path}/7/notes")] {
                    let call = product.call(method, path).bearer(&key.key).tenant(&tenant.id);
                    if *scope == needed {
                        assert_eq!(product.admits(call).jwt.text("scope"), needed);
                    } else {
                        let refused = product.refuses(call, 403, "insufficient_scope");
                        refused.expect_detail(&format!("API key missing required scope: {needed}"));
                    }
                }
            }
        }
    }
    let call = product.get("/api/v1/invoices").bearer(&keys[0].1.key).tenant(&tenant.id);
    product.refuses(call, 403, "endpoint_not_listed");
}

/// > API keys are secrets ... rotate keys immediately if compromised.
#[both_databases]
fn a_rotated_key_is_dead_at_once(jeton: Jeton) {
    let (product, tenant) = engium(jeton);
    let key = tenant.api_key(EVERYTHING);
    product.admits(product.get(BOOKINGS).bearer(&key.key).tenant(&tenant.id));

    let successor = tenant.admin().rotate(&key, json!({})).expect_status(201).into_key(&tenant);

    product.refuses(product.get(BOOKINGS).bearer(&key.key).tenant(&tenant.id), 401, "invalid_api_key");
    product.admits(product.get(BOOKINGS).bearer(&successor.key).tenant(&tenant.id));
}

/// > Access tokens expire after 30 minutes.
#[both_databases]
fn an_access_token_lives_for_30_minutes(jeton: Jeton) {
    let (product, tenant) = engium(jeton);
    let admin = tenant.admin();
    let body = json!({"email": admin.email, "password": admin.password});
    let login = product.post("/api/v1/auth/login").json(body).expect_tokens();
    assert_eq!(login.json()["expires_in"], 30 * 60);
    let token = login.text("access_token");
    let jwt = Jwt::parse(&token);
    assert_eq!(jwt.number("exp") - jwt.number("iat"), 30 * 60);
    let call = || product.get(BOOKINGS).bearer(&token).tenant(&tenant.id);

    product.jeton.advance(Duration::from_secs(29 * 60 + 50));
    product.admits(call());

    product.jeton.advance(Duration::from_secs(11));
    product.refuses(call(), 401, "invalid_token");
}

/// > Use the refresh_token returned at login to get a new access_token via POST /auth/refresh — no re-login required.
#[both_databases]
fn a_refresh_gets_a_new_access_token(jeton: Jeton) {
    let (product, tenant) = engium(jeton);
    let session = tenant.admin().session();
    product.jeton.advance(Duration::from_mins(31));
    product.refuses(product.get(BOOKINGS).bearer(&session.access_token).tenant(&tenant.id), 401, "invalid_token");

    let body = json!({"refresh_token": session.refresh_token});
    let refreshed = product.post("/api/v1/auth/refresh").json(body).expect_tokens();

    assert_eq!(refreshed.text("tenant_id"), tenant.id);
    product.admits(product.get(BOOKINGS).bearer(&refreshed.text("access_token")).tenant(&tenant.id));
}

/// > Refresh tokens are valid for 30 days.
#[both_databases]
fn a_refresh_token_lives_for_30_days(jeton: Jeton) {
    let (product, tenant) = engium(jeton);
    let admin = tenant.admin();
    let body = json!({"email": admin.email, "password": admin.password});
    let login = product.post("/api/v1/auth/login").json(body).expect_tokens();
    assert_eq!(login.json()["refresh_token_expires_in"], 30 * 24 * 60 * 60);
    let refresh = |token: String| product.post("/api/v1/auth/refresh").json(json!({"refresh_token": token}));

    product.jeton.advance(Duration::from_secs(30 * 24 * 60 * 60 - 10));
    let second = refresh(login.text("refresh_token")).expect_tokens();

    product.jeton.advance(Duration::from_secs(30 * 24 * 60 * 60 + 1));
    refresh(second.text("refresh_token")).expect_problem(401, "invalid_refresh_token");
}

#[track_caller]
fn text<'a>(document: &'a Value, member: &str) -> &'a str {
    document[member].as_str().unwrap_or_else(|| panic!("`{member}` in {document}"))
}
