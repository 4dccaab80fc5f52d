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
    let Some(token) = navigations_refresh_cookie(request)? else { return Ok(None) };
    let origin = super::header(request.headers(), ORIGIN.as_str())?.ok_or(Refusal::OriginNotAllowed)?;
    let allowed = is_own(app, origin) || app.config.server.allowed_origins.iter().any(|known| known.as_str() == origin);
    if allowed { Ok(Some(token)) } else { Err(Refusal::OriginNotAllowed) }
}

/// The same for a page that somebody goes to: browsers tell no origin then, and send a `SameSite=Strict` cookie only
/// where they come from a page of ours, or from none.
///
/// # Errors
/// [`Refusal::MalformedRequest`]. A header that cannot be read is refused: taken for "no cookie" it would let a logout
/// answer that ended nothing.
pub fn navigations_refresh_cookie(request: &HttpRequest) -> Result<Option<SecretString>, Refusal> {
    Ok(cookie_of(request, NAME)?.map(|cookie| cookie.value().into()))
}

/// The cookie of this name; twice it is refused, for then nobody knows which one counts (security 26).
///
/// # Errors
/// [`Refusal::MalformedRequest`].
pub fn cookie_of(request: &HttpRequest, name: &str) -> Result<Option<Cookie<'static>>, Refusal> {
    let unreadable = |_| Refusal::MalformedRequest("The Cookie header cannot be read".to_owned());
    let cookies = request.cookies().map_err(unreadable)?;
    let mut named = cookies.iter().filter(|cookie| cookie.name() == name);
    match (named.next(), named.next()) {
        (_, Some(_)) => Err(Refusal::MalformedRequest(format!("The cookie {name} is repeated"))),
        (found, None) => Ok(found.cloned()),
    }
}

/// Refuses a form that comes from another page than one of ours. Browsers say so in `Sec-Fetch-Site`, which no page can
/// write and no proxy's name for the server changes; old ones in `Origin` alone.
///
/// # Errors
/// [`Refusal::OriginNotAllowed`].
pub fn ensure_own_page(request: &HttpRequest, app: &App) -> Result<(), Refusal> {
    let own = match super::header(request.headers(), "sec-fetch-site")? {
        Some(site) => site == "same-origin",
        None => super::header(request.headers(), ORIGIN.as_str())?.is_some_and(|origin| is_own(app, origin)),
    };
    if own { Ok(()) } else { Err(Refusal::OriginNotAllowed) }
}

fn is_own(app: &App, origin: &str) -> bool {
    app.config.server.public_url.origin().as_str() == origin
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
    let mut cookie = host_cookie(NAME, value);
    cookie.set_max_age(Duration::seconds(seconds));
    cookie
}

/// A cookie for this host alone, which no script reads and no other site sends, until the browser is closed.
#[must_use]
pub fn host_cookie(name: &'static str, value: String) -> Cookie<'static> {
    Cookie::build(name, value).path("/").http_only(true).secure(true).same_site(SameSite::Strict).finish()
}
