//! `/console/keys/{id}/rotate`: a new key, or a new secret, beside the old one for a while.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use askama::Template;
use chrono::TimeDelta;

use super::created::{self, Replaced};
use super::list::{Row, barred};
use super::usage::{CallerRow, with_callers};
use crate::app::App;
use crate::console::form::{Fields, Form};
use crate::console::page::{Page, Place};
use crate::console::refused::Refused;
use crate::console::session::Visitor;
use crate::console::texts::{self, Gap as _};
use crate::domain::{ApiKeyId, Refusal, Timestamp};
use crate::extract::path_id;
use crate::extract::principal::WriteApiKeys;
use crate::manage;
use crate::manage::api_keys::CreatedApiKey;
use crate::manage::idempotency::IdempotencyKey;
use crate::profile::key_location::KeyForm;

/// How long the old one may live on: seconds, and what is read.
fn overlaps() -> Vec<(i64, &'static str)> {
    let t = &texts::EN.rotate_key;
    vec![(3_600, t.hour), (86_400, t.day), (604_800, t.week), (2_592_000, t.month), (0, t.at_once)]
}

#[derive(Template)]
#[template(path = "keys/rotate.html")]
struct Rotate<'a> {
    page: Page<'a>,
    row: Row,
    keeps_id: bool,
    callers: Vec<CallerRow>,
    overlaps: Vec<(i64, &'static str)>,
    chosen: i64,
    /// Why two cannot live beside each other, where that is so.
    barred: Option<String>,
    refused: Refused,
    idempotency_key: String,
}

/// The form.
pub async fn page(app: Data<App>, visitor: Visitor<WriteApiKeys>, path: Path<String>) -> Result<HttpResponse, Refusal> {
    show(&app, &visitor, path_id(&path)?, None, Refused::default()).await
}

/// Rotates the key, and shows the new one this once. The same form sent twice rotates once.
pub async fn rotate(
    app: Data<App>,
    path: Path<String>,
    Form { visitor, fields }: Form<WriteApiKeys>,
) -> Result<HttpResponse, Refusal> {
    let id = path_id(&path)?;
    let chosen = fields.text("overlap_seconds").parse().ok();
    let rotated = async {
        let (overlap, idempotency) = wanted(fields)?;
        let by = &visitor.actor;
        let created = manage::api_keys::rotate(&app, by, visitor.tenant(), id, overlap, Some(idempotency)).await?;
        Ok((until(&created, overlap), created))
    };
    match rotated.await {
        Ok((until, created)) => created::show(&app, &visitor, &created, Some(Replaced { until })),
        Err(Refusal::IdempotencyConflict) => {
            let refused = Refused::of(Refusal::IdempotencyConflict)?.in_words(texts::EN.rotate_key.rotated_already);
            show(&app, &visitor, id, chosen, refused).await
        }
        Err(refusal) => show(&app, &visitor, id, chosen, Refused::of(refusal)?).await,
    }
}

async fn show(
    app: &App,
    visitor: &Visitor<WriteApiKeys>,
    id: ApiKeyId,
    chosen: Option<i64>,
    refused: Refused,
) -> Result<HttpResponse, Refusal> {
    let now = app.now();
    let (key, callers) = with_callers(app, visitor, id).await?;
    let keeps_id = app.profile.form(key.access_type.as_ref()) == KeyForm::IdAndSecret;
    let barred = if keeps_id { None } else { barred(app, &visitor.member.tenant).await? };
    let rotate = Rotate {
        page: Page::of(app, visitor, Place::Keys, texts::EN.rotate_key.title.with(&key.name)),
        row: Row::of(app, &key, now),
        keeps_id,
        callers,
        overlaps: overlaps(),
        chosen: chosen.unwrap_or(if barred.is_some() { 0 } else { 86_400 }),
        barred,
        refused,
        idempotency_key: app.new_id::<uuid::Uuid>(now)?.to_string(),
    };
    rotate.refused.answer(app, &rotate)
}

fn wanted(mut fields: Fields) -> Result<(TimeDelta, IdempotencyKey), Refusal> {
    let overlap = fields.required::<i64>("overlap_seconds");
    let overlap = overlap.map(|seconds| TimeDelta::try_seconds(seconds).unwrap_or(TimeDelta::MAX));
    let idempotency = fields.required("idempotency_key");
    fields.finish(overlap.zip(idempotency))
}

/// Until when the old one works: the answer that is given again says the same.
fn until(created: &CreatedApiKey, overlap: TimeDelta) -> Option<Timestamp> {
    let key = &created.key;
    let end = key.previous_until.unwrap_or_else(|| key.created_at.plus(overlap));
    (!overlap.is_zero()).then(|| key.expires_at.map_or(end, |sooner| sooner.min(end)))
}
