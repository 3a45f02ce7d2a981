//! Filters on flags and addresses. Any value can stand in any column, and one that is no boolean, or no text, would be in no answer.
//! So it comes along, and the scan fails at it.

use super::error::{failed, mismatch};
use super::explain::explain;
use super::{Query, SqliteSource};
use crate::SourceError;
use headcount_model::plan::{Column, Filter, Plan};
use rusqlite::Connection;
use rusqlite::types::Value as Bound;

/// How a filter asks for the rows of a flag.
#[derive(Clone, Copy)]
pub(super) enum FlagTests {
    /// For what it is: an index can find it. Right where there is nothing but 0, 1 and NULL.
    Equal,
    /// For everything but NULL and what is read as the other one.
    NotTheOther,
}

impl FlagTests {
    /// The condition on a cell, which keeps integers as such or may keep them as text.
    pub(super) fn condition(self, cell: &str, value: bool, is_numeric: bool) -> String {
        let (this, other, letter) = if value { (1, 0, 'f') } else { (0, 1, 't') };
        match self {
            Self::Equal => format!("{cell} = {this}"),
            Self::NotTheOther if is_numeric => {
                format!("({cell} <> {other} AND {cell} <> '{letter}' COLLATE BINARY)")
            }
            // Compared with a number, the text '0' of a TEXT column would be one.
            Self::NotTheOther => format!("quote({cell}) NOT IN ('{other}', '''{letter}''', 'NULL')"),
        }
    }
}

impl SqliteSource {
    /// What `query` makes, with the tests for flags that are right for the rows that are there.
    pub(super) fn with_flag_tests(
        &self,
        connection: &Connection,
        plan: &Plan,
        numeric: &[Column],
        query: impl Fn(FlagTests) -> Result<Query, SourceError>,
    ) -> Result<Query, SourceError> {
        let thorough = query(FlagTests::NotTheOther)?;
        if flags(plan).next().is_none() {
            return Ok(thorough);
        }
        let plain = query(FlagTests::Equal)?;
        let plain_way = plain.explained(connection, &plain.statement.rows())?;
        if !plain_way.uses_index()
            || plain_way == thorough.explained(connection, &thorough.statement.rows())?
        {
            return Ok(thorough);
        }
        for flag in flags(plan) {
            if !self.is_known_to_fit(connection, flag, numeric.contains(flag))? {
                return Ok(thorough);
            }
        }
        Ok(plain)
    }

    /// The flags that a plan filters by, and whose columns make integers of what looks like them ("Datatypes In SQLite" of the
    /// manual, section 3.1).
    pub(super) fn numeric_flags(
        &self,
        connection: &Connection,
        plan: &Plan,
        declared_type: impl Fn(&Column) -> Option<String>,
    ) -> Result<Vec<Column>, SourceError> {
        let numeric =
            flags(plan).filter(|flag| declared_type(flag).is_some_and(|declared| is_numeric(&declared)));
        let numeric: Vec<_> = numeric.cloned().collect();
        // A view's column may be declared as what it is not.
        let are_kept = !numeric.is_empty() && self.is_a(connection, "table")?;
        Ok(if are_kept { numeric } else { Vec::new() })
    }

    /// Whether a filter on addresses has to let those pass that are blobs: unless an index tells that there are none, or one finds
    /// addresses that cannot tell, as a partial one.
    pub(super) fn may_have_odd_addresses(
        &self,
        connection: &Connection,
        plan: &Plan,
    ) -> Result<bool, SourceError> {
        let is_filtered = plan.filters.iter().any(|filter| matches!(filter, Filter::Email(_)));
        if !is_filtered || self.mapping.own_column(&Column::EMAIL).is_none() {
            return Ok(false);
        }
        let (cell, table) = (self.mapping.sql(&Column::EMAIL), self.mapping.table.quoted());
        let odd = format!("SELECT 1 FROM {table} WHERE {} LIMIT 1", is_blob(&cell));
        if let Some(exists) = exists_by_index(connection, &odd)? {
            return Ok(exists);
        }
        let one = format!("SELECT 1 FROM {table} WHERE {cell} = ?1");
        Ok(!explain(connection, &one, &[Bound::Null])?.uses_index())
    }

    /// Whether an index tells that a flag is nothing but 0, 1 and NULL in all rows.
    fn is_known_to_fit(
        &self,
        connection: &Connection,
        flag: &Column,
        is_numeric: bool,
    ) -> Result<bool, SourceError> {
        let (cell, table) = (self.mapping.sql(flag), self.mapping.table.quoted());
        let mut sql =
            format!("SELECT 1 FROM {table} WHERE {cell} < 0 OR ({cell} > 0 AND {cell} < 1) OR {cell} > 1");
        if !is_numeric {
            for value in [0, 1] {
                sql += &format!(" OR ({cell} = {value} AND typeof({cell}) <> 'integer')");
            }
        }
        sql += " LIMIT 1";
        Ok(exists_by_index(connection, &sql)? == Some(false))
    }
}

/// Whether a statement gives a row, where an index tells; `None` where all rows would have to be looked at.
fn exists_by_index(connection: &Connection, sql: &str) -> Result<Option<bool>, SourceError> {
    if explain(connection, sql, &[])?.looks_at_all() {
        return Ok(None);
    }
    let mut statement = connection.prepare(sql).map_err(|error| mismatch(&error))?;
    statement.exists([]).map(Some).map_err(|error| failed(&error))
}

/// The condition that a cell is a blob, which is greater than all that is none ("Datatypes In SQLite" of the manual, section 4.1).
pub(super) fn is_blob(cell: &str) -> String {
    format!("{cell} >= x''")
}

fn flags(plan: &Plan) -> impl Iterator<Item = &Column> {
    plan.filters.iter().filter_map(|filter| match filter {
        Filter::Is(column, _) => Some(column),
        _ => None,
    })
}

fn is_numeric(declared: &str) -> bool {
    let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
    // In a STRICT table ANY keeps what is written.
    let keeps = declared.is_empty() || declared == "ANY";
    has(&["INT"]) || !keeps && !has(&["CHAR", "CLOB", "TEXT", "BLOB", "REAL", "FLOA", "DOUB"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mapping;
    use crate::readers::ReaderPermits;
    use headcount_model::plan::Profile;
    use std::sync::Arc;

    /// The conditions of a filter on `is_admin` in a table that this SQL makes, in which an index may be used.
    fn conditions(sql: &str) -> String {
        conditions_of(sql, Filter::Is(Column::IS_ADMIN, true)).0
    }

    /// The conditions of a filter, and whether an index finds the rows.
    fn conditions_of(sql: &str, filter: Filter) -> (String, bool) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("users.db");
        Connection::open(&path).and_then(|connection| connection.execute_batch(sql)).expect(sql);
        let mapping = Mapping::plain("users");
        let mut plan = Plan::new(Arc::new(Profile::minimal()));
        plan.filters.push(filter);
        let source = SqliteSource::new(path, mapping, ReaderPermits::new(1));
        let connection = source.connect().expect("a file").connection;
        let query = source.query(&connection, &plan).expect("a table that fits");
        let rows = query.statement.rows();
        let explained = query.explained(&connection, &rows).expect("a plan");
        (rows.split_once(" WHERE ").expect("a condition").1.to_owned(), explained.uses_index())
    }

    #[test]
    fn an_address_is_found_by_an_index_unless_one_is_a_blob() {
        let table = "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT COLLATE NOCASE, name TEXT, is_admin);
                     INSERT INTO users (id, email) VALUES (1, 'ada@example.com'), (2, NULL), (3, 'Ada@example.com')";
        let odd = "UPDATE users SET email = CAST(email AS BLOB) WHERE id = 3";
        let email = || Filter::Email("ada@example.com".to_owned());
        for (sql, passes, uses_index) in [
            (table.to_owned(), true, false),
            (format!("{table}; CREATE INDEX e ON users (email)"), false, true),
            (format!("{table}; CREATE INDEX e ON users (email); {odd}"), true, false),
            (format!("{table}; CREATE UNIQUE INDEX e ON users (email COLLATE BINARY)"), true, false),
            (format!("{table}; CREATE INDEX e ON users (email) WHERE email IS NOT NULL"), false, true),
        ] {
            let (conditions, is_found) = conditions_of(&sql, email());
            assert_eq!(
                (conditions.contains(">= x''"), is_found),
                (passes, uses_index),
                "{sql}: {conditions}"
            );
        }
    }

    #[test]
    fn an_index_is_used_where_it_tells_that_all_flags_fit() {
        const ROWS: &str = "INSERT INTO users (id, is_admin) WITH RECURSIVE up(i) AS
                            (SELECT 1 UNION ALL SELECT i + 1 FROM up WHERE i < 500) SELECT i, i % 2 FROM up;
                            CREATE INDEX by_flag ON users (is_admin)";
        for declared in ["BOOLEAN", "INTEGER", "", "TINYINT(1)"] {
            let table =
                format!("CREATE TABLE users (id INTEGER PRIMARY KEY, email, name, is_admin {declared})");
            let filled = format!("{table}; {ROWS}");
            assert!(conditions(&filled).starts_with("\"is_admin\" = 1"), "{declared}");
            assert!(!conditions(&table).contains("= 1"), "without an index {declared}");
            for odd in ["'t'", "2", "-1", "0.5", "'yes'", "x'01'"] {
                let odd = format!("{filled}; UPDATE users SET is_admin = {odd} WHERE id = 7");
                assert!(!conditions(&odd).contains("= 1"), "{odd}");
            }
        }
        let text = "CREATE TABLE users (id INTEGER PRIMARY KEY, email, name, is_admin TEXT)";
        assert!(!conditions(&format!("{text}; {ROWS}")).contains("= 1"));
    }
}
