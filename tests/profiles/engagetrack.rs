//! The page "API Authentication" of `engagetrack`, sentence by sentence.

mod errors;

use std::time::Duration;

use jeton_test_macros::both_databases;
use serde_json::json;

use crate::{
    harness::{Answer, Jeton, Tenant, at_once},
    product::Product,
};

/// The page's table: each scope, and the endpoints that it opens.
const SCOPES: [(&str, &[(&str, &str)]); 9] = [
    ("analytics:read", &[("GET", "analytics"), ("GET", "analytics/stats"), ("GET", "analytics/charts/visitors")]),
    ("sites:read", &[("GET", "sites"), ("GET", "sites/42")]),
    ("goals:read", &[("GET", "goals"), ("GET", "goals/42/stats"), ("GET", "goals/42/completions")]),
    (
        "goals:write",
        &[("PATCH", "goals/42"), ("PUT", "goals/42"), ("POST", "goals/42/archive"), ("POST", "goals/42/unarchive")],
    ),
    ("funnels:read", &[("GET", "funnels"), ("GET", "funnels/42/analysis")]),
    ("funnels:write", &[("POST", "funnels"), ("PATCH", "funnels/42"), ("PUT", "funnels/42"), ("DELETE", "funnels/42")]),
    ("annotations:read", &[("GET", "annotations"), ("GET", "annotations/42")]),
    ("annotations:write", &[("POST", "annotations"), ("DELETE", "annotations/42")]),
    ("visitors:read", &[("GET", "visitors"), ("GET", "visitors/42/timeline")]),
];

const INVALID: &str = "Invalid or expired API key";
const PLAN: &str = "API key access requires a Startup plan or higher";

/// The product, and a customer who pays.
fn engagetrack(jeton: Jeton) -> (Product, Tenant) {
    let product = Product::start(jeton, "engagetrack");
    let tenant = product.tenant_on("startup");
    (product, tenant)
}

fn data(tenant: &Tenant, rest: &str) -> String {
    format!("/api/v1/organizations/{}/{rest}", tenant.id)
}

/// `{ "error": "..." }`, word for word.
#[track_caller]
fn expect_error(answer: &Answer, text: &str) {
    assert_eq!(answer.json()["error"], text, "{}", answer.told());
}

/// > All EngageTrack API requests are authenticated using API keys.
#[both_databases]
fn no_request_passes_without_a_key(jeton: Jeton) {
    let (product, tenant) = engagetrack(jeton);
    for (_, endpoints) in SCOPES {
        for (method, rest) in endpoints {
            let refused = product.refuses(product.call(method, data(&tenant, rest)), 401, "invalid_api_key");
            expect_error(&refused, INVALID);
        }
    }
}

/// > API keys provide scoped, long-lived access
#[both_databases]
fn a_key_lives_long(jeton: Jeton) {
    let (product, tenant) = engagetrack(jeton);
    let key = tenant.api_key(["sites:read"]);
    product.jeton.advance(Duration::from_hours(24 * 365 * 3));

    let admitted = product.admits(product.get(data(&tenant, "sites")).bearer(&key.key));

    assert!(admitted.jwt.number("exp") - admitted.jwt.number("iat") <= 60 * 60, "what the API gets does not");
}

/// > Enter a descriptive name. Select the scopes your integration needs. Optionally set an expiration date.
/// > Click Create and copy the key immediately
#[both_databases]
fn a_key_has_a_name_scopes_and_an_expiry_at_will(jeton: Jeton) {
    let (product, tenant) = engagetrack(jeton);
    let expiry = product.jeton.in_seconds(3600);
    let body = json!({"name": "Data Warehouse Sync", "scopes": ["sites:read", "goals:read"], "expires_at": expiry});

    let made = tenant.admin().create_api_key(body).expect_status(201);

    assert_eq!(made.text("name"), "Data Warehouse Sync");
    assert_eq!(made.json()["scopes"], json!(["sites:read", "goals:read"]));
    assert!(made.text("expires_at").starts_with(expiry.trim_end_matches('Z')), "{}", made.told());
    product.admits(product.get(data(&tenant, "sites")).bearer(&made.text("key")));

    let forever = tenant.admin().create_api_key(json!({"scopes": ["sites:read"]})).expect_status(201);
    assert!(forever.json()["expires_at"].is_null());
    tenant.admin().create_api_key(json!({"name": "", "scopes": ["sites:read"]})).expect_field("name");
}

/// > The full API key is shown only once at creation. ... If you lose it, you must revoke the key and create a new one.
#[both_databases]
fn a_key_is_shown_once(jeton: Jeton) {
    let (product, tenant) = engagetrack(jeton);
    let (admin, key) = (tenant.admin(), tenant.api_key(["sites:read"]));
    let random = key.key.trim_start_matches("et_live_");
    for path in [tenant.path("api-keys"), key.path()] {
        let shown = admin.get(path).expect_status(200);
        assert!(!String::from_utf8_lossy(&shown.body).contains(random), "{}", shown.told());
    }

    admin.revoke(&key).expect_status(204);

    product.refuses(product.get(data(&tenant, "sites")).bearer(&key.key), 401, "invalid_api_key");
    product.admits(product.get(data(&tenant, "sites")).bearer(&tenant.api_key(["sites:read"]).key));
}

/// > API keys require a Startup plan or higher.
#[both_databases]
fn the_free_plan_makes_no_keys(jeton: Jeton) {
    let (product, _) = engagetrack(jeton);
    for tenant in [product.tenant_on("free"), product.tenant()] {
        let refused = tenant.admin().create_api_key(json!({"scopes": ["sites:read"]}));
        expect_error(&refused.expect_problem(402, "plan_required"), PLAN);
        assert!(tenant.admin().get(tenant.path("api-keys")).items().is_empty());
    }
    for plan in ["startup", "growth"] {
        let tenant = product.tenant_on(plan);
        product.admits(product.get(data(&tenant, "sites")).bearer(&tenant.api_key(["sites:read"]).key));
    }
}

/// The same at use: a customer who no longer pays.
#[both_databases]
fn the_free_plan_uses_no_keys(jeton: Jeton) {
    let (product, tenant) = engagetrack(jeton);
    let key = tenant.api_key(["sites:read"]);
    let set_plan = |plan: &str| product.jeton.cli(["tenant", "set-plan", &tenant.id, plan]).expect_code(0);
    let call = || product.get(data(&tenant, "sites")).bearer(&key.key);
    product.admits(call());

    set_plan("free");
    expect_error(&product.refuses(call(), 402, "plan_required"), PLAN);
    expect_error(&key.exchange().expect_problem(402, "plan_required"), PLAN);

    set_plan("growth");
    product.admits(call());
}

/// > Pass the key as a Bearer token in the Authorization header of every request:
/// > `curl https://api.engagetrack.net/api/v1/organizations/{orgId}/sites -H "Authorization: Bearer et_live_..."`
#[both_databases]
fn the_command_of_the_page_works_as_printed(jeton: Jeton) {
    let (product, tenant) = engagetrack(jeton);
    let key = tenant.api_key(["sites:read"]);
    let bearer = format!("Authorization: Bearer {}", key.key);

    let printed = product.curl(&data(&tenant, "sites"), &["-H", &bearer]);

    assert_eq!(printed["target"], data(&tenant, "sites"));
}

/// It is read nowhere else.
#[both_databases]
fn a_key_is_read_as_bearer_alone(jeton: Jeton) {
    let (product, tenant) = engagetrack(jeton);
    let key = tenant.api_key(["sites:read"]);
    let call = || product.get(data(&tenant, "sites"));
    product.refuses(call().header("X-API-Key", &key.key), 401, "invalid_api_key");
    product.refuses(call().header("Authorization", &format!("Token {}", key.key)), 401, "invalid_api_key");
    product.refuses(call().header("Authorization", &key.key), 401, "invalid_api_key");
    product.refuses(call().basic(&key.id, &key.key), 401, "invalid_api_key");
    let in_the_query = product.get(data(&tenant, &format!("sites?api_key={}", key.key)));
    product.refuses(in_the_query, 401, "invalid_api_key");
}

/// > API keys follow the format et_live_ followed by 32 hexadecimal characters: et_live_a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6
#[both_databases]
fn a_key_has_the_format_of_the_page(jeton: Jeton) {
    let (product, tenant) = engagetrack(jeton);
    let key = tenant.api_key(["sites:read"]).key;
    let random = key.strip_prefix("et_live_").expect("the prefix of the page");
    assert_eq!(random.len(), 32, "{key}");
    assert!(random.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c)), "{key}");

    tenant.admin().create_api_key(json!({"environment": "test"})).expect_field("environment");
    let example = product.get(data(&tenant, "sites")).bearer("et_live_a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6");
    product.refuses(example, 401, "invalid_api_key");
}

/// > API keys are granted specific scopes that control which endpoints they can access.
#[both_databases]
fn each_scope_opens_its_endpoints_and_no_other(jeton: Jeton) {
    let (product, tenant) = engagetrack(jeton);
    for (held, _) in SCOPES {
        let key = tenant.api_key([held]);
        for (needed, endpoints) in SCOPES {
            for (method, rest) in endpoints {
                let call = product.call(method, data(&tenant, rest)).bearer(&key.key);
                if held == needed {
                    assert_eq!(product.admits(call).jwt.text("scope"), needed);
                } else {
                    let refused = product.refuses(call, 403, "insufficient_scope");
                    expect_error(&refused, &format!("API key missing required scope: {needed}"));
                }
            }
        }
    }
}

/// > Assign only the scopes your integration needs. (The table has nine.)
#[both_databases]
fn there_are_no_scopes_but_the_nine(jeton: Jeton) {
    let (product, tenant) = engagetrack(jeton);
    let all = SCOPES.map(|(scope, _)| scope);
    assert_eq!(tenant.api_key(all).exchange().expect_tokens().text("scope").split(' ').count(), 9);
    for unknown in ["sites:write", "analytics:write", "visitors:write", "billing:read", "users:read", "api-keys:write"]
    {
        tenant.admin().create_api_key(json!({"scopes": [unknown]})).expect_field("scopes");
    }
    product.refuses(product.get(data(&tenant, "sites")).bearer(&tenant.api_key([]).key), 403, "insufficient_scope");
}

/// > Write scopes do not imply read access. If your integration needs to both read and write goals, assign both
#[both_databases]
fn write_does_not_imply_read(jeton: Jeton) {
    let (product, tenant) = engagetrack(jeton);
    let pairs = [("goals", "PATCH", "goals/1"), ("funnels", "POST", "funnels"), ("annotations", "POST", "annotations")];
    for (resource, method, rest) in pairs {
        let (read, write) = (format!("{resource}:read"), format!("{resource}:write"));
        let (writing, both) = (tenant.api_key([&*write]), tenant.api_key([&*read, &*write]));
        let (list, change) = (data(&tenant, resource), data(&tenant, rest));

        product.admits(product.call(method, &change).bearer(&writing.key));
        let refused = product.refuses(product.get(&list).bearer(&writing.key), 403, "insufficient_scope");
        expect_error(&refused, &format!("API key missing required scope: {read}"));

        assert_eq!(product.admits(product.call(method, &change).bearer(&both.key)).jwt.text("scope"), write);
        assert_eq!(product.admits(product.get(&list).bearer(&both.key)).jwt.text("scope"), read);
    }
}

/// > Maximum 10 API keys per organization
#[both_databases]
fn an_organization_has_at_most_10_keys(jeton: Jeton) {
    let (product, tenant) = engagetrack(jeton);
    let admin = tenant.admin();
    admin.token();

    let answers = at_once(50, |_| admin.create_api_key(json!({"scopes": ["sites:read"]})));

    let made: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert_eq!(made.len(), 10, "of 50 at once");
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        refused.clone().expect_problem(409, "api_key_limit_reached");
    }
    product.tenant_on("startup").api_key(["sites:read"]);

    admin.revoke(&made[0].clone().into_key(&tenant)).expect_status(204);
    tenant.api_key(["sites:read"]);
    admin.create_api_key(json!({})).expect_problem(409, "api_key_limit_reached");
}

/// > API keys grant access to data endpoints only (analytics, goals, funnels, annotations, visitors, sites)
/// > API keys cannot access management endpoints (billing, team, integrations)
#[both_databases]
fn keys_do_not_manage(jeton: Jeton) {
    let (product, tenant) = engagetrack(jeton);
    let key = tenant.api_key(SCOPES.map(|(scope, _)| scope));
    for rest in
        ["billing", "billing/invoices", "team", "team/members/42", "integrations", "api-keys", "", "goal", "sitesx"]
    {
        for method in ["GET", "POST", "DELETE"] {
            let call = product.call(method, data(&tenant, rest)).bearer(&key.key);
            product.refuses(call, 403, "endpoint_not_listed");
        }
    }
    for (method, rest) in
        [("POST", "sites"), ("DELETE", "goals/1"), ("POST", "goals"), ("PATCH", "annotations/1"), ("POST", "visitors")]
    {
        product.refuses(product.call(method, data(&tenant, rest)).bearer(&key.key), 403, "endpoint_not_listed");
    }

    for path in [tenant.path("api-keys"), tenant.path("users"), "/api/v1/auth/me".to_owned()] {
        product.jeton.get(&path).bearer(&key.token()).send().expect_problem(403, "access_type_not_allowed");
        product.jeton.get(&path).bearer(&key.key).send().expect_problem(401, "invalid_token");
    }
}

/// The organisation of the path is the key's.
#[both_databases]
fn a_key_opens_its_own_organization(jeton: Jeton) {
    let (product, tenant) = engagetrack(jeton);
    let (other, key) = (product.tenant_on("growth"), tenant.api_key(["sites:read"]));
    let public_name = product.project_token(&tenant);
    for foreign in [&*other.id, "0197a000-0000-7000-8000-000000000000", "acme", &public_name] {
        let call = product.get(format!("/api/v1/organizations/{foreign}/sites")).bearer(&key.key);
        product.refuses(call, 403, "tenant_mismatch");
    }
    let call = product.get(data(&tenant, "sites")).bearer(&key.key).tenant(&other.id);
    product.refuses(call, 403, "tenant_mismatch");
}

/// > Rate limits apply per-key (120 requests per minute)
#[both_databases]
fn a_key_makes_120_requests_a_minute(jeton: Jeton) {
    let (product, tenant) = engagetrack(jeton);
    let (key, other) = (tenant.api_key(["sites:read"]), tenant.api_key(["sites:read"]));
    let call = |key: &str| product.get(data(&tenant, "sites")).bearer(key);
    let begun = std::time::Instant::now();

    let answers = std::iter::repeat_with(|| call(&key.key).send());
    let refused = answers.take(400).find(|answer| answer.status != 200).expect("it ends");

    let admitted = product.upstream.requests().len();
    let refilled = usize::try_from(begun.elapsed().as_secs() * 2 + 3).expect("it is small");
    assert!((120..=120 + refilled).contains(&admitted), "{admitted} of 120");
    let refused = refused.expect_problem(429, "rate_limited");
    assert_eq!(refused.header("RateLimit-Policy"), Some(r#""key";q=120;w=60"#));
    assert!(
        refused.header("RateLimit").is_some_and(|told| told.starts_with(r#""key";r=0;t="#)),
        "{:?}",
        refused.headers
    );
    let wait = refused.header("Retry-After").and_then(|told| told.parse().ok()).expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    let left = product.admits(call(&other.key)).answer;
    assert!(left.header("RateLimit").is_some_and(|told| told.starts_with(r#""key";r=119;t="#)), "{:?}", left.headers);

    product.jeton.advance(Duration::from_secs(wait));
    product.admits(call(&key.key));
}
