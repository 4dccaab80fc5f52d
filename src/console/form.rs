//! What a browser's form sends. Each of them proves three things before a field is read: whose session it is, that a
//! page of ours sent it, and that this page was made for that session (CSRF).

use std::fmt::Display;
use std::str::FromStr;

use actix_web::cookie::Cookie;
use actix_web::dev::Payload;
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest};
use data_encoding::HEXLOWER;
use futures_util::future::LocalBoxFuture;
use url::form_urlencoded;

use super::session::{Access, Anyone, Visitor};
use crate::app::App;
use crate::domain::Refusal;
use crate::domain::printable::shown;
use crate::domain::refusal::FieldError;
use crate::extract::json::{ensure_content_type, read_body};
use crate::extract::refresh_cookie::{cookie_of, ensure_own_page, host_cookie};
use crate::extract::{Then, app};

/// The field with the token.
const TOKEN: &str = "form_token";

/// More fields than any form has: 200 scopes, and some.
const MOST_FIELDS: usize = 400;

/// Holds what the forms of a browser without a session are signed for.
const BROWSER: &str = "__Host-jeton_form";

/// A form of somebody who is signed in and holds what `A` asks for.
pub struct Form<A: Access = Anyone> {
    /// Who sent it.
    pub visitor: Visitor<A>,
    /// What they sent.
    pub fields: Fields,
}

/// A form that is nothing but its button, of such a person: with any field in it, it is refused.
pub struct Button<A: Access = Anyone>(pub Visitor<A>);

/// A form of somebody who is not signed in yet.
pub struct StrangersForm(pub Fields);

/// The fields of a form that nobody took yet, and what is wrong with those that somebody took.
#[derive(Clone, Default)]
pub struct Fields {
    left: Vec<(String, String)>,
    faults: Vec<FieldError>,
}

impl<A: Access + 'static> FromRequest for Form<A> {
    type Error = Refusal;
    type Future = LocalBoxFuture<'static, Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let Then(visitor, Sent(body)) = Then::<Visitor<A>, Sent>::from_request(&request, &mut payload).await?;
            let fields = read(&request, &body, &visitor.forms())?;
            Ok(Self { visitor, fields })
        })
    }
}

impl<A: Access + 'static> FromRequest for Button<A> {
    type Error = Refusal;
    type Future = LocalBoxFuture<'static, Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let form = Form::<A>::from_request(request, payload);
        Box::pin(async move {
            let Form { visitor, fields } = form.await?;
            fields.finish(Some(()))?;
            Ok(Self(visitor))
        })
    }
}

impl FromRequest for StrangersForm {
    type Error = Refusal;
    type Future = LocalBoxFuture<'static, Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let browser = cookie_of(&request, BROWSER)?.ok_or(Refusal::StaleForm)?;
            let Sent(body) = Sent::from_request(&request, &mut payload).await?;
            read(&request, &body, &browsers_forms(browser.value())).map(Self)
        })
    }
}

/// The body of a form that a page of ours sent.
struct Sent(Bytes);

impl FromRequest for Sent {
    type Error = Refusal;
    type Future = LocalBoxFuture<'static, Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            ensure_own_page(&request, app(&request)?)?;
            ensure_content_type(&request, "application/x-www-form-urlencoded")?;
            read_body(&request, payload).await.map(Self)
        })
    }
}

/// What the forms of a browser without a session are signed for, and the cookie that it is to have, if it has none.
pub fn browser(request: &HttpRequest, app: &App) -> Result<(String, Option<Cookie<'static>>), Refusal> {
    if let Some(cookie) = cookie_of(request, BROWSER)? {
        return Ok((browsers_forms(cookie.value()), None));
    }
    let value = HEXLOWER.encode(&app.random.bytes::<16>()?);
    Ok((browsers_forms(&value), Some(host_cookie(BROWSER, value))))
}

fn browsers_forms(value: &str) -> String {
    format!("browser {value}")
}

fn read(request: &HttpRequest, body: &[u8], whose: &str) -> Result<Fields, Refusal> {
    let app = app(request)?;
    let mut fields = Fields::parse(body)?;
    let token = fields.take(TOKEN).unwrap_or_default();
    if app.forms.is_genuine(whose, &token) { Ok(fields) } else { Err(Refusal::StaleForm) }
}

impl Fields {
    /// Fields as if somebody had filled them in.
    pub fn of(fields: impl IntoIterator<Item = (impl Into<String>, String)>) -> Self {
        let left = fields.into_iter().map(|(name, value)| (name.into(), value)).collect();
        Self { left, ..Self::default() }
    }

    /// Reads a form's body.
    fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let malformed = |what: &str| Refusal::MalformedRequest(what.to_owned());
        std::str::from_utf8(body).map_err(|_| malformed("The form is not UTF-8"))?;
        let left: Vec<_> = form_urlencoded::parse(body).into_owned().take(MOST_FIELDS + 1).collect();
        if left.len() > MOST_FIELDS {
            Err(malformed("The form has too many fields"))
        } else {
            Ok(Self { left, ..Self::default() })
        }
    }

    /// The value of a field as it stands; none where it is empty.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.left
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .filter(|text| !text.is_empty())
    }

    /// The same, for a control of the page that is shown again.
    pub fn text(&self, name: &str) -> &str {
        self.value(name).unwrap_or_default()
    }

    /// Puts a value in the place of those that a field has.
    pub fn set(&mut self, name: &str, value: String) {
        self.take_all(name);
        self.left.push((name.to_owned(), value));
    }

    /// Takes the value of a field; none where it is empty.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let index = self.left.iter().position(|(known, _)| known == name)?;
        Some(self.left.remove(index).1).filter(|text| !text.is_empty())
    }

    /// Takes every value of a field that may be there more than once: of boxes that are ticked.
    pub fn take_all(&mut self, name: &str) -> Vec<String> {
        let (taken, left) = std::mem::take(&mut self.left).into_iter().partition(|(known, _)| known == name);
        self.left = left;
        taken.into_iter().map(|(_, value): (String, String)| value).collect()
    }

    /// Each value of a field.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.left.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether a field has this value among others: the box is ticked.
    pub fn has(&self, name: &str, value: impl AsRef<str>) -> bool {
        self.all(name).any(|known| known == value.as_ref())
    }

    /// Reads a field that may be empty.
    pub fn optional<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let text = self.take(name)?;
        text.trim().parse().map_err(|error| self.fault(name, error)).ok()
    }

    /// Reads a field that must not be empty.
    pub fn required<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        if self.value(name).is_none_or(|text| text.trim().is_empty()) {
            self.take(name);
            self.fault(name, "is required");
            return None;
        }
        self.optional(name)
    }

    /// Says what is wrong with a field.
    pub fn fault(&mut self, name: &str, message: impl Display) {
        self.faults.push(FieldError { field: name.to_owned(), message: message.to_string() });
    }

    /// What was read, where nothing is wrong with any field, and none is left that nobody asked for (security 21).
    ///
    /// # Errors
    /// [`Refusal::ValidationFailed`], with every fault.
    pub fn finish<T>(mut self, read: Option<T>) -> Result<T, Refusal> {
        for (name, _) in std::mem::take(&mut self.left) {
            self.fault(&shown(&name, 64), "is not a known field, or is repeated");
        }
        read.filter(|_| self.faults.is_empty()).ok_or(Refusal::ValidationFailed(self.faults))
    }
}
