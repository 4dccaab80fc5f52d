//! `/console/groups`: key groups, and the keys in them.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use askama::Template;

use super::date::Moment;
use super::form::{Button, Fields, Form};
use super::keys::list::Row as KeyRow;
use super::list::{Choice, ListQuery, Pages, moment};
use super::page::{Page, Place, may, render, see_other};
use super::refused::Refused;
use super::scopes::{self, ScopesQuestion};
use super::session::Visitor;
use super::texts::{self, Gap as _};
use crate::app::App;
use crate::domain::key_group::KeyGroup;
use crate::domain::{KeyGroupId, Refusal, Timestamp};
use crate::extract::principal::{ReadApiKeys, WriteApiKeys};
use crate::extract::{Then, path_id};
use crate::manage;
use crate::manage::key_groups::NewKeyGroup;

#[derive(Template)]
#[template(path = "groups/list.html")]
struct List<'a> {
    page: Page<'a>,
    rows: Vec<Row>,
    pages: Pages,
    may_write: bool,
}

#[derive(Template)]
#[template(path = "groups/new.html")]
struct New<'a> {
    page: Page<'a>,
    typed_name: String,
    access_types: Vec<Choice>,
    scopes: ScopesQuestion,
    refused: Refused,
}

#[derive(Template)]
#[template(path = "groups/detail.html")]
struct Detail<'a> {
    page: Page<'a>,
    row: Row,
    keys: Vec<KeyRow>,
    pages: Pages,
    may_write: bool,
}

/// A group.
struct Row {
    id: KeyGroupId,
    name: String,
    access_type: Option<String>,
    scopes: Vec<String>,
    created: Moment,
}

/// The list.
pub async fn list(
    app: Data<App>,
    Then(visitor, query): Then<Visitor<ReadApiKeys>, ListQuery>,
) -> Result<HttpResponse, Refusal> {
    ensure_offered(&app)?;
    let now = app.now();
    let notice = (query.done == "deleted").then_some(texts::EN.groups.deleted);
    let groups = manage::key_groups::list(&app, visitor.tenant(), query.page).await?;
    let list = List {
        page: Page::of(&app, &visitor, Place::Groups, texts::EN.groups.title).with_notice(notice),
        rows: groups.items.iter().map(|group| Row::of(group, now)).collect(),
        pages: Pages::of("/console/groups?", query.page, groups.next_cursor),
        may_write: may::<WriteApiKeys>(&visitor),
    };
    render(StatusCode::OK, &list)
}

/// The form for a new one.
pub async fn new(app: Data<App>, visitor: Visitor<WriteApiKeys>) -> Result<HttpResponse, Refusal> {
    ensure_offered(&app)?;
    show_new(&app, &visitor, Refused::default(), (String::new(), String::new()), &[])
}

/// Makes a group.
pub async fn create(app: Data<App>, Form { visitor, mut fields }: Form<WriteApiKeys>) -> Result<HttpResponse, Refusal> {
    ensure_offered(&app)?;
    let typed = |name: &str| fields.value(name).unwrap_or_default().to_owned();
    let typed = (typed("name"), typed("access_type"));
    let chosen = scopes::take_chosen(&mut fields);
    let created = async {
        let new = read(fields, &chosen)?;
        manage::key_groups::create(&app, &visitor.actor, visitor.tenant(), new).await
    };
    match created.await {
        Ok(group) => Ok(see_other(&format!("/console/groups/{}?done=created", group.id))),
        Err(refusal) => show_new(&app, &visitor, Refused::of(refusal)?, typed, &chosen),
    }
}

/// One group, with its keys.
pub async fn detail(
    app: Data<App>,
    id: Path<String>,
    Then(visitor, query): Then<Visitor<ReadApiKeys>, ListQuery>,
) -> Result<HttpResponse, Refusal> {
    ensure_offered(&app)?;
    let now = app.now();
    let notice = (query.done == "created").then_some(texts::EN.groups.created);
    let (tenant, id) = (visitor.tenant(), path_id(&id)?);
    let group = manage::key_groups::find(&app, tenant, id).await?;
    let keys = manage::api_keys::list_of_group(&app, tenant, id, query.page).await?;
    let detail = Detail {
        page: Page::of(&app, &visitor, Place::Groups, group.name.to_string()).with_notice(notice),
        keys: keys.items.iter().map(|key| KeyRow::of(&app, key, now)).collect(),
        pages: Pages::of(format!("/console/groups/{id}?"), query.page, keys.next_cursor),
        may_write: may::<WriteApiKeys>(&visitor),
        row: Row::of(&group, now),
    };
    render(StatusCode::OK, &detail)
}

/// Deletes a group, and revokes its keys.
pub async fn delete(
    app: Data<App>,
    id: Path<String>,
    Button(visitor): Button<WriteApiKeys>,
) -> Result<HttpResponse, Refusal> {
    ensure_offered(&app)?;
    manage::key_groups::delete(&app, &visitor.actor, visitor.tenant(), path_id(&id)?).await?;
    Ok(see_other("/console/groups?done=deleted"))
}

/// Refuses where the product has no key groups: a page that is typed in would make what no other one shows.
fn ensure_offered(app: &App) -> Result<(), Refusal> {
    if app.profile.console.key_groups { Ok(()) } else { Err(Refusal::NotFound) }
}

fn read(mut fields: Fields, chosen: &[String]) -> Result<NewKeyGroup, Refusal> {
    let (name, access_type) = (fields.required("name"), fields.optional("access_type"));
    let scopes = scopes::read(&mut fields, chosen);
    let read = name.zip(scopes).map(|(name, scopes)| NewKeyGroup { name, access_type, scopes });
    fields.finish(read)
}

fn show_new(
    app: &App,
    visitor: &Visitor<WriteApiKeys>,
    refused: Refused,
    (typed_name, access_type): (String, String),
    chosen: &[String],
) -> Result<HttpResponse, Refusal> {
    let types = app.profile.access_types().map(|known| Choice {
        value: known.name.to_string(),
        text: known.name.to_string(),
        hint: known.description.clone(),
        is_chosen: known.name.as_str() == access_type,
    });
    let new = New {
        page: Page::of(app, visitor, Place::Groups, texts::EN.groups.new),
        access_types: types.collect(),
        scopes: ScopesQuestion::of(app, chosen),
        typed_name,
        refused,
    };
    new.refused.answer(app, &new)
}

impl Row {
    fn of(group: &KeyGroup, now: Timestamp) -> Self {
        Self {
            id: group.id,
            name: group.name.to_string(),
            access_type: group.access_type.as_ref().map(ToString::to_string),
            scopes: group.scopes.iter().map(str::to_owned).collect(),
            created: moment(group.created_at, now),
        }
    }
}
