//! What is seen of every request: its id, a line in the log, a count and a time in the metrics.

use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage};
use tracing::Instrument;

use crate::app::App;
use crate::deadline;
use crate::domain::Refusal;
use crate::extract::request_id::{RequestId, X_REQUEST_ID};
use crate::metrics::RouteCounts;

pub async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let app = request.app_data::<Data<App>>().cloned().ok_or(Refusal::Internal)?;
    let id = match RequestId::of_client(request.headers()) {
        Some(id) => id,
        None => RequestId::new(app.new_id(app.now())?),
    };
    request.extensions_mut().insert(id.clone());
    let span = tracing::info_span!("request", request_id = %id.0);
    let began = Instant::now();

    let mut response = deadline::of_request(next.call(request).instrument(span.clone())).await?;

    let took = began.elapsed();
    let status = response.status().as_u16();
    let method = response.request().method().as_str();
    let pattern = || response.request().match_pattern();
    // A preflight is answered before its route is looked for.
    let route = match response.request().app_data::<RouteCounts>() {
        Some(counts) => counts.count(&app.metrics, method, status, took, pattern),
        None => RouteCounts::default().count(&app.metrics, method, status, took, pattern),
    };
    span.in_scope(|| {
        let milliseconds = took.as_secs_f64() * 1_000.0;
        if status < 500 {
            tracing::debug!(method, route, status, milliseconds, "answered");
        } else {
            tracing::warn!(method, route, status, milliseconds, "answered");
        }
    });
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(value) = HeaderValue::try_from(id.0) {
        headers.insert(HeaderName::from_static(X_REQUEST_ID), value);
    }
    Ok(response)
}
