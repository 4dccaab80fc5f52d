//! `Authorization`: Bearer tokens (RFC 6750) and Basic credentials (RFC 7617).

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;
use data_encoding::BASE64;

use crate::domain::Refusal;

/// The token of `Authorization: Bearer TOKEN`; none where another scheme, or nothing, was sent.
///
/// # Errors
/// [`Refusal::MalformedRequest`] where the header is repeated.
pub fn bearer(request: &HttpRequest) -> Result<Option<&str>, Refusal> {
    Ok(credentials(request, "bearer")?.map(str::trim))
}

/// The decoded id and secret of `Authorization: Basic ...`, as OAuth clients encode them (RFC 6749 section 2.3.1).
///
/// # Errors
/// [`Refusal::MalformedRequest`] where the header is repeated.
pub fn basic(request: &HttpRequest) -> Result<Option<(String, String)>, Refusal> {
    let Some(encoded) = credentials(request, "basic")? else { return Ok(None) };
    let decoded = BASE64.decode(encoded.trim().as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
    Ok(Some(pair.map(|(id, secret)| (form_decoded(id), form_decoded(secret))).unwrap_or_default()))
}

/// What stands behind a scheme, in whatever case the scheme is written.
pub(super) fn credentials<'a>(request: &'a HttpRequest, scheme: &str) -> Result<Option<&'a str>, Refusal> {
    let header = super::header(request.headers(), AUTHORIZATION.as_str())?;
    Ok(header
        .and_then(|text| text.split_once(' '))
        .filter(|(given, _)| given.eq_ignore_ascii_case(scheme))
        .map(|p| p.1))
}

fn form_decoded(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}
