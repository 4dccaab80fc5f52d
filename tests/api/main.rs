//! The contract, sentence by sentence, against the real binary on SQLite and on PostgreSQL.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a test fails by panicking, and owns the server that it talks to"
)]

mod account;
mod api_key_limits;
mod api_keys;
mod audit;
mod audit_chain;
mod backup;
mod bad_input;
mod broken_tables;
mod callers;
mod cli;
mod configuration;
mod console;
mod cookies;
mod damaged_keys;
mod deadlines;
mod durability;
mod exchange;
mod exhaustion;
mod faults;
mod forward_auth;
mod harness;
mod hostile_tokens;
mod introspect;
mod key_files;
mod large_tenants;
mod login;
mod management;
mod master_keys;
mod metadata;
mod notices;
mod oauth;
mod oauth_revoke;
mod one_time_passwords;
mod profiles;
mod query_plans;
mod races;
mod refresh;
mod resets;
mod revocations;
mod routes;
mod session_end;
mod several_servers;
mod signing_keys;
mod startup;
mod sweep;
mod telemetry;
mod throttling;
mod tls;
mod trusted_issuers;
mod usage;
mod workload;
mod workload_audit;
mod workload_keys;
mod workload_tokens;
mod year;
