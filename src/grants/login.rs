//! Login: an e-mail address and a password in, a session out.

use std::sync::Arc;

use super::SessionTokens;
use crate::app::App;
use crate::db::users::PasswordRow;
use crate::db::{audit, memberships, sessions, users};
use crate::domain::actor::Who;
use crate::domain::password::Password;
use crate::domain::refresh_token::RefreshToken;
use crate::domain::refusal::TenantChoice;
use crate::domain::session::Session;
use crate::domain::{Actor, Email, Member, Refusal, TenantId, Timestamp, User};
use crate::manage::login_guesses::Guess;
use crate::manage::to_its_end;
use crate::manage::users::own_password;
use crate::tokens::issuer::Ready;
use crate::tokens::password_hasher::Verdict;

/// Who wants to log in, and where.
#[derive(Debug)]
pub struct LoginRequest {
    /// The address.
    pub email: Email,
    /// The password.
    pub password: Password,
    /// One of the user's own in its place, where it is a one-time password.
    pub new_password: Option<Password>,
    /// The tenant; a user of one tenant needs to name none.
    pub tenant: Option<TenantId>,
    /// A refresh token of an earlier login: strangers' failures do not stand in the way of a device that has one.
    pub known_by: Option<RefreshToken>,
    /// Whether the session of that token ends with this login, where it is this user's: a browser has its cookie
    /// replaced, and would leave behind a session that nobody can end (ASVS 7.2.4).
    pub replaces: bool,
    /// From where.
    pub client: Actor,
}

/// Logs a user in.
///
/// Whatever is wrong with address, password, user or membership: one refusal, after the same work (security 17).
/// What is wrong with the tenant is told only to those who know the password.
///
/// # Errors
/// [`Refusal::InvalidCredentials`], [`Refusal::TenantRequired`], [`Refusal::TenantSuspended`]; for a one-time password
/// those of [`own_password`]; after too many failures [`Refusal::LoginThrottled`], whether the password is right or
/// not: it is not tried.
pub async fn login(app: &Arc<App>, request: LoginRequest) -> Result<SessionTokens, Refusal> {
    to_its_end(app, async move |app| try_login(&app, request).await).await
}

async fn try_login(app: &App, request: LoginRequest) -> Result<SessionTokens, Refusal> {
    let now = app.now();
    // While no key signs nothing is tried, and nothing begun that could not be answered.
    let ready = app.issuer.ready(None)?;
    let account = find_account(app, &request).await?;
    let device = account.device.as_ref().map(|session| session.id);
    let guess = Guess::begin(app, &request.client, &request.email, device).await?;
    // A refused one leaves a line in the log before it is answered: of known and unknown addresses alike.
    let refused = app.event(&request.client, "session.refused", now)?.details(format!("email {}", request.email));
    let begun = authenticate(app, &request, ready, account, guess.clone(), now).await;
    guess.end(app, begun, refused).await
}

async fn authenticate(
    app: &App,
    request: &LoginRequest,
    ready: Ready<'_>,
    account: Account,
    guess: Guess,
    now: Timestamp,
) -> Result<SessionTokens, Refusal> {
    let replaced = account.device.clone().filter(|session| request.replaces && session.is_alive(now));
    let Known { user, verified, is_outdated } = verify_password(app, request, account).await?;
    let member = choose_tenant(app, &user, request.tenant).await?;
    let own = own_password(app, &user, &request.password, request.new_password.clone(), now).await?;
    // Behind whatever is answered like a wrong password: else the time would tell that it was right (security 17). What
    // was replaced a line above needs no better hash.
    let renewed = match own {
        None if is_outdated => Some(app.hasher.hash(request.password.clone()).await?),
        _ => None,
    };

    let status_index = app.status_indexes.take(&app.db).await?;
    let session = Session {
        ip: request.client.ip.map(|ip| ip.to_string()),
        user_agent: request.client.user_agent.clone(),
        ..Session::begin(app.new_id(now)?, user.id, member.tenant.id, status_index, now, app.session_limits())
    };
    let by = request.client.known_as(Who::User(user.id));
    let event = app.event(&by, "session.created", now)?.tenant(member.tenant.id).target("session", session.id);
    let changed = app.event(&by, "user.password_changed", now)?.target("user", user.id).details("one-time password");
    let ended = app.event(&by, "session.revoked", now)?.details("signed in again");

    let begun = session.clone();
    let member = app
        .db
        .write(move |connection| {
            let mut since = verified.since;
            let changed = own.is_some().then_some(changed);
            if let Some(own) = own {
                // Of two that come with one one-time password the second finds another password.
                if !users::set_password(connection, user.id, Some(since), &own, None, now)? {
                    return Err(Refusal::InvalidCredentials);
                }
                since = now;
            }
            // Read again, and held: whatever ends the user, the membership or the tenant comes before this or after it.
            if !users::note_login(connection, user.id, since, now)? {
                return Err(Refusal::InvalidCredentials);
            }
            let member = memberships::hold(connection, begun.tenant_id, begun.user_id)?;
            let member = member.ok_or(Refusal::InvalidCredentials)?;
            member.tenant.ensure_active()?;
            guess.forgive(connection)?;
            if let Some(renewed) = &renewed {
                users::rehash(connection, user.id, &verified.hash, renewed)?;
            }
            let surplus = sessions::insert(connection, &begun)?;
            let mut events: Vec<_> = changed.into_iter().collect();
            if let Some(old) = replaced
                && sessions::revoke(connection, old.id, now, "signed_in_again")?
            {
                events.push(ended.tenant(old.tenant_id).target("session", old.id));
            }
            let told = (surplus > 0).then(|| event.clone().details(format!("{surplus} too many ended")));
            events.push(told.unwrap_or(event));
            audit::record_all(connection, events)?;
            Ok(member)
        })
        .await?;
    SessionTokens::issue(app, ready, &session, &member, None, now)
}

/// What is known of an address before its password is tried.
struct Account {
    /// Its user and their password, if somebody has the address.
    user: Option<(User, PasswordRow)>,
    /// The hash of somebody else, for an address that nobody has.
    stand_in: Option<String>,
    /// The session that whoever asks proves to have had with this account.
    device: Option<Session>,
}

async fn find_account(app: &App, request: &LoginRequest) -> Result<Account, Refusal> {
    let (email, token) = (request.email.clone(), request.known_by);
    let session = token.filter(|token| app.refresh_tokens.is_genuine(token)).map(|token| token.session);
    app.db
        .read(move |connection| {
            let user = users::find_credentials(connection, &email)?;
            let stand_in = users::neighbouring_hash(connection, &email)?;
            let session = session.map(|id| sessions::find(connection, id)).transpose()?.flatten();
            let is_device_of =
                |session: &Session, user: &User| session.user_id == user.id && session.revoked_at.is_none();
            let device = session.filter(|had| user.as_ref().is_some_and(|(user, _)| is_device_of(had, user)));
            Ok(Account { user, stand_in, device })
        })
        .await
}

/// Somebody whose password was right.
struct Known {
    user: User,
    /// What it was compared with.
    verified: PasswordRow,
    /// Whether that is weaker than hashes are to be.
    is_outdated: bool,
}

async fn verify_password(app: &App, request: &LoginRequest, account: Account) -> Result<Known, Refusal> {
    if request.password.is_oversized() {
        return Err(Refusal::InvalidCredentials);
    }
    let verdict = match &account.user {
        Some((_, stored)) => app.hasher.verify(request.password.clone(), &stored.hash).await?,
        None => app.hasher.verify_in_vain(request.password.clone(), account.stand_in.as_deref()).await?,
    };
    let right = account.user.filter(|_| verdict != Verdict::Wrong);
    let (user, verified) = right.ok_or(Refusal::InvalidCredentials)?;
    if user.disabled_at.is_some() {
        return Err(Refusal::InvalidCredentials);
    }
    Ok(Known { user, verified, is_outdated: verdict == Verdict::RightButOutdated })
}

async fn choose_tenant(app: &App, user: &User, named: Option<TenantId>) -> Result<Member, Refusal> {
    let id = user.id;
    let mut members: Vec<Member> =
        app.db.read(move |connection| memberships::of_user(connection, id).map_err(Refusal::from)).await?;
    if let Some(tenant) = named {
        members.retain(|member| member.tenant.id == tenant);
    }
    match members.len() {
        0 => Err(Refusal::InvalidCredentials),
        1 => members.pop().ok_or(Refusal::InvalidCredentials),
        _ => {
            let choice = |member: Member| TenantChoice { id: member.tenant.id, name: member.tenant.name };
            Err(Refusal::TenantRequired(members.into_iter().map(choice).collect()))
        }
    }
}
