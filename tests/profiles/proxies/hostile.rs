//! Spellings and headers by which one thing is asked of Jeton, and another of the API.

use jeton_test_macros::both_databases;

use super::{data, products};
use crate::harness::{Jeton, Request};

/// Ways from the goals, which the key may read, to elsewhere; `{}` is the data of the tenant.
const DETOURS: [&str; 38] = [
    "{}/goals/../funnels",
    "{}/goals/./../funnels",
    "{}/goals/%2e%2e/funnels",
    "{}/goals/%2E./funnels",
    "{}/goals/.%2e/funnels",
    "{}/goals/..%2ffunnels",
    "{}/goals/..%2Ffunnels",
    "{}/goals%2f..%2ffunnels",
    "{}/goals%2F..%2Ffunnels",
    "{}/goals/..%5cfunnels",
    "{}/goals\\..\\funnels",
    "{}/goals/%5c../funnels",
    "{}/goals/..;/funnels",
    "{}/goals/..;x=1/funnels",
    "{}/goals;/../funnels",
    "{}/goals/%3b/../funnels",
    "{}//goals/../funnels",
    "{}/goals//../funnels",
    "{}/goals/a//../../funnels",
    "/{}/funnels",
    "{}/%66unnels",
    "{}/Funnels",
    "{}/FUNNELS",
    "{}/funnels%00",
    "{}/goals%00/../funnels",
    "{}/goals/%00",
    "{}/funnels%20",
    "{}/funnels.",
    "{}/funnels/",
    "{}/funnels#/goals",
    "{}/funnels?/goals",
    "{}/funnels%3f/goals",
    "{}/goals#/../../funnels",
    "{}/goals/%c0%ae%c0%ae/funnels",
    "{}/goals/%c0%ae%c0%ae%c0%affunnels",
    "{}/goals/\u{ff}/../funnels",
    "{}/goals/%u002e%u002e/funnels",
    "http://api{}/funnels",
];

/// > The path that Jeton is asked about is the one that the API gets, however it is spelt.
#[both_databases]
fn a_detour_does_not_reach_what_the_key_may_not_read(jeton: Jeton) {
    for product in products(&jeton) {
        let tenant = product.tenant_on("growth");
        let key = tenant.api_key(["goals:read"]);
        for detour in DETOURS {
            let target = detour.replace("{}", data(&tenant, "").trim_end_matches('/'));
            let request = format!(
                "GET {target} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
                key.key
            );

            let answer = product.raw(request.as_bytes());

            for reached in product.upstream.requests() {
                let read = as_a_lenient_server_reads(&reached.target);
                let home = data(&tenant, "goals");
                let stays = read == home || read.starts_with(&format!("{home}/"));
                assert!(stays, "{target} reaches {read} by {}: {answer}", reached.target);
            }
        }
    }
}

/// Headers of a client's own do not turn the question to another path or method.
#[both_databases]
fn a_client_does_not_ask_for_itself(jeton: Jeton) {
    let spoofs = ["X-Forwarded-Uri", "X-Original-URI", "X-Original-URL", "X-Rewrite-URL"];
    let methods =
        ["X-Forwarded-Method", "X-Original-Method", "X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override"];
    for product in products(&jeton) {
        let tenant = product.tenant_on("growth");
        let key = tenant.api_key(["goals:read"]);
        let (goals, funnels) = (data(&tenant, "goals"), data(&tenant, "funnels"));
        let spoofed = |method: &str, path: &str, said_method: &str, said_path: &str| {
            let mut call = product.call(method, path).bearer(&key.key);
            for name in spoofs {
                call = call.header(name, said_path);
            }
            for name in methods {
                call = call.header(name, said_method);
            }
            call
        };

        // Jeton refuses the request for its scope, or for what it says of itself, where the proxy lets Jeton hear it.
        let refused = |call: Request| {
            let answer = call.send();
            assert!([400, 403].contains(&answer.status), "{}", answer.told());
            assert_eq!(product.upstream.requests().len(), 0, "{}", answer.told());
        };
        refused(spoofed("GET", &funnels, "GET", &goals));
        refused(spoofed("DELETE", &funnels, "GET", &goals));
        for name in spoofs.iter().chain(&methods) {
            let said = if spoofs.contains(name) { &*goals } else { "GET" };
            refused(product.get(&funnels).bearer(&key.key).header(name, said));
        }

        spoofed("GET", &goals, "DELETE", &funnels).send();
        spoofed("GET", &goals, "GET", &funnels).send();
        spoofed("GET", &goals, "GET", &goals).send();
        for request in product.upstream.requests() {
            assert_eq!((&*request.method, &*request.target), ("GET", &*goals));
            for name in spoofs.iter().chain(&methods) {
                assert_eq!(request.header(name), None, "the API does not hear of it either");
            }
        }
        assert!(!product.upstream.requests().is_empty(), "an honest override is no reason to refuse");
    }
}

/// Nor do other spellings of a header, a header given twice, or `Connection`, which names what a proxy is to take away.
#[both_databases]
fn what_jeton_says_cannot_be_hidden_or_doubled(jeton: Jeton) {
    for product in products(&jeton) {
        let tenant = product.tenant_on("growth");
        let key = tenant.api_key(["goals:read"]);
        let mut call = product.get(data(&tenant, "goals")).bearer(&key.key);
        for name in ["X_Tenant_ID", "X-Tenant_ID", "x_tenant-id", "X_Auth_Subject", "X-Auth_Subject", "X_Auth_Scope"] {
            call = call.header(name, "somebody-else");
        }
        let admitted = product.admits(call.header("X-Auth-Scope", "a").header("X-Auth-Scope", "b"));
        for (name, value) in &admitted.request.headers {
            assert!(!value.contains("somebody-else"), "{name}: {value}");
        }

        for named in ["X-Tenant-ID", "X-Auth-Subject, X-Auth-Scope", "Authorization", "close, x-tenant-id"] {
            product.admits(product.get(data(&tenant, "goals")).bearer(&key.key).header("Connection", named));
        }

        let twice = [
            product.get(data(&tenant, "goals")).bearer(&key.key).bearer("another"),
            product.get(data(&tenant, "goals")).bearer(&key.key).tenant(&tenant.id).tenant("another"),
        ];
        let before = product.upstream.requests().len();
        for call in twice {
            // Some proxies join the two with a comma, which makes another credential of them.
            let answer = call.send();
            assert!([400, 401].contains(&answer.status), "{}", answer.told());
        }
        assert_eq!(product.upstream.requests().len(), before);
    }
}

/// Methods that no endpoint has, and such as only look like one that it has.
#[both_databases]
fn no_other_method_reaches_the_api(jeton: Jeton) {
    for product in products(&jeton) {
        let tenant = product.tenant_on("growth");
        let key = tenant.api_key(["goals:read"]);
        for method in
            ["get", "Get", "GETX", "FOO", "TRACE", "TRACK", "OPTIONS", "CONNECT", "PROPFIND", "POST", "DELETE"]
        {
            let goals = data(&tenant, "goals");
            let request = format!(
                "{method} {goals} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                key.key
            );

            let answer = product.raw(request.as_bytes());

            assert!(answer.starts_with("HTTP/1.1 4"), "{method}: {answer}");
            assert_eq!(product.upstream.requests().len(), 0, "{method}: {answer}");
        }
    }
}

/// The body of a refused request is no request.
#[both_databases]
fn a_refused_body_is_not_taken_for_a_request(jeton: Jeton) {
    for product in products(&jeton) {
        let tenant = product.tenant_on("growth");
        let key = tenant.api_key(["goals:read"]);
        let hidden = format!(
            "GET {} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {}\r\n\r\n",
            data(&tenant, "goals"),
            key.key
        );
        let head = format!("POST {} HTTP/1.1\r\nHost: api\r\n", data(&tenant, "goals"));
        let (length, chunk) = (hidden.len(), format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len()));
        let bodies = [
            format!("Content-Length: {length}\r\n\r\n{hidden}"),
            format!("Transfer-Encoding: chunked\r\n\r\n{chunk}"),
            format!("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"),
            format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n\r\n0\r\n\r\n"),
        ];
        for body in bodies {
            let last = "GET / HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n";

            let answer = product.raw(format!("{head}{body}{last}").as_bytes());

            assert_eq!(product.upstream.requests().len(), 0, "{body}: {answer}");
        }
    }
}

/// > nothing else of it can be reached from outside
#[both_databases]
fn nobody_outside_asks_jeton_in_the_place_of_the_proxy(jeton: Jeton) {
    let forward = "/api/v1/auth/forward";
    let spellings = [
        forward.to_owned(),
        format!("/.well-known/..{forward}"),
        format!("/.well-known/%2e%2e{forward}"),
        "/.well-known/..%2fapi/v1/auth/forward".to_owned(),
        "/api/v1/auth/login/../forward".to_owned(),
        "/api/v1/auth/login/..%2fforward".to_owned(),
        "/api/v1/auth/%66orward".to_owned(),
        "/api/v1/auth//forward".to_owned(),
        format!("{forward}/../login"),
        "/_jeton".to_owned(),
        "/api/v1/tenants".to_owned(),
        "/api/v1/auth/exchange".to_owned(),
        "/healthz".to_owned(),
    ];
    for product in products(&jeton) {
        let tenant = product.tenant_on("growth");
        let key = tenant.api_key(["goals:read"]);
        for path in &spellings {
            for (method, uri) in [("X-Forwarded-Method", "X-Forwarded-Uri"), ("X-Original-Method", "X-Original-URI")] {
                let request = format!(
                    "GET {path} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {}\r\n{method}: GET\r\n{uri}: {}\r\nConnection: close\r\n\r\n",
                    key.key,
                    data(&tenant, "goals")
                );

                let answer = product.raw(request.as_bytes());

                assert!(!answer.to_lowercase().contains("\r\nauthorization:"), "{path}: {answer}");
                assert!(!answer.contains(&tenant.id) && !answer.starts_with("HTTP/1.1 2"), "{path}: {answer}");
                assert_eq!(product.upstream.requests().len(), 0, "{path}: {answer}");
            }
        }
    }
}

/// The path as a server takes it that decodes, forgives and tidies all it can.
fn as_a_lenient_server_reads(target: &str) -> String {
    let target = target.strip_prefix("http://api").unwrap_or(target);
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy().replace('\\', "/");
    let decoded = decoded.split('\0').next().unwrap_or_default();
    let mut segments = Vec::new();
    for segment in decoded.split('/').map(|segment| segment.split(';').next().unwrap_or_default().trim()) {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    format!("/{}", segments.join("/"))
}
