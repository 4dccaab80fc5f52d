//! What lies around every answer of the console: what a browser may do with it, the cookie of a session that was
//! renewed, and a page in place of a refusal.

use std::rc::Rc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, RETRY_AFTER, SET_COOKIE,
};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse};
use askama::Template;
use url::form_urlencoded;

use super::page::{Page, Place, Who, render, see_other};
use super::session::{NewCookie, forms_of};
use super::texts::{self, Gap as _};
use crate::app::App;
use crate::domain::Refusal;
use crate::error::retry_after;
use crate::extract::principal::SignedIn;
use crate::extract::refresh_cookie::{navigations_refresh_cookie, set_refresh_cookie};
use crate::extract::request_id::RequestId;

/// Nothing but our own files: no inline script or style, no frame around a page, no form that leads elsewhere (security
/// 23).
const CSP: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; \
                   base-uri 'none'; frame-ancestors 'none'";

pub async fn frame(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let app = request.app_data::<Data<App>>().cloned().ok_or(Refusal::Internal)?;
    let mut response = next.call(request).await?.map_into_boxed_body();
    if let Some(refusal) = refusal_in(&response) {
        app.metrics.count_refusal(refusal.code());
        let mut answer = explain(&app, response.request(), refusal);
        if let Some(allowed) = response.headers().get(ALLOW) {
            answer.headers_mut().insert(ALLOW, allowed.clone());
        }
        if let Some(seconds) = retry_after(refusal) {
            answer.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response = response.into_response(answer);
    }
    hand_over_new_cookie(&mut response);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(CSP));
    // Not `no-referrer`: browsers would then call the origin of our own forms `null`.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(response)
}

/// Unless the page itself says what becomes of the cookie: after a sign-out nothing brings it back.
fn hand_over_new_cookie(response: &mut ServiceResponse) {
    let renewed = response.request().extensions_mut().remove::<NewCookie>();
    let Some(NewCookie(renewed)) = renewed else { return };
    let cookie = set_refresh_cookie(renewed.refresh.expose(), renewed.expires_in);
    let is_set = response.response().cookies().any(|known| known.name() == cookie.name());
    if let Ok(value) = HeaderValue::from_str(&cookie.to_string())
        && !is_set
    {
        response.headers_mut().append(SET_COOKIE, value);
    }
}

fn refusal_in(response: &ServiceResponse) -> Option<&Refusal> {
    const NO_SUCH_METHOD: &Refusal = &Refusal::MethodNotAllowed;
    let ours = response.response().error().and_then(|error| error.as_error::<Refusal>());
    ours.or((response.status() == StatusCode::METHOD_NOT_ALLOWED).then_some(NO_SUCH_METHOD))
}

/// The page that says what was refused, and what to do now.
fn explain(app: &App, request: &HttpRequest, refusal: &Refusal) -> HttpResponse {
    let page = match refusal {
        Refusal::InvalidToken | Refusal::InvalidRefreshToken | Refusal::RefreshTokenReused => {
            ask_to_sign_in(app, request, refusal)
        }
        _ => Explanation::of(app, request, refusal),
    };
    page.unwrap_or_else(|_| HttpResponse::new(StatusCode::INTERNAL_SERVER_ERROR))
}

fn ask_to_sign_in(app: &App, request: &HttpRequest, refusal: &Refusal) -> Result<HttpResponse, Refusal> {
    let has_cookie = navigations_refresh_cookie(request).is_ok_and(|cookie| cookie.is_some());
    let is_visit = matches!(*request.method(), Method::GET | Method::HEAD);
    let site = request.headers().get("sec-fetch-site").map(HeaderValue::as_bytes);
    if is_visit && !has_cookie && site == Some(b"cross-site") {
        // A link on another site: the browser keeps a strict cookie to itself. Asked again from here, it sends what it
        // has.
        return render(StatusCode::OK, &OneMoment { page: Page::of_nobody(app, texts::EN.sign_in.one_moment) });
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    let path = request.uri().path_and_query().map_or("", |path| path.as_str());
    if is_visit && path != super::PATH {
        query.append_pair("return_to", path);
    }
    match refusal {
        Refusal::RefreshTokenReused => drop(query.append_pair("why", "reused")),
        _ if has_cookie => drop(query.append_pair("why", "ended")),
        _ => {}
    }
    Ok(see_other(format!("{}/sign-in?{}", super::PATH, query.finish()).trim_end_matches('?')))
}

/// Loads itself again.
#[derive(Template)]
#[template(path = "one_moment.html")]
struct OneMoment<'a> {
    page: Page<'a>,
}

/// Why there is no other page here.
#[derive(Template)]
#[template(path = "explanation.html")]
struct Explanation<'a> {
    page: Page<'a>,
    help: String,
    request_id: Option<String>,
}

impl Explanation<'_> {
    fn of(app: &App, request: &HttpRequest, refusal: &Refusal) -> Result<HttpResponse, Refusal> {
        let t = &texts::EN.errors;
        let (title, help) = match refusal {
            Refusal::InsufficientScope { scope, .. } => (t.denied, t.denied_help.with(scope)),
            Refusal::NotFound => (t.missing, t.missing_help.to_owned()),
            Refusal::StaleForm => (t.stale, t.stale_help.to_owned()),
            Refusal::OriginNotAllowed => (t.foreign, t.foreign_help.to_owned()),
            fault if fault.is_fault_of_ours() => (t.busy, t.busy_help.to_owned()),
            other => (t.other, other.to_string()),
        };
        let who = request.extensions().get::<Rc<SignedIn>>().cloned();
        let mut page = Page::of_nobody(app, title);
        page.who = who.as_deref().map(|who| Who::new(app, who, &forms_of(who), Place::Elsewhere));
        let request_id = refusal.is_fault_of_ours().then(|| RequestId::of(request).map(|id| id.0)).flatten();
        render(refusal.status_and_code().0, &Explanation { page, help, request_id })
    }
}
