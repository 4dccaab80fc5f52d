//! API keys: made, listed, changed, revoked, rotated (contract 4.2).

use std::{collections::BTreeSet, time::Duration};

use jeton_test_macros::both_databases;
use serde_json::{Value, json};

use crate::harness::{Answer, Jeton, at_once};

const DAY: u64 = 24 * 60 * 60;

#[both_databases]
fn a_new_key_is_shown_once(jeton: Jeton) {
    let tenant = jeton.tenant();
    let answer = tenant.admin().create_api_key(json!({"name": "CI", "scopes": ["goals:read", "goals:write"]}));
    let answer = answer.expect_status(201);
    let made = answer.json();
    let (id, key) = (answer.text("id"), answer.text("key"));

    let random = key.strip_prefix("jtn_live_").expect("the default profile's prefix");
    assert!(random.len() == 32 && random.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{key}");
    assert_eq!(made["hint"], random[..4], "the first 4 random characters");
    assert_eq!((&made["name"], &made["state"]), (&json!("CI"), &json!("active")));
    assert_eq!(made["scopes"], json!(["goals:read", "goals:write"]));
    assert_eq!(made["environment"], "live");
    assert_eq!(uuid::Uuid::parse_str(&id).unwrap().get_version_num(), 7, "ids are UUIDs (v7)");

    let one = tenant.admin().get(tenant.path(&format!("api-keys/{id}"))).expect_status(200);
    let list = tenant.admin().get(tenant.path("api-keys")).expect_status(200);
    assert_eq!(list.items(), [one.json()]);
    for answer in [one, list] {
        assert!(!answer.told().contains(random), "never the key: {}", answer.told());
    }
    assert!(!String::from_utf8_lossy(&jeton.dump()).contains(random), "stored as a keyed hash");
}

#[both_databases]
fn a_key_tells_its_state_and_its_last_use(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key_with(json!({"scopes": ["a:b"], "expires_at": jeton.in_seconds(3600)}));
    let read = || tenant.admin().session().call("GET", key.path()).send().expect_status(200).json();
    assert_eq!((&read()["state"], &read()["last_used_at"]), (&json!("active"), &Value::Null));

    key.exchange().expect_tokens();
    // It is written behind the answers, and at the latest when the server ends.
    jeton.restart();
    let used = read()["last_used_at"].as_str().expect("it was used").to_owned();
    assert!(chrono::DateTime::parse_from_rfc3339(&used).is_ok(), "{used}");
    let revoked = tenant.api_key([]);
    tenant.admin().revoke(&revoked).expect_status(204);
    assert_eq!(tenant.admin().get(revoked.path()).json()["state"], "revoked");
    jeton.advance(Duration::from_secs(3601));
    assert_eq!(read()["state"], "expired");
}

#[both_databases]
fn a_key_keeps_what_it_was_made_with(jeton: Jeton) {
    let tenant = jeton.tenant();
    let expires_at = jeton.in_seconds(7200);
    let asked = json!({
        "name": "Partner", "scopes": ["goals:read"], "environment": "test", "expires_at": expires_at,
        "allowed_ips": ["127.0.0.0/8", "2001:db8::/32"], "contact_email": "ops@example.com",
    });
    let key = tenant.api_key_with(asked.clone());
    assert!(key.key.starts_with("jtn_test_"), "{}", key.key);
    let read = tenant.admin().get(key.path()).expect_status(200).json();
    for member in ["name", "scopes", "environment", "allowed_ips", "contact_email"] {
        assert_eq!(read[member], asked[member], "{member}");
    }
    let time = |text: &Value| chrono::DateTime::parse_from_rfc3339(text.as_str().unwrap()).unwrap();
    assert_eq!(time(&read["expires_at"]), time(&json!(expires_at)));
    assert!(read["created_at"].is_string(), "{read}");
}

#[both_databases]
fn a_key_without_scopes_has_none(jeton: Jeton) {
    let tenant = jeton.tenant();
    for key in [tenant.api_key_with(json!({})), tenant.api_key([])] {
        key.exchange().expect_scope("");
    }
}

#[both_databases]
fn a_key_that_asks_for_what_cannot_be_is_not_made(jeton: Jeton) {
    let tenant = jeton.tenant();
    let admin = tenant.admin();
    for (members, field) in [
        (json!({"name": ""}), "name"),
        (json!({"name": "x".repeat(1000)}), "name"),
        (json!({"name": 7}), "name"),
        (json!({"scopes": ["a:b", "a:b"]}), "scopes"),
        (json!({"environment": "staging"}), "environment"),
        (json!({"expires_at": jeton.in_seconds(-1)}), "expires_at"),
        (json!({"expires_at": "tomorrow"}), "expires_at"),
        (json!({"contact_email": "nobody"}), "contact_email"),
        (json!({"access_type": "public"}), "access_type"),
        (json!({"revoked_at": null}), "revoked_at"),
        (json!({"tenant_id": tenant.id}), "tenant_id"),
        (json!({"key": "jtn_live_00000000000000000000000000000000"}), "key"),
        (json!({"id": uuid::Uuid::nil()}), "id"),
    ] {
        admin.create_api_key(members).expect_field(field);
    }
    for scope in ["goals", "goals:", ":read", "goals:*", "goals:read goals:write", "Goals:read", "goals:read\t", ""] {
        admin.create_api_key(json!({"scopes": [scope]})).expect_problem(422, "validation_failed");
    }
    for address in ["300.0.0.1", "10.0.0.0/33", "everywhere", ""] {
        admin.create_api_key(json!({"allowed_ips": [address]})).expect_problem(422, "validation_failed");
    }
    assert_eq!(admin.get(tenant.path("api-keys")).items(), Vec::<Value>::new());
}

#[both_databases]
fn a_list_comes_in_pages(jeton: Jeton) {
    let tenant = jeton.tenant();
    let made: BTreeSet<_> = (0..23).map(|_| tenant.api_key([]).id).collect();
    let page = |query: &str| tenant.admin().get(tenant.path(&format!("api-keys{query}"))).expect_status(200);

    assert_eq!(page("").items().len(), 20, "20 by default");
    assert_eq!(page("?limit=100").items().len(), 23);
    assert_eq!(page("?limit=100").json()["next_cursor"], Value::Null);

    let (mut seen, mut query) = (Vec::new(), "?limit=7".to_owned());
    loop {
        let answer = page(&query);
        seen.extend(answer.items().iter().map(|key| key["id"].as_str().unwrap().to_owned()));
        let Some(cursor) = answer.json()["next_cursor"].as_str().map(ToOwned::to_owned) else { break };
        query = format!("?limit=7&cursor={cursor}");
        // What is made meanwhile moves nothing that is still to come.
        tenant.api_key([]);
    }
    let old: Vec<_> = seen.into_iter().filter(|id| made.contains(id)).collect();
    assert_eq!(old.len(), 23, "each once");
    assert_eq!(old.into_iter().collect::<BTreeSet<_>>(), made);
}

#[both_databases]
fn a_page_that_cannot_be_is_refused(jeton: Jeton) {
    let (tenant, other) = (jeton.tenant(), jeton.tenant());
    for _ in 0..3 {
        other.api_key([]);
    }
    let admin = tenant.admin();
    for query in [
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=many",
        "limit=",
        "cursor=",
        "cursor=%00",
        "cursor=AAAA",
        "limit=1&limit=2",
        "page=2",
    ] {
        let answer = admin.get(tenant.path(&format!("api-keys?{query}")));
        assert!(answer.status == 422 || answer.status == 400, "{query}: {}", answer.told());
    }
    let list = other.admin().get(other.path("api-keys?limit=1")).text("next_cursor");
    let foreign = admin.get(tenant.path(&format!("api-keys?cursor={list}")));
    assert!(foreign.status != 200 || foreign.items().is_empty(), "a foreign cursor: {}", foreign.told());
    assert!(foreign.status < 500);
}

#[both_databases]
fn name_and_contact_can_be_changed_and_nothing_else(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key(["goals:read"]);
    let admin = tenant.admin();
    let changed = admin.patch(key.path(), json!({"name": "New", "contact_email": "new@example.com"}));
    let changed = changed.expect_status(200).json();
    assert_eq!((&changed["name"], &changed["contact_email"]), (&json!("New"), &json!("new@example.com")));
    assert_eq!(admin.get(key.path()).json(), changed);
    let only_name = admin.patch(key.path(), json!({"name": "Newer"})).expect_status(200).json();
    assert_eq!((&only_name["name"], &only_name["contact_email"]), (&json!("Newer"), &json!("new@example.com")));

    let without = admin.patch(key.path(), json!({"contact_email": null})).expect_status(200).json();
    assert_eq!((&without["name"], &without["contact_email"]), (&json!("Newer"), &Value::Null));

    for (member, value) in [
        ("scopes", json!(["goals:write"])),
        ("access_type", json!("admin")),
        ("allowed_ips", json!([])),
        ("scopes", json!(["goals:read"])),
    ] {
        admin.patch(key.path(), json!({member: value})).expect_problem(422, "immutable_field");
    }
    for member in ["revoked_at", "tenant_id", "state", "unknown"] {
        admin.patch(key.path(), json!({member: null})).expect_status(422);
    }
    admin.patch(key.path(), json!({"name": ""})).expect_field("name");
    key.exchange().expect_scope("goals:read");
}

#[both_databases]
fn of_two_changes_at_once_none_is_lost(jeton: Jeton) {
    let tenant = jeton.tenant();
    let admin = tenant.admin();
    admin.token();
    for round in 0..5 {
        let key = tenant.api_key([]);
        let (name, email) = (format!("Name {round}"), format!("contact-{round}@example.com"));
        let changes = [json!({"name": name}), json!({"contact_email": email})];
        at_once(2, |number| drop(admin.patch(key.path(), changes[number].clone()).expect_status(200)));
        let read = admin.get(key.path()).json();
        assert_eq!((&read["name"], &read["contact_email"]), (&json!(name), &json!(email)));
    }
}

#[both_databases]
fn a_revoked_key_is_refused_at_once(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key(["goals:read"]);
    key.exchange().expect_scope("goals:read");
    let (_server, elsewhere) = jeton.second();
    let exchange_there = || elsewhere.post("/api/v1/auth/exchange").bearer(&key.key).tenant(&tenant.id).send();
    exchange_there().expect_scope("goals:read");

    tenant.admin().revoke(&key).expect_status(204);

    exchange_there().expect_problem(401, "invalid_api_key");
    key.exchange().expect_problem(401, "invalid_api_key").expect_detail("Invalid or expired API key");
    tenant.admin().revoke(&key).expect_status(204);
    jeton.kill();
    key.exchange().expect_problem(401, "invalid_api_key");
}

#[both_databases]
fn a_rotated_key_hands_its_rights_to_a_new_one(jeton: Jeton) {
    let tenant = jeton.tenant();
    let expires_at = jeton.in_seconds(7200);
    let old = tenant.api_key_with(json!({
        "name": "Partner", "scopes": ["goals:read"], "environment": "test", "expires_at": expires_at,
        "allowed_ips": ["127.0.0.0/8"], "contact_email": "ops@example.com",
    }));
    let before = tenant.admin().get(old.path()).json();
    let answer = tenant.admin().rotate(&old, json!({})).expect_status(201);
    let made = answer.json();
    assert_eq!(made["replaces"], *old.id);
    for same in ["name", "scopes", "environment", "allowed_ips", "contact_email", "expires_at"] {
        assert_eq!(made[same], before[same], "{same}");
    }
    let new = answer.into_key(&tenant);
    assert_ne!((&new.id, &new.key), (&old.id, &old.key));
    new.exchange().expect_scope("goals:read");
    old.exchange().expect_problem(401, "invalid_api_key");
}

#[both_databases]
fn a_rotated_key_lives_on_for_the_overlap(jeton: Jeton) {
    let tenant = jeton.tenant();
    let old = tenant.api_key(["goals:read"]);
    let new = tenant.admin().rotate(&old, json!({"overlap_seconds": 3600})).expect_status(201).into_key(&tenant);
    jeton.advance(Duration::from_secs(3590));
    old.exchange().expect_scope("goals:read");
    jeton.advance(Duration::from_secs(20));
    old.exchange().expect_problem(401, "invalid_api_key");
    new.exchange().expect_scope("goals:read");
}

#[both_databases]
fn an_overlap_is_at_most_thirty_days_and_never_outlives_the_key(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key([]);
    for wrong in [json!(-1), json!(30 * DAY + 1), json!("1h"), json!(1.5)] {
        tenant.admin().rotate(&key, json!({"overlap_seconds": wrong})).expect_field("overlap_seconds");
    }
    tenant.admin().rotate(&key, json!({"overlap_seconds": 30 * DAY})).expect_status(201);

    let short = tenant.api_key_with(json!({"expires_at": jeton.in_seconds(60)}));
    tenant.admin().rotate(&short, json!({"overlap_seconds": 3600})).expect_status(201);
    jeton.advance(Duration::from_secs(61));
    short.exchange().expect_problem(401, "invalid_api_key");
}

#[both_databases]
fn a_dead_key_is_not_rotated(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key([]);
    tenant.admin().revoke(&key).expect_status(204);
    tenant.admin().rotate(&key, json!({})).expect_problem(409, "api_key_not_active");
    key.exchange().expect_problem(401, "invalid_api_key");
}

#[both_databases]
fn a_key_that_was_rotated_is_not_rotated_again(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key([]);
    let next = tenant.admin().rotate(&key, json!({"overlap_seconds": 3600})).expect_status(201).into_key(&tenant);
    tenant.admin().rotate(&key, json!({"overlap_seconds": 3600})).expect_problem(409, "api_key_not_active");
    key.exchange().expect_tokens();
    tenant.admin().rotate(&next, json!({})).expect_status(201);
}

#[both_databases]
fn a_key_of_another_tenant_is_not_found(jeton: Jeton) {
    let (tenant, other) = (jeton.tenant(), jeton.tenant());
    let key = other.api_key(["goals:read"]);
    let path = tenant.path(&format!("api-keys/{}", key.id));
    let admin = tenant.admin();
    let expect_not_found = |answer: Answer| drop(answer.expect_problem(404, "not_found"));

    expect_not_found(admin.get(&path));
    expect_not_found(admin.patch(&path, json!({"name": "mine"})));
    expect_not_found(admin.delete(&path));
    expect_not_found(admin.post(format!("{path}/rotate"), json!({})));
    admin.get(key.path()).expect_problem(403, "tenant_mismatch");
    admin.delete(key.path()).expect_problem(403, "tenant_mismatch");
    key.exchange().expect_scope("goals:read");
}

#[both_databases]
fn a_key_that_never_was_is_not_found(jeton: Jeton) {
    let tenant = jeton.tenant();
    for id in [uuid::Uuid::nil().to_string(), "no-uuid".to_owned(), "%00".to_owned()] {
        let path = tenant.path(&format!("api-keys/{id}"));
        tenant.admin().get(&path).expect_problem(404, "not_found");
        tenant.admin().delete(&path).expect_problem(404, "not_found");
    }
}
