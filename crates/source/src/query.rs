//! A plan as SQL. What both databases share is here; how each writes a column or a condition is its [`Dialect`].

use super::{Mapping, SourceError};
use headcount_model::plan::{Column, Filter, Plan};

/// How one database says it. Values from the request travel beside the SQL, never in it.
pub(super) trait Dialect {
    /// The table.
    fn table(&self) -> String;

    /// A column in the select list.
    fn select(&self, column: &Column) -> String;

    /// The conditions of filters, of which all must hold; their values are kept by the dialect for binding.
    fn conditions(&mut self, filters: &[Filter]) -> Vec<String>;

    /// Whether rows meet the condition of a filter, too, whose cell it cannot judge: then the scan has to read the cell, and fail.
    fn lets_misfits_pass(&self, filter: &Filter) -> bool;

    /// The condition that the id is greater than `after`.
    fn after(&mut self, after: &str) -> Result<String, SourceError>;
}

/// The columns that a scan reads: those of the plan, the id, which an error message needs, and those by which a filter lets rows
/// pass that do not fit.
pub(super) struct Selection {
    columns: Vec<Column>,
    shown: usize,
    id_at: usize,
}

impl Selection {
    pub(super) fn of(plan: &Plan, dialect: &impl Dialect) -> Self {
        let mut columns: Vec<_> = plan.columns.iter().map(|shown| shown.column.clone()).collect();
        let shown = columns.len();
        let id_at = columns.iter().position(|column| *column == Column::ID).unwrap_or_else(|| {
            columns.push(Column::ID);
            shown
        });
        for filter in plan.filters.iter().filter(|filter| dialect.lets_misfits_pass(filter)) {
            let column = filter.column();
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        Self { columns, shown, id_at }
    }

    /// What is read, in order.
    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// How many of them, from the first, are shown.
    pub(super) fn shown(&self) -> usize {
        self.shown
    }

    /// Where among them the id is.
    pub(super) fn id_at(&self) -> usize {
        self.id_at
    }
}

/// Every column that the plan touches, shown or not.
pub(super) fn referenced_columns(plan: &Plan) -> Vec<Column> {
    let shown = plan.columns.iter().map(|shown| shown.column.clone());
    let filtered = plan.filters.iter().map(Filter::column);
    let mut columns: Vec<Column> = Vec::new();
    for column in shown.chain([Column::ID]).chain(filtered) {
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    columns
}

/// The statement of a plan, as the pieces that it is made of.
pub(super) struct Statement {
    /// What is selected, in SQL.
    columns: Vec<String>,
    table: String,
    conditions: Vec<String>,
    /// From `ORDER BY` on.
    order: String,
    has_limit: bool,
}

impl Statement {
    pub(super) fn of(
        plan: &Plan,
        selection: &Selection,
        mapping: &Mapping,
        dialect: &mut impl Dialect,
    ) -> Result<Self, SourceError> {
        let mut conditions: Vec<_> = mapping.conditions(plan).into_iter().map(|(_, sql)| sql).collect();
        conditions.extend(dialect.conditions(&plan.filters));
        if let Some(after) = &plan.after {
            conditions.push(dialect.after(after)?);
        }
        let limit = plan.limit.map_or_else(String::new, |limit| format!(" LIMIT {limit}"));
        Ok(Self {
            columns: selection.columns().iter().map(|column| dialect.select(column)).collect(),
            table: dialect.table(),
            conditions,
            order: format!("ORDER BY {}{limit}", mapping.sql(&Column::ID)),
            has_limit: plan.limit.is_some(),
        })
    }

    /// The rows, in the order of their ids. The columns get names that nothing else has: `ORDER BY` would take what is selected
    /// under a column's name for the column.
    pub(super) fn rows(&self) -> String {
        self.rows_in(None)
    }

    /// As [`Statement::rows`], with a limit in any case, if only of all: SQLite then keeps the order of a subquery, and does not
    /// make one query of it and of what is around it.
    pub(super) fn limited_rows(&self) -> String {
        let rows = self.rows();
        if self.has_limit { rows } else { rows + " LIMIT -1" }
    }

    /// As [`Statement::rows`], of those that meet a further condition.
    pub(super) fn rows_in(&self, range: Option<&str>) -> String {
        let columns = self.columns.iter().zip(self.names()).map(|(sql, name)| format!("{sql} AS {name}"));
        self.select(&columns.collect::<Vec<_>>().join(", "), &self.table, range)
    }

    /// The names of the columns in [`Statement::rows`].
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        (0..self.columns.len()).map(|at| format!("\"headcount {at}\""))
    }

    /// A call of `function` with the cells of each of these rows. Those of a part are found by their ids and nothing else, so that
    /// they are not sorted after the calls ("The NOT INDEXED Clause" of the SQLite manual).
    pub(super) fn calls(&self, function: &str, range: Option<&str>) -> String {
        let table = if range.is_some() { format!("{} NOT INDEXED", self.table) } else { self.table.clone() };
        self.select(&format!("{function}({})", self.columns.join(", ")), &table, range)
    }

    fn select(&self, selected: &str, table: &str, range: Option<&str>) -> String {
        let mut sql = format!("SELECT {selected} FROM {table}");
        let conditions: Vec<_> = self.conditions.iter().map(String::as_str).chain(range).collect();
        if !conditions.is_empty() {
            sql.push_str(" WHERE ");
            sql.push_str(&conditions.join(" AND "));
        }
        sql + " " + &self.order
    }
}
