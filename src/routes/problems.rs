//! Gives every refusal its problem document, with the id of its request: ours, and those that the framework makes.

use actix_web::Error;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::ALLOW;
use actix_web::middleware::Next;
use actix_web::web::Data;

use super::forward_auth;
use crate::app::App;
use crate::domain::Refusal;
use crate::error::{self, OAuthError};
use crate::extract::request_id::RequestId;

pub async fn render(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let response = next.call(request).await?.map_into_boxed_body();
    if response.status().is_success() {
        return Ok(response);
    }
    let app = response.request().app_data::<Data<App>>().ok_or(Refusal::Internal)?;
    if let Some(error) = response.response().error().and_then(|error| error.as_error::<OAuthError>()) {
        app.metrics.count_refusal(error.code());
        return Ok(response);
    }
    let id = RequestId::of(response.request()).map(|id| id.0).unwrap_or_default();
    let Some((code, mut answer)) = refusal_in(&response, &id) else { return Ok(response) };
    app.metrics.count_refusal(code);
    if let Some(methods) = response.headers().get(ALLOW) {
        answer.headers_mut().insert(ALLOW, methods.clone());
    }
    Ok(response.into_response(answer))
}

fn refusal_in(response: &ServiceResponse, id: &str) -> Option<(&'static str, actix_web::HttpResponse)> {
    let ours = response.response().error().and_then(|error| error.as_error::<Refusal>());
    let framework = match response.status() {
        StatusCode::METHOD_NOT_ALLOWED => Some(Refusal::MethodNotAllowed),
        StatusCode::BAD_REQUEST if ours.is_none() && response.response().error().is_some() => {
            Some(Refusal::MalformedRequest("The request cannot be read".to_owned()))
        }
        _ => None,
    };
    let refusal = ours.or(framework.as_ref())?;
    let document = error::document(refusal, id);
    let repeated = forward_auth::is_asked(response.request()).then(|| forward_auth::in_header(&document)).flatten();
    let mut answer = error::problem(refusal, document);
    if let Some(problem) = repeated {
        forward_auth::repeat_in_headers(&mut answer, problem);
    }
    Some((refusal.code(), answer))
}
