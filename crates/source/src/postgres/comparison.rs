//! How a column is compared in the way of its own index: with operators and types that are named with their schemas.

use super::column_type::ColumnType;
use super::error::mismatch;
use super::session::Session;
use crate::SourceError;
use tokio_postgres::types::Type;

/// The operators of a type, and what makes of a text a value of it.
#[derive(Debug)]
pub(super) struct Comparison {
    cast: String,
    /// Whether the column is cast as well: a domain over an extension's type could have operators of its own beside it.
    casts_both: bool,
    equal: String,
    greater: String,
}

/// What the default index of a type compares with, wherever an extension has put it, and whether this role may name it.
const OPERATORS: &str = "
    SELECT format('::%I.%I', n.nspname, t.typname),
           max(format('OPERATOR(%I.%s)', s.nspname, o.oprname)) FILTER (WHERE a.amopstrategy = 3),
           max(format('OPERATOR(%I.%s)', s.nspname, o.oprname)) FILTER (WHERE a.amopstrategy = 5),
           bool_and(has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(s.oid, 'USAGE'))
      FROM pg_type t
      JOIN pg_namespace n ON n.oid = t.typnamespace
      JOIN pg_opclass c ON c.opcintype = t.oid AND c.opcdefault
      JOIN pg_am m ON m.oid = c.opcmethod AND m.amname = 'btree'
      JOIN pg_amop a ON a.amopfamily = c.opcfamily AND a.amoplefttype = t.oid AND a.amoprighttype = t.oid
      JOIN pg_operator o ON o.oid = a.amopopr
      JOIN pg_namespace s ON s.oid = o.oprnamespace
     WHERE t.oid = $1
     GROUP BY n.nspname, t.typname";

impl Comparison {
    /// `None` where only the text of a column compares with a text, or where the role may not use the schema of its type.
    pub(super) async fn of(session: &Session, column_type: ColumnType) -> Result<Option<Self>, SourceError> {
        let ColumnType::CaseInsensitiveText(oid) = column_type else {
            return Ok(column_type.cast().map(Self::built_in));
        };
        let found = session.ask(OPERATORS, &[(&oid, Type::OID)]).await.map_err(|error| mismatch(&error))?;
        let Some(row) = found.first() else { return Ok(None) };
        let (cast, is_usable): (String, bool) = (row.get(0), row.get(3));
        let (equal, greater): (Option<String>, Option<String>) = (row.get(1), row.get(2));
        let (Some(equal), Some(greater)) = (equal, greater) else { return Ok(None) };
        Ok(is_usable.then_some(Self { cast, casts_both: true, equal, greater }))
    }

    fn built_in(cast: &str) -> Self {
        Self {
            cast: cast.to_owned(),
            casts_both: false,
            equal: "OPERATOR(pg_catalog.=)".to_owned(),
            greater: "OPERATOR(pg_catalog.>)".to_owned(),
        }
    }

    /// The condition that a column equals a value.
    pub(super) fn equal(&self, column: &str, value: &str) -> String {
        self.compared(column, &self.equal, value)
    }

    /// The condition that a column is greater than a value, or than itself in another row.
    pub(super) fn greater(&self, column: &str, value: &str) -> String {
        self.compared(column, &self.greater, value)
    }

    fn compared(&self, column: &str, operator: &str, value: &str) -> String {
        let cast = if self.casts_both { self.cast.as_str() } else { "" };
        format!("{column}{cast} {operator} {value}{}", self.cast)
    }
}
