//! Admission: the rules that every use of an API key passes, whatever it is used for, and what is remembered of it.

use std::net::IpAddr;
use std::sync::Arc;

use crate::app::App;
use crate::db::api_keys::StoredKey;
use crate::db::{DbConnection, api_keys};
use crate::domain::actor::Who;
use crate::domain::api_key::ApiKey;
use crate::domain::key_format::ApiKeySecret;
use crate::domain::rate_limit::RateLimitState;
use crate::domain::refusal::Holder;
use crate::domain::{Actor, ApiKeyId, Refusal, Scopes, Tenant, TenantId, Timestamp};
use crate::profile::Profile;
use crate::profile::key_location::{KeyForm, KeyLocation};

/// What a client of the product proves itself with.
pub enum Credential {
    /// An API key.
    ApiKey(PresentedKey),
    /// What looks like an access token of ours.
    AccessToken(String),
}

/// An API key as it was presented.
#[derive(Debug, Default)]
pub struct PresentedKey {
    /// The key; none where what was presented does not even look like one.
    pub secret: Option<ApiKeySecret>,
    /// The id that was presented with it; it must be the key's.
    pub id: Option<ApiKeyId>,
    /// Where it stood, where only keys of some access types are read there.
    pub location: Option<KeyLocation>,
    /// Whether it stood where its id should have stood beside it, if it has one.
    pub lacks_id: bool,
}

/// Finds the key that was presented, applies `rules` to it, and remembers what came of it.
///
/// The key is read from committed state on every call, so that a revocation that was answered before this call began
/// is always seen (security I1).
///
/// # Errors
/// [`Refusal::InvalidApiKey`]; what `rules` refuse.
pub async fn with_key<T>(
    app: &App,
    presented: &PresentedKey,
    client: &Actor,
    now: Timestamp,
    rules: impl FnOnce(&ApiKey, &Tenant) -> Result<(T, Scopes), Refusal>,
) -> Result<T, Refusal> {
    let Some(found) = find(app, presented, now).await? else {
        note_refusal(app, client, None, &Refusal::InvalidApiKey, now)?;
        return Err(Refusal::InvalidApiKey);
    };
    let (key, tenant) = &*found;
    let id = (key.id, key.tenant_id);
    app.usage.count_caller(key.id, key.status_index, client, now);
    let result = presented.ensure_it_is(app, key).and_then(|()| rules(key, tenant));
    let (done, scopes) = noted(app, client, id, result, now)?;
    app.usage.count_success(id.0, &scopes, now);
    Ok(done)
}

/// What rules said of a key, or of a token of it; a refusal is remembered.
///
/// # Errors
/// The refusal.
pub fn noted<T>(
    app: &App,
    client: &Actor,
    key: (ApiKeyId, TenantId),
    result: Result<T, Refusal>,
    now: Timestamp,
) -> Result<T, Refusal> {
    if let Err(refusal) = &result {
        note_refusal(app, client, Some(key), refusal, now)?;
    }
    result
}

/// Whether a client is the key that it says it is, and that key lives. Nothing is asked of it besides: address, plan
/// and limit are rules for what a key is used for.
///
/// # Errors
/// [`Refusal::InvalidApiKey`].
pub async fn authenticate(app: &App, presented: &PresentedKey, client: &Actor, now: Timestamp) -> Result<(), Refusal> {
    with_key(app, presented, client, now, |key, _| key.ensure_usable(now).map(|()| ((), Scopes::NONE))).await
}

/// The rules for a key, in the order in which they are told; what is left of its limit then, where it has one.
///
/// # Errors
/// [`Refusal::InvalidApiKey`], [`Refusal::TenantMismatch`], [`Refusal::TenantSuspended`], [`Refusal::IpNotAllowed`],
/// [`Refusal::PlanRequired`], [`Refusal::RateLimited`].
pub fn admit(
    app: &App,
    key: &ApiKey,
    tenant: &Tenant,
    named: Option<TenantId>,
    from: Option<IpAddr>,
    now: Timestamp,
) -> Result<Option<RateLimitState>, Refusal> {
    key.ensure_usable(now)?;
    tenant.ensure_named(named)?;
    tenant.ensure_active()?;
    key.ensure_address(from)?;
    app.profile.plans.ensure_api_keys(tenant.plan.as_deref())?;
    let limits = app.profile.plans.limits(tenant.plan.as_deref());
    let rate = app.limits.take(key.id, limits.requests_per_minute, now);
    rate.map_err(|state| Refusal::RateLimited(Holder::ApiKey, state))
}

/// Remembers that a key, or a token of it, was refused: it is counted for the key, and leaves a line in the log. Nobody
/// waits for that line: whoever floods us with bad keys waits for no disk, and costs others none of theirs.
///
/// # Errors
/// [`Refusal::Internal`] without randomness.
fn note_refusal(
    app: &App,
    client: &Actor,
    key: Option<(ApiKeyId, TenantId)>,
    refusal: &Refusal,
    now: Timestamp,
) -> Result<(), Refusal> {
    if refusal.is_fault_of_ours() {
        return Ok(());
    }
    let mut event = app.event(client, "api_key.refused", now)?.outcome(refusal.code());
    if let Some((id, tenant)) = key {
        app.usage.count_refusal(id, refusal.code(), now);
        // A client that does not slow down would fill the log with one and the same line.
        if matches!(refusal, Refusal::RateLimited(..)) && !app.limits.is_news(id, refusal.code(), now) {
            return Ok(());
        }
        event = event.by(Who::ApiKey(id)).tenant(tenant).target("api-key", id);
    }
    app.db.record_behind(event);
    Ok(())
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ApiKey(_) => "ApiKey(***)",
            Self::AccessToken(_) => "AccessToken(***)",
        })
    }
}

impl PresentedKey {
    /// A key as text, wherever it stood.
    #[must_use]
    pub fn read(profile: &Profile, text: &str) -> Self {
        Self { secret: profile.key_format.read(text), ..Self::default() }
    }

    /// A key as text that was presented with its id; what is no id goes with no key.
    #[must_use]
    pub fn with_id(self, id: &str) -> Self {
        id.parse().map_or_else(|_| Self::default(), |id| Self { id: Some(id), ..self })
    }

    /// Refuses a key that was presented with another's id, or without its own, or where keys of its access type are not
    /// read; one whose access type is gone from the profile too.
    ///
    /// # Errors
    /// [`Refusal::InvalidApiKey`].
    pub(super) fn ensure_it_is(&self, app: &App, key: &ApiKey) -> Result<(), Refusal> {
        let access_type = key.access_type.as_ref();
        let is_its_id = self.id.is_none_or(|id| id == key.id);
        let has_its_id = !self.lacks_id || app.profile.form(access_type) == KeyForm::Token;
        let read_from = app.profile.read_from(access_type);
        let is_read_there = self.location.as_ref().is_none_or(|location| read_from.contains(location));
        if app.profile.knows(key) && is_its_id && has_its_id && is_read_there {
            Ok(())
        } else {
            Err(Refusal::InvalidApiKey)
        }
    }
}

/// The key that was presented, whatever may be said against it.
pub(super) async fn find(
    app: &App,
    presented: &PresentedKey,
    now: Timestamp,
) -> Result<Option<Arc<StoredKey>>, Refusal> {
    let Some(secret) = &presented.secret else { return Ok(None) };
    let hash = app.api_keys.hash(secret);
    match app.key_reader.find(&hash).await? {
        None if app.profile.has_ids_and_secrets() => {
            let previous = move |connection: &mut DbConnection| {
                Ok::<_, Refusal>(api_keys::find_by_previous_secret(connection, &hash, now)?)
            };
            Ok(app.db.read(previous).await?.map(Arc::new))
        }
        found => Ok(found),
    }
}
