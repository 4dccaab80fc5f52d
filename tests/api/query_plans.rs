//! No statement that the server runs reads a table that grows from end to end, and no index is there for nothing: by
//! the databases' own plans of what a server was seen to run (ADR 22).

mod plan;
mod rows;
mod walk;

use std::collections::BTreeSet;
use std::fs;

use jeton_test_macros::both_databases;

use crate::harness::{Database, Jeton};
use plan::Plan;

/// Tables whose rows do not grow in number with tenants, users, keys or time, so that they may be read whole.
const SMALL: [&str; 6] =
    ["instances", "master_keys", "secrets", "signing_algorithms", "signing_keys", "status_counter"];

/// Pages that are made of more rows than they show, and may be: of which.
const BOUNDED: [(&str, &str); 3] = [
    (r#"FROM "sessions" WHERE (((("sessions"."user_id" = $1)"#, "the sessions of one person"),
    (r#"ORDER BY "sessions"."rotated_at" DESC"#, "those of one person that were not ended: `MOST_SESSIONS`, and some"),
    (r#"(("audit_events"."at" "#, "lines of the time that is asked for: ids bound them"),
];

#[both_databases]
fn no_statement_reads_a_table_that_grows_from_end_to_end(jeton: Jeton) {
    let file = jeton.folder().join("statements");
    jeton.set_variable("JETON_TEST_STATEMENTS", &file.display().to_string());
    let started = walk::everything(jeton);
    let jeton = &started;
    let statements = statements(&fs::read_to_string(file).expect("the server has written down what it ran"));
    for table in tables(jeton) {
        let named = |statement: &&String| statement.contains(&table);
        assert!(statements.iter().any(|statement| named(&statement)), "nothing was seen of {table}: walk further");
    }
    rows::grow(jeton);
    let partial = partial_indexes(jeton);

    // SQLite has no statistics but where somebody made them.
    let mut faults = Vec::new();
    let mut used = BTreeSet::new();
    for analyzed in [false, true] {
        if analyzed {
            jeton.execute("ANALYZE");
        }
        for statement in &statements {
            let plan = Plan::of(jeton, statement);
            let grows = |(table, index): &&(String, Option<String>)| {
                !SMALL.contains(&table.as_str()) && !index.as_ref().is_some_and(|index| partial.contains(index))
            };
            let whole = plan.whole.iter().filter(|_| !plan.ends_early).filter(grows);
            faults.extend(whole.map(|(table, _)| format!("{table} is read whole by\n  {statement}\n{}", plan.told)));
            let bounded = BOUNDED.iter().any(|(words, _)| statement.replace('`', "\"").contains(words));
            if plan.sorts_for_a_page && !bounded {
                faults.push(format!("a page is sorted out of all by\n  {statement}\n{}", plan.told));
            }
            if plan.picks_for_a_page && !bounded {
                faults.push(format!("a page is picked out of all by\n  {statement}\n{}", plan.told));
            }
            used.extend(plan.indexes);
        }
        if matches!(jeton.database(), Database::Postgres { .. }) && !analyzed {
            // Without statistics it guesses, and not well.
            faults.clear();
            used.clear();
        }
    }
    let idle: Vec<String> = indexes(jeton).into_iter().filter(|index| !used.contains(index)).collect();
    faults.extend(idle.iter().map(|index| format!("no statement uses the index {index}")));
    faults.extend(unsupported_foreign_keys(jeton));
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

/// What reads or changes rows, each once. What only opens a transaction, or sets something, has no plan.
fn statements(told: &str) -> BTreeSet<String> {
    const WORDS: [&str; 4] = ["SELECT ", "INSERT ", "UPDATE ", "DELETE "];
    let of_tables = |line: &&str| WORDS.iter().any(|word| line.starts_with(word)) && !line.contains("__diesel");
    told.lines().filter(of_tables).map(str::to_owned).collect()
}

/// All tables but that of the migrations.
fn tables(jeton: &Jeton) -> Vec<String> {
    jeton.query(match jeton.database() {
        Database::Sqlite => {
            "SELECT name AS value FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_\\_%' ESCAPE '\\'
                             AND name NOT LIKE 'sqlite%'"
        }
        Database::Postgres { .. } => {
            "SELECT relname::text AS value FROM pg_class WHERE relkind = 'r'
                             AND relnamespace = 'public'::regnamespace AND relname NOT LIKE '\\_\\_%'"
        }
    })
}

/// All indexes that are there to be read by, and neither to keep something unique nor for a foreign key.
fn indexes(jeton: &Jeton) -> Vec<String> {
    jeton.query(match jeton.database() {
        Database::Sqlite => {
            "SELECT i.name AS value FROM sqlite_master t JOIN pragma_index_list(t.name) i
             WHERE t.type = 'table' AND i.origin = 'c' AND NOT i.\"unique\" AND NOT EXISTS (
                 SELECT 1 FROM pragma_foreign_key_list(t.name) k
                 JOIN pragma_index_info(i.name) c ON c.seqno = 0 AND c.name = k.\"from\")"
        }
        Database::Postgres { .. } => {
            "SELECT indexrelid::regclass::text AS value FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
             WHERE c.relnamespace = 'public'::regnamespace AND NOT indisunique AND NOT EXISTS (
                 SELECT 1 FROM pg_constraint k
                 WHERE k.contype = 'f' AND k.conrelid = i.indrelid AND k.conkey[1] = i.indkey[0])"
        }
    })
}

/// Indexes of some rows of a table: all of one is as much as is wanted.
fn partial_indexes(jeton: &Jeton) -> Vec<String> {
    jeton.query(match jeton.database() {
        Database::Sqlite => "SELECT name AS value FROM sqlite_master WHERE type = 'index' AND sql LIKE '% WHERE %'",
        Database::Postgres { .. } => {
            "SELECT indexrelid::regclass::text AS value FROM pg_index WHERE indpred IS NOT NULL"
        }
    })
}

/// Foreign keys without an index: whoever deletes what they point to would read their whole table.
fn unsupported_foreign_keys(jeton: &Jeton) -> Vec<String> {
    jeton.query(match jeton.database() {
        Database::Sqlite => {
            "SELECT t.name || '.' || k.\"from\" || ' has no index' AS value
             FROM sqlite_master t JOIN pragma_foreign_key_list(t.name) k WHERE t.type = 'table' AND NOT EXISTS (
                 SELECT 1 FROM pragma_index_list(t.name) i JOIN pragma_index_info(i.name) c
                 WHERE c.seqno = 0 AND c.name = k.\"from\" AND NOT i.partial)"
        }
        Database::Postgres { .. } => {
            "SELECT conrelid::regclass::text || ': no index for ' || conname AS value FROM pg_constraint k
             WHERE contype = 'f' AND NOT EXISTS (
                 SELECT 1 FROM pg_index i
                 WHERE i.indrelid = k.conrelid AND i.indkey[0] = k.conkey[1] AND i.indpred IS NULL)"
        }
    })
}
