//! `/console/organisations`: the tenants of a user, one of which is open.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use askama::Template;

use super::form::Form;
use super::page::{Page, Place, render, see_other_with};
use super::session::Visitor;
use super::texts::{self, Gap as _};
use crate::app::App;
use crate::domain::{Member, Refusal, TenantId};
use crate::extract::refresh_cookie::set_refresh_cookie;
use crate::{grants, manage};

#[derive(Template)]
#[template(path = "organisations.html")]
struct Organisations<'a> {
    page: Page<'a>,
    members: Vec<Member>,
    here: TenantId,
}

/// The page.
pub async fn page(app: Data<App>, visitor: Visitor) -> Result<HttpResponse, Refusal> {
    let members = manage::users::memberships_of(&app, visitor.member.user.id).await?;
    let page = Page::of(&app, &visitor, Place::Elsewhere, texts::EN.organisations.title);
    render(StatusCode::OK, &Organisations { page, members, here: visitor.tenant() })
}

/// Opens another one.
pub async fn switch(app: Data<App>, Form { visitor, mut fields }: Form) -> Result<HttpResponse, Refusal> {
    let tenant = fields.required("tenant_id");
    let tenant: TenantId = fields.finish(tenant)?;
    let new = grants::switch::switch(&app, &visitor.actor, &visitor.member.user, visitor.session, tenant).await?;
    Ok(see_other_with(super::PATH, set_refresh_cookie(new.refresh.expose(), new.expires_in)))
}
