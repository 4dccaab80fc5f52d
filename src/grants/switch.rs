//! Switch: a living session in, one of the same login in another tenant of its user out. A refresh never changes the
//! tenant (security 9); this is the way to do so without the password, and the session before it ends.

use super::resume::Renewed;
use crate::app::App;
use crate::db::{audit, memberships, sessions, users};
use crate::domain::session::Session;
use crate::domain::{Actor, Refusal, SessionId, TenantId, User};
use crate::manage::login_guesses;

/// Ends a session of `user` and begins one in `tenant`, in one transaction. It lasts no longer than the login that it
/// goes back to, and has no more guesses at the password.
///
/// # Errors
/// [`Refusal::NotFound`] where the user is no member of the tenant; [`Refusal::TenantSuspended`];
/// [`Refusal::InvalidRefreshToken`] where the session ended meanwhile.
pub async fn switch(app: &App, by: &Actor, user: &User, from: SessionId, tenant: TenantId) -> Result<Renewed, Refusal> {
    let now = app.now();
    let (id, limits) = (app.new_id(now)?, app.session_limits());
    let status_index = app.status_indexes.take(&app.db).await?;
    let (ip, user_agent) = (by.ip.map(|ip| ip.to_string()), by.user_agent.clone());
    let ended = app.event(by, "session.revoked", now)?.target("session", from).details("switched to another tenant");
    let begun = app.event(by, "session.switched", now)?.tenant(tenant).target("session", id);
    let begun = begun.details(format!("from session:{from}"));
    let carry_over = login_guesses::carry_over(app, &user.email, from, id);
    let session = app
        .db
        .write(move |connection| {
            let old = sessions::find(connection, from)?.filter(|session| session.is_alive(now));
            let old = old.ok_or(Refusal::InvalidRefreshToken)?;
            // Held, both: whatever ends the user's sessions, the membership or the tenant comes before this, or after
            // it and ends the new session too.
            if !users::hold(connection, old.user_id)? {
                return Err(Refusal::InvalidRefreshToken);
            }
            let member = memberships::hold(connection, tenant, old.user_id)?.ok_or(Refusal::NotFound)?;
            member.tenant.ensure_active()?;
            if !sessions::revoke(connection, from, now, "switched")? {
                return Err(Refusal::InvalidRefreshToken);
            }
            let new = Session::begin(id, old.user_id, tenant, status_index, now, limits);
            let (created_at, ends_at) = (old.created_at, old.ends_at.min(new.ends_at));
            let expires_at = new.expires_at.min(ends_at);
            let new = Session { created_at, expires_at, ends_at, ip, user_agent, ..new };
            sessions::insert(connection, &new)?;
            carry_over(connection)?;
            audit::record_all(connection, [ended.tenant(old.tenant_id), begun])?;
            Ok(new)
        })
        .await?;
    Ok(Renewed::of(app, &session, now))
}
