//! The page "Engagement API Authentication" of `bloomreach`, sentence by sentence.

mod private_access;

use jeton_test_macros::both_databases;
use serde_json::json;

use crate::{
    harness::{ApiKey, Jeton, Request, Tenant, unique},
    product::Product,
};

/// A permission, and the method of the API that it opens.
type Method = (&'static str, &'static str, &'static str);

/// How a call takes its key along.
type Present = fn(Request, &ApiKey) -> Request;

/// What front ends call.
const TRACK: [Method; 2] = [
    ("customers:set", "POST", "/track/v2/projects/{project_token}/customers"),
    ("events:set", "POST", "/track/v2/projects/{project_token}/customers/events"),
];

/// Private data.
const DATA: [Method; 4] = [
    ("events.consent:get", "GET", "/data/v2/projects/{project_token}/customers/consents"),
    ("events.consent:set", "POST", "/data/v2/projects/{project_token}/customers/consents"),
    ("customers:get", "GET", "/data/v2/projects/{project_token}/customers"),
    ("events:get", "GET", "/data/v2/projects/{project_token}/customers/events"),
];

const EVERYTHING: [&str; 6] =
    ["customers:get", "customers:set", "events:get", "events:set", "events.consent:get", "events.consent:set"];
const CONSENT: [&str; 2] = ["events.consent:get", "events.consent:set"];

/// A customer's project in the product.
struct Project {
    product: Product,
    tenant: Tenant,
    token: String,
}

fn bloomreach(jeton: Jeton) -> Project {
    let product = Product::start(jeton, "bloomreach");
    let tenant = product.tenant();
    let token = product.project_token(&tenant);
    Project { product, tenant, token }
}

impl Project {
    /// Calls a method for this project.
    fn call(&self, (_, method, path): Method) -> Request {
        self.call_for(&self.token, method, path)
    }

    fn call_for(&self, project: &str, method: &str, path: &str) -> Request {
        self.product.call(method, path.replace("{project_token}", project))
    }

    /// A new group; its id.
    #[track_caller]
    fn group(&self, access_type: &str, permissions: &[&str]) -> String {
        let body = json!({"name": unique("Group"), "access_type": access_type, "scopes": permissions});
        self.tenant.admin().post(self.tenant.path("key-groups"), body).expect_status(201).text("id")
    }

    /// A key in a group of its own.
    #[track_caller]
    fn key(&self, access_type: &str, permissions: &[&str]) -> ApiKey {
        self.key_in(&self.group(access_type, permissions))
    }

    #[track_caller]
    fn key_in(&self, group: &str) -> ApiKey {
        self.tenant.api_key_with(json!({"group_id": group}))
    }
}

/// As a front end does: with the API token.
fn public(call: Request, key: &ApiKey) -> Request {
    call.header("Authorization", &format!("Token {}", key.key))
}

/// As a back end does: with the key's id and secret.
fn private(call: Request, key: &ApiKey) -> Request {
    call.basic(&key.id, &key.key)
}

/// > Base URL: The URL of the instance you're using. ... may be a custom URL specific to your organization.
#[both_databases]
fn the_base_url_may_be_the_organizations_own(jeton: Jeton) {
    let project = bloomreach(jeton);
    let key = project.key("private", &EVERYTHING);
    for host in ["api.exponea.com", "engagement.acme.example"] {
        let admitted = project.product.admits(private(project.call(DATA[0]), &key).header("Host", host));
        assert_eq!(admitted.jwt.text("tenant_id"), project.tenant.id);
    }
}

/// > Project token: A unique alphanumeric identifier for your project. ... You can find both in Project settings
#[both_databases]
fn a_project_token_is_unique_and_alphanumeric(jeton: Jeton) {
    let project = bloomreach(jeton);
    let tokens = [&project.tenant, &project.product.tenant(), &project.product.tenant()]
        .map(|tenant| project.product.project_token(tenant));
    for (number, token) in tokens.iter().enumerate() {
        assert!(token.len() >= 20 && token.chars().all(|c| c.is_ascii_alphanumeric()), "{token}");
        assert!(!tokens[..number].contains(token), "{tokens:?}");
    }
    let operator = project.product.jeton.operator();
    let shown = operator.get(format!("/api/v1/tenants/{}", project.tenant.id)).expect_status(200);
    assert_eq!(shown.text("project_token"), project.token);
}

/// > You must include this in every API call.
#[both_databases]
fn every_call_names_its_project(jeton: Jeton) {
    let project = bloomreach(jeton);
    let other = project.product.project_token(&project.product.tenant());
    let (front, back) = (project.key("public", &EVERYTHING), project.key("private", &EVERYTHING));
    let callers: [(Present, &ApiKey, &[Method]); 3] =
        [(public, &front, &TRACK), (private, &back, &TRACK), (private, &back, &DATA)];
    for (present, key, methods) in callers {
        let with = |call| present(call, key);
        for method @ (_, verb, path) in methods.iter().copied() {
            let admitted = project.product.admits(with(project.call(method)));
            assert_eq!(admitted.request.target, path.replace("{project_token}", &project.token));
            assert_eq!(admitted.jwt.text("tenant_id"), project.tenant.id);

            let wrong = [&*other, &project.tenant.id, &project.token.to_uppercase(), "me", "%7Bproject_token%7D"];
            for foreign in wrong {
                let call = with(project.call_for(foreign, verb, path));
                project.product.refuses(call, 403, "tenant_mismatch");
            }
            let none = project.product.call(verb, path.replace("/{project_token}", ""));
            project.product.refuses(with(none), 403, "endpoint_not_listed");
            project.product.refuses(with(project.call_for("", verb, path)), 400, "malformed_request");
        }
    }
}

/// > API Groups are collections of API credentials passed in the Authentication header.
#[both_databases]
fn credentials_are_read_in_the_header_alone(jeton: Jeton) {
    let project = bloomreach(jeton);
    let (front, back) = (project.key("public", &EVERYTHING), project.key("private", &EVERYTHING));
    for method @ (_, verb, path) in TRACK {
        project
            .product
            .refuses(project.call(method), 401, "invalid_api_key")
            .expect_detail("Invalid or expired API key");
        for key in [&front, &back] {
            project.product.refuses(project.call(method).bearer(&key.key), 401, "invalid_api_key");
            project.product.refuses(project.call(method).header("Authorization", &key.key), 401, "invalid_api_key");
            project.product.refuses(project.call(method).header("X-API-Key", &key.key), 401, "invalid_api_key");
            let in_the_query = format!("{path}?api_key={}&token={}", key.key, key.key);
            project.product.refuses(project.call_for(&project.token, verb, &in_the_query), 401, "invalid_api_key");
        }
    }
}

/// > Each group can hold multiple keys ...
#[both_databases]
fn a_group_holds_multiple_keys(jeton: Jeton) {
    let project = bloomreach(jeton);
    let group = project.group("private", &CONSENT);
    let keys = [(); 3].map(|()| project.key_in(&group));
    for key in &keys {
        let admitted = project.product.admits(private(project.call(DATA[0]), key));
        assert_eq!((admitted.jwt.text("sub"), admitted.jwt.text("group_id")), (&*key.id, &*group));
    }
    let listed = project.tenant.admin().get(project.tenant.path("api-keys")).expect_status(200).items();
    assert_eq!(listed.iter().filter(|item| item["group_id"] == group).count(), 3);

    project.tenant.admin().revoke(&keys[0]).expect_status(204);
    project.product.refuses(private(project.call(DATA[0]), &keys[0]), 401, "invalid_api_key");
    project.product.admits(private(project.call(DATA[0]), &keys[1]));
}

/// > ... and you can configure each group with a different set of permissions. This lets you control exactly what data
/// > each group can access through the API.
#[both_databases]
fn a_groups_permissions_bind_its_keys(jeton: Jeton) {
    let project = bloomreach(jeton);
    let (readers, writers) = (project.group("private", &["events:get"]), project.group("private", &["events:set"]));
    let (reader, writer) = (project.key_in(&readers), project.key_in(&writers));
    let (get, set) = (DATA[3], TRACK[1]);

    project.product.admits(private(project.call(get), &reader));
    project.product.refuses(private(project.call(set), &reader), 403, "insufficient_scope");
    project.product.admits(private(project.call(set), &writer));
    project.product.refuses(private(project.call(get), &writer), 403, "insufficient_scope");

    let admin = project.tenant.admin();
    admin.create_api_key(json!({"group_id": readers, "scopes": EVERYTHING})).expect_field("scopes");
    admin.patch(reader.path(), json!({"scopes": EVERYTHING})).expect_problem(422, "immutable_field");
    admin.patch(reader.path(), json!({"group_id": writers})).expect_problem(422, "immutable_field");
    let unknown = json!({"name": "G", "access_type": "private", "scopes": ["events:delete"]});
    admin.post(project.tenant.path("key-groups"), unknown).expect_field("scopes");
}

/// > This structure supports the access minimization principle: you grant only the permissions a specific use case
/// > requires, nothing more.
#[both_databases]
fn each_permission_grants_its_own_category(jeton: Jeton) {
    let project = bloomreach(jeton);
    for granted in EVERYTHING {
        let key = project.key("private", &[granted]);
        for method @ (needed, ..) in TRACK.into_iter().chain(DATA) {
            let call = private(project.call(method), &key);
            if granted == needed {
                assert_eq!(project.product.admits(call).jwt.text("scope"), needed);
            } else {
                let refused = project.product.refuses(call, 403, "insufficient_scope");
                refused.expect_detail(&format!("API key missing required scope: {needed}"));
            }
        }
    }
    let nothing = project.key("private", &[]);
    for method in TRACK.into_iter().chain(DATA) {
        project.product.refuses(private(project.call(method), &nothing), 403, "insufficient_scope");
    }
}

/// > Each group uses one of two access types: public or private. You configure this when creating the group.
#[both_databases]
fn a_group_is_public_or_private_from_its_beginning(jeton: Jeton) {
    let project = bloomreach(jeton);
    let (admin, groups) = (project.tenant.admin(), project.tenant.path("key-groups"));
    admin.post(&groups, json!({"name": "G", "scopes": CONSENT})).expect_field("access_type");
    for unknown in ["admin", "", "Private"] {
        let refused = admin.post(&groups, json!({"name": "G", "access_type": unknown}));
        refused.expect_problem(422, "validation_failed");
    }

    for (access_type, other) in [("public", "private"), ("private", "public")] {
        let id = project.group(access_type, &CONSENT);
        let path = format!("{groups}/{id}");
        admin.patch(&path, json!({"access_type": other})).expect_status(405);
        let shown = admin.get(&path).expect_status(200).json();
        assert_eq!((&shown["access_type"], &shown["scopes"]), (&json!(access_type), &json!(CONSENT)));

        assert_eq!(admin.get(project.key_in(&id).path()).text("access_type"), access_type);
        admin.create_api_key(json!({"group_id": id, "access_type": other})).expect_field("access_type");
    }
}

/// > Public API access ... works with a subset of API methods and isn't suitable for private data manipulation.
#[both_databases]
fn public_access_works_with_tracking_alone(jeton: Jeton) {
    let project = bloomreach(jeton);
    let key = project.key("public", &EVERYTHING);
    for method in TRACK {
        let admitted = project.product.admits(public(project.call(method), &key));
        assert_eq!((admitted.jwt.text("access_type"), admitted.jwt.text("scope")), ("public", method.0));
    }
    for method in DATA {
        project.product.refuses(public(project.call(method), &key), 403, "access_type_not_allowed");
        // A token that it was exchanged for reaches no further.
        project.product.refuses(project.call(method).bearer(&key.token()), 403, "access_type_not_allowed");
    }
}

/// > To use public API access, generate an API Token. Include this token in the authorization header of your requests.
#[both_databases]
fn a_public_key_is_a_single_token(jeton: Jeton) {
    let project = bloomreach(jeton);
    let (key, other) = (project.key("public", &EVERYTHING), project.key("private", &EVERYTHING));
    assert!(key.key.starts_with("brx_live_"), "{}", key.key);
    for method in TRACK {
        let admitted = project.product.admits(public(project.call(method), &key));
        assert!(!admitted.request.contains(&key.key), "the API does not get it: {:?}", admitted.request);
        for id in [&*key.id, &other.id, "", &key.key] {
            project.product.refuses(project.call(method).basic(id, &key.key), 401, "invalid_api_key");
        }
    }
}

/// > Because consents are private data, this use case requires a private access group. ... configure only the permissions
/// > relevant to consent manipulation: Events - Consent: Get + Set. These are the only permissions required
#[both_databases]
fn the_example_of_the_page_manipulates_consents_alone(jeton: Jeton) {
    let project = bloomreach(jeton);
    let key = project.key("private", &CONSENT);
    let path = DATA[0].2.replace("{project_token}", &project.token);

    let seen = project.product.admits(private(project.product.get(&path), &key)).request;
    assert_eq!((&*seen.method, &*seen.target), ("GET", &*path));
    let body = r#"{"category":"newsletter","consented":false}"#;
    let seen = project.product.admits(private(project.product.post(&path), &key).with_body(body)).request;
    assert_eq!((&*seen.method, &*seen.body), ("POST", body.as_bytes()));

    for method in TRACK.into_iter().chain(DATA).filter(|(permission, ..)| !CONSENT.contains(permission)) {
        project.product.refuses(private(project.call(method), &key), 403, "insufficient_scope");
    }
    for verb in ["PUT", "PATCH", "DELETE"] {
        project.product.refuses(private(project.product.call(verb, &path), &key), 403, "endpoint_not_listed");
    }
    project.product.refuses(private(project.product.get(format!("{path}/7")), &key), 403, "endpoint_not_listed");
    project.product.jeton.get(project.tenant.path("api-keys")).bearer(&key.token()).send().expect_status(403);

    let front = project.key("public", &CONSENT);
    for method in &DATA[..2] {
        project.product.refuses(public(project.call(*method), &front), 403, "access_type_not_allowed");
    }
}
