//! `/console/plan`: what the organisation's plan allows, and what of it is used.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use askama::Template;

use super::page::{Page, Place, render};
use super::session::Visitor;
use super::texts::{self, Gap as _};
use crate::app::App;
use crate::domain::Refusal;
use crate::extract::principal::ReadApiKeys;
use crate::manage;

#[derive(Template)]
#[template(path = "plan.html")]
struct View<'a> {
    page: Page<'a>,
    /// The plan that is in force, first its own title.
    plan: Option<Offer>,
    /// All of them, in rising order.
    offers: Vec<Offer>,
    used: i64,
    most: i64,
    /// The lowest plan that has API keys, where this one has none.
    needed: Option<String>,
}

/// A plan.
struct Offer {
    title: String,
    is_here: bool,
    api_keys: bool,
    keys: i64,
    requests: Option<u32>,
}

/// The page.
pub async fn page(app: Data<App>, visitor: Visitor<ReadApiKeys>) -> Result<HttpResponse, Refusal> {
    let plans = &app.profile.plans;
    let name = visitor.member.tenant.plan.as_deref();
    let here = plans.of_tenant(name);
    let offers = || {
        plans.all().map(|plan| Offer {
            title: plan.title.clone(),
            is_here: here.is_some_and(|here| here.name == plan.name),
            api_keys: plan.api_keys,
            keys: plan.limits.keys_per_tenant,
            requests: plan.limits.requests_per_minute.map(Into::into),
        })
    };
    let view = View {
        page: Page::of(&app, &visitor, Place::Plan, texts::EN.plan.title),
        plan: offers().find(|offer| offer.is_here),
        offers: offers().collect(),
        used: manage::api_keys::count_live(&app, visitor.tenant()).await?,
        most: plans.limits(name).keys_per_tenant,
        needed: match plans.ensure_api_keys(name) {
            Err(Refusal::PlanRequired(lowest)) => Some(lowest),
            _ => None,
        },
    };
    render(StatusCode::OK, &view)
}
