//! Refresh: the current refresh token in, its successor out (RFC 6749 section 6; RFC 9700 section 4.14.2; contract
//! section 3, rules 1 to 5).

use std::sync::Arc;

use super::SessionTokens;
use crate::app::App;
use crate::db::{DbConnection, audit, sessions};
use crate::domain::actor::Who;
use crate::domain::audit::AuditEvent;
use crate::domain::refresh_token::RefreshToken;
use crate::domain::refusal::Holder;
use crate::domain::session::{Presented as Judged, Session, SessionLimits};
use crate::domain::{Actor, AuditEventId, Member, Refusal, Scopes, Timestamp};
use crate::metrics::RefreshOutcome;
use crate::profile::Profile;

/// A refresh token that was presented.
pub struct RefreshRequest {
    /// The token.
    pub token: RefreshToken,
    /// Fewer scopes than the session has; all of them where none are named.
    pub scopes: Option<Scopes>,
    /// From where.
    pub client: Actor,
}

/// What became of a genuine token. Each is committed before it is answered, the revocation that a reuse causes too
/// (security 28): so it is a value, not an error, for an error would roll it back.
enum Outcome {
    Rotated(Session, Member),
    Grace(Session, Member),
    Seen(Session, Member),
    Reused,
    Dead,
}

/// What a token is presented for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Its successor.
    Exchange,
    /// A page: a browser opens any number of them at once with the cookie that it has.
    View,
}

/// The session of a token that is good, and its user.
pub(super) struct Presented {
    pub session: Session,
    pub member: Member,
    /// Whether its holder may have the current token, that of [`Session::generation`].
    pub is_handed_over: bool,
}

/// Exchanges a refresh token for its successor and a fresh access token.
///
/// # Errors
/// [`Refusal::InvalidRefreshToken`]; [`Refusal::RefreshTokenReused`] after the session was revoked for it;
/// [`Refusal::InsufficientScope`]; [`Refusal::Unavailable`] while no key signs: then the token stays as good as it was.
pub async fn refresh(app: &App, request: RefreshRequest) -> Result<SessionTokens, Refusal> {
    let (now, scopes) = (app.now(), request.scopes.clone());
    // Before the token is used up: a server that cannot sign now would end the session of a client that tries again.
    let ready = app.issuer.ready(None)?;
    let Presented { session, member, .. } = rotate(app, request, Purpose::Exchange, now).await?;
    SessionTokens::issue(app, ready, &session, &member, scopes, now)
}

/// The session of a refresh token, rotated where that is the current one.
pub(super) async fn rotate(
    app: &App,
    request: RefreshRequest,
    purpose: Purpose,
    now: Timestamp,
) -> Result<Presented, Refusal> {
    let RefreshRequest { token, scopes, client } = request;
    if !app.refresh_tokens.is_genuine(&token) {
        return Err(Refusal::InvalidRefreshToken);
    }
    let rotation = Arc::new(Rotation {
        token,
        purpose,
        now,
        limits: app.session_limits(),
        profile: Arc::clone(&app.profile),
        scopes,
        event_id: app.new_id(now)?,
        client,
    });
    let (outcome, session, member) = match rotation.run(app).await? {
        Outcome::Rotated(session, member) => (RefreshOutcome::Rotated, session, member),
        Outcome::Grace(session, member) => (RefreshOutcome::Grace, session, member),
        Outcome::Seen(session, member) => return Ok(Presented { session, member, is_handed_over: false }),
        Outcome::Reused => {
            app.metrics.count_refresh(RefreshOutcome::Reused);
            return Err(Refusal::RefreshTokenReused);
        }
        Outcome::Dead => return Err(Refusal::InvalidRefreshToken),
    };
    app.metrics.count_refresh(outcome);
    Ok(Presented { session, member, is_handed_over: true })
}

/// One try.
struct Rotation {
    token: RefreshToken,
    purpose: Purpose,
    now: Timestamp,
    limits: SessionLimits,
    profile: Arc<Profile>,
    scopes: Option<Scopes>,
    /// For the line in the audit log, where there is to be one.
    event_id: AuditEventId,
    client: Actor,
}

impl Rotation {
    /// The usual one is committed with others; whatever it is that cannot be, in a transaction of its own.
    async fn run(self: Arc<Self>, app: &App) -> Result<Outcome, Refusal> {
        let together = Arc::clone(&self);
        let next = move |session: &Session, member: &Member| together.next(session, member);
        if let Some((session, member)) = app.advances.advance(self.token.session, next).await? {
            return Ok(Outcome::Rotated(session, member));
        }
        app.db.write(move |connection| self.run_alone(connection)).await
    }

    /// What becomes of the session where its current token was presented and nothing is to be said against it.
    fn next(&self, session: &Session, member: &Member) -> Option<Session> {
        let judged = session.judge(self.token.generation, self.now, self.limits.grace);
        let goes_on = judged == Judged::Current && self.admits(session, member) && self.ensure_scopes(member).is_ok();
        goes_on.then(|| self.advanced(session))
    }

    fn run_alone(&self, connection: &mut DbConnection) -> Result<Outcome, Refusal> {
        let Some((session, member)) = self.find(connection)? else { return Ok(Outcome::Dead) };
        match session.judge(self.token.generation, self.now, self.limits.grace) {
            Judged::Current => {
                self.ensure_scopes(&member)?;
                let next = self.advanced(&session);
                if sessions::advance(connection, &next)? {
                    return Ok(Outcome::Rotated(next, member));
                }
                // Another server was faster by a hair: now this token is the predecessor, or the session is dead.
                self.converge(connection)
            }
            Judged::Predecessor | Judged::UsedUp => self.converge(connection),
            Judged::Unknown => Ok(Outcome::Dead),
        }
    }

    /// The session with its member; a session that ended, or whose user may not log in, is as good as none.
    fn find(&self, connection: &mut DbConnection) -> Result<Option<(Session, Member)>, Refusal> {
        let found = sessions::find_with_member(connection, self.token.session)?;
        Ok(found.filter(|(session, member)| self.admits(session, member)))
    }

    fn admits(&self, session: &Session, member: &Member) -> bool {
        member.is_admitted() && (session.is_alive(self.now) || self.died_of_reuse(session))
    }

    fn died_of_reuse(&self, session: &Session) -> bool {
        session.revoked_reason.as_deref() == Some(REUSE) && self.token.generation < session.generation
    }

    /// A refresh never widens (security 9), and is refused before anything is used up for it.
    fn ensure_scopes(&self, member: &Member) -> Result<(), Refusal> {
        let narrowed = self.profile.roles.scopes(&member.role, member.user.operator).narrow(self.scopes.as_ref());
        narrowed.map(drop).map_err(|lacking| Holder::RefreshToken.lacks(lacking))
    }

    /// The session once its current token was exchanged.
    fn advanced(&self, session: &Session) -> Session {
        Session {
            generation: session.generation.saturating_add(1),
            grace_uses: 0,
            rotated_at: self.now,
            expires_at: self.now.plus(self.limits.refresh_ttl).min(session.ends_at),
            ip: self.client.ip.map(|ip| ip.to_string()).or(session.ip.clone()),
            ..session.clone()
        }
    }

    /// The immediate predecessor within the grace gets the current token; anything older ends the session.
    fn converge(&self, connection: &mut DbConnection) -> Result<Outcome, Refusal> {
        let Some((session, member)) = self.find(connection)? else { return Ok(Outcome::Dead) };
        if session.judge(self.token.generation, self.now, self.limits.grace) == Judged::Predecessor {
            self.ensure_scopes(&member)?;
            if sessions::use_grace(connection, session.id, session.generation)? {
                audit::record(connection, &self.event(&session, "session.grace_used"))?;
                return Ok(Outcome::Grace(session, member));
            }
            // It was the predecessor when this began; one rotation on another server meanwhile makes it no theft.
            let Some((newer, member)) = self.find(connection)? else { return Ok(Outcome::Dead) };
            if newer.is_alive(self.now) && newer.generation == session.generation.saturating_add(1) {
                audit::record(connection, &self.event(&newer, "session.grace_used"))?;
                return Ok(Outcome::Grace(newer, member));
            }
        }
        if self.is_late_view(&session) {
            return Ok(Outcome::Seen(session, member));
        }
        // A session that died of reuse before is not revoked once more, but the attempt is remembered.
        let died_now = sessions::revoke(connection, session.id, self.now, REUSE)?;
        let action = if died_now { "session.revoked" } else { "session.refused" };
        audit::record(connection, &self.event(&session, action).outcome(REUSE))?;
        Ok(Outcome::Reused)
    }

    /// A page view that finds the grace used up mints nothing and is handed nothing: however many tabs a browser opens
    /// again, none of them is a thief.
    fn is_late_view(&self, session: &Session) -> bool {
        let uncounted = Session { grace_uses: 0, ..session.clone() };
        self.purpose == Purpose::View
            && session.is_alive(self.now)
            && uncounted.judge(self.token.generation, self.now, self.limits.grace) == Judged::Predecessor
    }

    fn event(&self, session: &Session, action: &'static str) -> AuditEvent {
        AuditEvent::new(self.event_id, self.now, &self.client.known_as(Who::User(session.user_id)), action)
            .tenant(session.tenant_id)
            .target("session", session.id)
            .details(format!("generation {} of {}", self.token.generation, session.generation))
    }
}

/// Why a session died whose used-up token came back.
const REUSE: &str = "refresh_token_reused";
