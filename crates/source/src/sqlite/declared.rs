//! What a table's columns are declared as. SQLite itself has neither times nor booleans, and lets any value stand in any column
//! (SQLite manual, "Datatypes In SQLite", section 3.1).

use super::error::{unfit, unreadable};
use super::{IdKind, SqliteSource};
use crate::SourceError;
use headcount_model::plan::{Column, Kind};
use headcount_model::schema::{DataType, Stored};
use rusqlite::Connection;

/// A column of the table.
pub(super) struct DeclaredColumn {
    pub(super) name: String,
    /// The type as it is written.
    pub(super) declared: String,
    /// SQLite does see to that.
    is_not_null: bool,
}

impl DeclaredColumn {
    /// Whether it has this name.
    pub(super) fn is(&self, name: Option<&str>) -> bool {
        name.is_some_and(|name| self.name.eq_ignore_ascii_case(name))
    }
}

impl SqliteSource {
    pub(super) fn declared_columns(
        &self,
        connection: &Connection,
    ) -> Result<Vec<DeclaredColumn>, SourceError> {
        let mut statement = connection
            .prepare("SELECT name, type, \"notnull\" FROM pragma_table_xinfo(?1)")
            .map_err(|error| unreadable(&error))?;
        let read = |row: &rusqlite::Row<'_>| {
            Ok(DeclaredColumn { name: row.get(0)?, declared: row.get(1)?, is_not_null: row.get(2)? })
        };
        let columns = statement
            .query_map([self.mapping.table.name()], read)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| unfit(&error))?;
        if columns.is_empty() {
            let problem = format!("there is no table {} in {}", self.mapping.table, self.path.display());
            return Err(SourceError::Mismatch(problem));
        }
        Ok(columns)
    }
}

/// How the cells of a column are read.
pub(super) fn kind(column: &Column, declared: &str) -> Kind {
    match column.kind() {
        Kind::AsStored if declared.starts_with("BOOL") => Kind::Bool,
        Kind::AsStored if declared.starts_with("DATETIME") || declared.starts_with("TIMESTAMP") => {
            Kind::Timestamp
        }
        kind => kind,
    }
}

/// What is known of the cells of a column: by an expression nothing, because only its cells have types.
pub(super) fn stored(column: &Column, own: Option<&DeclaredColumn>, ids: IdKind) -> Stored {
    let declared = own.map(|own| own.declared.to_ascii_uppercase()).unwrap_or_default();
    let kind = kind(column, &declared);
    let data_type = match kind {
        Kind::Id => match ids {
            IdKind::Integer => DataType::Integer,
            IdKind::Uuid => DataType::Uuid,
            IdKind::Text => DataType::Text,
        },
        Kind::Text => DataType::Text,
        Kind::Timestamp => DataType::Timestamp,
        Kind::Bool => DataType::Boolean,
        Kind::AsStored => by_affinity(&declared),
    };
    Stored { data_type, is_nullable: kind != Kind::Id && !own.is_some_and(|own| own.is_not_null) }
}

/// The type that SQLite prefers for a column that is declared so (the same page, section 3.1).
fn by_affinity(declared: &str) -> DataType {
    let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
    match () {
        () if has(&["INT"]) => DataType::Integer,
        () if has(&["CHAR", "CLOB", "TEXT"]) => DataType::Text,
        () if has(&["REAL", "FLOA", "DOUB"]) => DataType::Float,
        () => DataType::Printed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn further(declared: &str, is_not_null: bool) -> Stored {
        let column = Column::further("extra".to_owned(), Kind::AsStored);
        let own = DeclaredColumn { name: "extra".to_owned(), declared: declared.to_owned(), is_not_null };
        stored(&column, Some(&own), IdKind::Integer)
    }

    #[test]
    fn a_further_column_is_what_it_is_declared_as_and_not_held_to_it() {
        for (declared, data_type) in [
            ("bigint", DataType::Integer),
            ("VARCHAR(20)", DataType::Text),
            ("double precision", DataType::Float),
            ("numeric(10, 2)", DataType::Printed),
            ("", DataType::Printed),
            ("BOOLEAN", DataType::Boolean),
            ("timestamp", DataType::Timestamp),
        ] {
            let expected = Stored { data_type, is_nullable: true };
            assert_eq!(further(declared, false), expected, "{declared}");
        }
        assert!(!further("INT", true).is_nullable);
        let id = stored(&Column::ID, None, IdKind::Uuid);
        assert_eq!((id.data_type, id.is_nullable), (DataType::Uuid, false));
    }
}
