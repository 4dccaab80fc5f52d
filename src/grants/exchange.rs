//! Exchange: a long-lived API key in, a short-lived scoped access token out (RFC 8693; contract 4.3).

use chrono::TimeDelta;

use super::admission::{PresentedKey, admit, with_key};
use crate::app::App;
use crate::domain::api_key::ApiKey;
use crate::domain::rate_limit::RateLimitState;
use crate::domain::refusal::Holder;
use crate::domain::{Actor, Audience, Refusal, Scopes, TenantId, Timestamp};
use crate::tokens::claims::{Grant, Subject};
use crate::tokens::issuer::AccessToken;

/// An API key, and what is wanted for it.
#[derive(Debug)]
pub struct ExchangeRequest {
    /// The key.
    pub key: PresentedKey,
    /// The tenant that was named.
    pub tenant: Option<TenantId>,
    /// Fewer scopes than the key has; all of them where none are named.
    pub scopes: Option<Scopes>,
    /// For whom; the first of `tokens.audience` where none is named.
    pub audience: Option<Audience>,
    /// For how long; `tokens.exchange_ttl` where nothing is said.
    pub lifetime: Option<TimeDelta>,
    /// From where.
    pub client: Actor,
}

/// What an exchange gives.
#[derive(Debug)]
pub struct Exchanged {
    /// The token.
    pub token: AccessToken,
    /// What is left of the key's limit, where it has one.
    pub rate: Option<RateLimitState>,
}

/// Exchanges an API key for an access token of at most `tokens.exchange_ttl_max`.
///
/// # Errors
/// A [`Refusal`], in the order in which the rules stand here.
pub async fn exchange(app: &App, request: ExchangeRequest) -> Result<Exchanged, Refusal> {
    let now = app.now();
    let ExchangeRequest { key: presented, tenant: named, scopes, audience, lifetime, client } = request;
    with_key(app, &presented, &client, now, |key, tenant| {
        let rate = admit(app, key, tenant, named, client.ip, now)?;
        let scopes = key.scopes.narrow(scopes.as_ref()).map_err(|lacking| Holder::ApiKey.lacks(lacking))?;
        let lifetime = app.config.tokens.exchange_lifetime(lifetime)?;
        let token = token_of_key(app, key, scopes.clone(), audience, lifetime, now)?;
        Ok((Exchanged { token, rate }, scopes))
    })
    .await
}

/// An access token of a key, which never outlives the key.
///
/// # Errors
/// [`Refusal::InvalidApiKey`] in the last part of a second of the key's life; those of [`Issuer::access_token`].
///
/// [`Issuer::access_token`]: crate::tokens::issuer::Issuer::access_token
pub(super) fn token_of_key(
    app: &App,
    key: &ApiKey,
    scopes: Scopes,
    audience: Option<Audience>,
    lifetime: TimeDelta,
    now: Timestamp,
) -> Result<AccessToken, Refusal> {
    let (tenant_id, lifetime) = (key.tenant_id, lifetime.min(key.time_left(now)));
    // A token ends at a whole second, and one that is over already is none.
    if now.plus(lifetime).whole() <= now {
        return Err(Refusal::InvalidApiKey);
    }
    app.issuer.access_token(Grant {
        audience,
        scopes,
        tenant_id,
        issued_at: now,
        lifetime,
        subject: Subject::api_key(key),
    })
}
