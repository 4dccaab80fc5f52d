//! The tokens of a session at one moment: what a login and a refresh answer.

use crate::app::App;
use crate::domain::refresh_token::RefreshTokenSecret;
use crate::domain::session::Session;
use crate::domain::{Member, Refusal, Scopes, Timestamp};
use crate::tokens::claims::{Grant, Subject};
use crate::tokens::issuer::{AccessToken, Ready};

/// An access token and the current refresh token of its session.
#[derive(Debug)]
pub struct SessionTokens {
    /// The access token.
    pub access: AccessToken,
    /// The refresh token.
    pub refresh: RefreshTokenSecret,
    /// For how many seconds the refresh token is valid.
    pub refresh_expires_in: i64,
}

impl SessionTokens {
    /// Issues the tokens of `session` for `member`, with all of its scopes or those of `scopes`. The access token never
    /// outlives the session as it is: whoever verifies it offline learns of no end.
    ///
    /// # Errors
    /// The crypto library refuses: all else that could stand in the way did so before the session was changed.
    pub fn issue(
        app: &App,
        ready: Ready<'_>,
        session: &Session,
        member: &Member,
        scopes: Option<Scopes>,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let held = app.profile.roles.scopes(&member.role, member.user.operator);
        let narrowed = scopes.as_ref().is_some_and(|asked| asked.narrow(Some(&held)).is_err());
        let access = ready.sign(Grant {
            audience: None,
            scopes: scopes.unwrap_or(held),
            tenant_id: session.tenant_id,
            issued_at: now,
            lifetime: app.config.tokens.access_ttl.min(session.over_at().since(now)),
            subject: Subject::login(session, member, narrowed),
        })?;
        Ok(Self {
            access,
            refresh: app.refresh_tokens.token(session.id, session.generation).to_secret(),
            refresh_expires_in: session.expires_at.since(now).num_seconds(),
        })
    }
}
