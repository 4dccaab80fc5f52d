//! Users and their memberships.

mod one_time_password;
mod passwords;

use std::sync::Arc;

use diesel::Connection;
use secrecy::SecretString;

pub use self::one_time_password::give_one_time_password;
use self::passwords::Given;
pub(super) use self::passwords::generate_password;
pub use self::passwords::{NewPassword, change_password, own_password, set_password};
use crate::app::App;
use crate::db::{DbConnection, DbError, audit, memberships, sessions, tenants, users};
use crate::domain::audit::AuditEvent;
use crate::domain::page::{Page, Paged};
use crate::domain::{Actor, Email, Member, Refusal, Role, TenantId, Timestamp, User, UserId};
use crate::manage::idempotency::{self, IdempotencyKey};
use crate::manage::{login_guesses, overreach};
use crate::profile::Profile;
use crate::profile::roles::management_in;

/// A user that somebody wants in a tenant.
#[derive(Debug)]
pub struct NewUser {
    /// The address.
    pub email: Email,
    /// The tenant it will belong to.
    pub tenant: TenantId,
    /// As what; where nothing is said as [`Role::MEMBER`], or as what it is there already.
    pub role: Option<Role>,
    /// Whether it gets the server-wide scope: the command line alone may say so.
    pub operator: bool,
    /// Its first password.
    pub password: NewPassword,
    /// Under which a one-time password is answered again, where the same request comes again.
    pub idempotency: Option<IdempotencyKey>,
}

/// A user in a tenant, and what its maker is told once.
#[derive(Debug)]
pub struct AddedUser {
    /// The user in the tenant.
    pub member: Member,
    /// The password that was generated, shown once (security 18).
    pub generated_password: Option<SecretString>,
    /// Whether the user was there before and has been used, or can be: then its password is what it was.
    pub existing: bool,
}

/// Adds a user to a tenant. A person whose address is known already becomes a member of this tenant too and keeps
/// its password; with `operator` it becomes an operator too, even where it is a member already, and takes the role that
/// is named. An invitation that was taken back before anybody used it counts for nothing.
///
/// # Errors
/// [`Refusal::EmailTaken`] where the person is a member already, and nothing is to be changed;
/// [`Refusal::InvitedElsewhere`] where another tenant's invitation is still to be used; [`Refusal::NotFound`] without
/// such a tenant; [`Refusal::InsufficientScope`] for a role that may more than who gives it; a weak password; for a
/// member already those of [`change_role`]; [`Refusal::IdempotencyConflict`], and
/// [`Refusal::OneTimePasswordReplaced`] where what this request was answered earlier is no longer the password.
pub async fn add(app: &App, by: &Actor, new: NewUser) -> Result<AddedUser, Refusal> {
    let now = app.now();
    let role = new.role.clone().unwrap_or(Role::MEMBER);
    let added = app.event(by, "user.added", now)?.tenant(new.tenant);
    ensure_role(app, by, &role).map_err(|refusal| overreach(app, added.clone(), refusal))?;
    let (tenant, email) = (new.tenant, new.email.clone());
    let request = idempotency::request_hash(&("add user", &email, &role, new.operator));
    if let Some(key) = &new.idempotency
        && let Some(sealed) = idempotency::earlier(app, tenant, key, by.who, &request).await?
    {
        return one_time_password::added_earlier(app, tenant, &email, &sealed).await;
    }
    let Given { hash, one_time_until, generated } = new.password.give(app, &new.email, now).await?;
    let fresh = User { one_time_until, ..draft(app, new.email.clone(), new.operator, now)? };
    let changed = app.event(by, "user.role_changed", now)?.tenant(new.tenant);
    let keep = match new.idempotency.as_ref().zip(generated.as_ref()).zip(one_time_until) {
        Some(((key, password), until)) => {
            let keep = idempotency::Keep::new(app, tenant, key, by.who, request, now);
            Some((keep, one_time_password::answer(password, Some(until))?))
        }
        None => None,
    };
    let (by, profile) = (by.clone(), Arc::clone(&app.profile));
    let done = app
        .db
        .write(move |connection| {
            tenants::hold(connection, new.tenant)?.ok_or(Refusal::NotFound)?;
            if let Some(sealed) = keep.as_ref().map(|(keep, _)| keep.earlier(connection)).transpose()?.flatten() {
                return Ok(Err(sealed));
            }
            let (user, is_known) = find_or_insert(connection, fresh, &hash)?;
            let existing = is_known && !invite_anew(connection, new.tenant, &new.email, &hash, one_time_until, now)?;
            let promoted = new.operator && !user.operator && users::set_operator(connection, user.id)?;
            let member = memberships::find(connection, new.tenant, user.id)?;
            let event = if member.is_some() { changed } else { added };
            let role = match member {
                None => {
                    memberships::insert(connection, new.tenant, user.id, &role, now)?;
                    Some(role)
                }
                Some(member) => {
                    let other = new.role.filter(|role| new.operator && *role != member.role);
                    if let Some(role) = &other {
                        put_in_role(connection, &by, &profile, (new.tenant, user.id), role)?;
                    }
                    if other.is_none() && !promoted {
                        return Err(Refusal::EmailTaken);
                    }
                    other
                }
            };
            let role = role.map(|role| format!("role {role}"));
            let operator = (promoted || (new.operator && !is_known)).then(|| "operator".to_owned());
            let one_time = (one_time_until.is_some() && !existing).then(|| "one-time password".to_owned());
            let details: Vec<_> = [role, operator, one_time].into_iter().flatten().collect();
            if let Some((keep, answer)) = keep.filter(|_| !existing) {
                keep.keep(connection, &answer)?;
            }
            audit::record(connection, &event.target("user", user.id).details(details.join(", ")))?;
            let member = memberships::find(connection, new.tenant, user.id)?.ok_or(Refusal::Internal)?;
            Ok::<_, Refusal>(Ok((member, existing)))
        })
        .await?;
    match done {
        Ok((member, existing)) => {
            Ok(AddedUser { member, generated_password: generated.filter(|_| !existing), existing })
        }
        Err(sealed) => one_time_password::added_earlier(app, tenant, &email, &sealed).await,
    }
}

/// A user that is still to be stored.
pub(super) fn draft(app: &App, email: Email, operator: bool, now: Timestamp) -> Result<User, Refusal> {
    let id = app.new_id(now)?;
    Ok(User { id, email, operator, created_at: now, last_login_at: None, disabled_at: None, one_time_until: None })
}

fn find_or_insert(connection: &mut DbConnection, fresh: User, hash: &str) -> Result<(User, bool), Refusal> {
    if let Some(user) = users::find_by_email(connection, &fresh.email)? {
        return Ok((user, true));
    }
    // In a savepoint: an address that another server took a moment ago must not spoil the whole transaction.
    match connection.transaction(|connection| users::insert(connection, &fresh, hash)).map_err(DbError::from) {
        Ok(()) => Ok((fresh, false)),
        Err(DbError::Conflict) => {
            let user = users::find_by_email(connection, &fresh.email)?.ok_or(Refusal::EmailTaken)?;
            Ok((user, true))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether a user that is known is but an invitation that nobody used, and that counts for nothing any more: then the
/// password is replaced, for whoever was told it may be anybody. While another tenant's counts, nobody is let in by it
/// (ADR 25).
fn invite_anew(
    connection: &mut DbConnection,
    tenant: TenantId,
    email: &Email,
    hash: &str,
    one_time_until: Option<Timestamp>,
    now: Timestamp,
) -> Result<bool, Refusal> {
    // Read before the rule: of two tenants that invite at once one succeeds, and a first login meanwhile stands.
    let known = users::find_credentials(connection, email)?;
    let Some((user, replaced)) = known.filter(|(user, _)| user.awaits_first_login()) else { return Ok(false) };
    let invitations = memberships::of_user(connection, user.id)?;
    if invitations.iter().any(|member| member.tenant.id == tenant) {
        return Ok(false);
    }
    let is_free = invitations.is_empty() && !user.operator;
    if is_free && users::set_password(connection, user.id, Some(replaced.since), hash, one_time_until, now)? {
        Ok(true)
    } else {
        Err(Refusal::InvitedElsewhere)
    }
}

/// Gives a member another role. Tokens issued from now on have the new role's scopes.
///
/// # Errors
/// [`Refusal::NotFound`]; a role that the profile has not; [`Refusal::InsufficientScope`] for one that may more than
/// who gives it; [`Refusal::LastAdmin`].
pub async fn change_role(app: &App, by: &Actor, tenant: TenantId, user: UserId, role: Role) -> Result<Member, Refusal> {
    let event = app.event(by, "user.role_changed", app.now())?.tenant(tenant).target("user", user);
    let attempt = event.clone();
    ensure_role(app, by, &role).map_err(|refusal| overreach(app, event.clone(), refusal))?;
    let (by, profile) = (by.clone(), Arc::clone(&app.profile));
    app.db
        .write(move |connection| {
            tenants::hold(connection, tenant)?.ok_or(Refusal::NotFound)?;
            put_in_role(connection, &by, &profile, (tenant, user), &role)?;
            audit::record(connection, &event.details(format!("role {role}")))?;
            memberships::find(connection, tenant, user)?.ok_or(Refusal::NotFound)
        })
        .await
        .map_err(|refusal| overreach(app, attempt, refusal))
}

fn put_in_role(
    connection: &mut DbConnection,
    by: &Actor,
    profile: &Profile,
    (tenant, user): (TenantId, UserId),
    role: &Role,
) -> Result<(), Refusal> {
    let member = ensure_not_above(connection, by, profile, tenant, user)?;
    if !manages_users(profile, role) {
        ensure_not_last(connection, profile, &member)?;
    }
    if memberships::set_role(connection, tenant, user, role)? { Ok(()) } else { Err(Refusal::NotFound) }
}

/// Ends a membership, and the user's sessions in that tenant with it.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::InsufficientScope`] for a member who may more than who asks;
/// [`Refusal::LastAdmin`].
pub async fn remove(app: &App, by: &Actor, tenant: TenantId, user: UserId) -> Result<(), Refusal> {
    let now = app.now();
    let event = app.event(by, "user.removed", now)?.tenant(tenant).target("user", user);
    let attempt = event.clone();
    let (by, profile) = (by.clone(), Arc::clone(&app.profile));
    app.db
        .write(move |connection| {
            tenants::hold(connection, tenant)?.ok_or(Refusal::NotFound)?;
            let member = ensure_not_above(connection, &by, &profile, tenant, user)?;
            ensure_not_last(connection, &profile, &member)?;
            if !memberships::delete(connection, tenant, user)? {
                return Err(Refusal::NotFound);
            }
            sessions::revoke_of_member(connection, tenant, user, now, "membership_removed")?;
            Ok(audit::record(connection, &event)?)
        })
        .await
        .map_err(|refusal| overreach(app, attempt, refusal))
}

/// Disables a user: its sessions end, and it cannot log in.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn disable(app: &App, by: &Actor, email: &Email) -> Result<User, Refusal> {
    let now = app.now();
    let user = find(app, email).await?;
    let event = app.event(by, "user.disabled", now)?.target("user", user.id);
    set_disabled(app, user, Some(now), event).await
}

/// Enables a user again. It logs in anew, whatever has failed before.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn enable(app: &App, by: &Actor, email: &Email) -> Result<User, Refusal> {
    let user = find(app, email).await?;
    let event = app.event(by, "user.enabled", app.now())?.target("user", user.id);
    set_disabled(app, user, None, event).await
}

async fn set_disabled(app: &App, user: User, since: Option<Timestamp>, event: AuditEvent) -> Result<User, Refusal> {
    let id = user.id;
    let forgive = login_guesses::forgive_all(app, &user.email);
    app.db
        .write(move |connection| {
            if !users::set_disabled(connection, id, since)? {
                return Err(Refusal::NotFound);
            }
            match since {
                Some(now) => drop(sessions::revoke_of_user(connection, id, None, now, "user_disabled")?),
                None => forgive(connection)?,
            }
            Ok(audit::record(connection, &event)?)
        })
        .await?;
    Ok(User { disabled_at: since, ..user })
}

/// Finds a user by its address.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn find(app: &App, email: &Email) -> Result<User, Refusal> {
    let email = email.clone();
    let found = app.db.read(move |connection| users::find_by_email(connection, &email).map_err(Refusal::from)).await?;
    found.ok_or(Refusal::NotFound)
}

/// Finds a member of a tenant.
///
/// # Errors
/// [`Refusal::NotFound`].
pub async fn find_member(app: &App, tenant: TenantId, user: UserId) -> Result<Member, Refusal> {
    let found =
        app.db.read(move |connection| memberships::find(connection, tenant, user).map_err(Refusal::from)).await?;
    found.ok_or(Refusal::NotFound)
}

/// Lists the members of a tenant.
///
/// # Errors
/// The database does not answer.
pub async fn list_members(app: &App, tenant: TenantId, page: Page) -> Result<Paged<Member>, Refusal> {
    let found =
        app.db.read(move |connection| memberships::of_tenant(connection, tenant, page).map_err(Refusal::from)).await?;
    Ok(page.of(found, |member| member.user.id.uuid()))
}

/// A user in each of its tenants.
///
/// # Errors
/// The database does not answer.
pub async fn memberships_of(app: &App, user: UserId) -> Result<Vec<Member>, Refusal> {
    app.db.read(move |connection| memberships::of_user(connection, user).map_err(Refusal::from)).await
}

/// Lists all users.
///
/// # Errors
/// The database does not answer.
pub async fn list(app: &App, page: Page) -> Result<Paged<User>, Refusal> {
    let found = app.db.read(move |connection| users::list(connection, page).map_err(Refusal::from)).await?;
    Ok(page.of(found, |user| user.id.uuid()))
}

/// Refuses to touch a member who may manage more than who asks: with `users:write` alone nobody unseats an
/// administrator.
fn ensure_not_above(
    connection: &mut DbConnection,
    by: &Actor,
    profile: &Profile,
    tenant: TenantId,
    user: UserId,
) -> Result<Member, Refusal> {
    let member = memberships::find(connection, tenant, user)?.ok_or(Refusal::NotFound)?;
    by.ensure_may_give(&management_in(&profile.roles.scopes(&member.role, false)))?;
    Ok(member)
}

/// Refuses to take the last one away who may manage the tenant's users, and could give others back what they need: an
/// invitation that nobody used is no such loss. The tenant is held: of two who unseat each other at once, one stays.
fn ensure_not_last(connection: &mut DbConnection, profile: &Profile, member: &Member) -> Result<(), Refusal> {
    let user = &member.user;
    if user.disabled_at.is_some() || user.awaits_first_login() || !manages_users(profile, &member.role) {
        return Ok(());
    }
    let others = memberships::roles_beside(connection, member.tenant.id, member.user.id)?;
    if others.iter().any(|role| manages_users(profile, role)) { Ok(()) } else { Err(Refusal::LastAdmin) }
}

fn manages_users(profile: &Profile, role: &Role) -> bool {
    profile.roles.scopes(role, false).contains("users:write")
}

fn ensure_role(app: &App, by: &Actor, role: &Role) -> Result<(), Refusal> {
    app.profile.roles.ensure_known(role)?;
    by.ensure_may_give(&management_in(&app.profile.roles.scopes(role, false)))
}
