//! A `curl` line with a key in its place: for an endpoint of the product that the key may call, else for an exchange.

use crate::app::App;
use crate::domain::Tenant;
use crate::domain::api_key::ApiKey;
use crate::domain::original_request::Method;
use crate::profile::TenantLocator;
use crate::profile::endpoints::Endpoint;
use crate::profile::key_location::KeyLocation;
use crate::profile::pattern::Segment;

/// Stands for the address of the product's own API.
pub const PRODUCT: &str = "https://api.example.com";

/// The line.
pub fn call(app: &App, tenant: &Tenant, key: &ApiKey, secret: &str) -> String {
    let endpoint = app.profile.endpoints.iter().filter(|row| is_open(row, key)).min_by_key(|row| !reads(row));
    let (method, path) = match endpoint {
        Some(row) => (if reads(row) { "GET" } else { name(row) }, path(row, tenant)),
        None => ("POST", "/api/v1/auth/exchange".to_owned()),
    };
    // Where the product is, nobody has told us; an exchange is ours.
    let url = if endpoint.is_some() { PRODUCT } else { app.config.server.public_url.issuer().trim_end_matches('/') };
    let credential = match app.profile.read_from(key.access_type.as_ref()).first() {
        Some(KeyLocation::Token) => format!("-H 'Authorization: Token {secret}'"),
        Some(KeyLocation::Basic) => format!("-u '{}:{secret}'", key.id),
        Some(KeyLocation::Header(header)) => format!("-H '{}: {secret}'", header.name()),
        Some(KeyLocation::Bearer) | None => format!("-H 'Authorization: Bearer {secret}'"),
    };
    // An exchange is asked for a tenant, whatever the product's own endpoints do.
    let names_tenant = app.profile.locator == TenantLocator::Header || endpoint.is_none();
    let tenant = names_tenant.then(|| format!("-H 'X-Tenant-ID: {}'", tenant.id));
    let first = format!("curl -X {method} '{url}{path}'");
    [first, credential].into_iter().chain(tenant).collect::<Vec<_>>().join(" \\\n  ")
}

fn is_open(row: &Endpoint, key: &ApiKey) -> bool {
    let has_scope = row.scope.as_ref().is_none_or(|scope| key.scopes.contains(scope.as_str()));
    let types = row.access_types.as_ref();
    has_scope && types.is_none_or(|types| key.access_type.as_ref().is_some_and(|known| types.contains(known)))
}

fn reads(row: &Endpoint) -> bool {
    row.methods.contains(&Method::Get)
}

fn name(row: &Endpoint) -> &'static str {
    match row.methods.first() {
        Some(Method::Put) => "PUT",
        Some(Method::Patch) => "PATCH",
        Some(Method::Delete) => "DELETE",
        _ => "POST",
    }
}

/// The path with what is known of the tenant, and `1` for what is not known.
fn path(row: &Endpoint, tenant: &Tenant) -> String {
    let segments = row.path.segments.iter().map(|segment| match segment {
        Segment::Literal(text) => format!("/{text}"),
        Segment::Parameter(name) if name == "tenant_id" => format!("/{}", tenant.id),
        Segment::Parameter(name) if name == "project_token" => format!("/{}", tenant.project_token),
        Segment::Parameter(_) => "/1".to_owned(),
    });
    segments.collect()
}
