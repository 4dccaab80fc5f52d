//! The profile's language: what a TOML file says, before it is known whether it makes sense (docs/PROFILES.md).

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use toml::value::Datetime;

use super::key_location::{KeyForm, KeyLocation};
use crate::domain::key_format::{Alphabet, Environment, KeyPrefix};

/// A whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProfileFile {
    pub name: String,
    #[serde(default)]
    pub description: String,
    pub key: KeyTable,
    #[serde(default)]
    pub tenant: TenantTable,
    /// Absent: any well-formed scope may be given to a key.
    pub scopes: Option<BTreeMap<String, ScopeRow>>,
    #[serde(default)]
    pub roles: BTreeMap<String, RoleRow>,
    #[serde(default)]
    pub access_types: BTreeMap<String, AccessTypeRow>,
    #[serde(default)]
    pub limits: LimitsTable,
    #[serde(default)]
    pub plans: Vec<PlanRow>,
    #[serde(default)]
    pub endpoints: Vec<EndpointRow>,
    #[serde(default)]
    pub console: ConsoleTable,
}

/// What the console offers of what not every product has.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsoleTable {
    /// Key groups.
    pub key_groups: bool,
    /// App identifiers.
    pub app_identifiers: bool,
}

impl Default for ConsoleTable {
    fn default() -> Self {
        Self { key_groups: true, app_identifiers: true }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyTable {
    pub prefix: KeyPrefix,
    #[serde(default = "live_and_test")]
    pub environments: Vec<Environment>,
    #[serde(default)]
    pub alphabet: Alphabet,
    #[serde(default)]
    pub form: KeyForm,
    #[serde(default = "bearer")]
    pub read_from: Vec<KeyLocation>,
    #[serde(default)]
    pub required: Vec<RequiredMember>,
    #[serde(default)]
    pub deprecated: Vec<DeprecatedRow>,
}

/// A member that the request for a new key must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequiredMember {
    /// Whom to ask about it.
    ContactEmail,
    /// When it ends by itself.
    ExpiresAt,
    /// From where it may be used.
    AllowedIps,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeprecatedRow {
    pub query: Option<String>,
    pub body: Option<String>,
    #[serde(default)]
    pub enabled: bool,
    pub since: Datetime,
    pub sunset: Datetime,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantTable {
    #[serde(default)]
    pub locator: TenantLocator,
}

/// Where a request to the product's API names its tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TenantLocator {
    /// In the header `X-Tenant-ID`, on every call.
    #[default]
    Header,
    /// In the path, as `{tenant_id}` or `{project_token}`.
    Path,
    /// Nowhere: the key is one tenant's.
    Key,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScopeRow {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub resource: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub roles: Vec<String>,
    pub access_types: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleRow {
    #[serde(default)]
    pub management: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccessTypeRow {
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub management: bool,
    #[serde(default)]
    pub constraints: Vec<String>,
    pub form: Option<KeyForm>,
    pub read_from: Option<Vec<KeyLocation>>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsTable {
    pub keys_per_tenant: Option<u32>,
    pub requests_per_minute: Option<NonZeroU32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanRow {
    pub name: String,
    pub title: String,
    #[serde(default = "yes")]
    pub api_keys: bool,
    pub keys_per_tenant: Option<u32>,
    pub requests_per_minute: Option<NonZeroU32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndpointRow {
    pub method: Methods,
    pub path: String,
    pub scope: Option<String>,
    pub access_types: Option<Vec<String>>,
}

/// One method, several, or `*` for all that a table may name.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Methods {
    One(String),
    Several(Vec<String>),
}

fn live_and_test() -> Vec<Environment> {
    ["live", "test"].iter().filter_map(|name| name.parse().ok()).collect()
}

fn bearer() -> Vec<KeyLocation> {
    vec![KeyLocation::Bearer]
}

fn yes() -> bool {
    true
}
