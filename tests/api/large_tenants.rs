//! Tenants of very many sessions: no statement takes as long as they are many, and nothing is lost between the batches
//! (ADR 27; contract 3, rule 4).

use std::{thread, time::Duration};

use jeton_test_macros::both_databases;
use serde_json::json;

use crate::harness::{Answer, Database, Jeton, Tenant, User};

/// Sessions of a crowd: with [`slow`] more than one statement of PostgreSQL has time for.
const MANY: i64 = 12_000;

/// The place in the status lists of the first of a crowd.
const FIRST: i64 = 5_000_000;

#[both_databases]
fn a_tenant_of_very_many_sessions_is_suspended_and_resumed(jeton: Jeton) {
    let (tenant, user, operator) = crowd(&jeton);
    let session = user.session();
    slow(&jeton);

    operator.call("POST", tenant.path("suspend")).send().expect_status(200);
    expect_all_dead(&jeton, &tenant);
    assert_eq!(jeton.audited("tenant.suspended"), 1);
    user.login().expect_problem(403, "tenant_suspended");

    operator.call("POST", tenant.path("resume")).send().expect_status(200);
    session.refresh().expect_status(401);
    user.session().refreshed();
}

#[both_databases]
fn a_tenant_of_very_many_sessions_is_deleted(jeton: Jeton) {
    let (tenant, user, _) = crowd(&jeton);
    let session = user.session();
    slow(&jeton);

    jeton.cli(["tenant", "delete", &tenant.id]).expect_code(0);
    assert_eq!(jeton.rows(&format!("sessions WHERE tenant_id = {}", bytes(&jeton, &tenant.id))), 0);
    assert_eq!(jeton.rows(&format!("ended_statuses WHERE status_index >= {FIRST}")), MANY, "verifiers are told of all");
    assert_eq!(jeton.audited("tenant.deleted"), 1);
    session.refresh().expect_status(401);
    user.login().expect_problem(401, "invalid_credentials");
}

/// Keys, each with its callers and two secrets, members, and answers that are kept for another time.
#[both_databases]
fn a_tenant_of_very_many_keys_members_and_answers_is_deleted(jeton: Jeton) {
    let (tenant, operator) = (jeton.tenant(), jeton.operator());
    let other = jeton.tenant();
    let (key, theirs) = (other.api_key([]), other.user("member"));
    let body = json!({"name": "Kept"});
    let kept = other.admin().call("POST", other.path("api-keys")).header("Idempotency-Key", "kept").json(body.clone());
    let kept = kept.expect_status(201).text("id");
    let (keys, secrets) = (65, 2 * 65);
    fill(&jeton, &tenant, keys);
    let of =
        |table: &str, tenant: &Tenant| jeton.rows(&format!("{table} WHERE tenant_id = {}", bytes(&jeton, &tenant.id)));
    let tables = ["api_keys", "memberships", "idempotency_records"];
    assert!(
        tables.map(|table| of(table, &tenant)).iter().zip([keys, 2_500, 2_500]).all(|(rows, least)| *rows >= least)
    );
    let places = format!("ended_statuses WHERE status_index >= {FIRST}");

    jeton.break_writes_of("api_keys", "DELETE", &format!("OLD.status_index = {}", FIRST + 50));
    let path = format!("/api/v1/tenants/{}", tenant.id);
    let broken = operator.delete(&path);
    assert!(broken.status >= 500, "{}", broken.told());
    assert_eq!(
        (of("api_keys", &tenant), jeton.rows(&places)),
        (25, 80),
        "two batches of twenty, and nothing of a third"
    );
    jeton.mend_writes("api_keys");

    operator.delete(&path).expect_status(204);
    assert_eq!(tables.map(|table| of(table, &tenant)), [0; 3]);
    assert_eq!(jeton.rows(&places), secrets, "verifiers are told of both secrets of each key, once");
    assert_eq!(jeton.rows("api_key_usage WHERE day < 0"), 0);
    key.exchange().expect_tokens();
    theirs.session();
    let again = other.admin().call("POST", other.path("api-keys")).header("Idempotency-Key", "kept").json(body);
    assert_eq!(again.expect_status(201).text("id"), kept, "others lose nothing");
}

/// A server that was killed between two batches leaves no session behind that could come alive.
#[both_databases]
fn a_suspension_that_was_broken_off_is_finished_by_whatever_comes_next(jeton: Jeton) {
    for next in ["suspend", "resume"] {
        let (tenant, user, operator) = crowd(&jeton);
        jeton.break_writes_of("sessions", "UPDATE", &format!("OLD.status_index = {}", FIRST + MANY / 2));
        let broken = operator.call("POST", tenant.path("suspend")).send();
        assert!(broken.status >= 500, "{}", broken.told());
        user.login().expect_problem(403, "tenant_suspended");
        assert!(living(&jeton, &tenant) > 0, "it was broken off");
        jeton.mend_writes("sessions");

        operator.call("POST", tenant.path(next)).send().expect_status(200);
        expect_all_dead(&jeton, &tenant);
        assert_eq!(told_of(&jeton, "tenant.suspended", &tenant), 1, "{next}");
        operator.call("POST", tenant.path("resume")).send().expect_status(200);
        assert_eq!(told_of(&jeton, "tenant.resumed", &tenant), 1, "{next}");
        jeton.cli(["tenant", "delete", &tenant.id]).expect_code(0);
        jeton.execute("DELETE FROM ended_statuses");
    }
}

#[both_databases]
fn a_deletion_that_was_broken_off_lets_nobody_in_and_is_finished_by_the_next(jeton: Jeton) {
    let (tenant, user, operator) = crowd(&jeton);
    jeton.break_writes_of("sessions", "DELETE", &format!("OLD.status_index = {}", FIRST + MANY / 2));
    let path = format!("/api/v1/tenants/{}", tenant.id);
    let broken = operator.delete(&path);
    assert!(broken.status >= 500, "{}", broken.told());
    user.login().expect_problem(403, "tenant_suspended");
    jeton.mend_writes("sessions");

    operator.delete(&path).expect_status(204);
    operator.delete(&path).expect_problem(404, "not_found");
    for action in ["tenant.suspended", "tenant.deleted"] {
        assert_eq!(told_of(&jeton, action, &tenant), 1, "{action}");
    }
}

/// Who resumes it on another server meanwhile has all of the sessions ended before, and none that begin afterwards.
#[both_databases]
fn a_tenant_that_is_resumed_between_two_batches_has_none_of_its_old_sessions(jeton: Jeton) {
    let (tenant, user, operator) = crowd(&jeton);
    let old = user.session();
    slow(&jeton);
    let (_server, elsewhere) = jeton.second();
    let token = operator.token();
    let call = |verb: &str| elsewhere.post(tenant.path(verb)).bearer(token).send();
    thread::scope(|scope| {
        let suspended = scope.spawn(|| operator.call("POST", tenant.path("suspend")).send());
        while told_of(&jeton, "tenant.suspended", &tenant) == 0 && !suspended.is_finished() {
            thread::sleep(Duration::from_millis(5));
        }
        call("resume").expect_status(200);
        let new = user.session();
        expect_only_one_alive(&jeton, &tenant);
        suspended.join().unwrap().expect_status(200);
        old.refresh().expect_status(401);
        new.refreshed();
    });
}

/// While the batches of a large one go on, others are served, and nobody gets in there.
#[both_databases]
fn others_are_served_while_a_large_tenant_is_suspended(jeton: Jeton) {
    let (tenant, user, operator) = crowd(&jeton);
    let other = jeton.tenant().user("member");
    operator.token();
    slow(&jeton);
    thread::scope(|scope| {
        let suspended = scope.spawn(|| operator.call("POST", tenant.path("suspend")).send());
        let mut logins: Vec<Answer> = Vec::new();
        while !suspended.is_finished() {
            other.session().refreshed();
            logins.push(user.login());
        }
        suspended.join().unwrap().expect_status(200);
        expect_all_dead(&jeton, &tenant);
        let refused = logins.iter().skip_while(|login| login.status == 200);
        assert!(refused.into_iter().all(|login| login.status == 403), "nobody gets in after the first who did not");
    });
}

/// A tenant with very many living sessions, whose they are, and an operator.
fn crowd(jeton: &Jeton) -> (Tenant, User, User) {
    let (tenant, operator) = (jeton.tenant(), jeton.operator());
    let (user, id) = (tenant.user("member"), numbered(jeton));
    let far = 4_000_000_000_000_000_i64;
    jeton.execute(&format!(
        "INSERT INTO sessions (id, user_id, tenant_id, generation, grace_uses, created_at, rotated_at, expires_at,
                               ends_at, status_index)
         {} SELECT {id}, {}, {}, 0, 0, 0, 0, {far}, {far}, {FIRST} + n FROM numbers",
        numbers_below(MANY),
        bytes(jeton, &user.id),
        bytes(jeton, &tenant.id)
    ));
    (tenant, user, operator)
}

/// Gives a tenant keys of two secrets, each used on two days and by a caller, and 2,500 members and kept answers.
fn fill(jeton: &Jeton, tenant: &Tenant, keys: i64) {
    let (id, tenant) = (numbered(jeton), bytes(jeton, &tenant.id));
    let (few, many) = (numbers_below(keys), numbers_below(2_500));
    for filled in [
        format!(
            "api_keys (id, tenant_id, name, key_hash, hint, environment, scopes, allowed_ips, created_at, created_by,
                       status_index, previous_hash, previous_until, secret_changed_at, previous_status_index)
             {few} SELECT {id}, {tenant}, 'Many', {id}, 'abcd', 'live', '', '', 0, 'system', {FIRST} + n,
                          {id}, 1, 0, {FIRST} + 1000 + n FROM numbers"
        ),
        format!("api_key_usage (api_key_id, day, outcome, times) {few} SELECT {id}, -1, 'success', 1 FROM numbers"),
        format!("api_key_usage (api_key_id, day, outcome, times) {few} SELECT {id}, -2, 'success', 1 FROM numbers"),
        format!(
            "api_key_callers (api_key_id, secret, ip, user_agent, times, last_seen_at)
             {few} SELECT {id}, 0, '127.0.0.1', 'x', 1, 0 FROM numbers"
        ),
        format!(
            "users (id, email, password_hash, operator, created_at, password_changed_at)
             {many} SELECT {id}, 'numbered-' || n || '@example.com', 'x', FALSE, 0, 0 FROM numbers"
        ),
        format!(
            "memberships (tenant_id, user_id, role, created_at) {many} SELECT {tenant}, {id}, 'member', 0 FROM numbers"
        ),
        format!(
            "idempotency_records (tenant_id, key_hash, request_hash, sealed_answer, created_at, expires_at)
             {many} SELECT {tenant}, {id}, {id}, {id}, 0, 4000000000000000 FROM numbers"
        ),
    ] {
        jeton.execute(&format!("INSERT INTO {filled}"));
    }
}

/// The sixteen bytes of the number `n`.
fn numbered(jeton: &Jeton) -> &'static str {
    match jeton.database() {
        Database::Sqlite => "CAST(printf('%016d', n) AS BLOB)",
        Database::Postgres { .. } => "convert_to(lpad(n::text, 16, '0'), 'UTF8')",
    }
}

fn numbers_below(many: i64) -> String {
    format!("WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {many} - 1)")
}

/// From now on PostgreSQL takes more than two seconds for a crowd, and a fifth of one for a thousand. SQLite knows no
/// sleep.
fn slow(jeton: &Jeton) {
    if let Database::Postgres { .. } = jeton.database() {
        jeton.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 PERFORM pg_sleep(0.001); IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $$;
             CREATE TRIGGER slow BEFORE UPDATE OR DELETE ON sessions FOR EACH ROW WHEN (OLD.status_index % 5 = 0)
             EXECUTE FUNCTION slow()",
        );
    }
}

fn bytes(jeton: &Jeton, id: &str) -> String {
    let digits = id.replace('-', "");
    match jeton.database() {
        Database::Sqlite => format!("x'{digits}'"),
        Database::Postgres { .. } => format!("'\\x{digits}'::bytea"),
    }
}

fn living(jeton: &Jeton, tenant: &Tenant) -> i64 {
    jeton.rows(&format!("sessions WHERE revoked_at IS NULL AND tenant_id = {}", bytes(jeton, &tenant.id)))
}

#[track_caller]
fn expect_all_dead(jeton: &Jeton, tenant: &Tenant) {
    assert_eq!(living(jeton, tenant), 0);
}

#[track_caller]
fn expect_only_one_alive(jeton: &Jeton, tenant: &Tenant) {
    assert_eq!(living(jeton, tenant), 1);
}

/// How many rows of the audit log tell of this.
fn told_of(jeton: &Jeton, action: &str, tenant: &Tenant) -> i64 {
    jeton.rows(&format!("audit_events WHERE action = '{action}' AND target = 'tenant:{}'", tenant.id))
}
