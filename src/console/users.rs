//! `/console/users`: who belongs to the organisation, and as what.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use askama::Template;
use secrecy::{ExposeSecret, SecretString};

use super::date::Moment;
use super::form::{Button, Form};
use super::list::{Choice, Done, FIRST, ListQuery, Pages, moment};
use super::page::{Page, Place, may, render, see_other};
use super::refused::Refused;
use super::session::Visitor;
use super::texts::{self, Gap as _};
use crate::app::App;
use crate::domain::page::Page as ListPage;
use crate::domain::{Email, Member, Refusal, Role, Timestamp, User, UserId};
use crate::extract::principal::{ReadUsers, SignedIn, WriteUsers};
use crate::extract::{Then, path_id};
use crate::manage::users::{self, NewPassword, NewUser};
use crate::profile::roles::management_in;

#[derive(Template)]
#[template(path = "users/list.html")]
struct List<'a> {
    page: Page<'a>,
    rows: Vec<Row>,
    pages: Pages,
    may_write: bool,
    roles: Vec<Choice>,
    email: String,
    refused: Refused,
    idempotency_key: String,
}

#[derive(Template)]
#[template(path = "users/detail.html")]
struct Detail<'a> {
    page: Page<'a>,
    row: Row,
    may_write: bool,
    roles: Vec<Choice>,
    refused: Refused,
    idempotency_key: String,
}

/// Shows a one-time password, once.
#[derive(Template)]
#[template(path = "users/given.html")]
struct Given<'a> {
    page: Page<'a>,
    id: UserId,
    email: String,
    password: String,
    until: Option<Moment>,
    sign_in: String,
}

/// A member.
struct Row {
    id: UserId,
    email: String,
    role: Role,
    joined: Moment,
    is_me: bool,
    is_disabled: bool,
    /// Until when a one-time password works, and whether it still does.
    invited: Option<(Moment, bool)>,
}

/// The list.
pub async fn list(
    app: Data<App>,
    Then(visitor, query): Then<Visitor<ReadUsers>, ListQuery>,
) -> Result<HttpResponse, Refusal> {
    let t = &texts::EN.users;
    let notice = match query.done.as_str() {
        "joined" => Some(t.joined_already),
        "removed" => Some(t.removed),
        _ => None,
    };
    show_list(&app, &visitor, query.page, notice, Refused::default(), (String::new(), Role::MEMBER.to_string())).await
}

/// Adds somebody, with a one-time password. The same form sent twice shows the same one.
pub async fn add(app: Data<App>, Form { visitor, mut fields }: Form<WriteUsers>) -> Result<HttpResponse, Refusal> {
    let typed = |name: &str| fields.value(name).unwrap_or_default().to_owned();
    let typed = (typed("email"), typed("role"));
    let (email, role) = (fields.required::<Email>("email"), fields.required("role"));
    let known = email.clone();
    let added = async {
        let idempotency = fields.required("idempotency_key");
        let ((email, role), idempotency) = fields.finish(email.zip(role).zip(idempotency))?;
        let (tenant, role, idempotency) = (visitor.tenant(), Some(role), Some(idempotency));
        let new = NewUser { email, tenant, role, operator: false, password: NewPassword::OneTime, idempotency };
        users::add(&app, &visitor.actor, new).await
    };
    match added.await {
        Ok(added) => match &added.generated_password {
            Some(password) => show_given(&app, &visitor, &added.member.user, password),
            None => Ok(see_other("/console/users?done=joined")),
        },
        Err(Refusal::IdempotencyConflict) => {
            let refused = Refused::of(Refusal::IdempotencyConflict)?.in_words(texts::EN.users.added_already);
            show_list(&app, &visitor, FIRST, None, refused, typed).await
        }
        Err(Refusal::EmailTaken) => {
            let known = users::find(&app, &known.ok_or(Refusal::EmailTaken)?).await?;
            Ok(see_other(&format!("/console/users/{}?done=member", known.id)))
        }
        Err(refusal) => show_list(&app, &visitor, FIRST, None, Refused::of(refusal)?, typed).await,
    }
}

/// One member.
pub async fn detail(
    app: Data<App>,
    id: Path<String>,
    Then(visitor, Done(done)): Then<Visitor<ReadUsers>, Done>,
) -> Result<HttpResponse, Refusal> {
    let t = &texts::EN.users;
    let notice = match done.as_str() {
        "role" => Some(t.role_changed),
        "member" => Some(t.member_already),
        _ => None,
    };
    show_detail(&app, &visitor, path_id(&id)?, notice, Refused::default()).await
}

/// Gives a member another role.
pub async fn change_role(
    app: Data<App>,
    id: Path<String>,
    Form { visitor, mut fields }: Form<WriteUsers>,
) -> Result<HttpResponse, Refusal> {
    let id = path_id(&id)?;
    let changed = async {
        let role = fields.required("role");
        users::change_role(&app, &visitor.actor, visitor.tenant(), id, fields.finish(role)?).await
    };
    match changed.await {
        Ok(_) => Ok(see_other(&format!("/console/users/{id}?done=role"))),
        Err(refusal) => refuse(&app, &visitor, id, refusal).await,
    }
}

/// Gives a member another one-time password. The same form sent twice shows the same one.
pub async fn renew(
    app: Data<App>,
    id: Path<String>,
    Form { visitor, mut fields }: Form<WriteUsers>,
) -> Result<HttpResponse, Refusal> {
    let id = path_id(&id)?;
    let given = async {
        let idempotency = fields.required("idempotency_key");
        let idempotency = Some(fields.finish(idempotency)?);
        users::give_one_time_password(&app, &visitor.actor, visitor.tenant(), id, idempotency).await
    };
    match given.await {
        Ok((user, password)) => show_given(&app, &visitor, &user, &password),
        Err(refusal) => refuse(&app, &visitor, id, refusal).await,
    }
}

/// Removes a member.
pub async fn remove(
    app: Data<App>,
    id: Path<String>,
    Button(visitor): Button<WriteUsers>,
) -> Result<HttpResponse, Refusal> {
    let id = path_id(&id)?;
    match users::remove(&app, &visitor.actor, visitor.tenant(), id).await {
        Ok(()) => Ok(see_other("/console/users?done=removed")),
        Err(refusal) => refuse(&app, &visitor, id, refusal).await,
    }
}

async fn show_list<A>(
    app: &App,
    visitor: &Visitor<A>,
    open: ListPage,
    notice: Option<&str>,
    refused: Refused,
    (email, role): (String, String),
) -> Result<HttpResponse, Refusal> {
    let now = app.now();
    let members =
        if may::<ReadUsers>(visitor) { Some(users::list_members(app, visitor.tenant(), open).await?) } else { None };
    let (items, next) = members.map_or((Vec::new(), None), |members| (members.items, members.next_cursor));
    let list = List {
        page: Page::of(app, visitor, Place::Users, texts::EN.users.title).with_notice(notice),
        rows: items.into_iter().map(|member| Row::of(member, visitor, now)).collect(),
        pages: Pages::of("/console/users?", open, next),
        may_write: may::<WriteUsers>(visitor),
        roles: roles(app, visitor, &role),
        email,
        refused,
        idempotency_key: app.new_id::<uuid::Uuid>(now)?.to_string(),
    };
    list.refused.answer(app, &list)
}

/// On the page of the member, for those who may see it.
async fn refuse(
    app: &App,
    visitor: &Visitor<WriteUsers>,
    id: UserId,
    refusal: Refusal,
) -> Result<HttpResponse, Refusal> {
    if may::<ReadUsers>(visitor) {
        show_detail(app, visitor, id, None, Refused::of(refusal)?).await
    } else {
        Err(refusal)
    }
}

async fn show_detail<A>(
    app: &App,
    visitor: &Visitor<A>,
    id: UserId,
    notice: Option<&str>,
    refused: Refused,
) -> Result<HttpResponse, Refusal> {
    let now = app.now();
    let member = users::find_member(app, visitor.tenant(), id).await?;
    let detail = Detail {
        page: Page::of(app, visitor, Place::Users, member.user.email.to_string()).with_notice(notice),
        may_write: may::<WriteUsers>(visitor),
        roles: roles(app, visitor, member.role.as_str()),
        row: Row::of(member, visitor, now),
        refused,
        idempotency_key: app.new_id::<uuid::Uuid>(now)?.to_string(),
    };
    detail.refused.answer(app, &detail)
}

fn show_given<A>(
    app: &App,
    visitor: &Visitor<A>,
    user: &User,
    password: &SecretString,
) -> Result<HttpResponse, Refusal> {
    let now = app.now();
    let given = Given {
        page: Page::of(app, visitor, Place::Users, texts::EN.users.given_title),
        id: user.id,
        email: user.email.to_string(),
        password: password.expose_secret().to_owned(),
        until: user.one_time_until.map(|until| moment(until, now)),
        sign_in: format!("{}/console/sign-in", app.config.server.public_url.issuer()),
    };
    render(StatusCode::OK, &given)
}

/// The roles that somebody may give: none that manages more than they do themselves.
fn roles(app: &App, giver: &SignedIn, chosen: &str) -> Vec<Choice> {
    let may_give = |scopes| giver.actor.ensure_may_give(&management_in(scopes)).is_ok();
    let offered = app.profile.roles.all().filter(|(_, scopes)| may_give(scopes));
    offered
        .map(|(role, scopes)| Choice {
            value: role.to_string(),
            text: role.to_string(),
            hint: if scopes.as_str().is_empty() {
                texts::EN.users.role_without.to_owned()
            } else {
                scopes.iter().collect::<Vec<_>>().join(", ")
            },
            is_chosen: role.as_str() == chosen,
        })
        .collect()
}

impl Row {
    fn of(Member { user, role, joined_at, .. }: Member, visitor: &SignedIn, now: Timestamp) -> Self {
        Self {
            id: user.id,
            role,
            joined: moment(joined_at, now),
            is_me: user.id == visitor.member.user.id,
            is_disabled: user.disabled_at.is_some(),
            invited: user.one_time_until.map(|until| (moment(until, now), now < until)),
            email: Email::to_string(&user.email),
        }
    }
}
