//! Login: an e-mail address and a password in, a session out.

use super::SessionTokens;
use crate::app::App;
use crate::db::{audit, memberships, sessions, users};
use crate::domain::actor::Who;
use crate::domain::password::Password;
use crate::domain::refusal::TenantChoice;
use crate::domain::session::Session;
use crate::domain::{Actor, Email, Member, Refusal, TenantId, Timestamp, User};
use crate::tokens::password_hasher::Verdict;

/// Who wants to log in, and where.
#[derive(Debug)]
pub struct LoginRequest {
    /// The address.
    pub email: Email,
    /// The password.
    pub password: Password,
    /// The tenant; a user of one tenant needs to name none.
    pub tenant: Option<TenantId>,
    /// From where.
    pub client: Actor,
}

/// Logs a user in.
///
/// Whatever is wrong with address, password, user or membership: one refusal, after the same work (security 17).
/// What is wrong with the tenant is told only to those who know the password.
///
/// # Errors
/// [`Refusal::InvalidCredentials`], [`Refusal::TenantRequired`], [`Refusal::TenantSuspended`].
pub async fn login(app: &App, request: LoginRequest) -> Result<SessionTokens, Refusal> {
    let now = app.now();
    let result = authenticate(app, &request, now).await;
    if let Err(refusal) = &result {
        note_refusal(app, &request, refusal, now).await?;
    }
    result
}

async fn authenticate(app: &App, request: &LoginRequest, now: Timestamp) -> Result<SessionTokens, Refusal> {
    let (user, hash) = verify_password(app, request).await?;
    let member = choose_tenant(app, &user, request.tenant).await?;

    let session = Session {
        ip: request.client.ip.map(|ip| ip.to_string()),
        user_agent: request.client.user_agent.clone(),
        ..Session::begin(app.new_id(now)?, user.id, member.tenant.id, now, app.session_limits())
    };
    let event = app
        .event(&request.client.known_as(Who::User(user.id)), "session.created", now)?
        .tenant(member.tenant.id)
        .target("session", session.id);

    let begun = session.clone();
    let member = app
        .db
        .write(move |connection| {
            // Read again, and held: whatever ends the user, the membership or the tenant comes before this or after it.
            if !users::note_login(connection, user.id, &hash.verified, now)? {
                return Err(Refusal::InvalidCredentials);
            }
            let member = memberships::hold(connection, begun.tenant_id, begun.user_id)?;
            let member = member.ok_or(Refusal::InvalidCredentials)?;
            member.tenant.ensure_active()?;
            if let Some(renewed) = &hash.renewed {
                users::rehash(connection, user.id, &hash.verified, renewed)?;
            }
            sessions::insert(connection, &begun)?;
            audit::record(connection, &event)?;
            Ok(member)
        })
        .await?;
    SessionTokens::issue(app, &session, &member, None, now)
}

struct Hash {
    verified: String,
    renewed: Option<String>,
}

async fn verify_password(app: &App, request: &LoginRequest) -> Result<(User, Hash), Refusal> {
    if request.password.is_oversized() {
        return Err(Refusal::InvalidCredentials);
    }
    let email = request.email.clone();
    let (found, stand_in): (Option<(User, String)>, Option<String>) = app
        .db
        .read(move |connection| {
            let found = users::find_credentials(connection, &email)?;
            Ok::<_, Refusal>((found, users::neighbouring_hash(connection, &email)?))
        })
        .await?;
    let verdict = match &found {
        Some((_, stored)) => app.hasher.verify(request.password.clone(), stored).await?,
        None => app.hasher.verify_in_vain(request.password.clone(), stand_in.as_deref()).await?,
    };
    let (user, verified) = found.filter(|_| verdict != Verdict::Wrong).ok_or(Refusal::InvalidCredentials)?;
    if user.disabled_at.is_some() {
        return Err(Refusal::InvalidCredentials);
    }
    let renewed = match verdict {
        Verdict::RightButOutdated => Some(app.hasher.hash(request.password.clone()).await?),
        _ => None,
    };
    Ok((user, Hash { verified, renewed }))
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

/// A refused login leaves a line in the log before it is answered: known and unknown addresses alike.
async fn note_refusal(app: &App, request: &LoginRequest, refusal: &Refusal, now: Timestamp) -> Result<(), Refusal> {
    if refusal.is_fault_of_ours() {
        return Ok(());
    }
    let event = app
        .event(&request.client, "session.refused", now)?
        .outcome(refusal.code())
        .details(format!("email {}", request.email));
    app.db.write(move |connection| audit::record(connection, &event).map_err(Refusal::from)).await
}
