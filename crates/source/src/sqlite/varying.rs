//! SQL of the mapping that need not give the same twice: it reads the clock, or chance.

use super::SqliteSource;
use super::error::failed;
use crate::SourceError;
use headcount_model::plan::Plan;
use headcount_model::sensitive;
use rusqlite::Connection;
use std::collections::HashSet;

/// Functions that read the clock if they are told 'now', in an argument or in a cell, or nothing. SQLite counts them among those
/// that always give the same ("Date And Time Functions" of its manual).
const OF_TIME: [&str; 7] = ["date", "datetime", "julianday", "strftime", "time", "timediff", "unixepoch"];

/// The clock, without parentheses.
const CLOCK: [&str; 3] = ["current_date", "current_time", "current_timestamp"];

/// Scalar functions that may give something else each time.
const VARYING: &str =
    "SELECT DISTINCT lower(name) FROM pragma_function_list WHERE type = 's' AND flags & 0x800 = 0";

impl SqliteSource {
    /// What in the plan's SQL may give something else at another moment, if anything does: the name of a function.
    pub(super) fn varying(
        &self,
        connection: &Connection,
        plan: &Plan,
    ) -> Result<Option<String>, SourceError> {
        let mut texts = self.mapping.expressions(plan);
        if texts.is_empty() && !self.is_a(connection, "view")? {
            return Ok(None);
        }
        texts.extend(views(connection).map_err(|error| failed(&error))?);
        let varying = varying_functions(connection).map_err(|error| failed(&error))?;
        Ok(texts.iter().find_map(|sql| name_in(sql, &varying)))
    }
}

fn name_in(sql: &str, varying: &HashSet<String>) -> Option<String> {
    let called = sensitive::called(sql).into_iter().map(|name| name.to_ascii_lowercase());
    let mut called = called.filter(|name| OF_TIME.contains(&name.as_str()) || varying.contains(name));
    let named = || {
        let mut names = sensitive::identifiers(sql).into_iter().map(|name| name.to_ascii_lowercase());
        names.find(|name| CLOCK.contains(&name.as_str()) || name.starts_with("pragma_"))
    };
    called.next().or_else(named)
}

/// The text of every view: an expression may read one, and so may a view.
fn views(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT sql FROM sqlite_schema WHERE type = 'view'")?;
    statement.query_map([], |row| row.get(0))?.collect()
}

fn varying_functions(connection: &Connection) -> rusqlite::Result<HashSet<String>> {
    let mut statement = connection.prepare(VARYING)?;
    statement.query_map([], |row| row.get(0))?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reads_the_clock_or_chance_is_seen() {
        let connection = Connection::open_in_memory().expect("a database");
        let functions = varying_functions(&connection).expect("functions");
        for sql in [
            "datetime('now')",
            "DateTime /* of */ ('now')",
            "\"date\"('now')",
            "[strftime]('%s', 'n' || 'ow')",
            "`unixepoch`()",
            "julianday(created_at)",
            "deleted_at IS NULL OR deleted_at > CURRENT_TIMESTAMP",
            "(SELECT current_date)",
            "abs(random()) % 2",
            "hex(randomblob(4))",
            "changes() + total_changes() + last_insert_rowid()",
            "(SELECT data_version FROM pragma_data_version)",
        ] {
            assert!(name_in(sql, &functions).is_some(), "{sql}");
        }
        for sql in [
            "\"date\" || ' ' || time",
            "lower(trim(coalesce(name, 'random()')))",
            "(SELECT max(e.email) FROM emails e WHERE e.user_id = users.id) -- datetime('now')",
            "printf('%s', created_ms / 1000) || json_extract(data, '$.now')",
            "iif(state IN ('active', 'new'), 1, 0) + length(quote(substr(name, 1, 3)))",
        ] {
            assert_eq!(name_in(sql, &functions), None, "{sql}");
        }
    }
}
