//! Sessions: listed, and ended.

use crate::app::App;
use crate::db::{audit, sessions, users};
use crate::domain::actor::Who;
use crate::domain::page::{Page, Paged};
use crate::domain::refresh_token::RefreshToken;
use crate::domain::session::Session;
use crate::domain::{Actor, Refusal, SessionId, UserId};

/// Ends the session of a refresh token, whichever of its tokens it is. A token that is none ends nothing, and that is
/// no error.
///
/// # Errors
/// The database does not answer: then nothing is promised.
pub async fn log_out(app: &App, by: &Actor, token: &RefreshToken) -> Result<(), Refusal> {
    if !app.refresh_tokens.is_genuine(token) {
        return Ok(());
    }
    let (now, id) = (app.now(), token.session);
    let event = app.event(by, "session.revoked", now)?.target("session", id).details("logout");
    app.db
        .write(move |connection| {
            let Some(session) = sessions::find(connection, id)? else { return Ok(()) };
            if sessions::revoke(connection, id, now, "logout")? {
                audit::record(connection, &event.by(Who::User(session.user_id)).tenant(session.tenant_id))?;
            }
            Ok(())
        })
        .await
}

/// Ends every session of a user.
///
/// # Errors
/// The database does not answer.
pub async fn log_out_everywhere(app: &App, by: &Actor, user: UserId) -> Result<(), Refusal> {
    let now = app.now();
    let event = app.event(by, "user.logged_out_everywhere", now)?.target("user", user);
    app.db
        .write(move |connection| {
            // A session that changes its tenant meanwhile is another one when this is done, and is to end too.
            users::hold(connection, user)?;
            sessions::revoke_of_user(connection, user, None, now, "logout_all")?;
            Ok(audit::record(connection, &event)?)
        })
        .await
}

/// Ends one session of a user.
///
/// # Errors
/// [`Refusal::NotFound`] where it is another's, or none.
pub async fn revoke(app: &App, by: &Actor, user: UserId, id: SessionId) -> Result<(), Refusal> {
    let now = app.now();
    let event = app.event(by, "session.revoked", now)?.target("session", id).details("by its user");
    app.db
        .write(move |connection| {
            let session = sessions::find(connection, id)?.filter(|session| session.user_id == user);
            let session = session.ok_or(Refusal::NotFound)?;
            if sessions::revoke(connection, id, now, "revoked")? {
                audit::record(connection, &event.tenant(session.tenant_id))?;
            }
            Ok(())
        })
        .await
}

/// The living sessions of a user.
///
/// # Errors
/// The database does not answer.
pub async fn list(app: &App, user: UserId, page: Page) -> Result<Paged<Session>, Refusal> {
    let now = app.now();
    let found =
        app.db.read(move |connection| sessions::of_user(connection, user, now, page).map_err(Refusal::from)).await?;
    Ok(page.of(found, |session| session.id.uuid()))
}
