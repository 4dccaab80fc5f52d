//! `/console/sign-in` and `/console/sign-out`.

use std::future::Ready;

use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use askama::Template;
use secrecy::ExposeSecret;

use super::form::{Button, Fields, StrangersForm, browser};
use super::page::{Page, see_other, see_other_with};
use super::refused::Refused;
use super::session::Visitor;
use super::texts::{self, Gap as _};
use crate::app::App;
use crate::domain::password::Password;
use crate::domain::refresh_token::RefreshToken;
use crate::domain::refusal::TenantChoice;
use crate::domain::{Actor, Refusal};
use crate::extract::client::Client;
use crate::extract::query::Parameters;
use crate::extract::refresh_cookie::{clear_refresh_cookie, navigations_refresh_cookie, set_refresh_cookie};
use crate::grants::login::LoginRequest;
use crate::{grants, manage};

/// Why somebody is here, and where they were going.
pub struct Arrival {
    return_to: String,
    why: String,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn<'a> {
    page: Page<'a>,
    form_token: String,
    refused: Refused,
    asked: Asked,
    /// In characters.
    least_password: usize,
}

/// What is asked for, and what was answered before.
#[derive(Default)]
struct Asked {
    email: String,
    return_to: String,
    /// The tenants to choose from, where that is asked.
    tenants: Vec<TenantChoice>,
    /// The one that was chosen.
    tenant: String,
    /// A password of their own, in place of a one-time password.
    new_password: bool,
}

impl FromRequest for Arrival {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        Parameters::read_known(request, |given| {
            Ok(Self { return_to: given.text("return_to")?, why: given.text("why")? })
        })
    }
}

/// The page; whoever is signed in already goes on. That it cannot be told is no reason to ask for a password.
pub async fn page(
    app: Data<App>,
    request: HttpRequest,
    visitor: Result<Visitor, Refusal>,
    Arrival { return_to, why }: Arrival,
) -> Result<HttpResponse, Refusal> {
    let t = &texts::EN.sign_in;
    let notice = match (visitor, why.as_str()) {
        (Ok(_), _) => return Ok(see_other(local(&return_to))),
        (Err(Refusal::RefreshTokenReused), _) | (Err(Refusal::InvalidRefreshToken), "reused") => Some(t.reused),
        (Err(Refusal::InvalidRefreshToken), "ended") => Some(t.ended),
        (Err(Refusal::InvalidRefreshToken), "signed-out") => Some(t.signed_out),
        (Err(Refusal::InvalidRefreshToken), "everywhere") => Some(t.everywhere),
        (Err(Refusal::InvalidRefreshToken), _) => None,
        (Err(refusal), _) => return Err(refusal),
    };
    show(&app, &request, notice, Refused::default(), Asked { return_to, ..Asked::default() })
}

/// Signs somebody in.
pub async fn sign_in(
    app: Data<App>,
    request: HttpRequest,
    Client(client): Client,
    StrangersForm(mut fields): StrangersForm,
) -> Result<HttpResponse, Refusal> {
    let mut asked = Asked {
        email: fields.text("email").to_owned(),
        return_to: fields.take("return_to").unwrap_or_default(),
        tenant: fields.text("tenant_id").to_owned(),
        new_password: fields.value("new_password").is_some(),
        ..Asked::default()
    };
    let signed_in = async { grants::login::login(&app, login_request(fields, &request, client)?).await };
    let refused = match signed_in.await {
        Ok(tokens) => {
            let cookie = set_refresh_cookie(tokens.refresh.expose(), tokens.refresh_expires_in);
            return Ok(see_other_with(local(&asked.return_to), cookie));
        }
        Err(Refusal::TenantRequired(tenants)) => {
            asked.tenants = tenants;
            Refused::default()
        }
        Err(Refusal::PasswordChangeRequired) => {
            asked.new_password = true;
            Refused::default()
        }
        Err(Refusal::LoginThrottled(throttled)) => {
            let words = texts::EN.sign_in.throttled.with(throttled.retry_after);
            Refused::of(Refusal::LoginThrottled(throttled))?.in_words(words)
        }
        Err(refusal) => Refused::of(refusal)?,
    };
    show(&app, &request, None, refused, asked)
}

/// Signs out: ends this session, and takes the cookie away.
pub async fn sign_out(app: Data<App>, request: HttpRequest, Button(visitor): Button) -> Result<HttpResponse, Refusal> {
    let token = navigations_refresh_cookie(&request)?.and_then(|token| RefreshToken::parse(token.expose_secret()));
    if let Some(token) = token {
        manage::sessions::log_out(&app, &visitor.actor, &token).await?;
    }
    Ok(see_other_with("/console/sign-in?why=signed-out", clear_refresh_cookie()))
}

fn login_request(mut fields: Fields, request: &HttpRequest, client: Actor) -> Result<LoginRequest, Refusal> {
    // A cookie that is none is a device like any other.
    let known_by = navigations_refresh_cookie(request).ok().flatten();
    let known_by = known_by.and_then(|token| RefreshToken::parse(token.expose_secret()));
    let tenant = fields.optional("tenant_id");
    let new_password = fields.take("new_password").map(Password::from);
    let email = fields.required("email");
    let password = fields.take("password").map(Password::from);
    if password.is_none() {
        fields.fault("password", "is required");
    }
    let (email, password) = fields.finish(email.zip(password))?;
    Ok(LoginRequest { email, password, new_password, tenant, known_by, replaces: true, client })
}

fn show(
    app: &App,
    request: &HttpRequest,
    notice: Option<&str>,
    refused: Refused,
    asked: Asked,
) -> Result<HttpResponse, Refusal> {
    let (forms, cookie) = browser(request, app)?;
    let page = Page::of_nobody(app, texts::EN.sign_in.title).with_notice(notice);
    let form_token = app.forms.token(&forms);
    let least_password = app.config.password.min_length;
    let sign_in = SignIn { page, form_token, refused, asked, least_password };
    let mut answer = sign_in.refused.answer(app, &sign_in)?;
    if let Some(cookie) = cookie {
        answer.add_cookie(&cookie).map_err(|_| Refusal::Internal)?;
    }
    Ok(answer)
}

/// A path of the console, and nothing else: nobody is led to another place by a link to our sign-in page.
fn local(path: &str) -> &str {
    let is_ours = path.strip_prefix(super::PATH).is_some_and(|rest| rest.starts_with(['/', '?']));
    let is_plain =
        path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') && !path.contains("..") && !path.contains("//");
    // No path of ours is escaped; `%2e%2e` is another way to say `..`.
    let is_escaped = path.split('?').next().is_some_and(|path| path.contains('%'));
    if is_ours && is_plain && !is_escaped { path } else { super::PATH }
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn nobody_is_led_away() {
        for good in ["/console/keys", "/console/keys?cursor=abc", "/console?x=1", "/console/audit?actor=user%3A1"] {
            assert_eq!(local(good), good);
        }
        for bad in [
            "",
            "/",
            "//evil.example",
            "/consolex",
            "https://evil.example/console/",
            "/console\\evil",
            "/console//evil.example",
            "/console/../docs",
            "/console/%2e%2e/docs",
            "/console/.%2E/docs?x=1",
            "/console/\r\nSet-Cookie: a=b",
            "/console/\t/evil.example",
            "/api/v1/auth/me",
        ] {
            assert_eq!(local(bad), "/console", "{bad:?}");
        }
    }
}
