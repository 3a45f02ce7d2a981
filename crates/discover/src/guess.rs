//! Maps the columns of a table that nobody has described: by their names, types, uniqueness and a few cells.

mod active;
mod admin;
mod elsewhere;
mod epochs;
mod flags;
mod identity;
pub(super) mod names;
pub(super) mod roles;
pub(super) mod times;
mod words;

use super::samples::Request;
use super::{Ambiguous, Confidence, Field, Mapped, Origin, Subject, Suggestion};
use flags::Sign;
use headcount_source::catalogue::{Catalogue, Column, ColumnKind, Table};
use headcount_source::{TableName, quote};
pub use identity::why_no_id;
use times::time;

/// The best origin of a field, if there is one.
///
/// # Errors
///
/// Two columns are equally good.
pub fn field(field: Field, subject: Subject<'_>) -> Result<Option<Mapped>, Ambiguous> {
    let found = match field {
        Field::Id => identity::id(subject),
        Field::Email => identity::email(subject)?,
        Field::Name => identity::name(subject),
        Field::CreatedAt => time(subject, names::CREATED),
        Field::UpdatedAt => time(subject, names::UPDATED),
        Field::IsActive => active::is_active(subject),
        Field::IsAdmin => admin::is_admin(subject),
    };
    Ok(found.map(|found| found.tempered(subject).mapped(field)))
}

/// Why no column was taken for a field.
pub fn why_none(field: Field, subject: Subject<'_>) -> String {
    let unreadable = match field {
        Field::CreatedAt => times::unreadable(subject, names::CREATED),
        Field::UpdatedAt => times::unreadable(subject, names::UPDATED),
        _ => None,
    };
    match unreadable {
        Some(column) => format!("{} has a fitting name, but its values cannot be read as times", column.name),
        None => "no column looks like it".to_owned(),
    }
}

/// Rows of one such table that are looked at: roles are few.
pub const ROWS: u32 = 100;

/// What to ask the database about tables beside that of the users, each with its table.
pub fn requests<'a>(catalogue: &'a Catalogue, users: &'a Table) -> Vec<(&'a Table, Request)> {
    let mut requests: Vec<(&Table, Request)> = Vec::new();
    for path in roles::paths(catalogue, users) {
        let is_new = !requests.iter().any(|(table, _)| table.name == path.table.name);
        if let Some(word) = path.word.filter(|_| is_new) {
            let columns = vec![word.name.clone()];
            requests.push((path.table, Request::of_columns(catalogue.database, path.table, columns, ROWS)));
        }
    }
    requests
}

/// The usable columns of a list of names, in its order.
fn called<'a>(subject: Subject<'a>, list: &[&str]) -> impl Iterator<Item = &'a Column> {
    names::in_order(subject.usable(), subject.table, list)
}

/// Whether a column of the table itself says who is an administrator.
pub fn has_own_admin(subject: Subject<'_>) -> bool {
    admin::own(subject, &mut Vec::new()).is_some()
}

/// Conditions that the names of columns suggest.
pub fn conditions(subject: Subject<'_>) -> Vec<Suggestion> {
    let is_time = |column: &Column| matches!(column.kind, ColumnKind::Timestamp | ColumnKind::Date);
    let deleted = subject.table.columns.iter().find(|column| {
        is_time(column) && names::rank(&column.name, subject.table, names::DELETED_TIMES).is_some()
    });
    let condition = deleted.map(|column| Suggestion {
        comment: "Without those who are marked as deleted:".to_owned(),
        sql: format!("{} IS NULL", quote(&column.name)),
    });
    condition.into_iter().chain(system_users(subject)).collect()
}

/// How to leave out rows that are nobody's account, where there are some.
fn system_users(subject: Subject<'_>) -> Option<Suggestion> {
    let mut flags = called(subject, names::BOT_FLAGS).filter_map(|column| flags::no(subject, column));
    if let Some(sign) = flags.next() {
        let comment = format!("Without those that {} says are nobody's account:", sign.column.name);
        return Some(Suggestion { comment, sql: sign.sql });
    }
    let names_of_users = subject.usable().filter(|column| {
        let lists = [names::LOGIN_NAME, names::FULL_NAME, names::LOGIN];
        column.kind == ColumnKind::Text
            && lists.iter().any(|list| names::rank(&column.name, subject.table, list).is_some())
    });
    let mut named = names_of_users.filter_map(|column| {
        let cells = subject.samples.filled(&column.name);
        let mut found: Vec<_> =
            cells.filter(|cell| names::SYSTEM_USERS.contains(&names::joined(cell).as_str())).collect();
        found.sort_unstable();
        found.dedup();
        (!found.is_empty()).then_some((column, found))
    });
    if let Some((column, found)) = named.next() {
        let comment = format!(
            "Without {}, which look like the application's own and not like people:",
            found.join(", ")
        );
        let sql = format!("coalesce({}, '') NOT IN ({})", quote(&column.name), flags::list(&found));
        return Some(Suggestion { comment, sql });
    }
    let id = identity::id(subject)?;
    let Origin::Column(id) = id.from else { return None };
    let low = subject.samples.integers(&id).into_iter().filter(|id| *id <= 0).max()?;
    let comment =
        format!("Without the user {low}, which looks like the application's own and not like a person:");
    Some(Suggestion { comment, sql: format!("{} > 0", quote(&id)) })
}

/// An origin before it is known what for.
struct Found {
    from: Origin,
    confidence: Confidence,
    reason: String,
    hints: Vec<Suggestion>,
    /// Columns of other tables that the expression reads.
    reads: Vec<(TableName, Vec<String>)>,
    /// The column that the expression is, but for what NULL means.
    but_for_null: Option<String>,
}

impl Found {
    /// What one column says alone.
    fn sign(sign: &Sign<'_>) -> Self {
        let confidence = if sign.is_sure { Confidence::High } else { Confidence::Medium };
        let own = sign.column.name.clone();
        match sign.is_plain {
            true => Self::new(Origin::Column(own), confidence, sign.by.clone()),
            false => {
                let but_for_null = sign.is_but_for_null.then_some(own);
                Self { but_for_null, ..Self::new(Origin::Sql(sign.sql.clone()), confidence, sign.by.clone()) }
            }
        }
    }

    fn column(column: &Column, confidence: Confidence, reason: impl Into<String>) -> Self {
        Self::new(Origin::Column(column.name.clone()), confidence, reason)
    }

    fn sql(sql: String, confidence: Confidence, reason: impl Into<String>) -> Self {
        Self::new(Origin::Sql(sql), confidence, reason)
    }

    fn new(from: Origin, confidence: Confidence, reason: impl Into<String>) -> Self {
        Self {
            from,
            confidence,
            reason: reason.into(),
            hints: Vec::new(),
            reads: Vec::new(),
            but_for_null: None,
        }
    }

    /// Nothing that is sure enough to be mapped, but something to choose from.
    fn hints_only(reason: &str, hints: Vec<Suggestion>) -> Option<Self> {
        (!hints.is_empty()).then(|| Self::new(Origin::Nothing, Confidence::Low, reason).with_hints(hints))
    }

    /// With the columns of another table that the expression reads.
    fn reading(mut self, table: &Table, columns: Vec<String>) -> Self {
        match self.reads.iter_mut().find(|(known, _)| *known == table.name) {
            Some((_, known)) => {
                let new: Vec<_> = columns.into_iter().filter(|column| !known.contains(column)).collect();
                known.extend(new);
            }
            None => self.reads.push((table.name.clone(), columns)),
        }
        self
    }

    fn with_hints(mut self, hints: Vec<Suggestion>) -> Self {
        self.hints.extend(hints);
        self
    }

    /// Nothing is sure that no cell bears out.
    fn tempered(mut self, subject: Subject<'_>) -> Self {
        let (is_bare, why) = match &self.from {
            Origin::Column(name) => (!subject.samples.is_filled(name), "no cell of it is filled"),
            Origin::Sql(_) | Origin::Nothing => (subject.samples.is_empty(), "no row"),
        };
        if is_bare && self.confidence == Confidence::High {
            let why = if subject.samples.is_empty() { "there are no rows to look at" } else { why };
            self.confidence = Confidence::Medium;
            self.reason.push_str(&format!("; {why}"));
        }
        self
    }

    fn mapped(self, field: Field) -> Mapped {
        Mapped {
            field,
            from: self.from,
            confidence: self.confidence,
            reason: self.reason,
            hints: self.hints,
            reads: self.reads,
            but_for_null: self.but_for_null,
        }
    }
}

#[cfg(test)]
mod tests;
