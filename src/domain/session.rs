//! A login and the one refresh token of it that is current (RFC 9700 section 4.14).

use chrono::TimeDelta;
use diesel::Queryable;

use super::refresh_token::Generation;
use super::status_list::StatusIndex;
use super::{SessionId, TenantId, Timestamp, UserId};

/// How often a lost answer may be asked for again.
pub const GRACE_USES: i64 = 10;

/// Sessions of one person (ASVS 7.1.2): far more than devices, and so few that all of them end by one statement, in the
/// time that it has, though a script logs in anew each time (ADR 29).
pub const MOST_SESSIONS: i64 = 10_000;

/// A session as it is stored.
#[derive(Clone, Debug, Queryable)]
pub struct Session {
    /// Its id, the `sid` of its access tokens.
    pub id: SessionId,
    /// Who logged in.
    pub user_id: UserId,
    /// The tenant it speaks for; it never changes.
    pub tenant_id: TenantId,
    /// The generation of the current refresh token.
    pub generation: Generation,
    /// How often the predecessor was presented again since the last rotation.
    pub grace_uses: i64,
    /// When the login was: `auth_time`.
    pub created_at: Timestamp,
    /// When the current refresh token was made.
    pub rotated_at: Timestamp,
    /// When the current refresh token expires.
    pub expires_at: Timestamp,
    /// When the session ends, whatever was refreshed (ASVS 10.4.8).
    pub ends_at: Timestamp,
    /// Since when it is dead, if it is.
    pub revoked_at: Option<Timestamp>,
    /// What killed it.
    pub revoked_reason: Option<String>,
    /// Where it was last used from.
    pub ip: Option<String>,
    /// The browser or program that logged in.
    pub user_agent: Option<String>,
    /// Its place in the status lists.
    pub status_index: StatusIndex,
}

/// What a genuine refresh token is to its session at the moment it is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented {
    /// The current token: it is exchanged for its successor.
    Current,
    /// The immediate predecessor, within the grace: its holder lost an answer, or is a second tab.
    Predecessor,
    /// A token that was used up: somebody has a copy.
    UsedUp,
    /// A token of the future: the database was put back to an earlier state.
    Unknown,
}

/// The spans that bound a session (contract section 2, `tokens.*`).
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// `tokens.refresh_ttl`, from each rotation.
    pub refresh_ttl: TimeDelta,
    /// `tokens.session_ttl`, from the login.
    pub session_ttl: TimeDelta,
    /// `tokens.refresh_grace`, from each rotation.
    pub grace: TimeDelta,
}

impl Session {
    /// A session that begins now.
    #[must_use]
    pub fn begin(
        id: SessionId,
        user_id: UserId,
        tenant_id: TenantId,
        status_index: StatusIndex,
        now: Timestamp,
        limits: SessionLimits,
    ) -> Self {
        let ends_at = now.plus(limits.session_ttl);
        Self {
            id,
            user_id,
            tenant_id,
            generation: 0,
            grace_uses: 0,
            created_at: now,
            rotated_at: now,
            expires_at: now.plus(limits.refresh_ttl).min(ends_at),
            ends_at,
            revoked_at: None,
            revoked_reason: None,
            ip: None,
            user_agent: None,
            status_index,
        }
    }

    /// When the session is over, if nobody refreshes it meanwhile.
    #[must_use]
    pub fn over_at(&self) -> Timestamp {
        self.expires_at.min(self.ends_at)
    }

    /// Whether the session is neither revoked nor over.
    #[must_use]
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.over_at()
    }

    /// What a token of `generation` is, presented now.
    #[must_use]
    pub fn judge(&self, generation: Generation, now: Timestamp, grace: TimeDelta) -> Presented {
        // Two servers' clocks differ a little: a rotation that lies up to the grace ahead counts as just now. A clock
        // that steps further back ends the grace, as if it had run out.
        let within_grace = now.since(self.rotated_at).abs() < grace;
        match self.generation.saturating_sub(generation) {
            ..0 => Presented::Unknown,
            0 => Presented::Current,
            1 if within_grace && self.grace_uses < GRACE_USES => Presented::Predecessor,
            1.. => Presented::UsedUp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const LIMITS: SessionLimits = SessionLimits {
        refresh_ttl: TimeDelta::days(30),
        session_ttl: TimeDelta::days(90),
        grace: TimeDelta::seconds(30),
    };

    fn session() -> Session {
        let nil = Uuid::nil();
        let begun = Session::begin(nil.into(), nil.into(), nil.into(), StatusIndex(1), Timestamp(0), LIMITS);
        Session { generation: 5, ..begun }
    }

    #[test]
    fn the_predecessor_is_welcome_within_the_grace_only() {
        let at = |seconds: i64| Timestamp(seconds * 1_000_000);
        let judge = |generation, now| session().judge(generation, now, LIMITS.grace);
        assert_eq!(judge(5, at(1_000)), Presented::Current);
        assert_eq!(judge(4, at(29)), Presented::Predecessor);
        assert_eq!(judge(4, at(30)), Presented::UsedUp);
        assert_eq!(judge(4, at(-29)), Presented::Predecessor);
        assert_eq!(judge(3, at(0)), Presented::UsedUp);
        assert_eq!(judge(6, at(0)), Presented::Unknown);
        assert_eq!(judge(i64::MIN, at(0)), Presented::UsedUp);
    }

    #[test]
    fn the_grace_is_counted_and_can_be_off() {
        let used = Session { grace_uses: GRACE_USES, ..session() };
        assert_eq!(used.judge(4, Timestamp(0), LIMITS.grace), Presented::UsedUp);
        assert_eq!(session().judge(4, Timestamp(0), TimeDelta::zero()), Presented::UsedUp);
    }

    #[test]
    fn a_session_ends_whatever_was_refreshed() {
        let refreshed = Session { expires_at: Timestamp(i64::MAX), ..session() };
        assert!(refreshed.is_alive(Timestamp(0)));
        assert!(!refreshed.is_alive(refreshed.ends_at));
        assert!(!Session { revoked_at: Some(Timestamp(0)), ..session() }.is_alive(Timestamp(0)));
    }
}
