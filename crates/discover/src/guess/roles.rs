//! Administrators by tables beside that of the users: a role that a column refers to, roles that a table between links to users,
//! or words in such a table.

use super::{Found, flags, names, words};
use crate::others::Others;
use crate::{Confidence, Subject, Suggestion};
use headcount_model::sensitive;
use headcount_source::catalogue::{Catalogue, Column, ColumnKind, Database, Table};
use headcount_source::{TableName, quote};

/// How a user comes to roles.
pub(crate) struct Path<'a> {
    way: Way<'a>,
    /// The table with the words.
    pub(crate) table: &'a Table,
    /// What a role is called there.
    pub(crate) word: Option<&'a Column>,
    /// A flag there that says that a role is an administrator's.
    pub(crate) flag: Option<&'a Column>,
    /// Whether foreign keys say so, and not only names.
    is_declared: bool,
}

/// Names of columns.
enum Way<'a> {
    /// A column of the users refers to the table.
    Own { column: &'a str, to: &'a str },
    /// A table between refers to both.
    Link { link: &'a Table, user: &'a str, users: &'a str, role: &'a str, to: &'a str },
    /// The table with the words refers to the users itself.
    Direct { user: &'a str, users: &'a str },
}

/// Paths to look at, the most likely first. More are no help to anybody.
const MOST: usize = 6;

/// The ways from users to roles that the foreign keys, or else the names, show.
pub(crate) fn paths<'a>(catalogue: &'a Catalogue, users: &'a Table) -> Vec<Path<'a>> {
    let mut paths = Vec::new();
    for (column, table, to, is_declared) in to_roles(catalogue, users) {
        paths.extend(path(Way::Own { column, to }, table, is_declared));
    }
    let beside = catalogue.tables.iter().filter(|table| {
        !table.is_view && !std::ptr::eq(*table, users) && table.name.schema() == users.name.schema()
    });
    for link in beside {
        let Some((user, to, is_link_declared)) = to_users(link, users) else { continue };
        for (role, table, to_role, is_declared) in to_roles(catalogue, link) {
            let way = Way::Link { link, user, users: to, role, to: to_role };
            paths.extend(path(way, table, is_declared && is_link_declared));
        }
        // A role in a team, an organization or a project is no role in the application.
        let is_of_more = link.references.iter().any(|reference| reference.table != users.name);
        if is_of_roles(link) && !is_of_more {
            let word = link.columns.iter().find(|column| {
                is_word(column) && names::ROLE.contains(&own_name(&column.name, link).as_str())
            });
            let way = Way::Direct { user, users: to };
            paths.extend(word.map(|word| Path {
                way,
                table: link,
                word: Some(word),
                flag: None,
                is_declared: is_link_declared,
            }));
        }
    }
    paths.sort_by_key(|path| (!path.is_declared, matches!(path.way, Way::Direct { .. })));
    paths.truncate(MOST);
    paths
}

fn path<'a>(way: Way<'a>, table: &'a Table, is_declared: bool) -> Option<Path<'a>> {
    let flag = table.columns.iter().find(|column| {
        column.kind == ColumnKind::Bool && names::rank(&column.name, table, names::ADMIN).is_some()
    });
    let words = table.columns.iter().filter(|column| is_word(column) && column.is_readable);
    let ranked =
        words.filter_map(|column| Some((names::rank(&column.name, table, names::ROLE_NAME)?, column)));
    let word = ranked.min_by_key(|(rank, _)| *rank).map(|(_, column)| column);
    (word.is_some() || flag.is_some()).then_some(Path { way, table, word, flag, is_declared })
}

fn is_word(column: &Column) -> bool {
    matches!(column.kind, ColumnKind::Text | ColumnKind::Enum)
}

/// The columns of a table that refer to a table of roles: their name, that table, its key, and whether a foreign key says so.
fn to_roles<'a>(catalogue: &'a Catalogue, table: &'a Table) -> Vec<(&'a str, &'a Table, &'a str, bool)> {
    let declared = table.references.iter().filter_map(|reference| {
        let roles =
            catalogue.tables.iter().find(|other| other.name == reference.table && is_of_roles(other))?;
        Some((reference.column.as_str(), roles, reference.to.as_str(), true))
    });
    let declared: Vec<_> = declared.collect();
    if !declared.is_empty() || !table.references.is_empty() {
        return declared;
    }
    // Without foreign keys: `role_id` beside a table called roles, whose key is of the same type.
    let named = table.columns.iter().filter_map(|column| {
        names::rank(&column.name, table, names::ROLE_REFERENCE)?;
        let is_meant = |other: &&Table| {
            let of_role = sensitive::words(&column.name);
            let of_role = of_role.iter().find(|word| ROLE_TABLES.contains(&word.as_str()));
            let last = sensitive::words(other.name.name()).pop().unwrap_or_default();
            other.name.schema() == table.name.schema()
                && of_role.is_some_and(|word| singular(&last) == singular(word))
        };
        let roles = catalogue.tables.iter().filter(|other| !std::ptr::eq(*other, table)).find(is_meant)?;
        let key = roles
            .columns
            .iter()
            .find(|key| key.in_primary_key && key.is_unique && key.kind == column.kind)?;
        Some((column.name.as_str(), roles, key.name.as_str(), false))
    });
    named.collect()
}

/// The column of a table that refers to the users, theirs to which it does, and whether a foreign key says so.
fn to_users<'a>(table: &'a Table, users: &'a Table) -> Option<(&'a str, &'a str, bool)> {
    let mut declared = table.references.iter().filter(|reference| reference.table == users.name);
    if let Some(reference) = declared.next() {
        // Who made or changed an entry is another user than the one it is about.
        let others = declared.chain(std::iter::once(reference));
        let best = others.min_by_key(|reference| {
            names::rank(&reference.column, table, names::USER_REFERENCE).unwrap_or(usize::MAX)
        })?;
        return Some((best.column.as_str(), best.to.as_str(), true));
    }
    if !is_of_roles(table) {
        return None;
    }
    let key = users.columns.iter().find(|key| key.in_primary_key && key.is_unique)?;
    let named = table.columns.iter().filter(|column| column.kind == key.kind);
    let ranked = named.filter_map(|column| {
        let name = own_name(&column.name, table);
        Some((names::USER_REFERENCE.iter().position(|known| *known == name)?, column))
    });
    let (_, column) = ranked.min_by_key(|(rank, _)| *rank)?;
    Some((column.name.as_str(), key.name.as_str(), false))
}

/// A column's name without separators, and without the letters with which a table begins the names of its columns, as in `ug_user` of
/// the table `user_groups`.
fn own_name(column: &str, table: &Table) -> String {
    let words = sensitive::words(column);
    let initials: String =
        sensitive::words(table.name.name()).iter().filter_map(|word| word.chars().next()).collect();
    match &words[..] {
        [first, rest @ ..] if !rest.is_empty() && *first == initials => rest.concat(),
        words => words.concat(),
    }
}

/// Words in the names of tables that say what somebody may do.
const ROLE_TABLES: [&str; 16] = [
    "role",
    "group",
    "permission",
    "policy",
    "right",
    "privilege",
    "authority",
    "usertype",
    "usergroup",
    "usrgrp",
    "level",
    "assignment",
    "access",
    "rank",
    "userrole",
    "grp",
];

/// Whether a table's name says that it is about what somebody may do.
fn is_of_roles(table: &Table) -> bool {
    sensitive::words(table.name.name()).iter().any(|word| ROLE_TABLES.contains(&singular(word).as_str()))
}

fn singular(word: &str) -> String {
    match word.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => word.strip_suffix('s').filter(|stem| !stem.ends_with('s')).unwrap_or(word).to_owned(),
    }
}

/// What the tables beside say of administrators.
pub(super) fn is_admin(subject: Subject<'_>) -> Option<Found> {
    let paths = paths(subject.catalogue, subject.table);
    let mut hints = Vec::new();
    for path in &paths {
        match path.is_admin(subject) {
            Ok(condition) => {
                let confidence = if path.is_declared { Confidence::Medium } else { Confidence::Low };
                let reason = format!("by the roles in {}", path.table.name);
                let mut found = Found::sql(path.exists(subject, &condition), confidence, reason);
                found.reads = path.reads(subject);
                return Some(found.with_hints(hints));
            }
            Err(hint) => hints.extend(hint),
        }
    }
    hints.truncate(2);
    Found::hints_only("other tables may say it", hints)
}

impl Path<'_> {
    /// What a role is, where it is an administrator's; else what could be, for somebody to choose.
    fn is_admin(&self, subject: Subject<'_>) -> Result<String, Option<Suggestion>> {
        let samples = subject.others.samples(&self.table.name);
        if let Some(word) = self.word {
            let text = self.text_of(word, subject.database());
            let values: Vec<_> = match word.kind {
                ColumnKind::Enum => word.labels.iter().map(String::as_str).collect(),
                _ => samples.into_iter().flat_map(|samples| samples.filled(&word.name)).collect(),
            };
            let mut admins: Vec<_> = values.iter().copied().filter(|role| words::is_admin(role)).collect();
            admins.sort_unstable();
            admins.dedup();
            if !admins.is_empty() {
                return Ok(format!("{text} {}", flags::one_of(&admins)));
            }
        }
        if let Some(flag) = self.flag {
            return Ok(self.text_of(flag, subject.database()));
        }
        let Some(word) = self.word else { return Err(None) };
        let mut values: Vec<_> = samples.into_iter().flat_map(|samples| samples.filled(&word.name)).collect();
        values.sort_unstable();
        values.dedup();
        let Some(first) = values.first() else { return Err(None) };
        let listed = values.iter().take(12).copied().collect::<Vec<_>>().join(", ");
        let condition = format!("{} = {}", self.text_of(word, subject.database()), flags::literal(first));
        Err(Some(Suggestion {
            comment: format!(
                "The roles in {} are {listed}. If the first is an administrator's:",
                self.table.name
            ),
            sql: self.exists(subject, &condition),
        }))
    }

    /// A column of the table with the words.
    fn text_of(&self, column: &Column, database: Database) -> String {
        let cast =
            if (database, column.kind) == (Database::Postgres, ColumnKind::Enum) { "::text" } else { "" };
        format!("r.{}{cast}", quote(&column.name))
    }

    fn exists(&self, subject: Subject<'_>, condition: &str) -> String {
        let users = quote(subject.table.name.name());
        let roles = Others::written(self.table);
        match self.way {
            Way::Own { column, to } => format!(
                "EXISTS (SELECT 1 FROM {roles} AS r WHERE r.{} = {users}.{} AND {condition})",
                quote(to),
                quote(column)
            ),
            Way::Direct { user, users: to } => format!(
                "EXISTS (SELECT 1 FROM {roles} AS r WHERE r.{} = {users}.{} AND {condition})",
                quote(user),
                quote(to)
            ),
            Way::Link { link, user, users: to_user, role, to } => format!(
                "EXISTS (SELECT 1 FROM {} AS l JOIN {roles} AS r ON r.{} = l.{} WHERE l.{} = {users}.{} AND {condition})",
                Others::written(link),
                quote(to),
                quote(role),
                quote(user),
                quote(to_user)
            ),
        }
    }

    /// The columns of other tables that are read.
    fn reads(&self, _subject: Subject<'_>) -> Vec<(TableName, Vec<String>)> {
        let said = self.word.or(self.flag).map(|column| column.name.clone());
        let of_roles = |key: &str| {
            let columns = std::iter::once(key.to_owned()).chain(said.clone());
            (self.table.name.clone(), columns.collect::<Vec<_>>())
        };
        match self.way {
            Way::Own { to, .. } => vec![of_roles(to)],
            Way::Direct { user, .. } => vec![of_roles(user)],
            Way::Link { link, user, role, to, .. } => {
                vec![(link.name.clone(), vec![user.to_owned(), role.to_owned()]), of_roles(to)]
            }
        }
    }
}
