//! `/console/keys`: the API keys of a tenant.

mod chart;
pub mod create;
mod created;
mod example;
pub mod list;
mod offer;
pub mod revoke;
pub mod rotate;
pub mod show;
mod usage;
