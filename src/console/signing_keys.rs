//! `/console/signing-keys`, for operators: what signs, what did and what will.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use askama::Template;

use super::date::Moment;
use super::form::{Button, Form};
use super::list::{Done, moment};
use super::page::{Page, Place, render, see_other};
use super::session::Visitor;
use super::texts::{self, Gap as _};
use super::timeline::{Scale, Segment, WIDTH};
use crate::app::App;
use crate::domain::rotation::KeyOutlook;
use crate::domain::signing_key::KeyState;
use crate::domain::{Refusal, Timestamp};
use crate::extract::Then;
use crate::extract::principal::Operate;
use crate::manage::signing_keys;

#[derive(Template)]
#[template(path = "signing_keys.html")]
struct View<'a> {
    page: Page<'a>,
    rows: Vec<Row>,
    width: i64,
    now_at: i64,
    from: Moment,
    to: Moment,
}

/// A key.
struct Row {
    kid: String,
    algorithm: String,
    state: &'static str,
    tone: &'static str,
    line: Vec<Segment>,
    /// What happened to it and what will, in words.
    moments: Vec<(&'static str, Moment)>,
    is_published: bool,
    /// What its revocation breaks.
    revoke_sure: &'static str,
}

/// The page.
pub async fn page(
    app: Data<App>,
    Then(visitor, Done(done)): Then<Visitor<Operate>, Done>,
) -> Result<HttpResponse, Refusal> {
    let (t, now) = (&texts::EN.signing_keys, app.now());
    let notice = match done.as_str() {
        "rotated" => Some(t.rotated),
        "emergency" => Some(t.hastened),
        "revoked" => Some(t.revoked),
        _ => None,
    };
    let keys = signing_keys::list(&app).await?;
    let scale = Scale::of(&keys, now);
    let view = View {
        page: Page::of(&app, &visitor, Place::SigningKeys, t.title).with_notice(notice),
        rows: keys.iter().rev().map(|key| Row::of(key, &keys, &scale, now)).collect(),
        width: WIDTH,
        now_at: scale.x(now),
        from: moment(scale.from, now),
        to: moment(scale.to, now),
    };
    render(StatusCode::OK, &view)
}

/// Begins a rotation.
pub async fn rotate(app: Data<App>, Form { visitor, mut fields }: Form<Operate>) -> Result<HttpResponse, Refusal> {
    let emergency = fields.take("emergency").is_some();
    fields.finish(Some(()))?;
    signing_keys::rotate(&app, &visitor.actor, emergency).await?;
    let done = if emergency { "emergency" } else { "rotated" };
    Ok(see_other(&format!("/console/signing-keys?done={done}")))
}

/// Takes a key out of use at once.
pub async fn revoke(
    app: Data<App>,
    kid: Path<String>,
    Button(visitor): Button<Operate>,
) -> Result<HttpResponse, Refusal> {
    signing_keys::revoke(&app, &visitor.actor, &kid).await?;
    Ok(see_other("/console/signing-keys?done=revoked"))
}

impl Row {
    fn of(outlook: &KeyOutlook, all: &[KeyOutlook], scale: &Scale, now: Timestamp) -> Self {
        let (t, key) = (&texts::EN.signing_keys, &outlook.key);
        let (state, tone) = match key.state {
            KeyState::Pending => (t.pending, "warn"),
            KeyState::Active => (t.active, "good"),
            KeyState::Retiring => (t.retiring, "quiet"),
            KeyState::Retired => (t.retired, "quiet"),
            KeyState::Compromised => (t.compromised, "bad"),
        };
        let next = match outlook.next_state {
            Some(KeyState::Active) => t.will_sign,
            Some(KeyState::Retiring) => t.will_retire,
            _ => t.will_be_retired,
        };
        let known = [
            (t.published_at, key.published_at),
            (t.activated_at, key.activated_at),
            (t.retired_at, key.retired_at),
            (next, outlook.next_at),
        ];
        let moments = known.into_iter().filter_map(|(what, at)| Some((what, moment(at?, now))));
        Self {
            kid: key.kid.clone(),
            algorithm: key.algorithm.to_string(),
            state,
            tone,
            line: scale.line(outlook, all),
            moments: moments.collect(),
            is_published: key.state.is_published(),
            revoke_sure: match key.state {
                KeyState::Pending => t.revoke_pending_sure,
                KeyState::Active => t.revoke_active_sure,
                _ => t.revoke_retiring_sure,
            },
        }
    }
}
