//! Management over HTTP: tenants, members, the audit log, signing keys (contract 4.6).

use std::collections::BTreeSet;

use jeton_test_macros::both_databases;
use serde_json::{Value, json};

use crate::harness::{Jeton, User, at_once, unique};

const NOBODY: &str = "0199b0a0-0000-7000-8000-000000000000";
const PASSWORD: &str = "another-Meadow-2209-kettle";

#[both_databases]
fn an_operator_manages_tenants(jeton: Jeton) {
    let operator = jeton.operator();
    let made = operator.post("/api/v1/tenants", json!({"name": "Acme"})).expect_status(201);
    let path = format!("/api/v1/tenants/{}", made.text("id"));
    assert_eq!(made.text("name"), "Acme");
    assert!(!made.text("project_token").is_empty());
    assert_eq!(operator.get(&path).expect_status(200).json(), made.json());
    let list = operator.get("/api/v1/tenants?limit=100").expect_status(200).items();
    assert!(list.contains(&made.json()), "{list:#?}");

    let renamed = operator.patch(&path, json!({"name": "Acme Ltd"})).expect_status(200);
    assert_eq!(renamed.text("name"), "Acme Ltd");
    operator.patch(&path, json!({"id": NOBODY})).expect_status(422);
    operator.patch(&path, json!({"name": ""})).expect_field("name");
    operator.delete(&path).expect_status(204);
    operator.get(&path).expect_problem(404, "not_found");
    operator.get(format!("/api/v1/tenants/{NOBODY}")).expect_problem(404, "not_found");
    operator.post("/api/v1/tenants", json!({"name": ""})).expect_field("name");
    operator.post("/api/v1/tenants", json!({})).expect_field("name");
    operator.post("/api/v1/tenants", json!({"name": "x", "project_token": "y"})).expect_field("project_token");
}

#[both_databases]
fn a_tenant_may_bring_its_id(jeton: Jeton) {
    let operator = jeton.operator();
    let id = "0199b0a0-1234-7000-8000-00000000abcd";
    let made = operator.post("/api/v1/tenants", json!({"name": "Acme", "id": id})).expect_status(201);
    assert_eq!(made.text("id"), id);
    let again = operator.post("/api/v1/tenants", json!({"name": "Other", "id": id}));
    assert_eq!(again.status, 409, "{}", again.told());
    let (nil, max) = ("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff");
    for wrong in ["no-uuid", nil, max] {
        operator.post("/api/v1/tenants", json!({"name": "Other", "id": wrong})).expect_field("id");
    }
    for wrong in [nil, max] {
        jeton.cli(["tenant", "create", "--name", "Other", "--id", wrong]).expect_refusal(1, &["id"]);
    }
}

#[both_databases]
fn an_operator_suspends_and_resumes_a_tenant(jeton: Jeton) {
    let operator = jeton.operator();
    let tenant = jeton.tenant();
    let (user, key) = (tenant.user("member"), tenant.api_key([]));
    let session = user.session();

    operator.call("POST", tenant.path("suspend")).send().expect_status(200);
    session.refresh().expect_status(401);
    user.login().expect_problem(403, "tenant_suspended");
    let exchange = key.exchange();
    assert!(exchange.status == 401 || exchange.status == 403, "{}", exchange.told());
    operator.call("POST", tenant.path("resume")).send().expect_status(200);
    user.login().expect_tokens();
    key.exchange().expect_tokens();
    session.refresh().expect_status(401);
}

#[both_databases]
fn an_admin_invites_lists_and_removes_members(jeton: Jeton) {
    let tenant = jeton.tenant();
    let admin = tenant.admin();
    let email = format!("{}@example.com", unique("invited"));
    let body = json!({"email": email, "role": "member", "password": PASSWORD});
    let made = admin.post(tenant.path("users"), body).expect_status(201);
    let id = made.text("id");
    assert_eq!((made.text("email"), made.text("role")), (email.clone(), "member".to_owned()));
    assert!(!made.told().contains(PASSWORD) && !made.told().contains("argon2"), "{}", made.told());
    let login = || jeton.post("/api/v1/auth/login").json(json!({"email": email, "password": PASSWORD}));
    login().expect_scope("");

    let ids: BTreeSet<_> = admin
        .get(tenant.path("users"))
        .expect_status(200)
        .items()
        .iter()
        .map(|user| user["id"].clone().to_string())
        .collect();
    assert_eq!(ids, [json!(id).to_string(), json!(admin.id).to_string()].into());

    let path = tenant.path(&format!("users/{id}"));
    let promoted = admin.patch(&path, json!({"role": "admin"})).expect_status(200);
    assert_eq!(promoted.text("role"), "admin");
    let scope = login().expect_tokens().text("scope");
    assert!(scope.contains("users:write"), "{scope}");
    admin.patch(&path, json!({"role": "owner"})).expect_field("role");
    admin.patch(&path, json!({"operator": true})).expect_field("operator");
    admin.patch(&path, json!({"scopes": ["tenants:write"]})).expect_field("scopes");

    admin.delete(&path).expect_status(204);
    login().expect_problem(401, "invalid_credentials");
    admin.delete(&path).expect_problem(404, "not_found");
    admin.patch(&path, json!({"role": "member"})).expect_problem(404, "not_found");
}

#[both_databases]
fn what_a_member_cannot_be_is_refused(jeton: Jeton) {
    let tenant = jeton.tenant();
    let admin = tenant.admin();
    let invite = |body: Value| admin.post(tenant.path("users"), body);
    invite(json!({"email": admin.email, "role": "member"})).expect_problem(409, "email_taken");
    invite(json!({"email": admin.email.to_uppercase(), "role": "member"})).expect_problem(409, "email_taken");
    invite(json!({"email": "nobody", "role": "member"})).expect_field("email");
    invite(json!({"email": "a@example.com", "role": "owner"})).expect_field("role");
    invite(json!({"email": "a@example.com", "role": "member", "password": "short"})).expect_field("password");
    for mass_assignment in ["operator", "id", "disabled_at", "tenant_id", "scopes"] {
        let body = json!({"email": "a@example.com", "role": "member", "password": PASSWORD, mass_assignment: true});
        invite(body).expect_field(mass_assignment);
    }
}

#[both_databases]
fn nobody_becomes_an_operator_over_http(jeton: Jeton) {
    let tenant = jeton.tenant();
    let operator = jeton.operator();
    let body = json!({"email": "a@example.com", "role": "member", "password": PASSWORD, "operator": true});
    operator.post(format!("/api/v1/tenants/{}/users", operator.tenant_id), body).expect_field("operator");
    assert!(!tenant.admin().login().expect_tokens().text("scope").contains("tenants:"));
}

#[both_databases]
fn a_person_who_is_known_joins_a_second_tenant_and_keeps_its_password(jeton: Jeton) {
    let (first, second) = (jeton.tenant(), jeton.tenant());
    let user = first.user("member");
    let body = json!({"email": user.email, "role": "member", "password": PASSWORD});
    second.admin().post(second.path("users"), body).expect_status(201);
    user.login_with(json!({"tenant_id": second.id})).expect_tokens();
    let taken_over = user.login_with(json!({"tenant_id": second.id, "password": PASSWORD}));
    taken_over.expect_problem(401, "invalid_credentials");
    second.admin().delete(second.path(&format!("users/{}", user.id))).expect_status(204);
    user.login().expect_tokens();
    user.login_with(json!({"tenant_id": second.id})).expect_problem(401, "invalid_credentials");
}

#[both_databases]
fn a_tenant_sees_nothing_of_what_its_people_do_elsewhere(jeton: Jeton) {
    let (tenant, elsewhere) = (jeton.tenant(), jeton.tenant());
    let user = elsewhere.user("admin");
    tenant.admin().post(tenant.path("users"), json!({"email": user.email, "role": "member"})).expect_status(201);
    let read = || tenant.admin().get(tenant.path(&format!("users/{}", user.id))).expect_status(200).json();
    let before = read();
    user.login_with(json!({"tenant_id": elsewhere.id})).expect_tokens();

    assert_eq!(read(), before);
    let members: BTreeSet<_> = before.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["id", "email", "role", "disabled", "joined_at"].into());
    let audit = tenant.admin().get(tenant.path("audit-events?limit=100")).expect_status(200);
    assert!(!audit.told().contains(&elsewhere.id), "{}", audit.told());
}

#[both_databases]
fn a_role_that_was_taken_away_is_gone_at_once(jeton: Jeton) {
    let tenant = jeton.tenant();
    let second = tenant.user("admin");
    let session = second.session();
    second.get(tenant.path("users")).expect_status(200);
    tenant.admin().patch(tenant.path(&format!("users/{}", second.id)), json!({"role": "member"})).expect_status(200);
    second.get(tenant.path("users")).expect_problem(403, "insufficient_scope");
    session.refresh().expect_scope("");
}

#[both_databases]
fn an_operator_lists_the_signing_keys(jeton: Jeton) {
    let operator = jeton.operator();
    let answer = operator.get("/api/v1/signing-keys").expect_status(200);
    let keys = answer.items();
    assert_eq!(keys.len(), 1);
    assert_eq!((&keys[0]["kid"], &keys[0]["state"]), (&jeton.jwks()["keys"][0]["kid"], &json!("active")));
    assert_eq!(keys[0]["algorithm"], "ES256");
    assert!(!answer.told().contains("\"d\"") && !answer.told().to_lowercase().contains("private"));
}

#[both_databases]
fn every_list_has_its_pages(jeton: Jeton) {
    let operator = jeton.operator();
    let own = |rest: &str| format!("/api/v1/tenants/{}/{rest}", operator.tenant_id);
    for path in ["/api/v1/tenants".to_owned(), "/api/v1/auth/sessions".to_owned(), own("users"), own("api-keys")] {
        for wrong in ["limit=0", "limit=101", "limit=x", "cursor=x"] {
            operator.get(format!("{path}?{wrong}")).expect_problem(422, "validation_failed");
        }
        let list = operator.get(format!("{path}?limit=1")).expect_status(200).json();
        assert!(list["items"].as_array().is_some_and(|items| items.len() <= 1), "{path}: {list}");
        assert!(list["next_cursor"].is_null() || list["next_cursor"].is_string(), "{path}: {list}");
    }
}

#[both_databases]
fn path_and_header_must_name_the_same_tenant(jeton: Jeton) {
    let (tenant, other) = (jeton.tenant(), jeton.tenant());
    let call = || tenant.admin().call("GET", tenant.path("users"));
    call().tenant(&other.id).send().expect_problem(403, "tenant_mismatch");
    call().tenant(&tenant.id).send().expect_status(200);
}

/// A tenant keeps somebody who may manage its users, whoever asks and how many at once.
#[both_databases]
fn the_last_administrator_stays(jeton: Jeton) {
    let tenant = jeton.tenant();
    let (first, member) = (tenant.admin(), tenant.user("member"));
    let path = |user: &User| tenant.path(&format!("users/{}", user.id));
    let member_role = || json!({"role": "member"});
    first.delete(path(first)).expect_problem(409, "last_admin");
    first.patch(path(first), member_role()).expect_problem(409, "last_admin");
    first.patch(path(first), json!({"role": "admin"})).expect_status(200);
    first.patch(path(&member), json!({"role": "member"})).expect_status(200);

    // Whoever is disabled can give nobody anything back.
    let disabled = tenant.user("admin");
    jeton.cli(["user", "disable", &disabled.email]).expect_code(0);
    first.delete(path(first)).expect_problem(409, "last_admin");
    first.delete(path(&disabled)).expect_status(204);

    // Of an invitation nobody knows whether it will be used.
    let body = json!({"email": "late@example.com", "role": "admin", "one_time_password": true});
    let invited = first.post(tenant.path("users"), body).expect_status(201);
    first.delete(path(first)).expect_problem(409, "last_admin");
    first.patch(path(first), member_role()).expect_problem(409, "last_admin");
    first.delete(tenant.path(&format!("users/{}", invited.text("id")))).expect_status(204);

    // Of two who unseat each other at once, one stays.
    let (_server, elsewhere) = jeton.second();
    let second = tenant.user("admin");
    let tokens = [first.token(), second.token()];
    let answers = at_once(2, |number| {
        let (client, other) = if number == 0 { (jeton.client(), &second) } else { (elsewhere.clone(), first) };
        client.call("DELETE", path(other)).bearer(tokens[number]).send()
    });
    let admins = "memberships WHERE role = 'admin'";
    let left = jeton.rows(admins);
    let removed = answers.iter().filter(|answer| answer.status == 204).count();
    assert_eq!((removed, left), (1, 1), "{answers:?}");
}
