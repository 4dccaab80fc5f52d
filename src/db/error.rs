//! What can go wrong between us and the database.

use diesel::result::{DatabaseErrorKind, Error};
use diesel::{Connection, QueryResult};

use super::DbConnection;
use crate::domain::Refusal;

/// The database did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DbError {
    /// A row with this key is there already.
    #[error("a unique value is taken")]
    Conflict,
    /// A row that this one belongs to is gone.
    #[error("what it belongs to is gone")]
    Gone,
    /// It cannot be reached, is locked, full or shutting down: later it may answer.
    #[error("the database does not answer: {0}")]
    Unavailable(String),
    /// Too much work waits for it.
    #[error("too much work waits for the database")]
    Overloaded,
    /// It has migrations that this version does not know.
    #[error("a later version of Jeton has migrated the database ({0}); run that one, or put back a backup from before")]
    Later(String),
    /// A fault of ours.
    #[error("{0}")]
    Fault(String),
}

impl DbError {
    /// Whoever waits must be answered before it could be done.
    pub(super) fn out_of_time() -> Self {
        Self::Unavailable("it takes too long".to_owned())
    }
}

impl From<Error> for DbError {
    fn from(error: Error) -> Self {
        match error {
            Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => Self::Conflict,
            Error::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _) => Self::Gone,
            Error::DatabaseError(
                DatabaseErrorKind::ClosedConnection
                | DatabaseErrorKind::UnableToSendCommand
                | DatabaseErrorKind::SerializationFailure
                | DatabaseErrorKind::ReadOnlyTransaction
                | DatabaseErrorKind::Unknown,
                what,
            ) => Self::Unavailable(what.message().to_owned()),
            Error::BrokenTransactionManager => Self::Unavailable("the connection broke".to_owned()),
            other => Self::Fault(other.to_string()),
        }
    }
}

/// Runs an insert in a savepoint, so that a row which somebody else has made meanwhile does not spoil the transaction;
/// false where there is such a row.
pub fn inserts(
    connection: &mut DbConnection,
    insert: impl FnOnce(&mut DbConnection) -> QueryResult<usize>,
) -> QueryResult<bool> {
    match connection.transaction(insert) {
        Ok(_) => Ok(true),
        Err(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Somebody else was faster, and this transaction cannot see it: it may be tried anew, as after a conflict of
/// isolation.
#[must_use]
pub fn changed_meanwhile() -> Error {
    let what = "another transaction was faster".to_owned();
    Error::DatabaseError(DatabaseErrorKind::SerializationFailure, Box::new(what))
}

impl From<diesel::r2d2::PoolError> for DbError {
    fn from(error: diesel::r2d2::PoolError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<DbError> for Refusal {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Overloaded => Self::Overloaded,
            DbError::Gone => Self::NotFound,
            DbError::Unavailable(_) => {
                tracing::warn!(%error, "database unavailable");
                Self::Unavailable
            }
            DbError::Conflict | DbError::Later(_) | DbError::Fault(_) => {
                tracing::error!(%error, "database fault");
                Self::Internal
            }
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        DbError::from(error).into()
    }
}
