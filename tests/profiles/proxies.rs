//! The configurations of `examples/`, each with the real proxy: nothing reaches the API but what Jeton admits.

mod hostile;
mod outages;

use std::process::Command;

use jeton_test_macros::both_databases;
use serde_json::json;

use crate::{
    harness::{Answer, ApiKey, Jeton, Request, Tenant},
    product::Product,
    proxy::Kind,
};

/// The same product behind each proxy that the machine has.
fn products(jeton: &Jeton) -> Vec<Product> {
    Kind::ALL.into_iter().filter_map(|kind| Product::behind(kind, jeton, "engagetrack")).collect()
}

/// A path of the tenant's data.
fn data(tenant: &Tenant, rest: &str) -> String {
    format!("/api/v1/organizations/{}/{rest}", tenant.id)
}

/// > The API gets `Authorization: Bearer <JWT>`, `X-Tenant-ID`, `X-Auth-Subject`, `X-Auth-Scope`. It never gets the key.
#[both_databases]
fn the_api_gets_a_token_and_never_the_key(jeton: Jeton) {
    for product in products(&jeton) {
        let tenant = product.tenant_on("startup");
        let key = tenant.api_key(["goals:read", "sites:read"]);

        let admitted = product.admits(product.get(data(&tenant, "goals")).bearer(&key.key));

        assert_eq!(admitted.jwt.text("sub"), key.id);
        assert_eq!(admitted.jwt.text("tenant_id"), tenant.id);
        assert_eq!(admitted.jwt.text("scope"), "goals:read", "no more than the endpoint needs");
        expect_no_trace(&product, &key);
    }
}

/// > whatever the client sent under these names
#[both_databases]
fn what_jeton_says_replaces_what_the_client_says(jeton: Jeton) {
    for product in products(&jeton) {
        let tenant = product.tenant_on("startup");
        let key = tenant.api_key(["goals:read"]);
        let call = product.get(data(&tenant, "goals")).bearer(&key.key).header("X-Auth-Subject", "somebody");
        let call = call.header("X-Auth-Scope", "goals:write").tenant(&tenant.id.to_uppercase());

        let admitted = product.admits(call.header("X-API-Key", &key.key).header("X-Request-ID", "mine"));

        assert_eq!(admitted.request.header("X-Request-ID"), Some("mine"), "it is the log's as well");
        expect_no_trace(&product, &key);
    }
}

/// A key that comes in a header of its own goes no further either.
#[both_databases]
fn a_key_in_x_api_key_stays_with_the_proxy(jeton: Jeton) {
    for kind in Kind::ALL {
        let Some(product) = Product::behind(kind, &jeton, "optimove") else { continue };
        let members = json!({"access_type": "admin", "contact_email": "ops@example.com"});
        let key = product.tenant().api_key_with(members);

        product.admits(product.get("/current/customers/42").header("X-API-Key", &key.key));

        expect_no_trace(&product, &key);
    }
}

/// > Method, URI and body arrive as they were sent.
#[both_databases]
fn the_request_arrives_as_it_was_sent(jeton: Jeton) {
    for product in products(&jeton) {
        let tenant = product.tenant_on("startup");
        let key = tenant.api_key(["funnels:read", "funnels:write"]);
        for rest in
            ["funnels/a%20b?x=%2F..&y=a/../b&&z", "funnels/%E2%82%AC?", "funnels/a%2Db%7e~!$", "funnels/1?q=a+b%26"]
        {
            let admitted = product.admits(product.get(data(&tenant, rest)).bearer(&key.key));
            assert_eq!(admitted.request.target, data(&tenant, rest));
        }

        // Jeton takes no body of such a size; it does not get it.
        let body = json!({"name": "x".repeat(500_000)}).to_string();
        let call = product.post(data(&tenant, "funnels")).bearer(&key.key).header("Content-Type", "application/json");

        let request = product.admits(call.with_body(&*body)).request;

        assert_eq!(request.method, "POST");
        assert!(request.body == body.as_bytes(), "{} of {} bytes arrive", request.body.len(), body.len());
        assert_eq!(request.header("Content-Type"), Some("application/json"));
    }
}

/// > What the client gets of a refusal is Jeton's own: status, headers and JSON.
#[both_databases]
fn refusals_arrive_to_the_letter(jeton: Jeton) {
    for product in products(&jeton) {
        let tenant = product.tenant_on("startup");
        let key = tenant.api_key(["goals:read"]);
        let goals = data(&tenant, "goals");
        let expect = |status, code, path: &str, key: &str| {
            let through = product.refuses(marked(product.get(path)).bearer(key), status, code);
            expect_the_same(&through, &direct(&jeton, path).bearer(key).send());
            through
        };

        expect(400, "malformed_request", &data(&tenant, "goals/../funnels"), &key.key);
        expect(401, "invalid_api_key", &goals, "et_live_00000000000000000000000000000000");
        expect(403, "insufficient_scope", &data(&tenant, "sites"), &key.key);
        expect(403, "endpoint_not_listed", "/api/v1/billing", &key.key);
        expect(403, "tenant_mismatch", &data(&product.tenant_on("startup"), "goals"), &key.key);
        let nothing = product.refuses(marked(product.get(&goals)), 401, "invalid_api_key");
        expect_the_same(&nothing, &direct(&jeton, &goals).send());

        // One more is admitted each half a second, in between perhaps.
        let both = || {
            let through = marked(product.get(&goals)).bearer(&key.key).send();
            (through, direct(&jeton, &goals).bearer(&key.key).send())
        };
        let limited = std::iter::repeat_with(both)
            .take(1000)
            .find(|(through, direct)| (through.status, direct.status) == (429, 429));
        let (through, direct) = limited.expect("the limit is reached");
        expect_the_same(&through.clone().expect_problem(429, "rate_limited"), &direct);
        for header in ["Retry-After", "RateLimit", "RateLimit-Policy"] {
            assert!(through.header(header).is_some(), "`{header}` in {:?}", through.headers);
        }

        jeton.cli(["tenant", "set-plan", &tenant.id, "free"]).expect_code(0);
        expect(402, "plan_required", &goals, &key.key);
    }
}

/// > An error of the API itself passes untouched.
#[both_databases]
fn the_errors_of_the_api_pass(jeton: Jeton) {
    for product in products(&jeton) {
        let tenant = product.tenant_on("startup");
        let key = tenant.api_key(["goals:read"]);
        for status in [400, 401, 402, 403, 404, 429, 500, 503] {
            product.upstream.answer_with(status);
            let answer = product.get(data(&tenant, "goals")).bearer(&key.key).send().expect_status(status);
            assert_eq!(answer.json()["upstream"], status, "its body");
            assert_eq!(answer.header("WWW-Authenticate"), Some("Upstream"), "its headers");
        }
    }
}

/// > `/api/v1/auth/login`, `/refresh`, `/logout` and `/.well-known/` go to Jeton itself
#[both_databases]
fn people_log_in_through_the_proxy(jeton: Jeton) {
    for product in products(&jeton) {
        let admin = product.tenant_on("startup").admin().clone();
        let body = json!({"email": admin.email, "password": admin.password});
        let login = product.post("/api/v1/auth/login").json(body).expect_tokens();
        let body = json!({"refresh_token": login.text("refresh_token")});
        let refreshed = product.post("/api/v1/auth/refresh").json(body).expect_tokens();
        let body = json!({"refresh_token": refreshed.text("refresh_token")});
        product.post("/api/v1/auth/logout").json(body.clone()).expect_status(204);
        product.post("/api/v1/auth/refresh").json(body).expect_problem(401, "invalid_refresh_token");

        let keys = product.get("/.well-known/jwks.json").send().expect_status(200);
        assert_eq!(keys.json(), jeton.jwks());
        assert_eq!(product.upstream.requests().len(), 0, "the API has no part in it");
    }
}

/// > `server.trusted_proxies` must name the proxy: then an API key with `allowed_ips` is compared with its client.
#[both_databases]
fn an_allow_list_sees_the_client(jeton: Jeton) {
    for product in products(&jeton) {
        let tenant = product.tenant_on("startup");
        let key = tenant.api_key_with(json!({"scopes": ["goals:read"], "allowed_ips": ["127.0.0.2"]}));
        let url = format!("http://{}{}", product.address(), data(&tenant, "goals"));
        let from = |address: &str, more: &[&str]| {
            let bearer = format!("Authorization: Bearer {}", key.key);
            let mut curl = Command::new("curl");
            curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--interface", address, "-H", &bearer]);
            let output = curl.args(more).arg(&url).output().expect("curl is there");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };

        assert_eq!(from("127.0.0.2", &[]), "200");
        assert_eq!(from("127.0.0.3", &[]), "403");
        assert_eq!(from("127.0.0.3", &["-H", "X-Forwarded-For: 127.0.0.2"]), "403", "it cannot say otherwise");
    }
}

/// The key stands nowhere in what the API was sent, nor does the part of it that is secret.
#[track_caller]
fn expect_no_trace(product: &Product, key: &ApiKey) {
    let secret = key.key.rsplit('_').next().expect("split gives one at least");
    for request in product.upstream.requests() {
        assert!(!request.contains(secret), "the key is in {request:?}");
    }
}

/// The question about a `GET` as a proxy asks it, but to Jeton directly.
fn direct(jeton: &Jeton, path: &str) -> Request {
    marked(jeton.get("/api/v1/auth/forward")).header("X-Original-Method", "GET").header("X-Original-URI", path)
}

/// With a request id, so that two answers can be compared whole.
fn marked(request: Request) -> Request {
    request.header("X-Request-ID", "the-same")
}

#[track_caller]
fn expect_the_same(through: &Answer, direct: &Answer) {
    assert_eq!(through.status, direct.status, "the status of {}", through.told());
    assert_eq!(through.json(), direct.json(), "the JSON");
    for header in ["Content-Type", "WWW-Authenticate", "Cache-Control", "X-Request-ID", "RateLimit-Policy"] {
        assert_eq!(through.header(header), direct.header(header), "`{header}` of {}", through.told());
    }
    let challenges = through.headers.get_all("WWW-Authenticate").iter().count();
    assert!(challenges <= 1, "one challenge in {:?}", through.headers);
    for header in ["X-Auth-Status", "X-Auth-Problem"] {
        assert_eq!(through.header(header), None, "what is for the proxy stays there");
    }
}
