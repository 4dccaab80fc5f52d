//! The published keys and what clients may know of this server (contract section 4.5).

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, ContentType, ETAG, IF_NONE_MATCH};
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

use super::oauth::TOKEN_EXCHANGE;
use crate::app::App;
use crate::domain::{Algorithm, Refusal};
use crate::tokens::keyring::Keys;

/// RFC 8414 section 2.
#[derive(Serialize, ToSchema)]
pub struct Discovery<'a> {
    issuer: &'a str,
    token_endpoint: String,
    jwks_uri: String,
    grant_types_supported: [&'static str; 3],
    response_types_supported: [&'static str; 0],
    subject_types_supported: [&'static str; 1],
    token_endpoint_auth_methods_supported: [&'static str; 3],
    revocation_endpoint: String,
    revocation_endpoint_auth_methods_supported: [&'static str; 3],
    introspection_endpoint: String,
    introspection_endpoint_auth_methods_supported: [&'static str; 3],
    status_list_aggregation_endpoint: String,
    id_token_signing_alg_values_supported: Vec<&'static str>,
    service_documentation: String,
}

/// The public keys (RFC 7517), out of memory: they are there while the database is not.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "metadata",
    responses(
        (status = 200, description = "The JWK Set"),
        (status = 304, description = "You have it"),
        (status = 503, description = "All keys that this server has were revoked")
    )
)]
pub async fn jwks(app: Data<App>, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let keys = app.keyring.keys();
    let jwks = keys.jwks().ok_or(Refusal::Unavailable)?;
    let max_age = app.config.jwks.max_age.num_seconds();
    // A cache that uses what is stale too is done with it well before a new key signs, at twice the age.
    let stale = max_age / 2;
    let cache = format!("public, max-age={max_age}, stale-while-revalidate={stale}");
    Ok(unless_known(&request, &jwks.etag, &cache, "application/jwk-set+json", &jwks.body))
}

/// A document, or 304 for whoever has it (RFC 9110 section 13.1.2).
pub(super) fn unless_known(request: &HttpRequest, etag: &str, cache: &str, kind: &str, body: &Bytes) -> HttpResponse {
    let known = request.headers().get_all(IF_NONE_MATCH).filter_map(|value| value.to_str().ok());
    let is_known = known.flat_map(|list| list.split(',')).any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
    });
    let mut answer = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    answer.insert_header((ETAG, etag)).insert_header((CACHE_CONTROL, cache));
    if is_known {
        return answer.finish();
    }
    answer.insert_header((CONTENT_TYPE, kind)).body(body.clone())
}

/// What this authorization server offers (RFC 8414).
#[utoipa::path(
    get, path = "/.well-known/oauth-authorization-server", tag = "metadata",
    responses((status = 200, description = "The metadata", body = Discovery))
)]
pub async fn discovery(app: Data<App>) -> HttpResponse {
    let max_age = app.config.jwks.max_age.num_seconds();
    let keys = app.keyring.keys();
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, format!("public, max-age={max_age}")))
        .insert_header(ContentType::json())
        .body(keys.discovery(|| document(&app, &keys)))
}

fn document(app: &App, keys: &Keys) -> Bytes {
    let issuer = app.config.server.public_url.issuer();
    let base = issuer.trim_end_matches('/');
    // Those in use, and those that still sign for them.
    let algorithms = &app.config.algorithms() | &keys.algorithms();
    let document = Discovery {
        issuer,
        token_endpoint: format!("{base}/oauth2/token"),
        jwks_uri: format!("{base}/.well-known/jwks.json"),
        grant_types_supported: ["client_credentials", "refresh_token", TOKEN_EXCHANGE],
        response_types_supported: [],
        subject_types_supported: ["public"],
        token_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post", "none"],
        revocation_endpoint: format!("{base}/oauth2/revoke"),
        revocation_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post", "none"],
        introspection_endpoint: format!("{base}/oauth2/introspect"),
        // The last is of the registry of access token types, which RFC 8414 section 2 admits here.
        introspection_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post", "Bearer"],
        status_list_aggregation_endpoint: format!("{base}/.well-known/status-lists"),
        id_token_signing_alg_values_supported: algorithms.into_iter().map(Algorithm::as_str).collect(),
        service_documentation: format!("{base}/docs"),
    };
    serde_json::to_vec(&document).unwrap_or_default().into()
}

/// The same of an issuer whose URL has a path: that stands behind the rest (RFC 8414 section 3.1).
#[utoipa::path(
    get, path = "/.well-known/oauth-authorization-server/{path}", tag = "metadata",
    params(("path" = String, Path, description = "The path of the issuer")),
    responses((status = 200, description = "The metadata", body = Discovery))
)]
pub async fn discovery_of_path(app: Data<App>, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let asked = request.path().strip_prefix("/.well-known/oauth-authorization-server");
    if asked == Some(app.config.server.public_url.path()) { Ok(discovery(app).await) } else { Err(Refusal::NotFound) }
}

/// The same, where OIDC clients look for it.
#[utoipa::path(
    get, path = "/.well-known/openid-configuration", tag = "metadata",
    responses((status = 200, description = "The metadata", body = Discovery))
)]
pub async fn openid_configuration(app: Data<App>) -> HttpResponse {
    discovery(app).await
}
