//! What is stored when a run is over.

use std::collections::{BTreeMap, BTreeSet};

use diesel::{
    QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Bool, Nullable, Text},
};
use uuid::Uuid;

use crate::harness::{Database, Jeton};

/// All rows that the checks look at, by their ids.
pub struct Stored {
    pub sessions: BTreeMap<String, SessionRow>,
    pub keys: BTreeMap<String, KeyRow>,
    pub audit: Vec<AuditRow>,
}

#[derive(Debug, QueryableByName)]
pub struct SessionRow {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = BigInt)]
    pub generation: i64,
    #[diesel(sql_type = Nullable<Text>)]
    pub revoked_reason: Option<String>,
}

#[derive(Debug, QueryableByName)]
pub struct KeyRow {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Bool)]
    pub revoked: bool,
    #[diesel(sql_type = Bool)]
    pub replaces: bool,
    #[diesel(sql_type = Bool)]
    pub in_group: bool,
}

#[derive(Debug, QueryableByName)]
pub struct AuditRow {
    #[diesel(sql_type = Text)]
    pub action: String,
    #[diesel(sql_type = Text)]
    pub outcome: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub target: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub request_id: Option<String>,
}

#[derive(QueryableByName)]
struct Word {
    #[diesel(sql_type = Text)]
    integrity_check: String,
}

/// Loads the same query from either database.
macro_rules! load {
    ($jeton:expr, $query:expr) => {
        match $jeton.database() {
            Database::Sqlite => sql_query($query).load(&mut $jeton.sqlite()),
            Database::Postgres { .. } => sql_query($query).load(&mut $jeton.postgres()),
        }
        .expect("the database can be read")
    };
}

impl Stored {
    pub fn read(jeton: &Jeton) -> Self {
        let hex = match jeton.database() {
            Database::Sqlite => "lower(hex(id)) AS id",
            Database::Postgres { .. } => "encode(id, 'hex') AS id",
        };
        let sessions: Vec<SessionRow> = load!(jeton, format!("SELECT {hex}, generation, revoked_reason FROM sessions"));
        let keys: Vec<KeyRow> = load!(
            jeton,
            format!(
                "SELECT {hex}, name, revoked_at IS NOT NULL AS revoked, replaces IS NOT NULL AS replaces,
                 group_id IS NOT NULL AS in_group FROM api_keys"
            )
        );
        let audit = load!(jeton, "SELECT action, outcome, target, request_id FROM audit_events");
        Self {
            sessions: sessions.into_iter().map(|session| (uuid(&session.id), session)).collect(),
            keys: keys.into_iter().map(|key| (uuid(&key.id), key)).collect(),
            audit,
        }
    }

    /// The requests that left such a row.
    pub fn audit_of(&self, action: &str, target: &str) -> BTreeSet<&str> {
        let rows = self.audit.iter().filter(|row| row.action == action && row.target.as_deref() == Some(target));
        rows.filter_map(|row| row.request_id.as_deref()).collect()
    }

    /// Whether the database itself, and the chains of the audit log, are sound.
    #[expect(clippy::unused_self, reason = "it is asked of what was read")]
    pub fn sound(&self, jeton: &Jeton) -> Vec<(&'static str, Option<String>)> {
        let audit = jeton.cli(["audit", "verify"]);
        let mut sound = vec![("audit verify", (audit.code != Some(0)).then(|| format!("{audit:?}")))];
        if matches!(jeton.database(), Database::Sqlite) {
            let words: Vec<Word> =
                sql_query("PRAGMA integrity_check").load(&mut jeton.sqlite()).expect("SQLite knows it");
            let words = words.into_iter().map(|word| word.integrity_check).collect::<Vec<_>>().join("; ");
            sound.push(("integrity_check", (words != "ok").then_some(words)));
        }
        sound
    }
}

fn uuid(hex: &str) -> String {
    Uuid::parse_str(hex).expect("16 bytes").to_string()
}
