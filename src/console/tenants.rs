//! `/console/tenants`, for operators: every organisation of the server.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use askama::Template;

use super::date::Moment;
use super::form::{Button, Form};
use super::list::{Choice, Done, FIRST, ListQuery, Pages, moment};
use super::page::{Page, Place, see_other};
use super::refused::Refused;
use super::session::Visitor;
use super::texts::{self, Gap as _};
use crate::app::App;
use crate::domain::page::Page as ListPage;
use crate::domain::tenant::TenantState;
use crate::domain::{Refusal, Tenant, TenantId, Timestamp};
use crate::extract::principal::{Operate, SignedIn};
use crate::extract::{Then, path_id};
use crate::manage::tenants::{self, NewTenant, TenantChange};

#[derive(Template)]
#[template(path = "tenants/list.html")]
struct List<'a> {
    page: Page<'a>,
    rows: Vec<Row>,
    pages: Pages,
    typed_name: String,
    plans: Vec<Choice>,
    refused: Refused,
}

#[derive(Template)]
#[template(path = "tenants/detail.html")]
struct Detail<'a> {
    page: Page<'a>,
    row: Row,
    plans: Vec<Choice>,
    refused: Refused,
}

/// A tenant.
struct Row {
    id: TenantId,
    name: String,
    project_token: String,
    plan: Option<String>,
    is_suspended: bool,
    created: Moment,
    is_here: bool,
}

/// The list.
pub async fn list(
    app: Data<App>,
    Then(visitor, query): Then<Visitor<Operate>, ListQuery>,
) -> Result<HttpResponse, Refusal> {
    let notice = (query.done == "deleted").then_some(texts::EN.tenants.deleted);
    show_list(&app, &visitor, query.page, notice, Refused::default(), (String::new(), None)).await
}

/// Makes one.
pub async fn create(app: Data<App>, Form { visitor, mut fields }: Form<Operate>) -> Result<HttpResponse, Refusal> {
    let typed = (fields.value("name").unwrap_or_default().to_owned(), fields.value("plan").map(str::to_owned));
    let created = async {
        let (name, plan) = (fields.required("name"), fields.take("plan"));
        let new = NewTenant { id: None, name: fields.finish(name)?, plan };
        tenants::create(&app, &visitor.actor, new).await
    };
    match created.await {
        Ok(tenant) => Ok(see_other(&format!("/console/tenants/{}?done=created", tenant.id))),
        Err(refusal) => show_list(&app, &visitor, FIRST, None, Refused::of(refusal)?, typed).await,
    }
}

/// One tenant.
pub async fn detail(
    app: Data<App>,
    id: Path<String>,
    Then(visitor, Done(done)): Then<Visitor<Operate>, Done>,
) -> Result<HttpResponse, Refusal> {
    let (t, id) = (&texts::EN.tenants, path_id(&id)?);
    let notice = match done.as_str() {
        "created" => Some(t.created.with(id)),
        "plan" => Some(t.plan_changed.to_owned()),
        "suspended" => Some(t.suspended.to_owned()),
        "resumed" => Some(t.resumed.to_owned()),
        _ => None,
    };
    show_detail(&app, &visitor, id, notice, Refused::default()).await
}

/// Puts one on another plan.
pub async fn set_plan(
    app: Data<App>,
    id: Path<String>,
    Form { visitor, mut fields }: Form<Operate>,
) -> Result<HttpResponse, Refusal> {
    let id = path_id(&id)?;
    let changed = async {
        let plan = fields.required("plan");
        let change = TenantChange { name: None, plan: Some(fields.finish(plan)?) };
        tenants::change(&app, &visitor.actor, id, change).await
    };
    after(&app, &visitor, id, changed.await, "plan").await
}

/// Suspends one.
pub async fn suspend(
    app: Data<App>,
    id: Path<String>,
    Button(visitor): Button<Operate>,
) -> Result<HttpResponse, Refusal> {
    let id = path_id(&id)?;
    let suspended = tenants::suspend(&app, &visitor.actor, id).await;
    after(&app, &visitor, id, suspended, "suspended").await
}

/// Resumes one.
pub async fn resume(
    app: Data<App>,
    id: Path<String>,
    Button(visitor): Button<Operate>,
) -> Result<HttpResponse, Refusal> {
    let id = path_id(&id)?;
    let resumed = tenants::resume(&app, &visitor.actor, id).await;
    after(&app, &visitor, id, resumed, "resumed").await
}

/// Deletes one whose name was typed: nothing brings it back.
pub async fn delete(
    app: Data<App>,
    id: Path<String>,
    Form { visitor, mut fields }: Form<Operate>,
) -> Result<HttpResponse, Refusal> {
    let id = path_id(&id)?;
    let tenant = tenants::find(&app, id).await?;
    let typed = fields.take("name").unwrap_or_default();
    // A page shows several blanks as one, and so people type them.
    if !typed.split_whitespace().eq(tenant.name.as_str().split_whitespace()) {
        fields.fault("name", texts::EN.tenants.name_differs);
    }
    let deleted = async {
        fields.finish(Some(()))?;
        tenants::delete(&app, &visitor.actor, id).await
    };
    match deleted.await {
        Ok(()) => Ok(see_other("/console/tenants?done=deleted")),
        Err(refusal) => show_detail(&app, &visitor, id, None, Refused::of(refusal)?).await,
    }
}

async fn after(
    app: &App,
    visitor: &Visitor<Operate>,
    id: TenantId,
    done: Result<Tenant, Refusal>,
    what: &str,
) -> Result<HttpResponse, Refusal> {
    match done {
        Ok(_) => Ok(see_other(&format!("/console/tenants/{id}?done={what}"))),
        Err(refusal) => show_detail(app, visitor, id, None, Refused::of(refusal)?).await,
    }
}

async fn show_list(
    app: &App,
    visitor: &Visitor<Operate>,
    open: ListPage,
    notice: Option<&str>,
    refused: Refused,
    (typed_name, plan): (String, Option<String>),
) -> Result<HttpResponse, Refusal> {
    let now = app.now();
    let found = tenants::list(app, open).await?;
    let list = List {
        page: Page::of(app, visitor, Place::Tenants, texts::EN.tenants.title).with_notice(notice),
        rows: found.items.into_iter().map(|tenant| Row::of(tenant, visitor, now)).collect(),
        pages: Pages::of("/console/tenants?", open, found.next_cursor),
        plans: plans(app, plan.as_deref()),
        typed_name,
        refused,
    };
    list.refused.answer(app, &list)
}

async fn show_detail(
    app: &App,
    visitor: &Visitor<Operate>,
    id: TenantId,
    notice: Option<String>,
    refused: Refused,
) -> Result<HttpResponse, Refusal> {
    let tenant = tenants::find(app, id).await?;
    let detail = Detail {
        page: Page::of(app, visitor, Place::Tenants, tenant.name.to_string()).with_notice(notice),
        plans: plans(app, tenant.plan.as_deref()),
        row: Row::of(tenant, visitor, app.now()),
        refused,
    };
    detail.refused.answer(app, &detail)
}

fn plans(app: &App, chosen: Option<&str>) -> Vec<Choice> {
    let plans = &app.profile.plans;
    let here = plans.of_tenant(chosen).map(|plan| plan.name.clone());
    plans
        .all()
        .map(|plan| Choice {
            value: plan.name.clone(),
            text: plan.title.clone(),
            hint: String::new(),
            is_chosen: here.as_ref() == Some(&plan.name),
        })
        .collect()
}

impl Row {
    fn of(tenant: Tenant, visitor: &SignedIn, now: Timestamp) -> Self {
        Self {
            is_suspended: tenant.state() == TenantState::Suspended,
            is_here: tenant.id == visitor.member.tenant.id,
            created: moment(tenant.created_at, now),
            id: tenant.id,
            name: tenant.name.to_string(),
            project_token: tenant.project_token,
            plan: tenant.plan,
        }
    }
}
