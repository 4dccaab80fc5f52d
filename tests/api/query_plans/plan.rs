//! How a database would run a statement, as it tells itself.

use diesel::connection::SimpleConnection;
use diesel::{Connection, RunQueryDsl, sql_query};

use crate::harness::{Database, Jeton};

/// A plan, and what matters of it.
#[derive(Default)]
pub struct Plan {
    /// As the database tells it.
    pub told: String,
    /// Tables that are read from end to end, and the index by which that is done.
    pub whole: Vec<(String, Option<String>)>,
    /// Indexes that are read.
    pub indexes: Vec<String>,
    /// It takes the first rows that there are, whichever they be: a table that is read "whole" is not.
    pub ends_early: bool,
    /// It puts all that it finds in order, to give a part of it.
    pub sorts_for_a_page: bool,
    /// It looks at rows that it does not want, to give a part of those that it does: only PostgreSQL tells.
    pub picks_for_a_page: bool,
}

impl Plan {
    /// The plan of a statement whatever the values in it: what a prepared statement is run by.
    pub fn of(jeton: &Jeton, statement: &str) -> Self {
        match jeton.database() {
            Database::Sqlite => Self::of_sqlite(statement, &steps(jeton, statement)),
            Database::Postgres { .. } => Self::of_postgres(statement, &explain(jeton, statement)),
        }
    }

    fn of_sqlite(statement: &str, told: &[String]) -> Self {
        let mut plan = Self::new(told);
        let page = statement.contains(" LIMIT ");
        plan.ends_early = page && !statement.contains(" WHERE ");
        for line in told {
            let words: Vec<&str> = line.split(' ').collect();
            let index = words.iter().position(|word| *word == "INDEX").map(|at| words[at + 1].to_owned());
            let table = words.get(1).map(|word| word.trim_matches('`').to_owned());
            match (words[0], table) {
                // What is inserted is no table.
                ("SCAN", _) if line.ends_with(" VALUES CLAUSE") => {}
                ("SCAN", Some(table)) if table != "CONSTANT" => plan.whole.push((table, index.clone())),
                ("USE", _) if line.contains("ORDER BY") => plan.sorts_for_a_page = page,
                _ => {}
            }
            plan.indexes.extend(index);
        }
        plan
    }

    fn of_postgres(statement: &str, told: &[String]) -> Self {
        let mut plan = Self::new(told);
        let page = statement.contains(" LIMIT ");
        plan.ends_early = page && !plan.told.contains("Filter:");
        for (number, line) in told.iter().enumerate() {
            let after = |word: &str| {
                line.split_once(word)
                    .and_then(|(_, rest)| rest.split(' ').next())
                    .map(|name| name.trim_matches('"').to_owned())
            };
            plan.whole.extend(after("Seq Scan on ").map(|table| (table, None)));
            let index = [
                "Index Scan using ",
                "Index Only Scan using ",
                "Index Scan Backward using ",
                "Index Only Scan Backward using ",
            ]
            .iter()
            .find_map(|kind| after(kind))
            .or_else(|| after("Bitmap Index Scan on "));
            let Some(index) = index else { continue };
            // All of an index is all of its table.
            if !told.get(number + 1).is_some_and(|next| next.contains("Index Cond:")) {
                let table = after(" on ").filter(|_| !line.contains("Bitmap")).unwrap_or_default();
                plan.whole.push((table, Some(index.clone())));
            }
            plan.indexes.push(index);
        }
        plan.sorts_for_a_page = page && plan.told.contains("Sort Key");
        plan.picks_for_a_page = page && plan.told.contains("Filter:");
        plan
    }

    fn new(told: &[String]) -> Self {
        Self { told: told.join("\n"), ..Self::default() }
    }
}

/// SQLite's plan, which knows no values either.
fn steps(jeton: &Jeton, statement: &str) -> Vec<String> {
    #[derive(diesel::QueryableByName)]
    struct Step {
        #[diesel(sql_type = diesel::sql_types::Text)]
        detail: String,
    }
    let steps = sql_query(format!("EXPLAIN QUERY PLAN {statement}")).load::<Step>(&mut jeton.sqlite());
    steps.unwrap_or_else(|error| panic!("{statement}: {error}")).into_iter().map(|step| step.detail).collect()
}

/// PostgreSQL's generic plan, which it comes to use for what is asked again and again.
fn explain(jeton: &Jeton, statement: &str) -> Vec<String> {
    let parameters = (1..1_000).take_while(|number| statement.contains(&format!("${number}"))).count();
    let values = vec!["NULL"; parameters].join(", ");
    let values = if parameters == 0 { String::new() } else { format!("({values})") };
    jeton
        .postgres()
        .transaction::<_, diesel::result::Error, _>(|connection| {
            connection.batch_execute(&format!(
                "SET LOCAL plan_cache_mode = force_generic_plan; PREPARE seen AS {statement}"
            ))?;
            let told = plan_lines(connection, &format!("EXPLAIN (COSTS OFF) EXECUTE seen{values}"));
            connection.batch_execute("DEALLOCATE seen")?;
            told
        })
        .unwrap_or_else(|error| panic!("{statement}: {error}"))
}

fn plan_lines(connection: &mut diesel::PgConnection, explain: &str) -> diesel::QueryResult<Vec<String>> {
    #[derive(diesel::QueryableByName)]
    struct Line {
        #[diesel(sql_type = diesel::sql_types::Text, column_name = "QUERY PLAN")]
        detail: String,
    }
    let lines: Vec<Line> = sql_query(explain).load(connection)?;
    Ok(lines.into_iter().map(|line| line.detail).collect())
}
