//! `/console/app-identifiers`: public names of apps.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use askama::Template;

use super::date::Moment;
use super::form::{Button, Form};
use super::list::{FIRST, ListQuery, Pages, moment};
use super::page::{Page, Place, may, see_other};
use super::refused::Refused;
use super::session::Visitor;
use super::texts::{self, Gap as _};
use crate::app::App;
use crate::domain::page::Page as ListPage;
use crate::domain::{AppIdentifierId, Name, Refusal};
use crate::extract::principal::{ReadApiKeys, WriteApiKeys};
use crate::extract::{Then, path_id};
use crate::manage;

#[derive(Template)]
#[template(path = "app_identifiers.html")]
struct List<'a> {
    page: Page<'a>,
    rows: Vec<Row>,
    pages: Pages,
    may_write: bool,
    typed_name: String,
    platform: String,
    refused: Refused,
}

/// An app.
struct Row {
    id: AppIdentifierId,
    name: Name,
    platform: Option<Name>,
    created: Moment,
}

/// The list.
pub async fn list(
    app: Data<App>,
    Then(visitor, query): Then<Visitor<ReadApiKeys>, ListQuery>,
) -> Result<HttpResponse, Refusal> {
    ensure_offered(&app)?;
    let notice = match query.done.as_str() {
        "created" => Some(texts::EN.apps.created),
        "deleted" => Some(texts::EN.apps.deleted),
        _ => None,
    };
    show(&app, &visitor, query.page, notice, Refused::default(), (String::new(), String::new())).await
}

/// Assigns one.
pub async fn create(app: Data<App>, Form { visitor, mut fields }: Form<WriteApiKeys>) -> Result<HttpResponse, Refusal> {
    ensure_offered(&app)?;
    let typed = |name: &str| fields.value(name).unwrap_or_default().to_owned();
    let typed = (typed("name"), typed("platform"));
    let created = async {
        let (name, platform) = (fields.required("name"), fields.optional("platform"));
        let name = fields.finish(name)?;
        manage::app_identifiers::create(&app, &visitor.actor, visitor.tenant(), name, platform).await
    };
    match created.await {
        Ok(_) => Ok(see_other("/console/app-identifiers?done=created")),
        Err(refusal) => show(&app, &visitor, FIRST, None, Refused::of(refusal)?, typed).await,
    }
}

/// Deletes one.
pub async fn delete(
    app: Data<App>,
    id: Path<String>,
    Button(visitor): Button<WriteApiKeys>,
) -> Result<HttpResponse, Refusal> {
    ensure_offered(&app)?;
    manage::app_identifiers::delete(&app, &visitor.actor, visitor.tenant(), path_id(&id)?).await?;
    Ok(see_other("/console/app-identifiers?done=deleted"))
}

/// Refuses where the product has no app identifiers.
fn ensure_offered(app: &App) -> Result<(), Refusal> {
    if app.profile.console.app_identifiers { Ok(()) } else { Err(Refusal::NotFound) }
}

async fn show<A>(
    app: &App,
    visitor: &Visitor<A>,
    open: ListPage,
    notice: Option<&str>,
    refused: Refused,
    (typed_name, platform): (String, String),
) -> Result<HttpResponse, Refusal> {
    let now = app.now();
    let known = if may::<ReadApiKeys>(visitor) {
        Some(manage::app_identifiers::list(app, visitor.tenant(), open).await?)
    } else {
        None
    };
    let (items, next) = known.map_or((Vec::new(), None), |known| (known.items, known.next_cursor));
    let list = List {
        page: Page::of(app, visitor, Place::Apps, texts::EN.apps.title).with_notice(notice),
        rows: items
            .into_iter()
            .map(|known| Row {
                id: known.id,
                name: known.name,
                platform: known.platform,
                created: moment(known.created_at, now),
            })
            .collect(),
        pages: Pages::of("/console/app-identifiers?", open, next),
        may_write: may::<WriteApiKeys>(visitor),
        typed_name,
        platform,
        refused,
    };
    list.refused.answer(app, &list)
}
