//! What a handler may take from a request: parsed, limited, and, for a principal, proved.

pub mod bearer;
pub mod client;
pub mod form;
pub mod json;
pub mod page;
pub mod principal;
pub mod refresh_cookie;
pub mod request_id;
pub mod tenant;

use actix_web::HttpRequest;
use actix_web::http::header::HeaderMap;
use actix_web::web::Data;

use crate::app::App;
use crate::domain::Refusal;

/// The one value of a header; none where it is absent.
///
/// # Errors
/// [`Refusal::MalformedRequest`] where it comes twice, for then nobody knows which one counts (security 26), or is not
/// visible ASCII.
pub fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name);
    let first = values.next();
    if values.next().is_some() {
        return Err(Refusal::MalformedRequest(format!("The header {name} must not be repeated")));
    }
    let text = first.map(|value| value.to_str()).transpose();
    text.map_err(|_| Refusal::MalformedRequest(format!("The header {name} must be visible ASCII")))
}

/// The running Jeton behind a request.
///
/// # Errors
/// [`Refusal::Internal`]: never, in an application that `routes` configured.
pub fn app(request: &HttpRequest) -> Result<&App, Refusal> {
    request.app_data::<Data<App>>().map(Data::get_ref).ok_or(Refusal::Internal)
}
