//! As many rows as it takes for a database to see that a table is large.

use crate::harness::{Database, Jeton};

/// Fills the tables that grow: some thousand tenants with their people, keys and sessions, and what became of them.
pub fn grow(jeton: &Jeton) {
    let padded = |what: &str, width: u32| match jeton.database() {
        Database::Sqlite => format!("CAST(printf('%0{width}d', {what}) AS BLOB)"),
        Database::Postgres { .. } => format!("convert_to(lpad(({what})::text, {width}, '0'), 'UTF8')"),
    };
    let (n, tenant, user) = (padded("n", 16), padded("n % 3000", 16), padded("n % 5000", 16));
    let (bytes, few) = (padded("n", 32), padded("n % 60", 16));
    let far = "4000000000000000 + n";
    for (count, into, values) in [
        (3_000, "tenants (id, name, project_token, created_at)", format!("{n}, 'Tenant', 'token ' || n, n")),
        (
            5_000,
            "users (id, email, password_hash, operator, created_at, password_changed_at)",
            format!("{n}, 'user' || n || '@example.net', 'hash', false, n, n"),
        ),
        (5_000, "memberships (tenant_id, user_id, role, created_at)", format!("{tenant}, {n}, 'member', n")),
        (
            20_000,
            "sessions (id, user_id, tenant_id, generation, grace_uses, created_at, rotated_at, expires_at, ends_at,
             revoked_at, status_index, user_agent)",
            format!(
                "{n}, {user}, {tenant}, 1, 0, n, n, {far}, {far}, CASE WHEN n % 9 = 0 THEN n END, 1000000 + n,
                 'A browser of some length'"
            ),
        ),
        (
            20_000,
            "api_keys (id, tenant_id, name, key_hash, hint, environment, scopes, allowed_ips, created_at, created_by,
             expires_at, revoked_at, status_index)",
            format!(
                "{n}, {tenant}, 'Key', {bytes}, 'abcd', 'live', 'a:b c:d', '', n, 'cli',
                 CASE WHEN n % 5 = 0 THEN {far} END, CASE WHEN n % 9 = 0 THEN n END, 2000000 + n"
            ),
        ),
        (
            60_000,
            "audit_events (id, at, tenant_id, action, outcome, actor, chain, sequence, link)",
            format!("{n}, n, {few}, 'action' || (n % 30), 'success', 'user:' || (n % 5000), {tenant}, n, {bytes}"),
        ),
        (3_000, "audit_chains (id, sequence, link, forgotten, signed)", format!("{n}, 9, {bytes}, 0, 9")),
        (5_000, "audit_checkpoints (number, token, created_at)", "100000 + n, 'x', n".to_owned()),
        (
            20_000,
            "api_key_callers (api_key_id, secret, ip, user_agent, times, last_seen_at)",
            format!("{n}, n, '2001:db8::1', 'A program', 1, n"),
        ),
        (20_000, "api_key_usage (api_key_id, day, outcome, times)", format!("{n}, 20000 + n % 397, 'success', 1")),
        (20_000, "api_key_scope_usage (api_key_id, day, scope, times)", format!("{n}, 20000 + n % 397, 'a:b', 1")),
        (
            5_000,
            "idempotency_records (tenant_id, key_hash, request_hash, sealed_answer, created_at, expires_at, \
            master_key)",
            format!("{tenant}, {bytes}, {bytes}, {bytes}, n, {far}, (SELECT max(id) FROM master_keys)"),
        ),
        (5_000, "login_failures (subject, device, count, first_at, last_at)", format!("{bytes}, {n}, 1, n, n")),
        (20_000, "ended_statuses (status_index, ended_at)", "3000000 + n, n".to_owned()),
        (
            5_000,
            "key_groups (id, tenant_id, name, scopes, created_at, created_by)",
            format!("{n}, {tenant}, 'Group', 'a:b', n, 'cli'"),
        ),
        (
            5_000,
            "app_identifiers (id, tenant_id, name, created_at, created_by)",
            format!("{n}, {tenant}, 'App', n, 'cli'"),
        ),
        (
            5_000,
            "trusted_issuers (id, tenant_id, name, issuer, audience, conditions, scopes, created_at, \
            created_by, status_index)",
            format!("{n}, {tenant}, 'CI', 'https://ci' || (n % 50), 'api', '{{}}', 'a:b', n, 'cli', 4000000 + n"),
        ),
    ] {
        jeton.execute(&format!(
            "INSERT INTO {into} WITH RECURSIVE numbers (n) AS
                 (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count} - 1)
             SELECT {values} FROM numbers"
        ));
    }
}
