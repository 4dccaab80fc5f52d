//! `/console/keys/{id}/revoke`: asks once, then ends a key for good.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use askama::Template;

use super::list::Row;
use super::usage::{CallerRow, with_callers};
use crate::app::App;
use crate::console::form::Button;
use crate::console::page::{Page, Place, may, render, see_other};
use crate::console::session::Visitor;
use crate::console::texts::{self, Gap as _};
use crate::domain::{ApiKeyId, Refusal};
use crate::extract::path_id;
use crate::extract::principal::{ReadApiKeys, WriteApiKeys};
use crate::manage;

#[derive(Template)]
#[template(path = "keys/revoke.html")]
struct Revoke<'a> {
    page: Page<'a>,
    row: Row,
    /// Whether its use is for the visitor to see.
    may_read: bool,
    callers: Vec<CallerRow>,
}

/// The question.
pub async fn page(app: Data<App>, visitor: Visitor<WriteApiKeys>, path: Path<String>) -> Result<HttpResponse, Refusal> {
    let (key, callers) = with_callers(&app, &visitor, path_id(&path)?).await?;
    let revoke = Revoke {
        page: Page::of(&app, &visitor, Place::Keys, texts::EN.revoke_key.title.with(&key.name)),
        row: Row::of(&app, &key, app.now()),
        may_read: may::<ReadApiKeys>(&visitor),
        callers,
    };
    render(StatusCode::OK, &revoke)
}

/// Revokes the key.
pub async fn revoke(
    app: Data<App>,
    path: Path<String>,
    Button(visitor): Button<WriteApiKeys>,
) -> Result<HttpResponse, Refusal> {
    let id: ApiKeyId = path_id(&path)?;
    manage::api_keys::revoke(&app, &visitor.actor, visitor.tenant(), id).await?;
    Ok(see_other(&format!("/console/keys/{id}?done=revoked")))
}
