//! Resume: a refresh token in, who its session is for out. It is how a browser that has nothing but the refresh cookie
//! is known from one page to the next, without a rotation for each (ADR 24).

use chrono::TimeDelta;

use super::refresh::{self, Purpose, RefreshRequest};
use crate::app::App;
use crate::config::Tokens;
use crate::db::sessions;
use crate::domain::refresh_token::{RefreshToken, RefreshTokenSecret};
use crate::domain::session::{Presented, Session};
use crate::domain::{Actor, Member, Refusal, Timestamp};

/// A session that goes on.
pub struct Resumed {
    /// The session.
    pub session: Session,
    /// Its user in its tenant, as committed now.
    pub member: Member,
    /// What the browser is to present from now on, where that changed.
    pub renewed: Option<Renewed>,
}

/// A refresh token, and for how many seconds it is valid.
pub struct Renewed {
    /// The token.
    pub refresh: RefreshTokenSecret,
    /// Seconds.
    pub expires_in: i64,
}

/// Tells whose session a refresh token is of, under the rules of a refresh: the current one is welcome, its predecessor
/// within the grace too, an older one ends the session. A predecessor that came more often than contract section 3,
/// rule 2 hands its successor over still opens a page. It is rotated where it is older than an access token may be, or
/// has lived half its life, so that a stolen one lives on no longer than it would at any other client.
///
/// # Errors
/// [`Refusal::InvalidRefreshToken`]; [`Refusal::RefreshTokenReused`] after the session was revoked for it.
pub async fn resume(app: &App, token: RefreshToken, client: &Actor) -> Result<Resumed, Refusal> {
    let now = app.now();
    if !app.refresh_tokens.is_genuine(&token) {
        return Err(Refusal::InvalidRefreshToken);
    }
    let found =
        app.db.read(move |connection| sessions::find_with_member(connection, token.session).map_err(Refusal::from));
    if let Some((session, member)) = found.await?.filter(|found| is_fresh(app, found, &token, now)) {
        return Ok(Resumed { session, member, renewed: None });
    }
    let request = RefreshRequest { token, scopes: None, client: client.clone() };
    let refresh::Presented { session, member, is_handed_over } =
        refresh::rotate(app, request, Purpose::View, now).await?;
    Ok(Resumed { renewed: is_handed_over.then(|| Renewed::of(app, &session, now)), session, member })
}

/// Whether nothing is to be written for a token: it is the current one of a session that lives, and young.
fn is_fresh(app: &App, (session, member): &(Session, Member), token: &RefreshToken, now: Timestamp) -> bool {
    session.is_alive(now)
        && member.is_admitted()
        && session.judge(token.generation, now, app.config.tokens.refresh_grace) == Presented::Current
        && now.since(session.rotated_at) < renewal_age(&app.config.tokens)
}

/// The age at which a token is replaced: half its life at most, or somebody would be signed out in the midst of their
/// work where it ends before an access token does.
fn renewal_age(tokens: &Tokens) -> TimeDelta {
    tokens.access_ttl.min(tokens.refresh_ttl / 2)
}

impl Renewed {
    /// The current token of a session.
    pub(super) fn of(app: &App, session: &Session, now: Timestamp) -> Self {
        Self {
            refresh: app.refresh_tokens.token(session.id, session.generation).to_secret(),
            expires_in: session.expires_at.since(now).num_seconds(),
        }
    }
}
