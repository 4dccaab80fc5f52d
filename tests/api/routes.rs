//! Every route against every kind of caller, and against the OpenAPI document: one table for both.

use std::collections::BTreeSet;

use jeton_test_macros::both_databases;
use serde_json::{Value, json};

use crate::harness::{Answer, ApiKey, Jeton, Tenant, User, unique};

/// What each kind of caller gets, in the order of [`Caller::ALL`].
type Expected = [u16; 8];

/// For everyone the same.
const fn all(status: u16) -> Expected {
    [status; 8]
}

/// For users with a session, whatever their role.
const fn users(status: u16) -> Expected {
    [401, status, status, status, status, 401, 403, 401]
}

/// For the tenant's own administrator alone.
const fn admins(status: u16) -> Expected {
    [401, 403, status, 403, 403, 401, 403, 401]
}

/// For operators alone.
const fn operators(status: u16) -> Expected {
    [401, 403, 403, 403, status, 401, 403, 401]
}

/// Contract section 4, but for what is not built yet: method, path, and who may.
const ROUTES: &[(&str, &str, Expected)] = &[
    ("POST", "/api/v1/auth/login", all(422)),
    ("POST", "/api/v1/auth/refresh", all(401)),
    ("POST", "/api/v1/auth/logout", all(204)),
    ("POST", "/api/v1/auth/logout-all", users(204)),
    ("GET", "/api/v1/auth/me", users(200)),
    ("GET", "/api/v1/auth/sessions", users(200)),
    ("DELETE", "/api/v1/auth/sessions/{id}", users(404)),
    ("POST", "/api/v1/auth/password", users(422)),
    ("POST", "/api/v1/auth/exchange", [401, 401, 401, 401, 401, 200, 401, 401]),
    ("GET", "/api/v1/auth/forward", all(400)),
    ("POST", "/oauth2/token", all(400)),
    ("POST", "/oauth2/revoke", all(200)),
    ("POST", "/oauth2/introspect", [401, 403, 200, 200, 200, 403, 403, 401]),
    ("GET", "/api/v1/tenants", operators(200)),
    ("POST", "/api/v1/tenants", operators(201)),
    ("GET", "/api/v1/tenants/{tenant_id}", operators(200)),
    ("PATCH", "/api/v1/tenants/{tenant_id}", operators(200)),
    ("DELETE", "/api/v1/tenants/{tenant_id}", operators(204)),
    ("POST", "/api/v1/tenants/{tenant_id}/suspend", operators(200)),
    ("POST", "/api/v1/tenants/{tenant_id}/resume", operators(200)),
    ("GET", "/api/v1/tenants/{tenant_id}/api-keys", admins(200)),
    ("POST", "/api/v1/tenants/{tenant_id}/api-keys", admins(201)),
    ("GET", "/api/v1/tenants/{tenant_id}/api-keys/{id}", admins(200)),
    ("PATCH", "/api/v1/tenants/{tenant_id}/api-keys/{id}", admins(200)),
    ("DELETE", "/api/v1/tenants/{tenant_id}/api-keys/{id}", admins(204)),
    ("POST", "/api/v1/tenants/{tenant_id}/api-keys/{id}/rotate", admins(201)),
    ("GET", "/api/v1/tenants/{tenant_id}/api-keys/{id}/usage", admins(200)),
    ("GET", "/api/v1/tenants/{tenant_id}/key-groups", admins(200)),
    ("POST", "/api/v1/tenants/{tenant_id}/key-groups", admins(201)),
    ("GET", "/api/v1/tenants/{tenant_id}/key-groups/{id}", admins(200)),
    ("DELETE", "/api/v1/tenants/{tenant_id}/key-groups/{id}", admins(204)),
    ("GET", "/api/v1/tenants/{tenant_id}/app-identifiers", admins(200)),
    ("POST", "/api/v1/tenants/{tenant_id}/app-identifiers", admins(201)),
    ("GET", "/api/v1/tenants/{tenant_id}/app-identifiers/{id}", admins(200)),
    ("DELETE", "/api/v1/tenants/{tenant_id}/app-identifiers/{id}", admins(204)),
    ("GET", "/api/v1/tenants/{tenant_id}/trusted-issuers", admins(200)),
    ("POST", "/api/v1/tenants/{tenant_id}/trusted-issuers", admins(201)),
    ("GET", "/api/v1/tenants/{tenant_id}/trusted-issuers/{id}", admins(200)),
    ("DELETE", "/api/v1/tenants/{tenant_id}/trusted-issuers/{id}", admins(204)),
    ("GET", "/api/v1/tenants/{tenant_id}/users", admins(200)),
    ("POST", "/api/v1/tenants/{tenant_id}/users", admins(201)),
    ("GET", "/api/v1/tenants/{tenant_id}/users/{id}", admins(200)),
    ("PATCH", "/api/v1/tenants/{tenant_id}/users/{id}", admins(200)),
    ("DELETE", "/api/v1/tenants/{tenant_id}/users/{id}", admins(204)),
    ("POST", "/api/v1/tenants/{tenant_id}/users/{id}/one-time-password", admins(200)),
    ("GET", "/api/v1/tenants/{tenant_id}/audit-events", admins(200)),
    ("GET", "/api/v1/signing-keys", operators(200)),
    ("POST", "/api/v1/signing-keys/rotate", operators(200)),
    ("POST", "/api/v1/signing-keys/{kid}/revoke", operators(404)),
    ("GET", "/.well-known/jwks.json", all(200)),
    ("GET", "/.well-known/revocations", all(200)),
    ("GET", "/.well-known/revocations/{list}", all(404)),
    ("GET", "/.well-known/status-lists", all(200)),
    ("GET", "/.well-known/oauth-authorization-server", all(200)),
    ("GET", "/.well-known/oauth-authorization-server/{path}", all(404)),
    ("GET", "/.well-known/openid-configuration", all(200)),
    ("GET", "/healthz", all(200)),
    ("GET", "/readyz", all(200)),
];

#[derive(Clone, Copy, Debug)]
enum Caller {
    Nobody,
    Member,
    Admin,
    AdminOfAnotherTenant,
    Operator,
    ApiKey,
    ExchangedToken,
    RefreshToken,
}

impl Caller {
    const ALL: [Self; 8] = [
        Self::Nobody,
        Self::Member,
        Self::Admin,
        Self::AdminOfAnotherTenant,
        Self::Operator,
        Self::ApiKey,
        Self::ExchangedToken,
        Self::RefreshToken,
    ];
}

#[both_databases]
fn every_route_admits_whom_it_must_and_nobody_else(jeton: Jeton) {
    let world = World::new(&jeton);
    let mut wrong = Vec::new();
    for (method, path, expected) in ROUTES {
        for (caller, expected) in Caller::ALL.into_iter().zip(expected) {
            let answer = world.call(method, path, caller);
            if answer.status != *expected {
                wrong.push(format!("{caller:?}, not {expected}: {}", answer.told()));
            } else if path.starts_with("/oauth2/") && expected == &401 {
                answer.expect_oauth_error(401, "invalid_client");
            } else if path.starts_with("/oauth2/") && expected == &403 {
                answer.expect_oauth_error(403, "insufficient_scope");
            } else if expected == &401 && !path.contains("/exchange") && !path.contains("/refresh") {
                answer.expect_problem(401, "invalid_token");
            } else if expected == &403 {
                let code = match caller {
                    Caller::ExchangedToken => "access_type_not_allowed",
                    Caller::AdminOfAnotherTenant | Caller::Operator
                        if path.contains("{tenant_id}/") && !is_for_operators(path) =>
                    {
                        "tenant_mismatch"
                    }
                    _ => "insufficient_scope",
                };
                answer.expect_problem(403, code);
            }
        }
    }
    assert!(wrong.is_empty(), "{} calls were answered otherwise:\n{}", wrong.len(), wrong.join("\n"));
}

fn is_for_operators(path: &str) -> bool {
    path.ends_with("/suspend") || path.ends_with("/resume")
}

#[both_databases]
fn the_openapi_document_has_exactly_the_contracts_routes(jeton: Jeton) {
    let document = jeton.get("/openapi.json").send().expect_status(200).json();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "OpenAPI 3.1");
    let described: BTreeSet<String> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            let methods = ["get", "post", "put", "patch", "delete", "head", "options", "trace"];
            let methods = item.as_object().unwrap().keys().filter(move |key| methods.contains(&key.as_str()));
            methods.map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    let promised: BTreeSet<String> = ROUTES.iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    let (missing, unknown): (Vec<_>, Vec<_>) =
        (promised.difference(&described).collect(), described.difference(&promised).collect());
    assert!(missing.is_empty() && unknown.is_empty(), "not described: {missing:#?}; not in the contract: {unknown:#?}");
}

#[both_databases]
fn the_openapi_document_describes_every_refusal_and_schema(jeton: Jeton) {
    let document = jeton.get("/openapi.json").send().expect_status(200).json();
    let text = document.to_string();
    for reference in text.split("\"#/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(document.pointer(&format!("/{reference}")).is_some(), "{reference} is described");
    }
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path} has an operationId"));
            assert!(ids.insert(id.to_owned()), "{id} is unique");
            assert!(operation["responses"].as_object().is_some_and(|all| !all.is_empty()), "{method} {path}");
            let secured = operation["security"].as_array().is_some_and(|schemes| !schemes.is_empty());
            let public = ROUTES.iter().any(|(m, p, who)| m.eq_ignore_ascii_case(method) && p == path && who[0] != 401);
            assert!(secured || public || path.ends_with("/refresh"), "{method} {path} says who may call");
        }
    }
}

/// Everyone and everything that the table speaks of.
struct World {
    jeton: Jeton,
    tenant: Tenant,
    member: User,
    foreign_admin: User,
    operator: User,
    key: ApiKey,
}

impl World {
    fn new(jeton: &Jeton) -> Self {
        let tenant = jeton.tenant();
        Self {
            member: tenant.user("member"),
            foreign_admin: jeton.tenant().user("admin"),
            operator: jeton.operator(),
            key: tenant.api_key(["users:read", "users:write", "api-keys:read", "api-keys:write", "tenants:write"]),
            jeton: jeton.clone(),
            tenant,
        }
    }

    fn call(&self, method: &str, path: &str, caller: Caller) -> Answer {
        let request = self.jeton.client().call(method, self.fill_in(path));
        let request = if path.ends_with("/exchange") { request.tenant(&self.tenant.id) } else { request };
        let request = match self.credential(caller) {
            Some(credential) => request.bearer(&credential),
            None => request,
        };
        match body(path) {
            _ if path.starts_with("/oauth2/") => request.form(&[("token", "unknown")]),
            Some(body) if method != "GET" && method != "DELETE" => request.json(body),
            _ => request.send(),
        }
    }

    /// A new session for each call, for some calls end it.
    fn credential(&self, caller: Caller) -> Option<String> {
        let credential = match caller {
            Caller::Nobody => return None,
            Caller::Member => self.member.session().access_token,
            Caller::Admin => self.tenant.admin().session().access_token,
            Caller::AdminOfAnotherTenant => self.foreign_admin.session().access_token,
            Caller::Operator => self.operator.session().access_token,
            Caller::ApiKey => self.key.key.clone(),
            Caller::ExchangedToken => self.key.token(),
            Caller::RefreshToken => self.tenant.admin().session().refresh_token,
        };
        Some(credential)
    }

    /// Puts ids into the path; what a call may destroy is made for it.
    fn fill_in(&self, path: &str) -> String {
        let own = !path.ends_with("{tenant_id}") && !is_for_operators(path);
        let path = if own {
            path.replace("{tenant_id}", &self.tenant.id)
        } else if path.contains("{tenant_id}") {
            let made = self.operator.session().call("POST", "/api/v1/tenants").json(json!({"name": "Victim"}));
            path.replace("{tenant_id}", &made.expect_status(201).text("id"))
        } else {
            path.to_owned()
        };
        let path = path.replace("{kid}", "unknown");
        if !path.contains("{id}") {
            return path;
        }
        let id = if path.contains("/api-keys/") {
            let made = self.make("api-keys", &json!({"name": "Victim"}));
            made.text("id")
        } else if path.contains("/key-groups/") {
            self.make("key-groups", &json!({"name": "Victim"})).text("id")
        } else if path.contains("/app-identifiers/") {
            self.make("app-identifiers", &json!({"name": "Victim"})).text("id")
        } else if path.contains("/trusted-issuers/") {
            self.make("trusted-issuers", &trusted_issuer()).text("id")
        } else if path.contains("/users/") {
            let email = format!("{}@example.com", unique("victim"));
            self.make("users", &json!({"email": email, "role": "member", "one_time_password": true})).text("id")
        } else {
            uuid::Uuid::nil().to_string()
        };
        path.replace("{id}", &id)
    }

    fn make(&self, what: &str, body: &Value) -> Answer {
        let session = self.tenant.admin().session();
        session.call("POST", self.tenant.path(what)).json(body.clone()).expect_status(201)
    }
}

fn trusted_issuer() -> Value {
    json!({
        "name": "Victim", "issuer": "https://a.example", "audience": "jeton",
        "conditions": {"sub": "a"}, "scopes": ["goals:read"],
    })
}

/// A body that is right where the outcome is a success.
fn body(path: &str) -> Option<Value> {
    Some(match path {
        "/api/v1/auth/login" => json!({}),
        "/api/v1/auth/refresh" | "/api/v1/auth/logout" => json!({"refresh_token": "jrt_unknown"}),
        "/api/v1/auth/password" => {
            json!({"current_password": "Quartz-lantern-4711-meadow", "new_password": "short"})
        }
        "/api/v1/tenants" | "/api/v1/tenants/{tenant_id}" => json!({"name": "Acme"}),
        _ if path.ends_with("/key-groups") || path.ends_with("/app-identifiers") => json!({"name": "Victim"}),
        _ if path.ends_with("/api-keys") || path.ends_with("/api-keys/{id}") => json!({"name": "Key"}),
        _ if path.ends_with("/trusted-issuers") => trusted_issuer(),
        _ if path.ends_with("/users") => json!({"email": format!("{}@example.com", unique("new")), "role": "member"}),
        _ if path.ends_with("/users/{id}") => json!({"role": "admin"}),
        _ => return None,
    })
}
