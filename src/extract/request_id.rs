//! `X-Request-ID`: the client's, or one of ours.

use actix_web::http::header::HeaderMap;
use actix_web::{HttpMessage, HttpRequest};
use uuid::Uuid;

/// The header.
pub const X_REQUEST_ID: &str = "x-request-id";

/// The id of a request, in its answer and in every line that is logged on its behalf.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

impl RequestId {
    /// A new one.
    #[must_use]
    pub fn new(id: Uuid) -> Self {
        Self((*id.hyphenated().encode_lower(&mut Uuid::encode_buffer())).to_owned())
    }

    /// The client's id, if it is 1 to 128 characters of `[A-Za-z0-9._-]`: nothing that could break a log.
    #[must_use]
    pub fn of_client(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(X_REQUEST_ID)?.to_str().ok()?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        ((1..=128).contains(&text.len()) && text.bytes().all(plain)).then(|| Self(text.to_owned()))
    }

    /// The id that a request was given when it came in.
    #[must_use]
    pub fn of(request: &HttpRequest) -> Option<Self> {
        request.extensions().get::<Self>().cloned()
    }
}
