//! The database behind the server's back: what lies in it, and how it can be made to fail.

use diesel::{
    Connection, PgConnection, QueryableByName, RunQueryDsl, SqliteConnection,
    connection::SimpleConnection,
    sql_query,
    sql_types::{BigInt, Nullable, Text},
};

use super::{Database, Jeton};

/// A row of the audit log.
#[derive(Debug, QueryableByName)]
pub struct AuditRow {
    #[diesel(sql_type = Text)]
    pub action: String,
    #[diesel(sql_type = Text)]
    pub outcome: String,
    #[diesel(sql_type = Text)]
    pub actor: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub target: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub ip: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub details: Option<String>,
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

impl Jeton {
    /// The audit log, the oldest row first.
    pub fn audit(&self) -> Vec<AuditRow> {
        let query = sql_query("SELECT action, outcome, actor, target, ip, details FROM audit_events ORDER BY at, id");
        let rows = match self.database() {
            Database::Sqlite => query.load(&mut self.sqlite()),
            Database::Postgres { .. } => query.load(&mut self.postgres()),
        };
        rows.expect("the audit log can be read")
    }

    /// What a query with one column of text, `value`, finds.
    pub fn query(&self, query: &str) -> Vec<String> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Text)]
            value: String,
        }
        let rows: Result<Vec<Row>, _> = match self.database() {
            Database::Sqlite => sql_query(query).load(&mut self.sqlite()),
            Database::Postgres { .. } => sql_query(query).load(&mut self.postgres()),
        };
        rows.expect(query).into_iter().map(|row| row.value).collect()
    }

    /// How many rows of the audit log say this somewhere in what was done and how it ended.
    pub fn audited(&self, word: &str) -> usize {
        let says = |row: &AuditRow| {
            let details = row.details.as_deref().unwrap_or_default();
            [&row.action, &row.outcome, details].iter().any(|text| text.contains(word))
        };
        self.audit().iter().filter(|row| says(row)).count()
    }

    /// How many rows a table has, or has of a kind: `sessions WHERE revoked_at IS NULL`.
    pub fn rows(&self, table: &str) -> i64 {
        let query = sql_query(format!("SELECT count(*) AS number FROM {table}"));
        let counted: Counted = match self.database() {
            Database::Sqlite => query.get_result(&mut self.sqlite()),
            Database::Postgres { .. } => query.get_result(&mut self.postgres()),
        }
        .expect(table);
        counted.number
    }

    /// From now on every insert into this table, or every update of it, fails.
    pub fn break_writes(&self, table: &str, operation: &str) {
        self.break_writes_of(table, operation, "TRUE");
    }

    /// The same of some rows only, by what is true of `OLD` or `NEW`.
    pub fn break_writes_of(&self, table: &str, operation: &str, rows: &str) {
        match self.database() {
            Database::Sqlite => self.execute(&format!(
                "CREATE TRIGGER injected BEFORE {operation} ON {table} WHEN ({rows})
                 BEGIN SELECT RAISE(ABORT, 'injected'); END"
            )),
            Database::Postgres { .. } => self.execute(&format!(
                "CREATE FUNCTION injected() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'injected'; END $$;
                 CREATE TRIGGER injected BEFORE {operation} ON {table} FOR EACH ROW WHEN ({rows})
                 EXECUTE FUNCTION injected()"
            )),
        }
    }

    /// What [`Jeton::break_writes`] broke works again.
    pub fn mend_writes(&self, table: &str) {
        match self.database() {
            Database::Sqlite => self.execute("DROP TRIGGER injected"),
            Database::Postgres { .. } => {
                self.execute(&format!("DROP TRIGGER injected ON {table}; DROP FUNCTION injected()"));
            }
        }
    }

    /// Keeps every line of the audit log waiting, and on SQLite every write, until the connection is told to
    /// `ROLLBACK`.
    pub fn hold_audit(&self) -> Box<dyn SimpleConnection + Send> {
        let (mut holder, hold): (Box<dyn SimpleConnection + Send>, _) = match self.database() {
            Database::Sqlite => (Box::new(self.sqlite()), "BEGIN IMMEDIATE"),
            Database::Postgres { .. } => (Box::new(self.postgres()), "BEGIN; SELECT 1 FROM audit_chains FOR UPDATE"),
        };
        holder.batch_execute(hold).expect(hold);
        holder
    }

    /// A connection to the file, as a backup or a curious administrator would have one.
    pub fn sqlite(&self) -> SqliteConnection {
        let file = self.folder().join("data/jeton.db").display().to_string();
        let mut connection = SqliteConnection::establish(&file).expect("the database is there");
        connection.batch_execute("PRAGMA busy_timeout = 10000").expect("SQLite knows it");
        connection
    }

    /// A connection to PostgreSQL, as another program would have one.
    pub fn postgres(&self) -> PgConnection {
        PgConnection::establish(&self.database().url()).expect("the database answers")
    }

    /// What a query of one `number` answers.
    pub fn number(&self, query: &str) -> i64 {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = BigInt)]
            number: i64,
        }
        let query = sql_query(query);
        let row: Row = match self.database() {
            Database::Sqlite => query.get_result(&mut self.sqlite()),
            Database::Postgres { .. } => query.get_result(&mut self.postgres()),
        }
        .expect("a number");
        row.number
    }

    /// Runs statements that both databases understand, or that are for this one.
    pub fn execute(&self, statements: &str) {
        let done = match self.database() {
            Database::Sqlite => self.sqlite().batch_execute(statements),
            Database::Postgres { .. } => self.postgres().batch_execute(statements),
        };
        done.expect(statements);
    }
}
