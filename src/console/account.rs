//! `/console/account`: one's own sessions and password.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use askama::Template;

use super::date::Moment;
use super::form::{Button, Fields, Form};
use super::list::Done;
use super::page::{Page, Place, see_other, see_other_with};
use super::refused::Refused;
use super::session::Visitor;
use super::texts::{self, Gap as _};
use crate::app::App;
use crate::domain::page::Page as ListPage;
use crate::domain::password::Password;
use crate::domain::session::Session;
use crate::domain::{Refusal, SessionId, Timestamp};
use crate::extract::refresh_cookie::clear_refresh_cookie;
use crate::extract::{Then, path_id};
use crate::manage;

#[derive(Template)]
#[template(path = "account.html")]
struct Account<'a> {
    page: Page<'a>,
    refused: Refused,
    sessions: Vec<Row>,
    least_password: usize,
}

/// A session.
struct Row {
    id: SessionId,
    is_this: bool,
    device: String,
    ip: String,
    begun: Moment,
    used: Moment,
}

/// The page.
pub async fn page(app: Data<App>, Then(visitor, Done(done)): Then<Visitor, Done>) -> Result<HttpResponse, Refusal> {
    let t = &texts::EN.account;
    let notice = match done.as_str() {
        "password" => Some(t.password_changed),
        "session" => Some(t.session_ended),
        _ => None,
    };
    show(&app, &visitor, notice, Refused::default()).await
}

/// Changes the password.
pub async fn change_password(app: Data<App>, Form { visitor, fields }: Form) -> Result<HttpResponse, Refusal> {
    let changed = async {
        let (current, new) = passwords(fields)?;
        let user = &visitor.member.user;
        manage::users::change_password(&app, &visitor.actor, user, visitor.session, current, new).await
    };
    match changed.await {
        Ok(()) => Ok(see_other("/console/account?done=password")),
        Err(Refusal::InvalidCredentials) => {
            let wrong = Refusal::invalid("current_password", texts::EN.account.wrong_password);
            show(&app, &visitor, None, Refused::of(wrong)?).await
        }
        Err(refusal) => show(&app, &visitor, None, Refused::of(refusal)?).await,
    }
}

/// Ends one session.
pub async fn end_session(app: Data<App>, path: Path<String>, Button(visitor): Button) -> Result<HttpResponse, Refusal> {
    manage::sessions::revoke(&app, &visitor.actor, visitor.member.user.id, path_id(&path)?).await?;
    Ok(see_other("/console/account?done=session"))
}

/// Ends every session, this one too.
pub async fn sign_out_everywhere(app: Data<App>, Button(visitor): Button) -> Result<HttpResponse, Refusal> {
    manage::sessions::log_out_everywhere(&app, &visitor.actor, visitor.member.user.id).await?;
    Ok(see_other_with("/console/sign-in?why=everywhere", clear_refresh_cookie()))
}

async fn show(app: &App, visitor: &Visitor, notice: Option<&str>, refused: Refused) -> Result<HttpResponse, Refusal> {
    let now = app.now();
    let list = ListPage { limit: ListPage::MOST, after: None };
    let sessions = manage::sessions::list(app, visitor.member.user.id, list).await?.items;
    let sessions = sessions.into_iter().map(|session| Row::of(session, visitor.session, now)).collect();
    let page = Page::of(app, visitor, Place::Account, texts::EN.account.title).with_notice(notice);
    let account = Account { page, refused, sessions, least_password: app.config.password.min_length };
    account.refused.answer(app, &account)
}

fn passwords(mut fields: Fields) -> Result<(Password, Password), Refusal> {
    let mut one = |name: &str| {
        let text = fields.take(name);
        if text.is_none() {
            fields.fault(name, "is required");
        }
        text.map(Password::from)
    };
    let (current, new) = (one("current_password"), one("new_password"));
    fields.finish(current.zip(new))
}

impl Row {
    fn of(session: Session, current: SessionId, now: Timestamp) -> Self {
        let t = &texts::EN;
        Self {
            id: session.id,
            is_this: session.id == current,
            device: session.user_agent.map_or_else(|| t.account.unknown_device.to_owned(), |agent| device(&agent)),
            ip: session.ip.unwrap_or_default(),
            begun: Moment::of(session.created_at, now, &t.time),
            used: Moment::of(session.rotated_at, now, &t.time),
        }
    }
}

/// What people call a browser: `Firefox on Linux`; a program by what it says of itself.
fn device(agent: &str) -> String {
    /// What is in the name of more than one stands behind.
    const BROWSERS: [(&str, &str); 5] =
        [("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari")];
    const SYSTEMS: [(&str, &str); 6] = [
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ];
    let name_in =
        |known: &[(&str, &'static str)]| known.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name);
    match (name_in(&BROWSERS), name_in(&SYSTEMS)) {
        (Some(browser), Some(system)) => texts::EN.account.browser_on.with(browser).as_str().with(system),
        _ => agent.chars().take(60).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::device;

    #[test]
    fn a_browser_is_called_by_its_name() {
        let chrome =
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36";
        assert_eq!(device(chrome), "Chrome on Linux");
        let edge = "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/126.0 Safari/537.36 Edg/126.0";
        assert_eq!(device(edge), "Edge on Windows");
        assert_eq!(device("curl/8.5.0"), "curl/8.5.0");
    }
}
