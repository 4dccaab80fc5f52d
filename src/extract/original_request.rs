//! The request that a proxy asks about, as proxies tell it.

use actix_web::HttpRequest;

use crate::domain::Refusal;
use crate::domain::original_request::{Ambiguous, Method, RequestPath};

/// The method and target of the request that came to the proxy.
#[derive(Debug)]
pub struct OriginalRequest {
    /// Its method.
    pub method: Method,
    /// Its path, in the one spelling that rules are matched against.
    pub path: RequestPath,
    /// Its query, as it came.
    pub query: String,
}

/// What Caddy and Traefik send, and what nginx is configured to send.
const PAIRS: [(&str, &str); 2] = [("x-forwarded-method", "x-forwarded-uri"), ("x-original-method", "x-original-uri")];

/// Headers by which some frameworks take a request for one of another method.
const METHOD_OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

/// Headers by which some frameworks take a request for one of another path.
const PATH_OVERRIDES: [&str; 2] = ["x-original-url", "x-rewrite-url"];

impl OriginalRequest {
    /// Reads it from one pair of headers, or, as Envoy asks, from this request itself: its method, and what its path
    /// has behind `prefix`.
    ///
    /// # Errors
    /// [`Refusal::MalformedRequest`] where it is told twice, by halves or ambiguously: a client could have sent what
    /// the proxy did not overwrite.
    pub fn of(request: &HttpRequest, prefix: &str) -> Result<Self, Refusal> {
        let mut told = Vec::new();
        for (method, target) in PAIRS {
            match (super::header(request.headers(), method)?, super::header(request.headers(), target)?) {
                (Some(method), Some(target)) => told.push((method, target)),
                (None, None) => {}
                _ => return Err(malformed(format!("{method} and {target} must come together"))),
            }
        }
        let own = request.uri().path_and_query().and_then(|whole| whole.as_str().strip_prefix(prefix));
        if let Some(target) = own.filter(|target| target.starts_with('/')) {
            told.push((request.method().as_str(), target));
        }
        let [(method, target)] = told.as_slice() else {
            let how = "X-Forwarded-Method and X-Forwarded-Uri, or X-Original-Method and X-Original-URI";
            return Err(malformed(format!("The original request must be told once, as {how}")));
        };
        ensure_not_overridden(request, method, target)?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let ambiguous = |ambiguous: Ambiguous| malformed(ambiguous.to_string());
        Ok(Self {
            method: Method::parse(method).map_err(ambiguous)?,
            path: RequestPath::parse(path).map_err(ambiguous)?,
            query: query.to_owned(),
        })
    }
}

/// Refuses what an upstream could take for another request than the one that is judged here. Some servers read `_` in
/// the name of a header as `-`.
fn ensure_not_overridden(request: &HttpRequest, method: &str, target: &str) -> Result<(), Refusal> {
    for (name, value) in request.headers().iter().filter(|(name, _)| name.as_str().starts_with('x')) {
        let name = name.as_str().replace('_', "-");
        let agrees = match value.to_str() {
            _ if !METHOD_OVERRIDES.contains(&&*name) && !PATH_OVERRIDES.contains(&&*name) => true,
            Ok(value) if METHOD_OVERRIDES.contains(&&*name) => value == method,
            Ok(value) => value == target || is_whole_url(value, target),
            Err(_) => false,
        };
        if !agrees {
            return Err(malformed(format!("{name} names another request")));
        }
    }
    Ok(())
}

/// Whether it is the target behind a scheme and a host, as some proxies tell it. What merely ends in the target may be
/// any path: `/admin/x://h` and then the target.
fn is_whole_url(text: &str, target: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let is_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    let is_host =
        |host: &str| !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic() && !b"/?#@\\".contains(&b));
    is_web && rest.strip_suffix(target).is_some_and(is_host)
}

fn malformed(what: String) -> Refusal {
    Refusal::MalformedRequest(what)
}
