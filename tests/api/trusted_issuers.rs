//! Trusted issuers: made, shown, listed and deleted over HTTP and on the command line (docs/API.md).

use jeton_test_macros::both_databases;
use serde_json::{Value, json};

use crate::harness::{Answer, Jeton, Tenant, merge};

const GITHUB: &str = "https://token.actions.githubusercontent.com";

fn create(tenant: &Tenant, members: Value) -> Answer {
    let mut body = json!({
        "name": "CI", "issuer": GITHUB, "audience": "https://jeton.test",
        "conditions": {"repository": "octo/app", "ref": ["refs/heads/main", "refs/tags/*"]}, "scopes": ["goals:read"],
    });
    merge(&mut body, members);
    tenant.admin().post(tenant.path("trusted-issuers"), body)
}

#[both_databases]
fn one_is_made_shown_listed_and_deleted(jeton: Jeton) {
    let tenant = jeton.tenant();
    let made = create(&tenant, json!({})).expect_status(201);
    let path = tenant.path(&format!("trusted-issuers/{}", made.text("id")));
    assert_eq!(made.header("location"), Some(path.as_str()));
    let shown = tenant.admin().get(&path).expect_status(200).json();
    assert_eq!(shown, made.json());
    for (member, expected) in [
        ("tenant_id", json!(tenant.id)),
        ("issuer", json!(GITHUB)),
        ("audience", json!("https://jeton.test")),
        ("conditions", json!({"repository": ["octo/app"], "ref": ["refs/heads/main", "refs/tags/*"]})),
        ("scopes", json!(["goals:read"])),
        ("created_by", json!(format!("user:{}", tenant.admin().id))),
        ("last_used_at", Value::Null),
    ] {
        assert_eq!(shown[member], expected, "{member}");
    }
    let second = create(&tenant, json!({"name": "CD"})).expect_status(201).text("id");
    let page = tenant.admin().get(tenant.path("trusted-issuers?limit=1")).expect_status(200);
    assert_eq!(page.items()[0]["id"], second);
    let rest = tenant.path(&format!("trusted-issuers?limit=1&cursor={}", page.text("next_cursor")));
    assert_eq!(tenant.admin().get(rest).items(), [shown]);

    let stranger = jeton.tenant();
    let elsewhere = stranger.path(&format!("trusted-issuers/{second}"));
    stranger.admin().get(&elsewhere).expect_problem(404, "not_found");
    stranger.admin().delete(&elsewhere).expect_problem(404, "not_found");
    tenant.admin().delete(&path).expect_status(204);
    tenant.admin().get(&path).expect_problem(404, "not_found");
    for action in ["trusted_issuer.created", "trusted_issuer.deleted"] {
        let rows: Vec<_> = jeton.audit().into_iter().filter(|row| row.action == action).collect();
        assert_eq!(rows.len(), if action.ends_with("created") { 2 } else { 1 }, "{action}");
        assert!(rows.iter().all(|row| row.actor == format!("user:{}", tenant.admin().id)));
    }
}

#[both_databases]
fn what_lets_too_many_in_is_refused(jeton: Jeton) {
    let tenant = jeton.tenant();
    let without = create(&tenant, json!({"conditions": {}})).expect_problem(422, "validation_failed");
    assert!(without.text("detail").contains("with GitHub every repository in the world"), "{}", without.told());
    for (field, members) in [
        ("conditions", json!({"conditions": {"iss": GITHUB}})),
        ("conditions", json!({"conditions": {"/aud": "x"}})),
        ("conditions", json!({"conditions": {"sub": "*"}})),
        ("conditions", json!({"conditions": {"repository": "octo*"}})),
        ("conditions", json!({"conditions": {"private": true}})),
        ("conditions", json!({"conditions": []})),
        ("conditions", json!({"conditions": {"sub ": "x"}})),
        ("conditions", json!({"conditions": {"sub": "x", "/sub": "x"}})),
        ("conditions", json!({"conditions": {"/sub/id": "x"}})),
        ("issuer", json!({"issuer": "http://a.example"})),
        ("issuer", json!({"issuer": "https://a.example?x"})),
        ("audience", json!({"audience": ""})),
        ("audience", json!({"audience": "a\nb"})),
        ("audience", json!({"audience": " jeton"})),
        ("audience", json!({"audience": "jeton\u{2028}"})),
        ("scopes", json!({"scopes": []})),
        ("scopes", json!({"scopes": ["users:write"]})),
        ("scopes", json!({"scopes": ["trusted-issuers:write"]})),
        ("scopes", json!({"scopes": ["goals:read", "goals:read"]})),
        ("name", json!({"name": ""})),
    ] {
        let answer = create(&tenant, members.clone()).expect_problem(422, "validation_failed");
        let named = answer.json()["errors"][0]["field"].as_str().unwrap_or_default().to_owned();
        assert!(named.starts_with(field), "{members}: {}", answer.told());
    }
    create(&tenant, json!({"tenant_id": tenant.id})).expect_problem(422, "validation_failed");
    assert_eq!(tenant.admin().get(tenant.path("trusted-issuers")).items(), Vec::<Value>::new());
}

#[both_databases]
fn one_that_would_be_refused_today_is_still_read(jeton: Jeton) {
    let tenant = jeton.tenant();
    let id = create(&tenant, json!({})).expect_status(201).text("id");
    jeton.execute(r#"UPDATE trusted_issuers SET audience = ' jeton', conditions = '{"sub":["a "]}'"#);
    let shown = tenant.admin().get(tenant.path(&format!("trusted-issuers/{id}"))).expect_status(200).json();
    assert_eq!(shown["audience"], " jeton");
    assert_eq!(shown["conditions"], json!({"sub": ["a "]}));
}

#[both_databases]
fn a_tenant_trusts_a_limited_number(jeton: Jeton) {
    let tenant = jeton.tenant();
    for _ in 0..50 {
        create(&tenant, json!({})).expect_status(201);
    }
    create(&tenant, json!({})).expect_problem(409, "trusted_issuer_limit_reached");
}

#[both_databases]
fn they_go_with_their_tenant(jeton: Jeton) {
    let tenant = jeton.tenant();
    let id = create(&tenant, json!({})).expect_status(201).text("id");
    jeton.cli(["tenant", "delete", &tenant.id]).expect_code(0);
    jeton.cli(["trusted-issuer", "delete", &id]).expect_refusal(1, &["no such trusted-issuer"]);
}

#[test]
fn only_scopes_of_the_profile_are_given_and_only_on_a_plan_that_has_keys() {
    let jeton = Jeton::on_sqlite().with("profile", "engagetrack");
    let free = jeton.tenant_with(&["--plan", "free"]);
    create(&free, json!({})).expect_problem(402, "plan_required");
    let paying = jeton.tenant_with(&["--plan", "startup"]);
    create(&paying, json!({})).expect_status(201);
    create(&paying, json!({"scopes": ["weather:read"]})).expect_field("scopes");
}

#[both_databases]
fn the_command_line_does_the_same(jeton: Jeton) {
    let tenant = jeton.tenant();
    let create = |conditions: &[&str]| {
        let mut words = vec!["trusted-issuer", "create", "--tenant", &tenant.id, "--name", "Cluster", "--json"];
        words.extend(["--issuer", "https://cluster.example/id/7", "--audience", "jeton", "--scope", "goals:read"]);
        for condition in conditions {
            words.extend(["--condition", condition]);
        }
        crate::harness::run(jeton.folder(), jeton.environment(), words, None)
    };
    let made = create(&["/kubernetes.io/namespace=prod", "/kubernetes.io/namespace=stage"]).expect_code(0);
    assert_eq!(made.json()["conditions"], json!({"/kubernetes.io/namespace": ["prod", "stage"]}));
    let listed = jeton.cli(["trusted-issuer", "list", "--tenant", &tenant.id, "--json"]).expect_code(0);
    assert_eq!(listed.json()["items"], json!([made.json()]));
    jeton.cli(["trusted-issuer", "list", "--tenant", &tenant.id]).expect_code(0);

    let spaced = create(&["sub = a", "ref = b = c"]).expect_code(0);
    assert_eq!(spaced.json()["conditions"], json!({"sub": ["a"], "ref": ["b = c"]}));
    jeton.cli(["trusted-issuer", "delete", &spaced.text("id")]).expect_code(0);

    create(&[]).expect_refusal(2, &["--condition"]);
    create(&["sub"]).expect_refusal(2, &["CLAIM=VALUE"]);
    create(&["sub=*"]).expect_refusal(1, &["--condition", "`*`"]);
    create(&["a=x", "/a/b=x"]).expect_refusal(1, &["--condition", "no token has `/a/b`"]);
    let id = made.text("id");
    jeton.cli(["trusted-issuer", "delete", &id]).expect_code(0);
    jeton.cli(["trusted-issuer", "delete", &id]).expect_refusal(1, &["no such trusted-issuer"]);
    assert_eq!(
        jeton.audit().iter().filter(|row| row.actor == "cli" && row.action.starts_with("trusted_issuer.")).count(),
        4
    );
}
