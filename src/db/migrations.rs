//! Migrations: the same steps for both databases, built into the binary.

use std::fmt::Display;

use diesel::backend::Backend;
use diesel::connection::SimpleConnection;
use diesel::migration::{Migration, MigrationSource as _};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{DbConnection, DbError};

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Servers that start together migrate one after the other.
const POSTGRES_TURN: &str = "SELECT pg_advisory_xact_lock(5426117398041)";

/// A migration may take as long as it needs, and as long as the one before it.
const POSTGRES_PATIENCE: &str = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0";

const UNDER_WAY: &str = "the database is being migrated; try again when that is done";

/// Applies what is pending and answers the versions applied. Run it in one [`super::Db::write_unhurried`]: killed
/// midway, nothing has happened.
///
/// # Errors
/// [`DbError::Later`]; a migration failed, or the database does not answer.
pub fn run(connection: &mut DbConnection) -> Result<Vec<String>, DbError> {
    let applied = match connection {
        DbConnection::Sqlite(sqlite) => {
            ensure_known(sqlite, &SQLITE)?;
            sqlite.run_pending_migrations(SQLITE)
        }
        DbConnection::Postgres(postgres) => {
            postgres.batch_execute(POSTGRES_PATIENCE)?;
            postgres.batch_execute(POSTGRES_TURN)?;
            ensure_known(postgres, &POSTGRES)?;
            postgres.run_pending_migrations(POSTGRES)
        }
    };
    applied
        .map(|versions| versions.iter().map(ToString::to_string).collect())
        .map_err(|error| DbError::Fault(format!("migration failed: {error}")))
}

/// The versions that are still to be applied.
///
/// # Errors
/// [`DbError::Later`]; the database does not answer, or is being migrated.
pub fn pending(connection: &mut DbConnection) -> Result<Vec<String>, DbError> {
    let pending = match connection {
        DbConnection::Sqlite(sqlite) => {
            ensure_known(sqlite, &SQLITE)?;
            sqlite.pending_migrations(SQLITE).map(|pending| versions(&pending))
        }
        DbConnection::Postgres(postgres) => {
            postgres.batch_execute(POSTGRES_TURN).map_err(|error| match DbError::from(error) {
                DbError::Unavailable(_) => DbError::Unavailable(UNDER_WAY.to_owned()),
                other => other,
            })?;
            ensure_known(postgres, &POSTGRES)?;
            postgres.pending_migrations(POSTGRES).map(|pending| versions(&pending))
        }
    };
    pending.map_err(unreadable)
}

/// Refuses a database that a later version has migrated: this one knows neither what stands in it, nor what must.
fn ensure_known<DB: Backend>(
    connection: &mut impl MigrationHarness<DB>,
    ours: &EmbeddedMigrations,
) -> Result<(), DbError> {
    let known = versions::<DB>(&ours.migrations().map_err(unreadable)?);
    let applied = connection.applied_migrations().map_err(unreadable)?;
    let later: Vec<_> = applied.iter().map(ToString::to_string).filter(|version| !known.contains(version)).collect();
    if later.is_empty() { Ok(()) } else { Err(DbError::Later(later.join(", "))) }
}

fn unreadable(error: impl Display) -> DbError {
    DbError::Fault(format!("cannot read the applied migrations: {error}"))
}

fn versions<DB: Backend>(migrations: &[Box<dyn Migration<DB>>]) -> Vec<String> {
    migrations.iter().map(|migration| migration.name().version().to_string()).collect()
}
