//! `/console`: leads to the first page that somebody may open.

use actix_web::HttpResponse;
use actix_web::web::Data;

use super::page::{see_other, start};
use super::session::Visitor;
use crate::app::App;

/// Leads on.
pub async fn home(app: Data<App>, visitor: Visitor) -> HttpResponse {
    see_other(start(&app, &visitor))
}
