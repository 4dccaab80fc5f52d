//! `Authorization`: Bearer tokens (RFC 6750), Basic credentials (RFC 7617), and the scheme `Token` of some products.

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;
use data_encoding::BASE64;

use crate::domain::Refusal;

/// What the header holds. Schemes count in whatever case they are written (RFC 9110 section 11.1).
pub enum Authorization<'a> {
    /// `Bearer TOKEN`.
    Bearer(&'a str),
    /// `Token TOKEN`.
    Token(&'a str),
    /// `Basic base64(ID:SECRET)`, decoded; empty where it cannot be.
    Basic(String, String),
    /// Another scheme, or none.
    Other,
}

/// The header, if it was sent.
///
/// # Errors
/// [`Refusal::MalformedRequest`] where it is repeated.
pub fn of(request: &HttpRequest) -> Result<Option<Authorization<'_>>, Refusal> {
    let Some(text) = super::header(request.headers(), AUTHORIZATION.as_str())? else { return Ok(None) };
    let Some((scheme, credentials)) = text.split_once(' ') else { return Ok(Some(Authorization::Other)) };
    let is = |known: &str| scheme.eq_ignore_ascii_case(known);
    Ok(Some(match credentials.trim() {
        token if is("bearer") => Authorization::Bearer(token),
        token if is("token") => Authorization::Token(token),
        encoded if is("basic") => {
            let (id, secret) = decoded(encoded).unwrap_or_default();
            Authorization::Basic(id, secret)
        }
        _ => Authorization::Other,
    }))
}

/// The token of `Authorization: Bearer TOKEN`; none where another scheme, or nothing, was sent.
///
/// # Errors
/// [`Refusal::MalformedRequest`] where the header is repeated.
pub fn bearer(request: &HttpRequest) -> Result<Option<&str>, Refusal> {
    Ok(of(request)?.and_then(|authorization| match authorization {
        Authorization::Bearer(token) => Some(token),
        _ => None,
    }))
}

/// The id and secret of `Authorization: Basic ...`, as OAuth clients encode them (RFC 6749 section 2.3.1).
///
/// # Errors
/// [`Refusal::MalformedRequest`] where the header is repeated.
pub fn basic(request: &HttpRequest) -> Result<Option<(String, String)>, Refusal> {
    Ok(of(request)?.and_then(|authorization| match authorization {
        Authorization::Basic(id, secret) => Some((form_decoded(&id), form_decoded(&secret))),
        _ => None,
    }))
}

fn decoded(encoded: &str) -> Option<(String, String)> {
    let bytes = BASE64.decode(encoded.as_bytes()).ok()?;
    // The decoder takes several texts one after the other, each with its padding: not another spelling of one.
    let text = String::from_utf8(bytes).ok().filter(|text| BASE64.encode(text.as_bytes()) == encoded)?;
    let (id, secret) = text.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

fn form_decoded(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}
