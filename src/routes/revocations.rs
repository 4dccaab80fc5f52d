//! What was revoked, for services that verify offline (draft-ietf-oauth-status-list-21, sections 8 and 9).

use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

use super::metadata::unless_known;
use crate::app::App;
use crate::domain::Refusal;
use crate::domain::status_list::ListNumber;
use crate::grants::status_list;

/// A cache may keep it, and must ask whether it is still so: what a cache adds to the poll interval would let a revoked
/// token live on.
const ASK_EACH_TIME: &str = "public, no-cache";

/// The status lists that there are.
#[derive(Serialize, ToSchema)]
pub struct Aggregation {
    /// Their URIs.
    status_lists: Vec<String>,
}

/// The first status list: which sessions and API keys were revoked, as a signed list of bits (`statuslist+jwt`).
#[utoipa::path(
    get, path = "/.well-known/revocations", tag = "metadata",
    responses(
        (status = 200, description = "The status list token", content_type = "application/statuslist+jwt", body = String),
        (status = 304, description = "You have it")
    )
)]
pub async fn first(app: Data<App>, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    answer(&app, &request, ListNumber::FIRST).await
}

/// Another status list, where a token's `status` claim names it.
#[utoipa::path(
    get, path = "/.well-known/revocations/{list}", tag = "metadata",
    params(("list" = i64, Path, description = "Its number, from 1")),
    responses(
        (status = 200, description = "The status list token", content_type = "application/statuslist+jwt", body = String),
        (status = 304, description = "You have it")
    )
)]
pub async fn further(app: Data<App>, request: HttpRequest, list: Path<String>) -> Result<HttpResponse, Refusal> {
    answer(&app, &request, ListNumber::parse(&list).ok_or(Refusal::NotFound)?).await
}

/// Which status lists there are.
#[utoipa::path(
    get, path = "/.well-known/status-lists", tag = "metadata",
    responses((status = 200, description = "Their URIs", body = Aggregation))
)]
pub async fn all(app: Data<App>) -> Result<HttpResponse, Refusal> {
    let status_lists = status_list::all(&app).await?;
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, ASK_EACH_TIME)).json(Aggregation { status_lists }))
}

async fn answer(app: &App, request: &HttpRequest, number: ListNumber) -> Result<HttpResponse, Refusal> {
    let token = status_list::current(app, number).await?;
    Ok(unless_known(request, &token.etag, ASK_EACH_TIME, "application/statuslist+jwt", &token.body))
}
