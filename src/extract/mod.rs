//! What a handler may take from a request: parsed, limited, and, for a principal, proved.

pub mod authorization;
pub mod client;
pub mod credential;
pub mod form;
pub mod json;
pub mod oauth_client;
pub mod original_request;
pub mod principal;
pub mod query;
pub mod refresh_cookie;
pub mod request_id;
pub mod tenant;

use std::str::FromStr;
use std::time::{Duration, Instant};

use actix_web::dev::Payload;
use actix_web::http::header::HeaderMap;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::LocalBoxFuture;

use crate::app::App;
use crate::domain::Refusal;

/// A body that took longer to come may be acted upon by somebody who has lost the right meanwhile.
const AT_ONCE: Duration = Duration::from_millis(100);

/// Two parts of a request, the second looked at only after the first was accepted: nobody's body is read, and nothing
/// of it is told, before it is known who calls.
///
/// Where the second was long in coming the first is looked at again: a user who was disabled must not make a key
/// with a request that they had kept open (security 20).
///
/// actix polls all extractors of a handler together and answers with the first error that is ready, which a parsed body
/// is before a database.
pub struct Then<A, B>(pub A, pub B);

impl<A, B> FromRequest for Then<A, B>
where
    A: FromRequest<Error = Refusal> + 'static,
    B: FromRequest<Error = Refusal> + 'static,
{
    type Error = Refusal;
    type Future = LocalBoxFuture<'static, Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let mut first = A::from_request(&request, &mut Payload::None).await?;
            let begun = Instant::now();
            let second = B::from_request(&request, &mut payload).await?;
            if begun.elapsed() > AT_ONCE {
                first = A::from_request(&request, &mut Payload::None).await?;
            }
            Ok(Self(first, second))
        })
    }
}

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

/// The id that a path names.
///
/// # Errors
/// [`Refusal::NotFound`]: one that is no id names nothing.
pub fn path_id<Id: FromStr>(text: &str) -> Result<Id, Refusal> {
    text.parse().map_err(|_| Refusal::NotFound)
}
