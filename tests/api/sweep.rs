//! What has ended long ago is forgotten, however far the database is away and whatever else cannot be (OPERATIONS.md,
//! Retention).

use std::time::Duration;

use jeton_test_macros::both_databases;
use serde_json::json;

use crate::deadlines::Slow;
use crate::exhaustion::until;
use crate::harness::{Jeton, Server};

/// More than one batch.
const MANY: i64 = 700;

/// Where each row had a journey of its own, no batch was done in the time that it has.
#[test]
fn full_batches_are_forgotten_over_a_long_way() {
    let Some(jeton) = Jeton::on_postgres() else { return };
    let slow = Slow::before(&jeton);
    let tenant = jeton.tenant();
    tenant.api_key([]);
    tenant.user("member").session();
    let bytes = "convert_to(lpad(n::text, 16, '0'), 'UTF8')";
    let filled = [
        format!(
            "idempotency_records (tenant_id, key_hash, request_hash, sealed_answer, created_at, expires_at)
                 SELECT id, {bytes}, '', '', 0, 1 FROM tenants"
        ),
        format!("login_failures (subject, device, count, first_at, last_at) SELECT {bytes}, '', 1, 0, n FROM tenants"),
        "ended_statuses (status_index, ended_at) SELECT 5000000 + n, 1 FROM tenants".to_owned(),
        format!(
            "sessions (id, user_id, tenant_id, generation, grace_uses, created_at, rotated_at, expires_at, ends_at,
                           status_index)
                 SELECT {bytes}, user_id, tenant_id, 0, 0, 0, 0, 1, 1, 6000000 + n
                 FROM (SELECT * FROM memberships LIMIT 1) AS one"
        ),
        "api_key_usage (api_key_id, day, outcome, times) SELECT id, n, 'exchanged', 1 FROM api_keys".to_owned(),
        "api_key_scope_usage (api_key_id, day, scope, times) SELECT id, 1, n::text, 1 FROM api_keys".to_owned(),
        "api_key_callers (api_key_id, secret, ip, user_agent, times, last_seen_at)
         SELECT id, n, '', '', 1, n FROM api_keys"
            .to_owned(),
    ];
    for rows in &filled {
        jeton.execute(&format!("INSERT INTO {rows} CROSS JOIN generate_series(1, {MANY}) AS numbers (n)"));
    }
    slow.journeys_take(10);
    jeton.restart();
    for rows in &filled {
        let (table, _) = rows.split_once(' ').unwrap();
        until(&format!("{table} is swept"), || jeton.rows(table) < MANY / 2);
    }
}

#[both_databases]
fn what_cannot_be_forgotten_keeps_nothing_else(jeton: Jeton) {
    let tenant = jeton.tenant();
    let admin = tenant.admin();
    let create = admin.call("POST", tenant.path("api-keys")).header("Idempotency-Key", "kept");
    create.json(json!({"name": "Key"})).expect_status(201);
    tenant.user("member").session();
    jeton.break_writes("idempotency_records", "DELETE");
    // Longer than a session is remembered.
    jeton.advance(Duration::from_hours(24 * 98));
    jeton.restart();
    until("the sessions are forgotten", || jeton.rows("sessions") == 0);
    assert_eq!(jeton.rows("idempotency_records"), 1);
    until("what is not is told", || jeton.server(Server::log).iter().any(|line| line.contains("is not forgotten yet")));
}
