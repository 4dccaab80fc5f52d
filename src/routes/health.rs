//! `/healthz`: the process lives. `/readyz`: it can issue.

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, RETRY_AFTER};
use actix_web::web::Data;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::manage;

/// Whether tokens can be issued.
#[derive(Serialize, ToSchema)]
pub struct Readiness {
    /// `ready` or `not_ready`.
    status: &'static str,
    /// What is amiss, for operators.
    reasons: Vec<String>,
}

/// Tells that the process lives.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, description = "It lives")))]
pub async fn healthz() -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(serde_json::json!({"status": "ok"}))
}

/// Tells whether tokens can be issued.
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    responses(
        (status = 200, description = "They can", body = Readiness),
        (status = 503, description = "They cannot", body = Readiness)
    )
)]
pub async fn readyz(app: Data<App>) -> HttpResponse {
    let mut reasons = Vec::new();
    if app.db.ping().await.is_err() {
        reasons.push("the database does not answer".to_owned());
    }
    reasons.extend(manage::signing_keys::impediment(&app).map(str::to_owned));
    if reasons.is_empty() {
        let ready = Readiness { status: "ready", reasons };
        return HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(ready);
    }
    HttpResponse::ServiceUnavailable()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((RETRY_AFTER, 1))
        .json(Readiness { status: "not_ready", reasons })
}
