//! JSON bodies: limited, strict, and parsed into domain types (contract sections 4 and 5).

use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest};
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use serde_json::Value;
use validator::Validate;

use crate::deadline;
use crate::domain::Refusal;
use crate::domain::object_members::ObjectMembers;
use crate::domain::printable::shown;
use crate::domain::refusal::FieldError;

/// The largest body that is read, in bytes.
pub const MOST: usize = 64 * 1024;

const JSON: &str = "application/json";

/// As much of what may quote a body as is worth telling, in characters.
const MOST_SHOWN: usize = 200;

/// A body that trickles in for longer than this is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A body that must be there.
pub struct Json<T>(pub T);

/// A body that may be absent: then it is `T::default()`.
pub struct OptionalJson<T>(pub T);

impl<T: DeserializeOwned + Validate + 'static> FromRequest for Json<T> {
    type Error = Refusal;
    type Future = LocalBoxFuture<'static, Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            ensure_content_type(&request, JSON)?;
            parse(&read_body(&request, payload).await?).map(Self)
        })
    }
}

impl<T: DeserializeOwned + Validate + Default + 'static> FromRequest for OptionalJson<T> {
    type Error = Refusal;
    type Future = LocalBoxFuture<'static, Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let body = read_body(&request, payload).await?;
            if body.is_empty() {
                return Ok(Self(T::default()));
            }
            ensure_content_type(&request, JSON)?;
            parse(&body).map(Self)
        })
    }
}

/// Refuses other content types; parameters such as `charset=utf-8` are welcome.
pub(crate) fn ensure_content_type(request: &HttpRequest, wanted: &'static str) -> Result<(), Refusal> {
    let given = super::header(request.headers(), CONTENT_TYPE.as_str())?.unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(wanted) { Ok(()) } else { Err(Refusal::UnsupportedMediaType(wanted)) }
}

/// Reads a body of at most [`MOST`] bytes; a longer one is refused as soon as that is known.
pub(crate) async fn read_body(request: &HttpRequest, mut payload: Payload) -> Result<Bytes, Refusal> {
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let announced: usize = announced.unwrap_or_default();
    if announced > MOST {
        return Err(Refusal::PayloadTooLarge);
    }
    let whole = async {
        let mut body = Vec::with_capacity(announced);
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| Refusal::MalformedRequest("The body cannot be read".to_owned()))?;
            if body.len().saturating_add(chunk.len()) > MOST {
                return Err(Refusal::PayloadTooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.into())
    };
    let whole = tokio::time::timeout(PATIENCE, whole);
    deadline::uncounted(whole).await.unwrap_or(Err(Refusal::RequestTimeout))
}

/// The members of a body that is a JSON object; none where it is anything else, which others may understand.
pub(crate) async fn members(request: &HttpRequest, payload: Payload) -> Result<Option<ObjectMembers<Value>>, Refusal> {
    if ensure_content_type(request, JSON).is_err() {
        return Ok(None);
    }
    Ok(serde_json::from_slice(&read_body(request, payload).await?).ok())
}

pub(crate) fn parse<T: DeserializeOwned + Validate>(body: &[u8]) -> Result<T, Refusal> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let parsed = serde_path_to_error::deserialize(&mut json);
    // What is no JSON is malformed, wherever the parser stopped in it.
    let whole = if parsed.is_ok() { json.end() } else { serde_json::from_slice::<Value>(body).map(drop) };
    whole.map_err(|error| malformed(&error))?;
    // serde would take an array for an object, member by member.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refusal::invalid("", "The body must be a JSON object"));
    }
    let value: T = parsed.map_err(|error| Refusal::ValidationFailed(vec![field_error(&error)]))?;
    value.validate().map_err(|errors| Refusal::ValidationFailed(field_errors(&errors)))?;
    Ok(value)
}

fn malformed(error: &serde_json::Error) -> Refusal {
    Refusal::MalformedRequest(format!("The body is not JSON (line {}, column {})", error.line(), error.column()))
}

/// The field at fault. For a member that is missing or unknown serde tells the object, and the name in its message.
fn field_error(error: &serde_path_to_error::Error<serde_json::Error>) -> FieldError {
    let message = without_position(error.inner());
    let path = error.path().to_string();
    let member = |lead: &str| message.strip_prefix(lead).and_then(|rest| rest.split('`').next());
    let object = path.trim_matches('.');
    let (field, message) = match (member("missing field `"), member("unknown field `")) {
        (Some(missing), _) if object.is_empty() => (missing.to_owned(), "is required".to_owned()),
        (Some(missing), _) => (format!("{object}.{missing}"), "is required".to_owned()),
        // The path ends with the whole name, whatever is in it.
        (_, Some(unknown)) => {
            (if object.is_empty() { unknown } else { object }.to_owned(), "is not a known field".to_owned())
        }
        _ => (object.to_owned(), told(&message)),
    };
    FieldError { field: shown(&field, MOST_SHOWN), message: shown(&message, MOST_SHOWN) }
}

/// What serde says in terms of Rust, in terms of JSON.
fn told(message: &str) -> String {
    match message.split(['`', ':']).next().unwrap_or_default() {
        "invalid type" | "invalid value" | "invalid length" => {
            let expected = message.rsplit_once("expected ").map(|(_, expected)| expected).unwrap_or_default();
            let expected = match expected {
                "a sequence" => "a list",
                "a string" | "a boolean" => expected,
                "i64" | "u64" => "a whole number",
                "a map" => "an object",
                _ => "of another type",
            };
            format!("must be {expected}")
        }
        "UUID parsing failed" => "must be a UUID".to_owned(),
        _ => message.to_owned(),
    }
}

/// serde's message without its position.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message).to_owned()
}

fn field_errors(errors: &validator::ValidationErrors) -> Vec<FieldError> {
    let mut fields: Vec<FieldError> = errors
        .field_errors()
        .into_iter()
        .flat_map(|(field, errors)| errors.iter().map(move |error| (field.to_string(), error)))
        .map(|(field, error)| FieldError {
            field,
            message: error
                .message
                .as_ref()
                .map_or_else(|| format!("is not valid ({})", error.code), ToString::to_string),
        })
        .collect();
    fields.sort_by(|a, b| a.field.cmp(&b.field));
    fields
}
