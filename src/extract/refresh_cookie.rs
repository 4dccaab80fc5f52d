//! The refresh token as a cookie, for browsers.

use actix_web::HttpRequest;
use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header::ORIGIN;
use secrecy::SecretString;

use crate::app::App;
use crate::domain::Refusal;

/// `__Host-` ties it to this host, `/` and TLS (RFC 6265bis section 4.1.3.2).
const NAME: &str = "__Host-jeton_refresh";

/// The refresh token in the request's cookie, if there is one. A page of a foreign origin may not use it.
///
/// # Errors
/// [`Refusal::OriginNotAllowed`]: `Origin` is neither the server's own nor in `server.allowed_origins`, or absent.
pub fn refresh_cookie(request: &HttpRequest, app: &App) -> Result<Option<SecretString>, Refusal> {
    // A header that cannot be read is refused: taken for "no cookie" it would let a logout answer that ended nothing.
    let unreadable = |_| Refusal::MalformedRequest("The Cookie header cannot be read".to_owned());
    let cookie = request.cookies().map_err(unreadable)?.iter().find(|cookie| cookie.name() == NAME).cloned();
    let Some(cookie) = cookie else { return Ok(None) };
    let origin = super::header(request.headers(), ORIGIN.as_str())?.ok_or(Refusal::OriginNotAllowed)?;
    let server = &app.config.server;
    let allowed = server.public_url.origin().as_str() == origin
        || server.allowed_origins.iter().any(|allowed| allowed.as_str() == origin);
    if allowed { Ok(Some(cookie.value().into())) } else { Err(Refusal::OriginNotAllowed) }
}

/// Puts a refresh token into the cookie for `seconds`.
#[must_use]
pub fn set_refresh_cookie(token: &str, seconds: i64) -> Cookie<'static> {
    cookie(token.to_owned(), seconds)
}

/// Takes the cookie away, after a logout only: an answer that lost a race never clears what the winner was given.
#[must_use]
pub fn clear_refresh_cookie() -> Cookie<'static> {
    cookie(String::new(), 0)
}

fn cookie(value: String, seconds: i64) -> Cookie<'static> {
    Cookie::build(NAME, value)
        .path("/")
        .http_only(true)
        .secure(true)
        .same_site(SameSite::Strict)
        .max_age(Duration::seconds(seconds))
        .finish()
}
