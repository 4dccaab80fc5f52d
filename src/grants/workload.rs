//! Workload identity: a token of another issuer in, a short-lived scoped access token out (RFC 8693; ADR 11).

use chrono::TimeDelta;

use super::exchange::Exchanged;
use crate::app::App;
use crate::db::{audit, trusted_issuers};
use crate::deadline;
use crate::domain::actor::Who;
use crate::domain::rate_limit::RateLimitState;
use crate::domain::refusal::Holder;
use crate::domain::trusted_issuer::TrustedIssuer;
use crate::domain::{Actor, Audience, Refusal, Scopes, Tenant, TenantId, Timestamp};
use crate::tokens::claims::{Grant, Subject};
use crate::tokens::foreign::{ForeignClaims, ForeignToken};

/// How often it is written down that an issuer was used.
const USE_NOTED_EVERY: TimeDelta = TimeDelta::minutes(1);

/// A token of another issuer, and what is wanted for it.
pub struct WorkloadRequest {
    /// The token.
    pub token: String,
    /// The tenant that was named.
    pub tenant: TenantId,
    /// Fewer scopes than its issuer is trusted with; all of them where none are named.
    pub scopes: Option<Scopes>,
    /// For whom; the first of `tokens.audience` where none is named.
    pub audience: Option<Audience>,
    /// From where.
    pub client: Actor,
}

/// What a tenant trusts an issuer with, and the tenant.
type Trusted = (TrustedIssuer, Tenant);

/// What is known of a token so far, for the line about its refusal.
#[derive(Default)]
struct Trail {
    trusted: Option<TrustedIssuer>,
    /// Whether it was meant for others than the tenant: anybody may have such a token of a public issuer.
    is_for_others: bool,
    details: String,
}

/// Exchanges a token of an issuer that the tenant trusts for an access token, which never outlives it.
///
/// What the tenant trusts is read from committed state on every call (security I1). A stranger's token is refused
/// before anything is fetched for it.
///
/// # Errors
/// [`Refusal::InvalidSubjectToken`], whatever is wrong with the token; [`Refusal::Unavailable`] where its issuer does
/// not say what its keys are; those of [`admit`]; [`Refusal::InsufficientScope`].
pub async fn exchange(app: &App, request: WorkloadRequest) -> Result<Exchanged, Refusal> {
    let client = request.client.clone();
    let mut trail = Trail::default();
    let result = exchange_by_the_rules(app, request, &mut trail).await;
    if let Err(refusal) = &result {
        note_refusal(app, &client, trail, refusal, app.now())?;
    }
    result
}

async fn exchange_by_the_rules(app: &App, request: WorkloadRequest, trail: &mut Trail) -> Result<Exchanged, Refusal> {
    let WorkloadRequest { token, tenant: named, scopes, audience, client } = request;
    let token = ForeignToken::read(token).ok_or(Refusal::InvalidSubjectToken)?;
    trail.details = format!("issuer {}", token.issuer);
    let mut candidates = trusted(app, named, &token).await?;
    let mut now = app.now();
    // Its issuer takes the time that it takes, however fast the database is.
    let found = deadline::uncounted(app.foreign_keys.find(&token, named, now)).await?;
    if found.has_waited {
        // Meanwhile the tenant may have been told that the issuer is trusted no more.
        candidates = trusted(app, named, &token).await?;
        now = app.now();
    }
    let key = found.key.ok_or(Refusal::InvalidSubjectToken)?;
    let claims = token.verified(&key, now).ok_or(Refusal::InvalidSubjectToken)?;

    trail.details = describe(&token, &claims);
    // What is wrong is told of one that it was meant for, if there is one.
    candidates.sort_by_key(|(trusted, _)| !claims.is_for(&trusted.audience));
    trail.trusted = candidates.first().map(|(trusted, _)| trusted.clone());
    trail.is_for_others = trail.trusted.as_ref().is_some_and(|trusted| !claims.is_for(&trusted.audience));
    let (trusted, tenant) = choose(candidates, &claims, scopes.as_ref()).map_err(|why| {
        trail.details = format!("{}, not as {why}", trail.details);
        Refusal::InvalidSubjectToken
    })?;
    trail.trusted = Some(trusted.clone());
    let rate = admit(app, &trusted, &tenant, None, now)?;
    let scopes = trusted.scopes.narrow(scopes.as_ref()).map_err(|lacking| Holder::Workload.lacks(lacking))?;
    let token = app.issuer.access_token(Grant {
        audience,
        scopes,
        tenant_id: tenant.id,
        issued_at: now,
        lifetime: app.config.tokens.exchange_ttl.min(claims.expires_at.since(now)),
        subject: Subject::workload(&trusted, Some(claims.subject)),
    })?;
    // Behind the last refusal: what gave nothing was no use.
    note_use(app, &client, &trusted, &trail.details, now).await?;
    Ok(Exchanged { token, rate })
}

/// What the tenant trusts the issuer of a token with; our own word is not somebody else's, whatever was configured
/// since.
async fn trusted(app: &App, tenant: TenantId, token: &ForeignToken) -> Result<Vec<Trusted>, Refusal> {
    let issuer = token.issuer.clone();
    if issuer.is_same_as(app.config.server.public_url.issuer()) {
        return Err(Refusal::InvalidSubjectToken);
    }
    let found: Vec<Trusted> = app
        .db
        .read(move |connection| trusted_issuers::of_url(connection, tenant, &issuer).map_err(Refusal::from))
        .await?;
    if found.is_empty() { Err(Refusal::InvalidSubjectToken) } else { Ok(found) }
}

/// In whose name a token comes: of several entries for one issuer the oldest whose conditions it meets and that gives
/// what is asked for, else the oldest whose conditions it meets. Where it meets none, what is wrong with the first.
fn choose(candidates: Vec<Trusted>, claims: &ForeignClaims, asked: Option<&Scopes>) -> Result<Trusted, String> {
    let mut wrong = None;
    let mut met = Vec::new();
    for (trusted, tenant) in candidates {
        let unmet = if claims.is_for(&trusted.audience) { trusted.conditions.unmet(&claims.all) } else { Some("aud") };
        match unmet {
            None => met.push((trusted, tenant)),
            Some(claim) => drop(wrong.get_or_insert(format!("{} wants its {claim}", trusted.id))),
        }
    }
    let gives = met.iter().position(|(trusted, _)| trusted.scopes.narrow(asked).is_ok()).unwrap_or_default();
    if gives < met.len() { Ok(met.swap_remove(gives)) } else { Err(wrong.unwrap_or_default()) }
}

/// The rules for whoever comes by a trusted issuer, in the order in which they are told: those of an API key, in whose
/// place it stands.
///
/// # Errors
/// [`Refusal::TenantMismatch`], [`Refusal::TenantSuspended`], [`Refusal::PlanRequired`], [`Refusal::RateLimited`].
pub(super) fn admit(
    app: &App,
    trusted: &TrustedIssuer,
    tenant: &Tenant,
    named: Option<TenantId>,
    now: Timestamp,
) -> Result<Option<RateLimitState>, Refusal> {
    tenant.ensure_named(named)?;
    tenant.ensure_active()?;
    app.profile.plans.ensure_api_keys(tenant.plan.as_deref())?;
    let limits = app.profile.plans.limits(tenant.plan.as_deref());
    let rate = app.limits.take(trusted.counted_as(), limits.requests_per_minute, now);
    rate.map_err(|state| Refusal::RateLimited(Holder::Workload, state))
}

/// Who a workload is, on one line: its issuer writes what it likes.
fn describe(token: &ForeignToken, claims: &ForeignClaims) -> String {
    let subject: String = claims.subject.chars().take(255).collect();
    format!("issuer {} subject {}", token.issuer, subject.escape_debug())
}

/// The first use of an issuer leaves a line in the log before it is answered; of later ones it is noted once a minute
/// that there was one, and nobody waits for that (security 25).
async fn note_use(
    app: &App,
    client: &Actor,
    trusted: &TrustedIssuer,
    who: &str,
    now: Timestamp,
) -> Result<(), Refusal> {
    let id = trusted.id;
    let Some(before) = trusted.last_used_at else {
        let event = app
            .event(&client.known_as(Who::Workload(id)), "trusted_issuer.first_used", now)?
            .tenant(trusted.tenant_id)
            .target("trusted-issuer", id)
            .details(who);
        return app
            .db
            .write(move |connection| {
                let is_first = trusted_issuers::note_first_use(connection, id, now)?;
                if is_first { Ok(audit::record(connection, &event)?) } else { Ok(()) }
            })
            .await;
    };
    if now.since(before) >= USE_NOTED_EVERY {
        app.db.write_behind(move |connection| Ok(trusted_issuers::note_use(connection, id, now)?));
    }
    Ok(())
}

/// What rules said of a token of ours that a workload brought; a refusal is remembered.
///
/// # Errors
/// The refusal.
pub(super) fn noted<T>(
    app: &App,
    client: &Actor,
    trusted: &TrustedIssuer,
    result: Result<T, Refusal>,
    now: Timestamp,
) -> Result<T, Refusal> {
    if let Err(refusal) = &result {
        let trail = Trail { trusted: Some(trusted.clone()), ..Trail::default() };
        note_refusal(app, &client.known_as(Who::Workload(trusted.id)), trail, refusal, now)?;
    }
    result
}

/// Remembers a refusal, as of an API key. The tenant sees it once the token's issuer has vouched for the token, and
/// that it was meant for the tenant: until then anybody could write into the log of a tenant whose id they know. Even
/// so, whoever has a workload at the same issuer can have such tokens: of each reason there is a line a minute.
fn note_refusal(app: &App, client: &Actor, trail: Trail, refusal: &Refusal, now: Timestamp) -> Result<(), Refusal> {
    if refusal.is_fault_of_ours() {
        return Ok(());
    }
    let mut event = app.event(client, "workload.refused", now)?.outcome(refusal.code());
    if !trail.details.is_empty() {
        event = event.details(trail.details);
    }
    if let Some(trusted) = trail.trusted {
        let reason = if trail.is_for_others { "aud" } else { refusal.code() };
        if !app.limits.is_news(trusted.counted_as(), reason, now) {
            return Ok(());
        }
        if !trail.is_for_others {
            event = event.tenant(trusted.tenant_id).target("trusted-issuer", trusted.id);
        }
    }
    app.db.record_behind(event);
    Ok(())
}
