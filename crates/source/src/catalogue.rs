//! What tables a database has, read from its own catalogue, and a small sample of one of them. Read-only: a `READ ONLY`
//! transaction, or `SQLITE_OPEN_READ_ONLY` and `query_only`. Nothing here counts or scans a table.

mod postgres;
mod sqlite;

pub use super::Database;
use super::{SourceError, TableName, quote};
use headcount_model::database_url::DatabaseUrl;
use std::time::Duration;

/// How long the catalogue or a sample may take: nobody's database is to be held up by a look at it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Characters of a cell that a sample takes.
const EXCERPT: u32 = 200;

/// The tables and views of a database that are not its own.
#[derive(Clone, Debug)]
pub struct Catalogue {
    pub database: Database,
    /// The database's name on its server; `None` for a file.
    pub name: Option<String>,
    /// The time zone in which the server's `now()` fills a column without one (`TimeZone`); `None` for a file.
    pub time_zone: Option<String>,
    pub tables: Vec<Table>,
}

/// A table or a view.
#[derive(Clone, Debug)]
pub struct Table {
    /// With its schema, but on SQLite.
    pub name: TableName,
    pub is_view: bool,
    /// About how many rows the database's own statistics know of.
    pub rows: Option<u64>,
    /// How many other tables refer to it with a foreign key.
    pub referenced_by: usize,
    /// Its own foreign keys of one column.
    pub references: Vec<Reference>,
    /// Whether row security is on (PostgreSQL), so that a role may not see every row.
    pub has_row_security: bool,
    /// Whether its name means it without its schema.
    pub is_found_by_name: bool,
    pub columns: Vec<Column>,
}

/// A foreign key of one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub column: String,
    /// What it refers to.
    pub table: TableName,
    pub to: String,
}

/// A column, as declared.
#[derive(Clone, Debug)]
pub struct Column {
    pub name: String,
    /// The type's name as the database writes it; of a domain, the type below it.
    pub type_name: String,
    pub kind: ColumnKind,
    /// The values of an enumerated type, in their order.
    pub labels: Vec<String>,
    pub is_nullable: bool,
    /// The expression that fills it where an `INSERT` names no value.
    pub default: Option<String>,
    /// Whether it is the primary key or a part of it.
    pub in_primary_key: bool,
    /// Whether no two rows can share its value.
    pub is_unique: bool,
    /// Whether an index begins with it.
    pub is_indexed: bool,
    /// Whether we may select it.
    pub is_readable: bool,
}

/// What a type holds, as far as it matters for an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    Integer,
    /// Numbers that need not be whole.
    Number,
    Text,
    Enum,
    Bool,
    Timestamp,
    Date,
    Uuid,
    Other,
}

impl Table {
    /// The column of this name, case and all.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

impl Database {
    /// The first characters of a column as text.
    pub fn excerpt(self, column: &str) -> String {
        let column = quote(column);
        match self {
            Self::Sqlite => format!("substr({column}, 1, {EXCERPT})"),
            Self::Postgres => format!("pg_catalog.left({column}::pg_catalog.text, {EXCERPT})"),
        }
    }
}

/// A few rows of a table. The texts become part of SQL: they are ours, made of quoted names.
#[derive(Clone, Debug)]
pub struct Sample {
    pub table: TableName,
    /// What to select.
    pub expressions: Vec<String>,
    /// Which rows.
    pub condition: Option<String>,
    pub order_by: Option<String>,
    pub limit: u32,
    /// The schema in which names are looked up; `None`: where they usually are.
    pub search_path: Option<String>,
}

impl Sample {
    /// Of any rows, and looked up where names usually are.
    pub fn of(table: &TableName, expressions: Vec<String>, limit: u32) -> Self {
        Self { table: table.clone(), expressions, condition: None, order_by: None, limit, search_path: None }
    }

    fn sql(&self) -> String {
        let mut sql = format!("SELECT {} FROM {}", self.expressions.join(", "), self.table.quoted());
        if let Some(condition) = &self.condition {
            sql.push_str(&format!(" WHERE ({condition})"));
        }
        if let Some(order_by) = &self.order_by {
            sql.push_str(&format!(" ORDER BY {order_by}"));
        }
        sql.push_str(&format!(" LIMIT {}", self.limit));
        sql
    }
}

/// A row of a sample: each cell as the database prints it, NULL as `None`.
pub type Row = Vec<Option<String>>;

/// Reads what tables there are, in the order of their names.
///
/// # Errors
///
/// The database cannot be reached, or answers too slowly.
pub async fn read(url: &DatabaseUrl) -> Result<Catalogue, SourceError> {
    match url {
        DatabaseUrl::Sqlite(path) => sqlite::read(path.clone()).await,
        DatabaseUrl::Postgres(url) => postgres::read(url).await,
    }
}

/// Reads a sample.
///
/// # Errors
///
/// The database cannot be reached, the statement does not fit the table, or it takes too long.
pub async fn sample(url: &DatabaseUrl, sample: &Sample) -> Result<Vec<Row>, SourceError> {
    match url {
        DatabaseUrl::Sqlite(path) => sqlite::sample(path.clone(), sample.sql()).await,
        DatabaseUrl::Postgres(url) => postgres::sample(url, sample).await,
    }
}
