//! Trusted issuers: whose tokens stand for workloads of a tenant (ADR 11).

use std::sync::Arc;

use super::overreach;
use crate::app::App;
use crate::db::{audit, statuses, tenants, trusted_issuers};
use crate::domain::claim_conditions::ClaimConditions;
use crate::domain::issuer_url::IssuerUrl;
use crate::domain::page::{Page, Paged};
use crate::domain::trusted_issuer::TrustedIssuer;
use crate::domain::{Actor, Audience, Name, Refusal, Scopes, TenantId, TrustedIssuerId};
use crate::profile::roles::{INTROSPECT, management_in};

/// An issuer that somebody wants to trust.
#[derive(Clone, Debug)]
pub struct NewTrustedIssuer {
    /// What people will call it.
    pub name: Name,
    /// The `iss` of its tokens.
    pub issuer: IssuerUrl,
    /// What its tokens must have among their `aud`.
    pub audience: Audience,
    /// What else they must say.
    pub conditions: ClaimConditions,
    /// What a workload may do with them.
    pub scopes: Scopes,
}

/// Trusts an issuer.
///
/// # Errors
/// [`Refusal::NotFound`] without such a tenant; [`Refusal::PlanRequired`], for a workload does what a key does;
/// [`Refusal::TrustedIssuerLimitReached`]; this server as the issuer; scopes that the profile does
/// not have, or that manage the tenant; [`Refusal::InsufficientScope`] of who gives what they lack.
pub async fn create(app: &App, by: &Actor, tenant: TenantId, new: NewTrustedIssuer) -> Result<TrustedIssuer, Refusal> {
    let now = app.now();
    let attempt = app.event(by, "trusted_issuer.created", now)?.tenant(tenant);
    ensure_fit(app, by, &new).map_err(|refusal| overreach(app, attempt.clone(), refusal))?;
    let NewTrustedIssuer { name, issuer, audience, conditions, scopes } = new;
    let id = app.new_id(now)?;
    let made = TrustedIssuer {
        id,
        tenant_id: tenant,
        name,
        issuer,
        audience,
        conditions,
        scopes,
        created_at: now,
        created_by: by.who.to_string(),
        last_used_at: None,
        status_index: app.status_indexes.take(&app.db).await?,
    };
    let event = attempt.target("trusted-issuer", id).details(format!(
        "{} for {} where {}",
        made.issuer,
        made.scopes,
        made.conditions.as_str()
    ));
    let (stored, profile) = (made.clone(), Arc::clone(&app.profile));
    app.db
        .write(move |connection| {
            let tenant = tenants::hold(connection, tenant)?.ok_or(Refusal::NotFound)?;
            profile.plans.ensure_api_keys(tenant.plan.as_deref())?;
            if trusted_issuers::count(connection, tenant.id)? >= TrustedIssuer::MOST {
                return Err(Refusal::TrustedIssuerLimitReached(TrustedIssuer::MOST));
            }
            trusted_issuers::insert(connection, &stored)?;
            Ok(audit::record(connection, &event)?)
        })
        .await?;
    Ok(made)
}

fn ensure_fit(app: &App, by: &Actor, new: &NewTrustedIssuer) -> Result<(), Refusal> {
    if new.issuer.is_same_as(app.config.server.public_url.issuer()) {
        return Err(Refusal::invalid("issuer", "must be another server than this one, whose tokens need no exchange"));
    }
    if new.scopes == Scopes::NONE {
        return Err(Refusal::invalid("scopes", "must be at least one scope"));
    }
    if let Some(scope) = management_in(&new.scopes).iter().find(|scope| *scope != INTROSPECT) {
        return Err(Refusal::invalid("scopes", format!("`{scope}` manages the tenant, which no workload may")));
    }
    app.profile.ensure_scopes(&new.scopes)?;
    by.ensure_may_give(&management_in(&new.scopes))
}

/// Trusts an issuer no more: its workloads get no token, and those that they have open nothing here.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn delete(app: &App, by: &Actor, tenant: TenantId, id: TrustedIssuerId) -> Result<(), Refusal> {
    let now = app.now();
    let event = app.event(by, "trusted_issuer.deleted", now)?.tenant(tenant).target("trusted-issuer", id);
    app.db
        .write(move |connection| {
            // Held, as by whoever deletes the tenant: one of them remembers its place in the status lists.
            tenants::hold(connection, tenant)?.ok_or(Refusal::NotFound)?;
            let trusted = trusted_issuers::find(connection, tenant, id)?.ok_or(Refusal::NotFound)?;
            trusted_issuers::delete(connection, tenant, id)?;
            statuses::end(connection, &[trusted.status_index], now)?;
            Ok(audit::record(connection, &event)?)
        })
        .await
}

/// Finds an issuer of a tenant.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn find(app: &App, tenant: TenantId, id: TrustedIssuerId) -> Result<TrustedIssuer, Refusal> {
    let found =
        app.db.read(move |connection| trusted_issuers::find(connection, tenant, id).map_err(Refusal::from)).await?;
    found.ok_or(Refusal::NotFound)
}

/// The tenant of an issuer.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn tenant_of(app: &App, id: TrustedIssuerId) -> Result<TenantId, Refusal> {
    let found =
        app.db.read(move |connection| trusted_issuers::tenant_of(connection, id).map_err(Refusal::from)).await?;
    found.ok_or(Refusal::NotFound)
}

/// Lists the issuers of a tenant.
///
/// # Errors
/// The database does not answer.
pub async fn list(app: &App, tenant: TenantId, page: Page) -> Result<Paged<TrustedIssuer>, Refusal> {
    let found =
        app.db.read(move |connection| trusted_issuers::list(connection, tenant, page).map_err(Refusal::from)).await?;
    Ok(page.of(found, |issuer| issuer.id.uuid()))
}
