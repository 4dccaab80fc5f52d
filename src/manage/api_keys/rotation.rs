//! Rotation: a key gives way to another with the same rights. Where the format is id + secret the id stays, and only
//! the secret changes.

use chrono::TimeDelta;

use super::store::{Draft, Stored, earlier_answer};
use super::{CreatedApiKey, NewApiKey, find};
use crate::app::App;
use crate::db::{DbConnection, api_keys, statuses};
use crate::domain::api_key::{ApiKey, ApiKeyState};
use crate::domain::{Actor, ApiKeyId, Refusal, TenantId, Timestamp};
use crate::manage::idempotency::{self, IdempotencyKey, Keep};
use crate::manage::overreach;
use crate::profile::key_location::KeyForm;

/// The longest that a rotated key may live on beside its successor.
pub const LONGEST_OVERLAP: TimeDelta = TimeDelta::days(30);

/// Replaces a key, or its secret, by a new one with the same rights. The old one dies now, or after `overlap`.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::ApiKeyNotActive`]; [`Refusal::ApiKeyLimitReached`] where both would live and
/// one more is too many; [`Refusal::PlanRequired`]; [`Refusal::InsufficientScope`] where the key can do more here
/// than who rotates it; an overlap that is too long.
pub async fn rotate(
    app: &App,
    by: &Actor,
    tenant: TenantId,
    id: ApiKeyId,
    overlap: TimeDelta,
    idempotency: Option<IdempotencyKey>,
) -> Result<CreatedApiKey, Refusal> {
    let now = app.now();
    if overlap < TimeDelta::zero() || overlap > LONGEST_OVERLAP {
        let most = LONGEST_OVERLAP.num_seconds();
        return Err(Refusal::invalid("overlap_seconds", format!("must be 0 to {most}")));
    }
    let request = idempotency::request_hash(&("rotate", id, overlap.num_seconds()));
    if let Some(answer) = earlier_answer(app, by, tenant, idempotency.as_ref(), &request).await? {
        return Ok(answer);
    }
    let old = find(app, tenant, id).await?;
    // A new secret is the key's rights in another hand, which may hold a token with fewer of them: even its own.
    let attempt = app.event(by, "api_key.rotated", now)?.tenant(tenant).target("api-key", id);
    by.ensure_may_give(&app.profile.powers(old.access_type.as_ref(), &old.scopes))
        .map_err(|refusal| overreach(app, attempt.clone(), refusal))?;
    let mut draft = Draft::new(app, by, tenant, NewApiKey::like(&old), now).await?;
    let keeps_id = app.profile.form(old.access_type.as_ref()) == KeyForm::IdAndSecret;
    let details = if keeps_id {
        let previous_until = (!overlap.is_zero()).then(|| now.plus(overlap));
        let ApiKey { hint, status_index, .. } = draft.key;
        draft.key = ApiKey { hint, status_index, previous_until, secret_changed_at: Some(now), ..old };
        "secret replaced".to_owned()
    } else {
        draft.key.replaces = Some(id);
        format!("replaced by api-key:{}", draft.key.id)
    };
    let event = attempt.details(details);
    let keep = idempotency.map(|key| Keep::new(app, tenant, &key, by.who, request, now));
    draft
        .store(app, event, keep, move |connection, stored| {
            let old = api_keys::find(connection, tenant, id)?.ok_or(Refusal::NotFound)?;
            if old.state(now) != ApiKeyState::Active {
                return Err(Refusal::ApiKeyNotActive);
            }
            // Read again: they may have been changed meanwhile. Nothing else of a key can be.
            stored.key.name.clone_from(&old.name);
            stored.key.contact_email.clone_from(&old.contact_email);
            if keeps_id {
                return replace_secret(connection, &old, &stored, now);
            }
            end(connection, &old, now, overlap)?;
            stored.insert(connection)
        })
        .await
}

/// Two secrets of a key work at most, for as long as they overlap: of three the oldest dies.
fn replace_secret(
    connection: &mut DbConnection,
    old: &ApiKey,
    stored: &Stored<'_>,
    now: Timestamp,
) -> Result<(), Refusal> {
    statuses::end(connection, old.previous_status_index.as_slice(), now)?;
    let replaced = api_keys::replace_secret(connection, stored.key, stored.hash)?;
    if replaced { Ok(()) } else { Err(Refusal::ApiKeyNotActive) }
}

fn end(connection: &mut DbConnection, old: &ApiKey, now: Timestamp, overlap: TimeDelta) -> Result<(), Refusal> {
    let (tenant, id) = (old.tenant_id, old.id);
    // A key has one successor: a second one would inherit the end that the first rotation gave the old key.
    if api_keys::is_replaced(connection, tenant, id)? {
        return Err(Refusal::ApiKeyNotActive);
    }
    let end = now.plus(overlap);
    let ended = match old.expires_at {
        _ if overlap.is_zero() => api_keys::revoke(connection, tenant, id, now)?,
        Some(sooner) if sooner <= end => true,
        _ => api_keys::expire(connection, tenant, id, end)?,
    };
    if ended { Ok(()) } else { Err(Refusal::ApiKeyNotActive) }
}
