//! `/console/trusted-issuers`: whose workloads get tokens without an API key.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use askama::Template;

use super::date::Moment;
use super::form::{Button, Fields, Form};
use super::list::{ListQuery, Pages, moment};
use super::page::{Page, Place, may, render, see_other};
use super::refused::Refused;
use super::scopes::{self, ScopesQuestion};
use super::session::Visitor;
use super::texts::{self, Gap as _};
use crate::app::App;
use crate::domain::claim_conditions::{ClaimConditions, Condition};
use crate::domain::trusted_issuer::TrustedIssuer;
use crate::domain::{Refusal, Timestamp, TrustedIssuerId};
use crate::extract::principal::{ReadTrustedIssuers, WriteTrustedIssuers};
use crate::extract::{Then, path_id};
use crate::manage;
use crate::manage::trusted_issuers::NewTrustedIssuer;

#[derive(Template)]
#[template(path = "issuers/list.html")]
struct List<'a> {
    page: Page<'a>,
    rows: Vec<Row>,
    pages: Pages,
    may_write: bool,
}

#[derive(Template)]
#[template(path = "issuers/new.html")]
struct New<'a> {
    page: Page<'a>,
    typed: Typed,
    scopes: ScopesQuestion,
    refused: Refused,
}

/// What somebody typed.
#[derive(Default)]
struct Typed {
    name: String,
    issuer: String,
    audience: String,
    conditions: String,
}

/// An issuer.
struct Row {
    id: TrustedIssuerId,
    name: String,
    issuer: String,
    audience: String,
    conditions: Vec<String>,
    scopes: Vec<String>,
    created: Moment,
    used: Option<Moment>,
}

/// The list.
pub async fn list(
    app: Data<App>,
    Then(visitor, query): Then<Visitor<ReadTrustedIssuers>, ListQuery>,
) -> Result<HttpResponse, Refusal> {
    let now = app.now();
    let notice = match query.done.as_str() {
        "created" => Some(texts::EN.issuers.created),
        "deleted" => Some(texts::EN.issuers.deleted),
        _ => None,
    };
    let trusted = manage::trusted_issuers::list(&app, visitor.tenant(), query.page).await?;
    let list = List {
        page: Page::of(&app, &visitor, Place::Issuers, texts::EN.issuers.title).with_notice(notice),
        rows: trusted.items.into_iter().map(|trusted| Row::of(trusted, now)).collect(),
        pages: Pages::of("/console/trusted-issuers?", query.page, trusted.next_cursor),
        may_write: may::<WriteTrustedIssuers>(&visitor),
    };
    render(StatusCode::OK, &list)
}

/// The form for a new one.
pub async fn new(app: Data<App>, visitor: Visitor<WriteTrustedIssuers>) -> Result<HttpResponse, Refusal> {
    show_new(&app, &visitor, Refused::default(), Typed::default(), &[])
}

/// Trusts one.
pub async fn create(
    app: Data<App>,
    Form { visitor, mut fields }: Form<WriteTrustedIssuers>,
) -> Result<HttpResponse, Refusal> {
    let typed = Typed::of(&fields);
    let chosen = scopes::take_chosen(&mut fields);
    let created = async {
        let new = read(fields, &chosen)?;
        manage::trusted_issuers::create(&app, &visitor.actor, visitor.tenant(), new).await
    };
    match created.await {
        Ok(_) => Ok(see_other("/console/trusted-issuers?done=created")),
        Err(refusal) => show_new(&app, &visitor, Refused::of(refusal)?, typed, &chosen),
    }
}

/// Trusts one no more.
pub async fn delete(
    app: Data<App>,
    id: Path<String>,
    Button(visitor): Button<WriteTrustedIssuers>,
) -> Result<HttpResponse, Refusal> {
    manage::trusted_issuers::delete(&app, &visitor.actor, visitor.tenant(), path_id(&id)?).await?;
    Ok(see_other("/console/trusted-issuers?done=deleted"))
}

fn read(mut fields: Fields, chosen: &[String]) -> Result<NewTrustedIssuer, Refusal> {
    let (name, issuer, audience) = (fields.required("name"), fields.required("issuer"), fields.required("audience"));
    let conditions = conditions(&mut fields);
    let scopes = scopes::read(&mut fields, chosen);
    let read = name.zip(issuer).zip(audience).zip(conditions.zip(scopes));
    let new = |(((name, issuer), audience), (conditions, scopes))| NewTrustedIssuer {
        name,
        issuer,
        audience,
        conditions,
        scopes,
    };
    fields.finish(read.map(new))
}

/// `claim = value`, one in each line; a claim of several lines may have any of their values.
fn conditions(fields: &mut Fields) -> Option<ClaimConditions> {
    let text = fields.take("conditions").unwrap_or_default();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let read = lines.map(str::parse).collect::<Result<Vec<Condition>, _>>().and_then(ClaimConditions::any_of);
    read.map_err(|error| fields.fault("conditions", error)).ok()
}

fn show_new(
    app: &App,
    visitor: &Visitor<WriteTrustedIssuers>,
    refused: Refused,
    typed: Typed,
    chosen: &[String],
) -> Result<HttpResponse, Refusal> {
    let page = Page::of(app, visitor, Place::Issuers, texts::EN.issuers.new);
    let new = New { page, typed, scopes: ScopesQuestion::of(app, chosen), refused };
    new.refused.answer(app, &new)
}

impl Typed {
    fn of(fields: &Fields) -> Self {
        let typed = |name: &str| fields.value(name).unwrap_or_default().to_owned();
        Self {
            name: typed("name"),
            issuer: typed("issuer"),
            audience: typed("audience"),
            conditions: typed("conditions"),
        }
    }
}

impl Row {
    fn of(trusted: TrustedIssuer, now: Timestamp) -> Self {
        let conditions = trusted.conditions.iter().map(|(claim, values)| format!("{claim} = {}", values.join(" | ")));
        Self {
            id: trusted.id,
            name: trusted.name.to_string(),
            issuer: trusted.issuer.to_string(),
            conditions: conditions.collect(),
            scopes: trusted.scopes.iter().map(str::to_owned).collect(),
            created: moment(trusted.created_at, now),
            used: trusted.last_used_at.map(|at| moment(at, now)),
            audience: trusted.audience.into(),
        }
    }
}
