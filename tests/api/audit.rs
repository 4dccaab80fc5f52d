//! The audit log (security 25; contract 4.6): every change, every login, every refused or suspicious attempt; no
//! credential.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jeton_test_macros::both_databases;
use serde_json::json;

use crate::{
    exhaustion::until,
    harness::{Client, Database, Jeton, Tenant, at_once},
    profiles::{PROFILE, with_profile},
};

#[both_databases]
fn a_change_over_http_has_one_row(jeton: Jeton) {
    let tenant = jeton.tenant();
    let admin = tenant.admin();
    let key = tenant.api_key([]);
    admin.patch(key.path(), json!({"name": "New"})).expect_status(200);
    admin.revoke(&key).expect_status(204);
    admin.revoke(&key).expect_status(204);

    let target = format!("api-key:{}", key.id);
    let rows = jeton.audit();
    let rows: Vec<_> = rows.iter().filter(|row| row.target.as_deref() == Some(&target)).collect();
    assert_eq!(rows.len(), 3, "created, changed, revoked once: {rows:#?}");
    for row in rows {
        assert_eq!((&*row.outcome, &*row.actor), ("success", &*format!("user:{}", admin.id)));
        assert_eq!(row.ip.as_deref(), Some("127.0.0.1"));
    }
}

/// PostgreSQL has no text with a NUL: it is refused before it is asked, on both.
#[both_databases]
fn a_control_character_is_looked_for_nowhere(jeton: Jeton) {
    let tenant = jeton.tenant();
    for query in ["actor=%00", "action=user.added%00", "actor=a%0ab"] {
        let path = tenant.path(&format!("audit-events?{query}"));
        let refused = tenant.admin().get(path).expect_problem(422, "validation_failed");
        assert!(refused.told().contains("must not contain control characters"), "{}", refused.told());
    }
}

#[both_databases]
fn a_change_by_the_command_line_has_one_row_too(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = jeton.cli(["api-key", "create", "--tenant", &tenant.id, "--name", "CI", "--json"]).expect_code(0);
    jeton.cli(["api-key", "revoke", &key.text("id")]).expect_code(0);
    tenant.suspend();
    let rows = jeton.audit();
    let about = |target: String| rows.iter().filter(|row| row.target.as_deref() == Some(&*target)).count();
    assert_eq!(about(format!("api-key:{}", key.text("id"))), 2, "{rows:#?}");
    assert_eq!(about(format!("tenant:{}", tenant.id)), 2, "created and suspended: {rows:#?}");
    assert!(rows.iter().all(|row| row.actor == "cli" || row.actor == "system"), "{rows:#?}");
}

#[both_databases]
fn every_login_and_every_refused_or_suspicious_attempt_has_a_row(jeton: Jeton) {
    let tenant = jeton.tenant();
    let user = tenant.user("member");
    let key = tenant.api_key(["a:b"]);
    let rows_more = |what: &str, word: &str, act: &dyn Fn()| {
        let before = jeton.audited(word);
        act();
        // A refused key is written down behind the answer.
        let deadline = Instant::now() + Duration::from_secs(3);
        while jeton.audited(word) == before && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(jeton.audited(word), before + 1, "{what}: one row with `{word}` in {:#?}", jeton.audit());
    };
    rows_more("a login", "session.created", &|| drop(user.session()));
    rows_more("a wrong password", "invalid_credentials", &|| {
        drop(user.login_with(json!({"password": "not-the-right-password"})).expect_status(401));
    });
    rows_more("an unknown address", "invalid_credentials", &|| {
        drop(user.login_with(json!({"email": "nobody@example.com"})).expect_status(401));
    });
    let first = user.session();
    let second = first.refreshed();
    rows_more("the grace", "grace", &|| drop(first.refreshed()));
    second.refreshed();
    rows_more("a reuse", "refresh_token_reused", &|| drop(first.refresh().expect_status(401)));
    rows_more("an unknown key", "invalid_api_key", &|| {
        drop(key.forged("jtn_live_00000000000000000000000000000000").exchange().expect_status(401));
    });
    rows_more("a scope too many", "insufficient_scope", &|| {
        drop(key.exchange_for(json!({"scope": "a:c"})).expect_status(403));
    });

    let told = format!("{:?}", jeton.audit());
    for secret in [&*user.password, "not-the-right-password", &first.refresh_token, &key.key, "jtn_live_0000"] {
        assert!(!told.contains(secret), "no credential in any log: {secret}");
    }
}

#[both_databases]
fn what_a_user_may_not_manage_has_a_row_of_each_reason_a_minute(jeton: Jeton) {
    let (tenant, other) = (jeton.tenant(), jeton.tenant());
    let user = tenant.user("member");
    let session = user.session();
    let list = |tenant: &Tenant| session.call("GET", tenant.path("api-keys"));
    let rows = || jeton.audit().into_iter().filter(|row| row.action == "session.refused").collect::<Vec<_>>();
    for _ in 0..3 {
        list(&tenant).send().expect_problem(403, "insufficient_scope");
        session.call("GET", "/api/v1/tenants").send().expect_problem(403, "insufficient_scope");
        list(&other).send().expect_problem(403, "tenant_mismatch");
        list(&tenant).tenant(&other.id).send().expect_problem(403, "tenant_mismatch");
    }
    until("they are recorded", || rows().len() == 2);
    let outcomes: BTreeSet<_> = rows().into_iter().map(|row| row.outcome).collect();
    assert_eq!(outcomes, ["insufficient_scope", "tenant_mismatch"].map(str::to_owned).into());
    let (actor, target) = (format!("user:{}", user.id), Some(format!("session:{}", session.id())));
    assert!(rows().iter().all(|row| row.actor == actor && row.target == target), "{:#?}", rows());
    let listed = |tenant: &Tenant| {
        tenant.admin().get(tenant.path("audit-events?action=session.refused")).expect_status(200).items().len()
    };
    assert_eq!([listed(&tenant), listed(&other)], [2, 0], "nobody writes into the log of another tenant");

    jeton.advance(Duration::from_secs(61));
    list(&tenant).send().expect_problem(403, "insufficient_scope");
    until("another minute", || rows().len() == 3);
}

#[both_databases]
fn what_a_key_may_not_manage_has_a_row_and_is_counted(jeton: Jeton) {
    let jeton = with_profile(jeton, PROFILE);
    let (tenant, other) = (jeton.tenant(), jeton.tenant());
    let key = tenant.api_key_with(json!({"access_type": "wide", "scopes": ["api-keys:read"]}));
    let token = key.token();
    let call = |method: &str, path: &str| jeton.client().call(method, path).bearer(&token).send();
    call("DELETE", &key.path()).expect_problem(403, "insufficient_scope");
    call("GET", &other.path("api-keys")).expect_problem(403, "tenant_mismatch");
    call("GET", "/api/v1/tenants").expect_problem(403, "access_type_not_allowed");
    let rows = || jeton.audit().into_iter().filter(|row| row.action == "api_key.refused").collect::<Vec<_>>();
    until("they are recorded", || rows().len() == 3);
    let name = format!("api-key:{}", key.id);
    assert!(rows().iter().all(|row| row.actor == name && row.target.as_ref() == Some(&name)), "{:#?}", rows());
    let outcomes: BTreeSet<_> = rows().into_iter().map(|row| row.outcome).collect();
    let expected = ["access_type_not_allowed", "insufficient_scope", "tenant_mismatch"];
    assert_eq!(outcomes, expected.map(str::to_owned).into());
    jeton.restart();
    let usage = tenant.admin().session().call("GET", format!("{}/usage", key.path())).send().expect_status(200);
    let refusals = json!({"access_type_not_allowed": 1, "insufficient_scope": 1, "tenant_mismatch": 1});
    assert_eq!(usage.json()["refusals"], refusals);
}

#[both_databases]
fn a_refresh_or_an_exchange_that_succeeds_has_no_row(jeton: Jeton) {
    let tenant = jeton.tenant();
    let key = tenant.api_key([]);
    let session = tenant.user("member").session();
    let before = jeton.audit().len();
    session.refreshed().refreshed();
    key.exchange().expect_tokens();
    assert_eq!(jeton.audit().len(), before);
}

#[both_databases]
fn a_refused_change_changes_nothing_and_says_no_success(jeton: Jeton) {
    let tenant = jeton.tenant();
    tenant.admin().token();
    let before = jeton.audit().iter().filter(|row| row.outcome == "success").count();
    tenant.admin().create_api_key(json!({"scopes": ["goals"]})).expect_status(422);
    tenant.user("member").post(tenant.path("api-keys"), json!({"name": "x"})).expect_status(403);
    let after = jeton.audit().iter().filter(|row| row.outcome == "success").count();
    assert_eq!(after, before + 2, "the user that was made, and its login");
}

#[both_databases]
fn the_audit_log_has_the_newest_first_and_can_be_filtered(jeton: Jeton) {
    let tenant = jeton.tenant();
    let admin = tenant.admin();
    let key = tenant.api_key([]);
    let between = jeton.in_seconds(1);
    jeton.advance(std::time::Duration::from_secs(2));
    admin.revoke(&key).expect_status(204);

    let read =
        |query: &str| admin.get(tenant.path(&format!("audit-events?limit=100{query}"))).expect_status(200).items();
    let all = read("");
    let times: Vec<_> =
        all.iter().map(|event| chrono::DateTime::parse_from_rfc3339(event["at"].as_str().unwrap()).unwrap()).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older), "newest first: {times:?}");
    assert!(all.len() >= 3, "{all:#?}");

    let target = format!("api-key:{}", key.id);
    let of_the_key: Vec<_> = all.iter().filter(|event| event["target"] == target).collect();
    assert_eq!(of_the_key.len(), 2, "one row for each change: {all:#?}");
    let revoked = of_the_key[0];
    assert_eq!((&revoked["outcome"], &revoked["ip"]), (&json!("success"), &json!("127.0.0.1")));
    assert_eq!(revoked["actor"], format!("user:{}", admin.id));

    let action = revoked["action"].as_str().unwrap();
    assert_eq!(read(&format!("&action={action}")), std::slice::from_ref(revoked));
    assert!(read(&format!("&actor=user:{}", admin.id)).iter().all(|event| event["actor"] == revoked["actor"]));
    assert!(read("&actor=nobody").is_empty());
    let since: Vec<_> = read(&format!("&since={between}"));
    let until: Vec<_> = read(&format!("&until={between}"));
    assert_eq!(since.len() + until.len(), all.len());
    assert!(since.contains(revoked) && !until.contains(revoked));
    admin.get(tenant.path("audit-events?since=yesterday")).expect_problem(422, "validation_failed");
}

#[both_databases]
fn the_audit_log_comes_in_pages(jeton: Jeton) {
    let tenant = jeton.tenant();
    for _ in 0..5 {
        tenant.api_key([]);
    }
    let admin = tenant.admin();
    let all = admin.get(tenant.path("audit-events?limit=100")).expect_status(200).items();
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = admin.get(tenant.path(&format!("audit-events?limit=3{cursor}"))).expect_status(200);
        paged.extend(page.items());
        let Some(next) = page.json()["next_cursor"].as_str().map(ToOwned::to_owned) else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(paged, all);
}

#[both_databases]
fn the_audit_log_of_another_tenant_is_not_shown(jeton: Jeton) {
    let (tenant, other) = (jeton.tenant(), jeton.tenant());
    other.api_key([]);
    tenant.api_key([]);
    tenant.admin().get(other.path("audit-events")).expect_problem(403, "tenant_mismatch");
    let events = tenant.admin().get(tenant.path("audit-events?limit=100")).expect_status(200).items();
    assert!(events.iter().all(|event| event["tenant_id"] == *tenant.id), "{events:#?}");
}

/// Refusals are written down many at a time.
#[both_databases]
fn a_line_that_cannot_be_written_takes_no_other_with_it_and_is_counted(jeton: Jeton) {
    let key = jeton.tenant().api_key([]);
    jeton.execute(match jeton.database() {
        Database::Sqlite => {
            "CREATE TRIGGER injected BEFORE INSERT ON audit_events WHEN NEW.user_agent = 'unwritable'
             BEGIN SELECT RAISE(ABORT, 'injected'); END"
        }
        Database::Postgres { .. } => {
            "CREATE FUNCTION injected() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'injected'; END $$;
             CREATE TRIGGER injected BEFORE INSERT ON audit_events FOR EACH ROW
             WHEN (NEW.user_agent = 'unwritable') EXECUTE FUNCTION injected()"
        }
    });
    let strange = |number: usize| key.forged(format!("jtn_live_{number:032x}"));
    let metrics = Client::new(&jeton.server(|server| server.metrics.clone()));
    let dropped = |lines: usize| {
        let text = String::from_utf8(metrics.get("/metrics").send().body).unwrap();
        text.lines().any(|line| line == format!("jeton_audit_lines_dropped_total {lines}"))
    };
    assert!(dropped(0), "there from the start");

    let mut holder = jeton.hold_audit();
    at_once(24, |number| strange(number).exchange().expect_status(401));
    strange(24).ask().header("User-Agent", "unwritable").send().expect_status(401);
    at_once(24, |number| strange(number + 25).exchange().expect_status(401));
    holder.batch_execute("ROLLBACK").unwrap();
    until("all others are recorded", || jeton.audited("api_key.refused") == 48);
    until("it is counted", || dropped(1));
}
