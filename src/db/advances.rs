//! Makes the next refresh tokens of many sessions current together: on PostgreSQL, where a journey costs more than a
//! row (ADR 20).

use std::collections::{HashMap, HashSet};

use super::executor::Kind;
use super::together::Together;
use super::{Db, DbConnection, DbError, sessions};
use crate::domain::session::Session;
use crate::domain::{Member, SessionId};

/// Groups under way: while one is committed the next one is read.
const GROUPS: usize = 2;

/// Advances sessions, together with those that others want to advance meanwhile.
pub struct Advances {
    db: Db,
    /// None on SQLite, whose writer has one commit for all that has queued up.
    together: Option<Together<Wanted, Advanced>>,
}

struct Wanted {
    session: SessionId,
    next: Box<Next>,
}

type Next = dyn FnOnce(&Session, &Member) -> Option<Session> + Send;

/// The session as it is now, with its member; none where it was not advanced.
type Advanced = Option<(Session, Member)>;

impl Advances {
    /// For the sessions of this database.
    #[must_use]
    pub fn new(db: Db) -> Self {
        let together = db.0.file.is_none().then(|| Together::new(GROUPS, db.runtime()));
        Self { db, together }
    }

    /// Advances a session to what `next` makes of it, and answers after the commit. None where it must be tried alone,
    /// and nothing was changed: `next` has none; somebody else changes the session, or asks for it too; the group of
    /// this one failed, perhaps for another one's sake.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn advance(
        &self,
        session: SessionId,
        next: impl FnOnce(&Session, &Member) -> Option<Session> + Send + 'static,
    ) -> Result<Advanced, DbError> {
        let Some(together) = &self.together else { return Ok(None) };
        let db = self.db.clone();
        let answer_all = move |all, deadline| {
            db.0.executor.run(Kind::Write, deadline, |connection| advance_all(connection, all).map_err(DbError::from))
        };
        match together.ask(Wanted { session, next: Box::new(next) }, answer_all).await {
            Err(DbError::Conflict | DbError::Gone | DbError::Fault(_)) => Ok(None),
            answer => answer,
        }
    }
}

fn advance_all(connection: &mut DbConnection, all: Vec<Wanted>) -> diesel::QueryResult<Vec<Advanced>> {
    let ids: Vec<_> = all.iter().map(|wanted| wanted.session).collect();
    let mut found: HashMap<_, _> = sessions::find_all_with_members(connection, &ids)?
        .into_iter()
        .map(|(session, member)| (session.id, (session, member)))
        .collect();
    // Whoever is the second to ask for a session finds it gone.
    let advance = |Wanted { session, next }: Wanted| {
        let (session, member) = found.remove(&session)?;
        Some((next(&session, &member)?, member))
    };
    let advanced: Vec<_> = all.into_iter().map(advance).collect();
    let next: Vec<_> = advanced.iter().flatten().map(|(session, _)| session).collect();
    let won: HashSet<_> = sessions::advance_all(connection, &next)?.into_iter().collect();
    Ok(advanced.into_iter().map(|one| one.filter(|(session, _)| won.contains(&session.id))).collect())
}
