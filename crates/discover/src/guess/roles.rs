//! Administrators by tables beside that of the users: a role that a column refers to, roles that a table between links to users,
//! or words in such a table.

use super::{Found, flags, names, words};
use crate::others::Others;
use crate::{Confidence, Subject, Suggestion};
use headcount_model::sensitive;
use headcount_source::catalogue::{Catalogue, Column, ColumnKind, Database, Reference, Table};
use headcount_source::{TableName, quote};
use std::collections::BTreeSet;

/// How a user comes to roles.
pub(crate) struct Path<'a> {
    way: Way<'a>,
    /// The table with the words.
    pub(crate) table: &'a Table,
    /// What a role is called there.
    pub(crate) word: Option<&'a Column>,
    /// A flag there that says that a role is an administrator's.
    flag: Option<&'a Column>,
    /// Whether foreign keys say so, and not only names.
    is_declared: bool,
}

/// A column, and what it refers to.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    pub(super) column: &'a str,
    pub(super) to: &'a str,
}

/// A table that refers to what comes before it and to what comes behind it.
#[derive(Clone, Copy)]
struct Link<'a> {
    table: &'a Table,
    before: Step<'a>,
    behind: Step<'a>,
}

/// From the users to the table with the words.
enum Way<'a> {
    /// A column of the users refers to it, or to what a table between refers to as well.
    Own(Step<'a>, Option<Link<'a>>),
    /// A table between refers to both, or to a group, which another one gives roles.
    Link(Link<'a>, Option<Link<'a>>),
    /// The table with the words refers to the users itself.
    Direct(Step<'a>),
}

/// Paths to look at, the most likely first. More are no help to anybody.
const MOST: usize = 6;

/// The ways from users to roles that the foreign keys, or else the names, show.
pub(crate) fn paths<'a>(catalogue: &'a Catalogue, users: &'a Table) -> Vec<Path<'a>> {
    let mut paths = Vec::new();
    for (step, table, is_declared) in to_roles(catalogue, users) {
        paths.extend(path(Way::Own(step, None), table, is_declared));
        for (link, roles) in beyond(catalogue, table, step.to) {
            paths.extend(path(Way::Own(step, Some(link)), roles, true));
        }
    }
    let beside = catalogue.tables.iter().filter(|table| {
        !table.is_view && !std::ptr::eq(*table, users) && table.name.schema() == users.name.schema()
    });
    for table in beside {
        let Some((before, is_link_declared)) = to_users(table, users) else { continue };
        let is_told = is_link_declared || is_of_roles(table);
        if !is_told || is_of_a_part(catalogue, table, users) {
            continue;
        }
        for (behind, roles, is_declared) in to_roles(catalogue, table) {
            let link = Link { table, before, behind };
            paths.extend(path(Way::Link(link, None), roles, is_declared && is_link_declared));
            for (second, roles) in
                beyond(catalogue, roles, behind.to).filter(|(second, _)| second.table.name != table.name)
            {
                paths.extend(path(Way::Link(link, Some(second)), roles, is_link_declared));
            }
        }
        let is_role = |column: &&Column| {
            is_word(column)
                && (column.name == "value" || names::ROLE.contains(&own_name(&column.name, table).as_str()))
        };
        let is_whole = is_of_roles(table) && !has_a_part(table);
        let word = table.columns.iter().find(is_role).filter(|_| is_whole);
        let flag = flag(table).filter(|_| is_whole && is_link_declared);
        if word.is_some() || flag.is_some() {
            paths.push(Path { way: Way::Direct(before), table, word, flag, is_declared: is_link_declared });
        }
    }
    paths.sort_by_key(|path| (!path.is_declared, path.length()));
    paths.truncate(MOST);
    paths
}

/// Whether what a table says holds for a part only: a role in a team, an organization or a project is none in the application.
fn is_of_a_part(catalogue: &Catalogue, table: &Table, users: &Table) -> bool {
    let is_other = |name: &TableName| {
        *name != users.name && !catalogue.tables.iter().any(|other| other.name == *name && is_of_roles(other))
    };
    table.references.iter().any(|reference| is_other(&reference.table))
}

/// What parts of an application are called.
const PARTS: [&str; 14] = [
    "project",
    "team",
    "organization",
    "organisation",
    "org",
    "tenant",
    "workspace",
    "scope",
    "resource",
    "company",
    "environment",
    "space",
    "collection",
    "domain",
];

fn has_a_part(table: &Table) -> bool {
    let is_part =
        |column: &Column| sensitive::words(&column.name).iter().any(|word| PARTS.contains(&word.as_str()));
    table.columns.iter().any(is_part)
}

/// Tables that link a table of groups, or of roles, to roles of its own.
fn beyond<'a>(
    catalogue: &'a Catalogue,
    groups: &'a Table,
    key: &'a str,
) -> impl Iterator<Item = (Link<'a>, &'a Table)> {
    // A group may have one role itself.
    let own = to_roles(catalogue, groups).into_iter().filter(|(.., is_declared)| *is_declared);
    let own = own.filter(|(_, roles, _)| roles.name != groups.name).map(move |(behind, roles, _)| {
        (Link { table: groups, before: Step { column: key, to: key }, behind }, roles)
    });
    let of_links = move |link: &'a Table| {
        let before = link.references.iter().find(|reference| reference.table == groups.name);
        let behind = link.references.iter().filter(|reference| reference.table != groups.name);
        behind.filter_map(move |reference| {
            let roles =
                catalogue.tables.iter().find(|other| other.name == reference.table && is_of_roles(other))?;
            let before = Step { column: &before?.column, to: &before?.to };
            let behind = Step { column: &reference.column, to: &reference.to };
            Some((Link { table: link, before, behind }, roles))
        })
    };
    let links = catalogue
        .tables
        .iter()
        .filter(move |link| link.name != groups.name && is_of_roles(link) && !has_a_part(link));
    own.chain(links.flat_map(of_links))
}

/// A flag of a table that says who, or which role, administers.
fn flag(table: &Table) -> Option<&Column> {
    table.columns.iter().find(|column| {
        column.kind == ColumnKind::Bool && names::rank(&column.name, table, names::ADMIN).is_some()
    })
}

fn path<'a>(way: Way<'a>, table: &'a Table, is_declared: bool) -> Option<Path<'a>> {
    // A role that is one of a team's is none in the application.
    if has_a_part(table) {
        return None;
    }
    let words = table.columns.iter().filter(|column| is_word(column));
    let word = names::in_order(words, table, names::ROLE_NAME).next();
    let flag = flag(table);
    (word.is_some() || flag.is_some()).then_some(Path { way, table, word, flag, is_declared })
}

/// In SQLite a column of any type may hold words.
fn is_word(column: &Column) -> bool {
    if !column.is_readable || sensitive::by_name(&column.name).is_some() {
        return false;
    }
    let is_untyped = column.kind == ColumnKind::Other && matches!(column.type_name.as_str(), "" | "BLOB");
    matches!(column.kind, ColumnKind::Text | ColumnKind::Enum) || is_untyped
}

/// The columns of a table that refer to a table of roles, that table, and whether a foreign key says so.
fn to_roles<'a>(catalogue: &'a Catalogue, table: &'a Table) -> Vec<(Step<'a>, &'a Table, bool)> {
    let declared = table.references.iter().filter_map(|reference| {
        let roles =
            catalogue.tables.iter().find(|other| other.name == reference.table && is_of_roles(other))?;
        Some((Step { column: &reference.column, to: &reference.to }, roles, true))
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
        Some((Step { column: &column.name, to: &key.name }, roles, false))
    });
    named.collect()
}

/// The column of a table that refers to the users, and whether a foreign key says so.
pub(super) fn to_users<'a>(table: &'a Table, users: &'a Table) -> Option<(Step<'a>, bool)> {
    let mut declared = table.references.iter().filter(|reference| reference.table == users.name);
    if let Some(reference) = declared.next() {
        let rank = |reference: &&Reference| {
            let own = own_name(&reference.column, table);
            names::USER_REFERENCE.iter().position(|known| *known == own).unwrap_or(usize::MAX)
        };
        // Who made or changed an entry is another user than the one it is about.
        let others =
            declared.chain(std::iter::once(reference)).filter(|reference| !is_of_a_maker(&reference.column));
        let best = others.min_by_key(rank)?;
        return Some((Step { column: &best.column, to: &best.to }, true));
    }
    let is_key = |key: &&Column| key.in_primary_key && key.is_unique;
    let key = users.columns.iter().find(is_key).or_else(|| users.columns.iter().find(|key| key.is_unique))?;
    let named = table.columns.iter().filter(|column| column.kind == key.kind);
    let ranked = named.filter_map(|column| {
        let name = own_name(&column.name, table);
        Some((names::USER_REFERENCE.iter().position(|known| *known == name)?, column))
    });
    let (_, column) = ranked.min_by_key(|(rank, _)| *rank)?;
    Some((Step { column: &column.name, to: &key.name }, false))
}

/// Whether a column says who did something to an entry.
fn is_of_a_maker(column: &str) -> bool {
    const MAKERS: [&str; 14] = [
        "by", "create", "created", "creator", "change", "changed", "update", "updated", "modified", "write",
        "author", "editor", "assigned", "granted",
    ];
    sensitive::words(column).iter().any(|word| MAKERS.contains(&word.as_str()))
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
const ROLE_TABLES: [&str; 15] = [
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
    "rank",
    "userrole",
    "grp",
];

/// Whether a table's name says that it is about what somebody may do, and not about secrets.
fn is_of_roles(table: &Table) -> bool {
    if sensitive::by_name(table.name.name()).is_some() {
        return false;
    }
    // Written together, too, as in `devicepermissions`.
    const ENDINGS: [&str; 4] = ["role", "permission", "privilege", "usergroup"];
    sensitive::words(table.name.name()).iter().map(|word| singular(word)).any(|word| {
        ROLE_TABLES.contains(&word.as_str()) || ENDINGS.iter().any(|ending| word.ends_with(ending))
    })
}

fn singular(word: &str) -> String {
    match word.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => word.strip_suffix('s').filter(|stem| !stem.ends_with('s')).unwrap_or(word).to_owned(),
    }
}

/// What the tables beside say of administrators: any of those that foreign keys lead to, or else the one that names lead to.
pub(super) fn is_admin(subject: Subject<'_>) -> Option<Found> {
    let paths = paths(subject.catalogue, subject.table);
    let (mut hints, mut found): (Vec<_>, Vec<(&Path<'_>, String)>) = (Vec::new(), Vec::new());
    for path in &paths {
        match path.is_admin(subject) {
            Ok(condition) if found.is_empty() || path.is_declared => {
                found.push((path, path.exists(subject, &condition)));
            }
            Ok(_) => {}
            Err(hint) => hints.extend(hint),
        }
    }
    hints.truncate(2);
    let Some((first, _)) = found.first() else {
        return Found::hints_only("other tables may say it", hints);
    };
    let confidence = if first.is_declared { Confidence::Medium } else { Confidence::Low };
    let mut tables: Vec<_> = found.iter().map(|(path, _)| path.table.name.to_string()).collect();
    tables.dedup();
    let sql: Vec<_> = found.iter().map(|(_, sql)| sql.as_str()).collect();
    let admin = Found::sql(sql.join(" OR "), confidence, format!("by the roles in {}", tables.join(" and ")));
    let reads = found.iter().flat_map(|(path, _)| path.reads(subject));
    Some(reads.fold(admin, |admin, (table, columns)| admin.reading(table, columns)))
}

/// A column of the table with the words, as it stands in the expression.
fn text_of(subject: Subject<'_>, column: &Column) -> String {
    format!("r.{}", flags::as_text(subject, column))
}

impl<'a> Path<'a> {
    /// What a role is, where it is an administrator's; else what could be, for somebody to choose.
    fn is_admin(&self, subject: Subject<'_>) -> Result<String, Option<Suggestion>> {
        let mut cells: Vec<_> = match (self.word, subject.others.samples(&self.table.name)) {
            (Some(word), Some(samples)) => samples.filled(&word.name).collect(),
            _ => Vec::new(),
        };
        if sensitive::by_content(cells.iter().copied()).is_some() {
            return Err(None);
        }
        cells.sort_unstable();
        cells.dedup();
        // Where a role may be one in a project, an owner is the owner of that.
        let is_admin =
            |role: &&str| words::is_admin(role) && !(self.may_be_of_a_part() && words::is_owner(role));
        let admins: Vec<_> = match self.word {
            Some(word) if word.kind == ColumnKind::Enum => {
                let labels: BTreeSet<_> = word.labels.iter().map(String::as_str).collect();
                labels.into_iter().filter(is_admin).collect()
            }
            _ => cells.iter().copied().filter(is_admin).collect(),
        };
        match (self.word, self.flag, &cells[..]) {
            (Some(word), ..) if !admins.is_empty() => {
                Ok(format!("{} {}", text_of(subject, word), flags::one_of(&admins)))
            }
            (_, Some(flag), _) => Ok(text_of(subject, flag)),
            // Groups may be called as people are.
            (Some(word), None, [first, ..]) if cells.iter().all(|role| flags::is_shown(role)) => {
                let condition = format!("{} = {}", text_of(subject, word), flags::literal(first));
                let listed = cells.iter().take(12).copied().collect::<Vec<_>>().join(", ");
                let table = &self.table.name;
                Err(Some(Suggestion {
                    comment: format!(
                        "The roles in {table} are {listed}. If the first is an administrator's:"
                    ),
                    sql: self.exists(subject, &condition),
                }))
            }
            _ => Err(None),
        }
    }

    /// Whether the table between has a column that may say of what part a role is.
    fn may_be_of_a_part(&self) -> bool {
        self.nearest().is_some_and(|(table, _)| has_a_part(table))
    }

    /// Tables on the way.
    fn length(&self) -> usize {
        match self.way {
            Way::Own(_, None) => 0,
            Way::Direct(_) => 1,
            Way::Link(_, None) | Way::Own(_, Some(_)) => 2,
            Way::Link(_, Some(_)) => 3,
        }
    }

    fn exists(&self, subject: Subject<'_>, condition: &str) -> String {
        let users = quote(subject.table.name.name());
        let roles = Others::written(self.table);
        let joined = |link: &Link<'_>, alias: &str| {
            format!(
                "JOIN {roles} AS r ON r.{} = {alias}.{}",
                quote(link.behind.to),
                quote(link.behind.column)
            )
        };
        let (from, key, own) = match &self.way {
            Way::Own(step, None) => {
                (format!("{roles} AS r"), format!("r.{}", quote(step.to)), quote(step.column))
            }
            Way::Direct(step) => {
                (format!("{roles} AS r"), format!("r.{}", quote(step.column)), quote(step.to))
            }
            Way::Own(step, Some(link)) => (
                format!("{} AS l {}", Others::written(link.table), joined(link, "l")),
                format!("l.{}", quote(link.before.column)),
                quote(step.column),
            ),
            Way::Link(link, second) => {
                let first = format!("{} AS l", Others::written(link.table));
                let from = match second {
                    None => format!("{first} {}", joined(link, "l")),
                    Some(second) => format!(
                        "{first} JOIN {} AS g ON g.{} = l.{} {}",
                        Others::written(second.table),
                        quote(second.before.column),
                        quote(link.behind.column),
                        joined(second, "g")
                    ),
                };
                (from, format!("l.{}", quote(link.before.column)), quote(link.before.to))
            }
        };
        let over = self.not_over(subject);
        format!("EXISTS (SELECT 1 FROM {from} WHERE {key} = {users}.{own} AND {condition}{over})")
    }

    /// The table that refers to the users, where there is one, with the name that it has in the expression.
    fn nearest(&self) -> Option<(&'a Table, &'static str)> {
        match &self.way {
            Way::Own(..) => None,
            Way::Direct(_) => Some((self.table, "r")),
            Way::Link(link, _) => Some((link.table, "l")),
        }
    }

    /// When somebody's role ends.
    fn end(&self) -> Option<(&'a Column, &'static str)> {
        let (table, alias) = self.nearest()?;
        let end = table
            .columns
            .iter()
            .find(|column| column.kind == ColumnKind::Timestamp && names::is_expiry(&column.name))?;
        Some((end, alias))
    }

    /// That a role is not over. In SQLite, where times are written in many ways, it is left out.
    fn not_over(&self, subject: Subject<'_>) -> String {
        match self.end().filter(|_| subject.database() == Database::Postgres) {
            Some((end, alias)) => format!(" AND coalesce({alias}.{} > now(), true)", quote(&end.name)),
            None => String::new(),
        }
    }

    /// The columns of other tables that are read.
    fn reads(&self, subject: Subject<'_>) -> Vec<(&'a Table, Vec<String>)> {
        let said = self.word.or(self.flag).map(|column| column.name.clone());
        let of_roles =
            |key: &str| (self.table, std::iter::once(key.to_owned()).chain(said.clone()).collect());
        let of_link = |link: &Link<'a>| {
            (link.table, vec![link.before.column.to_owned(), link.behind.column.to_owned()])
        };
        let mut reads = match &self.way {
            Way::Own(step, None) => vec![of_roles(step.to)],
            Way::Direct(step) => vec![of_roles(step.column)],
            Way::Own(_, Some(link)) | Way::Link(link, None) => vec![of_link(link), of_roles(link.behind.to)],
            Way::Link(link, Some(second)) => {
                vec![of_link(link), of_link(second), of_roles(second.behind.to)]
            }
        };
        let end = self.end().filter(|_| subject.database() == Database::Postgres);
        if let Some(((end, _), (table, _))) = end.zip(self.nearest()) {
            reads.push((table, vec![end.name.clone()]));
        }
        reads
    }
}
