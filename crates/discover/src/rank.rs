//! Which table has the users, where no preset knows: every table is given points for looking like one.

use super::guess::{self, names};
use super::others::Others;
use super::samples::Samples;
use super::{Field, Origin, Subject};
use headcount_model::sensitive;
use headcount_source::catalogue::{Catalogue, Table};

/// Fewer points are no users table, unless none has so many and this one has addresses.
const ENOUGH: i32 = 40;
/// A name with so many points says what the table is.
const CALLED_SO: i32 = 30;
/// Two tables that are closer than this look alike.
const MARGIN: i32 = 25;

/// A table that may have the users.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    pub table: &'a Table,
    pub score: i32,
    /// Those of the points that are for the name.
    name: i32,
    has_email: bool,
    pub reasons: Vec<&'static str>,
}

impl<'a> Candidate<'a> {
    /// A table that a preset knows, whatever it looks like.
    pub fn unranked(table: &'a Table) -> Self {
        Self { table, score: 0, name: 0, has_email: false, reasons: vec!["the right columns"] }
    }
}

/// The tables that look like users, best first.
pub fn candidates(catalogue: &Catalogue) -> Vec<Candidate<'_>> {
    let alone = alone(catalogue);
    let scored = catalogue.tables.iter().filter_map(|table| score(&alone, table));
    let (mut candidates, others): (Vec<_>, Vec<_>) = scored.partition(|candidate| candidate.score >= ENOUGH);
    if candidates.is_empty() {
        candidates.extend(others.into_iter().filter(|candidate| candidate.has_email));
    }
    candidates.sort_by_key(|candidate| -candidate.score);
    candidates
}

/// The candidates that one has to choose among: the best, and those that are about as good.
pub fn contenders<'a>(candidates: &[Candidate<'a>]) -> Vec<Candidate<'a>> {
    let Some(best) = candidates.first() else { return Vec::new() };
    let is_called_so = |candidate: &Candidate<'_>| candidate.name >= CALLED_SO;
    // What belongs to a user is no user, and a table that is called otherwise does not contend with one that is called users.
    let contends = |candidate: &&Candidate<'_>| {
        let is_best = candidate.table.name == best.table.name;
        let belongs = candidate.table.references.iter().any(|reference| reference.table == best.table.name);
        let is_other = is_called_so(best) && candidate.name <= 0;
        is_best || best.score - candidate.score <= MARGIN && !belongs && !is_other
    };
    candidates.iter().filter(contends).cloned().collect()
}

/// Why tables that would look like users cannot be exported, best first, and what to do.
pub fn unusable(catalogue: &Catalogue) -> Vec<String> {
    let (alone, samples, others) = (alone(catalogue), Samples::default(), Others::default());
    let subjects = catalogue.tables.iter().filter(|table| !table.is_view).map(|table| Subject {
        catalogue: &alone,
        table,
        samples: &samples,
        others: &others,
    });
    let named = subjects.map(|subject| (table_name(subject.table.name.name()), subject));
    let mut named: Vec<_> = named.filter(|(points, subject)| *points > 0 && has_login(*subject)).collect();
    named.sort_by_key(|(points, _)| -points);
    named.into_iter().filter_map(|(_, subject)| guess::why_no_id(subject)).collect()
}

/// The database without its tables: each is looked at by itself, because there may be thousands.
fn alone(catalogue: &Catalogue) -> Catalogue {
    Catalogue { database: catalogue.database, name: None, time_zone: None, tables: Vec::new() }
}

/// Whether a table has something by which somebody signs in, or a name that leaves no doubt.
fn has_login(subject: Subject<'_>) -> bool {
    let table = subject.table;
    let has_email = guess::field(Field::Email, subject).map_or(true, |found| found.is_some());
    has_email || has_column(table, LOGINS) || has_password(table) || is_called_users(table)
}

fn has_column(table: &Table, list: &[&str]) -> bool {
    table.columns.iter().any(|column| names::rank(&column.name, table, list).is_some())
}

const LOGINS: &[&str] = &["username", "login", "loginname", "logon"];

fn has_password(table: &Table) -> bool {
    let is_password = |rule| matches!(rule, "password" | "passwd" | "pwd" | "hash");
    table.columns.iter().any(|column| sensitive::by_name(&column.name).is_some_and(is_password))
}

fn is_called_users(table: &Table) -> bool {
    let words = sensitive::words(table.name.name());
    matches!(words.concat().as_str(), "users" | "user")
}

/// The points of a table; `None` if it cannot be exported, or has nothing by which somebody signs in.
fn score<'a>(alone: &Catalogue, table: &'a Table) -> Option<Candidate<'a>> {
    let (samples, others) = (Samples::default(), Others::default());
    let subject = Subject { catalogue: alone, table, samples: &samples, others: &others };
    // Two addresses are as good as one here.
    let has = |field| {
        guess::field(field, subject)
            .map_or(true, |found| found.is_some_and(|found| found.from != Origin::Nothing))
    };
    if table.is_view || !has(Field::Id) || !has_login(subject) {
        return None;
    }
    let (has_email, has_login, has_password) =
        (has(Field::Email), has_column(table, LOGINS), has_password(table));
    let name = table_name(table.name.name());
    let has_unique_email = has_email
        && table
            .columns
            .iter()
            .any(|column| column.is_unique && names::email_rank(&column.name, table).is_some());
    let points = [
        (name, "a fitting name"),
        (if has_email { 30 } else { 0 }, "addresses"),
        (if has_unique_email { 3 } else { 0 }, "each only once"),
        (if has_password { 15 } else { 0 }, "passwords"),
        (if has_login { 8 } else { 0 }, "logins"),
        (if has(Field::Name) { 5 } else { 0 }, "names"),
        (if has(Field::CreatedAt) { 5 } else { 0 }, "times of creation"),
        (if has(Field::UpdatedAt) { 2 } else { 0 }, "times of change"),
        (if has(Field::IsActive) { 4 } else { 0 }, "a flag for the active"),
        (if guess::has_own_admin(subject) { 4 } else { 0 }, "a flag for administrators"),
        (if has_column(table, names::LAST_SEEN) { 5 } else { 0 }, "last logins"),
        (
            i32::try_from(table.referenced_by).unwrap_or(10).saturating_mul(3).min(10),
            "tables that refer to it",
        ),
        (if table.rows == Some(0) { -10 } else { 0 }, "it is empty"),
    ];
    let score = points.iter().map(|(points, _)| points).sum();
    let reasons = points.iter().filter(|(points, _)| *points > 0).map(|(_, reason)| *reason).collect();
    Some(Candidate { table, score, name, has_email, reasons })
}

/// The points of a table's name. The last word says what it holds, the others which of them.
fn table_name(name: &str) -> i32 {
    let words = sensitive::words(name);
    let is_year = |word: &String| word.len() >= 4 && word.bytes().all(|byte| byte.is_ascii_digit());
    let is_copy = words.iter().any(|word| COPIES.contains(&word.as_str()) || is_year(word));
    let Some((head, qualifiers)) = words.split_last() else { return 0 };
    let head = match head.as_str() {
        "users" | "user" | "usr" | "usrs" => 40,
        "accounts" | "account" | "members" | "member" | "people" | "person" | "persons" => 30,
        "utilisateurs" | "utilisateur" | "benutzer" | "nutzer" | "usuarios" | "usuario" | "utenti"
        | "gebruikers" => 35,
        head if PERSONS.contains(&head) => 20,
        _ => 0,
    };
    // A profile of a user is no user; an account of a user is one.
    let is_part = head == 20 && qualifiers.iter().any(|word| matches!(word.as_str(), "user" | "users"));
    let is_subset = qualifiers.iter().any(|word| SUBSETS.contains(&word.as_str()));
    let qualified = if qualifiers.is_empty() { 0 } else { 3 };
    let penalty = i32::from(is_copy) * 40 + i32::from(is_part) * 20 + i32::from(is_subset) * 12;
    head - if head > 0 { qualified } else { 0 } - penalty
}

const PERSONS: [&str; 24] = [
    "mailbox",
    "mailboxes",
    "customers",
    "customer",
    "clients",
    "client",
    "profiles",
    "profile",
    "subscribers",
    "subscriber",
    "employees",
    "employee",
    "contacts",
    "contact",
    "participants",
    "students",
    "student",
    "patients",
    "identities",
    "logins",
    "login",
    "humans",
    "players",
    "staff",
];
const SUBSETS: [&str; 27] = [
    "register",
    "registration",
    "registrations",
    "registering",
    "invite",
    "invitation",
    "invites",
    "signup",
    "waiting",
    "unconfirmed",
    "temporary",
    "admin",
    "admins",
    "staff",
    "internal",
    "api",
    "bot",
    "guest",
    "pending",
    "external",
    "invited",
    "blocked",
    "banned",
    "inactive",
    "former",
    "anonymous",
    "system",
];
const COPIES: [&str; 24] = [
    "backup",
    "backups",
    "bak",
    "old",
    "copy",
    "archive",
    "archived",
    "archives",
    "tmp",
    "temp",
    "history",
    "hist",
    "audit",
    "log",
    "logs",
    "test",
    "deleted",
    "import",
    "imported",
    "staging",
    "snapshot",
    "versions",
    "legacy",
    "deprecated",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{catalogue, table};

    const FULL: &[&str] =
        &["id pk int", "email text unique", "password_hash text", "name text", "created_at time"];

    fn names(catalogue: &Catalogue) -> Vec<String> {
        contenders(&candidates(catalogue)).iter().map(|candidate| candidate.table.name.to_string()).collect()
    }

    #[test]
    fn the_users_table_is_found_among_others() {
        let catalogue = catalogue(vec![
            table("orders", &["id pk int", "customer_email text", "total int", "created_at time"]),
            table("password_resets", &["id pk int", "email text", "token text", "created_at time"]),
            table("products", &["id pk int", "name text", "created_at time"]),
            table("user_roles", &["user_id pk int", "role_id pk int"]),
            table("app_users", FULL),
        ]);
        assert_eq!(names(&catalogue), ["app_users"]);
    }

    #[test]
    fn a_members_table_needs_no_familiar_word() {
        let members = table("members", &["id pk int", "mail text", "display text", "joined time"]);
        assert_eq!(names(&catalogue(vec![members])), ["members"]);
    }

    #[test]
    fn backups_and_profiles_never_contend() {
        let profile = &["id pk int", "user_id int unique", "name text", "email text", "created_at time"];
        let catalogue = catalogue(vec![
            table("users_backup_2023", FULL),
            table("user_profiles", profile),
            table("users", FULL),
        ]);
        assert_eq!(names(&catalogue), ["users"]);
    }

    #[test]
    fn tables_with_logins_of_their_own_contend() {
        let catalogue = catalogue(vec![
            table("users", FULL),
            table("admin_users", FULL),
            table("customers", FULL),
            table("users_backup_2023", FULL),
            table("user_profiles", &["id pk int", "user_id int unique", "bio text"]),
        ]);
        assert_eq!(names(&catalogue), ["users", "admin_users", "customers"]);
    }

    #[test]
    fn customers_without_logins_do_not() {
        let customers = &["id pk int", "email text", "name text", "created_at time"];
        let catalogue = catalogue(vec![table("users", FULL), table("customers", customers)]);
        assert_eq!(names(&catalogue), ["users"]);
    }

    #[test]
    fn a_table_without_an_id_is_none() {
        let users = table("users", &["email text unique", "password text", "name text"]);
        assert!(names(&catalogue(vec![users])).is_empty());
        assert!(names(&catalogue(Vec::new())).is_empty());
    }
}
