//! Jeton: a server that logs people in, exchanges API keys for short-lived scoped JWTs, and publishes the keys that
//! verify them.
//!
//! Three doors, [`routes`] (HTTP), `console` (a browser) and [`cli`], lead to one set of rules: [`grants`] turns a
//! credential into tokens, [`manage`] changes what is stored, each under its rules and with its audit row. Both work on
//! [`app::App`], which holds the [`db`], the [`tokens`] machinery, the clock and the randomness. [`domain`] is what the
//! words mean.
//!
//! Where a line of code lives, the first that fits: it names an HTTP status for an error: [`error`]. It names a table:
//! [`db`]. It can be decided from values alone: [`domain`]. It signs, verifies, hashes or encrypts: [`tokens`]. It
//! reads what the profile says: [`profile`]. It turns a credential into tokens: [`grants`]. It changes what is stored:
//! [`manage`]. Only one door needs it: there.

pub mod app;
mod background;
pub mod cli;
pub mod clock;
pub mod config;
mod console;
pub mod db;
pub mod deadline;
pub mod domain;
pub mod error;
pub mod extract;
pub mod foreign_keys;
pub mod grants;
#[cfg(any(test, feature = "laws"))]
pub mod laws;
pub mod limits;
pub mod manage;
pub mod metrics;
pub mod profile;
pub mod random;
mod route_table;
pub mod routes;
pub mod server;
pub mod status_indexes;
pub mod telemetry;
pub mod tls;
pub mod tokens;
pub mod usage;
mod welcome;
