//! `/api/v1/auth/forward`: a proxy asks whether a request may pass (contract section 4.4).

use std::fmt::Write as _;

use actix_web::http::Method as HttpMethod;
use actix_web::http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::exchange::unstored;
use crate::app::App;
use crate::domain::object_members::ObjectMembers;
use crate::domain::{Refusal, Timestamp};
use crate::extract::client::Client;
use crate::extract::credential::{Elsewhere, Presented};
use crate::extract::json::members;
use crate::extract::original_request::OriginalRequest;
use crate::extract::tenant::{X_TENANT_ID, tenant};
use crate::grants::forward_auth::{self as grant, Authorized, ForwardRequest};
use crate::profile::TenantLocator;
use crate::profile::key_location::{DeprecatedLocation, OldLocation};
use crate::route_table::method_not_allowed;

/// The path, behind which Envoy appends that of the original request.
pub const PATH: &str = "/api/v1/auth/forward";

/// Status and problem document of a refusal once more as headers, for nginx drops the body that comes with them.
const X_AUTH_STATUS: HeaderName = HeaderName::from_static("x-auth-status");
const X_AUTH_PROBLEM: HeaderName = HeaderName::from_static("x-auth-problem");

/// Tells a proxy whether a request may pass, and what to pass on with it. It may be asked with any method.
#[utoipa::path(
    get, path = "/api/v1/auth/forward", tag = "exchange", security(("api_key" = []), ("bearer" = []), ("basic" = [])),
    params(
        ("X-Original-Method" = Option<String>, Header, description = "With X-Original-URI; or X-Forwarded-Method and X-Forwarded-Uri"),
        ("X-Original-URI" = Option<String>, Header), ("X-Forwarded-Method" = Option<String>, Header),
        ("X-Forwarded-Uri" = Option<String>, Header), ("X-Tenant-ID" = Option<String>, Header)
    ),
    responses((
        status = 200, description = "It may",
        headers(
            ("Authorization" = String, description = "`Bearer` and the access token"), ("X-Tenant-ID" = String),
            ("X-Auth-Subject" = String), ("X-Auth-Scope" = String)
        )
    ))
)]
pub async fn authorize(
    app: Data<App>,
    request: HttpRequest,
    Client(client): Client,
    payload: Payload,
) -> Result<HttpResponse, Refusal> {
    ensure_proxy(&request, &app)?;
    if request.method() == HttpMethod::TRACE {
        return Ok(method_not_allowed(&["get", "post", "put", "patch", "delete", "options"]));
    }
    let OriginalRequest { method, path, query } = OriginalRequest::of(&request, PATH)?;
    let tenant = tenant(&request, app.profile.locator == TenantLocator::Header)?;
    let now = app.now();
    let body = body(&request, &app, payload, now).await?;
    let elsewhere = Elsewhere { query: &query, body: body.as_ref() };
    let Presented { credential, deprecated } = Presented::of(&request, &app, &elsewhere, now)?;
    let authorized = grant::authorize(&app, ForwardRequest { credential, method, path, tenant, client }).await?;
    Ok(answer(authorized, deprecated))
}

/// Whoever asks is told what a key may do, and is believed about the original request.
fn ensure_proxy(request: &HttpRequest, app: &App) -> Result<(), Refusal> {
    let peer = request.peer_addr().map(|address| address.ip().to_canonical()).ok_or(Refusal::ProxyNotTrusted)?;
    let trusted = app.config.server.trusted_proxies.iter().any(|network| network.contains(&peer));
    if trusted || peer.is_loopback() { Ok(()) } else { Err(Refusal::ProxyNotTrusted) }
}

/// The body is read where a key may stand in it, and the proxy sends it along.
async fn body(
    request: &HttpRequest,
    app: &App,
    payload: Payload,
    now: Timestamp,
) -> Result<Option<ObjectMembers<Value>>, Refusal> {
    let may_have_key = app.profile.deprecated_locations(now).any(|old| matches!(old.location, OldLocation::Body(_)));
    if may_have_key { members(request, payload.into_inner()).await } else { Ok(None) }
}

fn answer(authorized: Authorized, deprecated: Option<&DeprecatedLocation>) -> HttpResponse {
    let Authorized { jwt, tenant, subject, scopes, rate } = authorized;
    let mut answer = unstored(rate.as_ref());
    answer
        .insert_header((AUTHORIZATION, format!("Bearer {jwt}")))
        .insert_header((X_TENANT_ID, tenant.to_string()))
        .insert_header(("x-auth-subject", subject))
        .insert_header(("x-auth-scope", scopes.as_str().to_owned()));
    if let Some(old) = deprecated {
        mark_deprecated(&mut answer, old);
    }
    answer.finish()
}

fn mark_deprecated(answer: &mut HttpResponseBuilder, old: &DeprecatedLocation) {
    let http_date = |time: Timestamp| DateTime::<Utc>::from(time).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    answer.insert_header(("deprecation", format!("@{}", old.since.seconds())));
    answer.insert_header(("sunset", http_date(old.sunset)));
}

/// Whether a proxy asks.
#[must_use]
pub fn is_asked(request: &HttpRequest) -> bool {
    request.path().strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A problem document as a header: ASCII on one line, with JSON's own escapes for the rest.
#[must_use]
pub fn in_header(document: &[u8]) -> Option<HeaderValue> {
    let text = String::from_utf8_lossy(document);
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, ' '..='~') {
            plain.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a `String` does not fail.
            let _ = write!(plain, "\\u{unit:04x}");
        }
    }
    HeaderValue::try_from(plain).ok()
}

/// Repeats a refusal's status and document in the headers of its answer.
pub fn repeat_in_headers(answer: &mut HttpResponse, problem: HeaderValue) {
    let status = HeaderValue::from(answer.status().as_u16());
    answer.headers_mut().insert(X_AUTH_STATUS, status);
    answer.headers_mut().insert(X_AUTH_PROBLEM, problem);
}
