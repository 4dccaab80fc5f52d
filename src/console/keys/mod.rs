//! `/console/keys`: the API keys of a tenant.

pub mod list;
