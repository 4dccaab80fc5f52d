//! Another one-time password for somebody who has not signed in yet (ADR 25). The same request gives the same one.

use std::borrow::Cow;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::AddedUser;
use super::passwords::{Given, NewPassword};
use crate::app::App;
use crate::db::{DbConnection, audit, memberships, sessions, tenants, users};
use crate::domain::sealed::Sealed;
use crate::domain::{Actor, Email, Refusal, TenantId, Timestamp, User, UserId};
use crate::manage::idempotency::{self, IdempotencyKey};
use crate::manage::{login_guesses, overreach};

/// Gives a member of a tenant another one-time password, where the last one was lost or has expired; answers it.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::IdempotencyConflict`]; [`Refusal::OneTimePasswordNotAllowed`] where the last one
/// is the user's own by now, or opens another tenant too: that is not for this one to take over;
/// [`Refusal::OneTimePasswordReplaced`] where what this request was answered earlier is no longer the password;
/// [`Refusal::InsufficientScope`] for a member who may more than who asks.
pub async fn give_one_time_password(
    app: &App,
    by: &Actor,
    tenant: TenantId,
    user: UserId,
    idempotency: Option<IdempotencyKey>,
) -> Result<(User, SecretString), Refusal> {
    let now = app.now();
    let member = super::find_member(app, tenant, user).await?.user;
    let request = idempotency::request_hash(&("one-time password", user));
    if let Some(key) = &idempotency
        && let Some(sealed) = idempotency::earlier(app, tenant, key, by.who, &request).await?
    {
        return open_answer(app, tenant, user, &sealed).await;
    }
    let Given { hash, one_time_until, generated } = NewPassword::OneTime.give(app, &member.email, now).await?;
    let password = generated.ok_or(Refusal::Internal)?;
    let answer = answer(&password, one_time_until)?;
    let keep = idempotency.map(|key| idempotency::Keep::new(app, tenant, &key, by.who, request, now));
    let event = app.event(by, "user.one_time_password_given", now)?.tenant(tenant).target("user", user);
    let (attempt, event) = (event.clone(), event.details("one-time password"));
    let forgive = login_guesses::forgive_all(app, &member.email);
    let (by, profile) = (by.clone(), Arc::clone(&app.profile));
    let earlier = app
        .db
        .write(move |connection| {
            // Held, so that of the same request twice at once the second sees what the first was answered.
            tenants::hold(connection, tenant)?.ok_or(Refusal::NotFound)?;
            if let Some(keep) = keep {
                if let Some(answer) = keep.earlier(connection)? {
                    return Ok(Some(answer));
                }
                keep.keep(connection, &answer)?;
            }
            super::ensure_not_above(connection, &by, &profile, tenant, user)?;
            // Read before the rule: whoever logs in for the first time meanwhile keeps the password that they choose.
            let replaced = users::password(connection, user)?.map(|password| password.since);
            ensure_ours(connection, user)?;
            if !users::set_password(connection, user, replaced, &hash, one_time_until, now)? {
                return Err(Refusal::OneTimePasswordNotAllowed);
            }
            forgive(connection)?;
            sessions::revoke_of_user(connection, user, None, now, "password_set")?;
            audit::record(connection, &event)?;
            Ok(None)
        })
        .await
        .map_err(|refusal| overreach(app, attempt, refusal))?;
    match earlier {
        Some(sealed) => open_answer(app, tenant, user, &sealed).await,
        None => Ok((User { one_time_until, ..member }, password)),
    }
}

/// Refuses where the password is the user's own, or opens more than one tenant.
fn ensure_ours(connection: &mut DbConnection, user: UserId) -> Result<(), Refusal> {
    match memberships::of_user(connection, user)?.as_slice() {
        [only] if only.user.one_time_until.is_some() && !only.user.operator => Ok(()),
        _ => Err(Refusal::OneTimePasswordNotAllowed),
    }
}

/// What was answered, to be answered again.
#[derive(Serialize, Deserialize)]
struct Answer<'a> {
    password: Cow<'a, str>,
    until: Option<Timestamp>,
}

/// What is kept of an answer.
pub(super) fn answer(password: &SecretString, until: Option<Timestamp>) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let answer = Answer { password: password.expose_secret().into(), until };
    serde_json::to_vec(&answer).map(Zeroizing::new).map_err(|_| Refusal::Internal)
}

/// Somebody whom the same request has added before, with the password that was answered then.
pub(super) async fn added_earlier(
    app: &App,
    tenant: TenantId,
    email: &Email,
    sealed: &Sealed,
) -> Result<AddedUser, Refusal> {
    let again = async {
        let user = super::find(app, email).await?;
        let (user, password) = open_answer(app, tenant, user.id, sealed).await?;
        let member = super::find_member(app, tenant, user.id).await?;
        Ok(AddedUser { member, generated_password: Some(password), existing: false })
    };
    // They were removed meanwhile.
    again.await.map_err(|refusal| match refusal {
        Refusal::NotFound => Refusal::OneTimePasswordReplaced,
        other => other,
    })
}

/// The password that was answered, while it is still the one that counts.
async fn open_answer(
    app: &App,
    tenant: TenantId,
    user: UserId,
    sealed: &Sealed,
) -> Result<(User, SecretString), Refusal> {
    let opened = idempotency::open(app, tenant, sealed).await?;
    let Answer { password, until } = serde_json::from_slice(&opened).map_err(|_| Refusal::Internal)?;
    // Read after the answer was kept: it may be another request's, of a moment ago.
    let member = super::find_member(app, tenant, user).await?.user;
    if member.one_time_until != until {
        return Err(Refusal::OneTimePasswordReplaced);
    }
    Ok((member, password.into_owned().into()))
}
