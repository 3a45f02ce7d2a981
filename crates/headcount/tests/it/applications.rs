//! What `init` makes, unasked, of the databases of applications that it does not know.

use crate::harness::Framework;

/// An application, and what `init` gets wrong of it, so that somebody has to look.
struct Application {
    name: &'static str,
    /// The one that is meant, where several tables have users of their own.
    table: Option<&'static str>,
    /// Columns that are not as the application has them, with why.
    wrong: &'static [(&'static str, &'static str)],
}

const fn right(name: &'static str) -> Application {
    Application { name, table: None, wrong: &[] }
}

const fn wrong(name: &'static str, wrong: &'static [(&'static str, &'static str)]) -> Application {
    Application { name, table: None, wrong }
}

const fn of_table(
    name: &'static str,
    table: &'static str,
    wrong: &'static [(&'static str, &'static str)],
) -> Application {
    Application { name, table: Some(table), wrong }
}

/// Every fixture, once for each of its tables with users.
const APPLICATIONS: [Application; 37] = [
    right("better-auth"),
    wrong("better-auth-sqlite", &[("is_active", "when a ban ends would take the clock")]),
    wrong("ckan", &[("name", "three users have no name, and the login is shown")]),
    right("davical"),
    wrong("directus", &[("is_admin", "a policy of its own makes one user an administrator")]),
    wrong(
        "ejabberd",
        &[
            ("email", "only in vCards, for some"),
            ("name", "only in vCards, for some"),
            ("is_active", "nothing says it"),
        ],
    ),
    right("flask-appbuilder"),
    right("flask-appbuilder-sqlite"),
    right("flask-security"),
    right("icingaweb2"),
    right("jupyterhub"),
    wrong("kolibri", &[("name", "one user has no name, and the login is shown")]),
    right("mailman"),
    wrong(
        "mediawiki",
        &[
            ("is_active", "blocks are in a table of their own"),
            ("is_admin", "when a group ends would take the clock"),
        ],
    ),
    wrong("mediawiki-postgres", &[("is_active", "blocks are in a table of their own")]),
    right("mlflow"),
    wrong("n8n", &[("is_active", "who is invited has no password yet")]),
    wrong("odoo", &[("is_admin", "by groups that imply others, and have names in several languages")]),
    of_table("payload", "users", &[("is_active", "_verified says it, which elsewhere is about the address")]),
    of_table("postfixadmin", "mailbox", &[]),
    right("pretix"),
    wrong("redmine", &[("is_active", "numbers: as a comment")]),
    wrong(
        "request-tracker5",
        &[("is_active", "in a table of principals"), ("is_admin", "by rights that are given to principals")],
    ),
    right("roundcube"),
    right("sequelize-app"),
    of_table("strapi", "up_users", &[]),
    of_table("strapi", "admin_users", &[]),
    right("superset"),
    wrong(
        "synapse",
        &[
            ("name", "in a table of profiles, to which no key leads"),
            ("is_active", "who is suspended may still sign in"),
        ],
    ),
    wrong("trytond", &[("name", "two users have no name, and the login is shown")]),
    wrong("tt-rss", &[("is_admin", "numbers: as a comment")]),
    wrong(
        "typeorm-app",
        &[("created_at", "local times: stored_time_zone"), ("updated_at", "local times: stored_time_zone")],
    ),
    right("unleash"),
    of_table("vendure", "user", &[("name", "in two other tables"), ("is_active", "two are not verified")]),
    wrong(
        "zabbix",
        &[
            ("email", "among telephone numbers, several in a cell"),
            ("is_active", "by groups that are disabled"),
            ("is_admin", "a role of one's own has any name"),
        ],
    ),
    of_table(
        "znuny",
        "users",
        &[
            ("email", "among preferences"),
            ("is_active", "by a table of validities"),
            ("is_admin", "a permission to read counts, too"),
        ],
    ),
    wrong(
        "zulip",
        &[("is_active", "one organization is switched off"), ("is_admin", "numbers: as a comment")],
    ),
];

#[test]
fn no_application_is_left_out() {
    let mut names = APPLICATIONS.map(|application| application.name).to_vec();
    names.dedup();
    assert_eq!(names, Framework::applications());
}

macro_rules! applications {
    ($($test:ident: $places:expr),+ $(,)?) => {
        $(#[test] fn $test() { APPLICATIONS[$places].iter().for_each(is_understood) })+
    };
}

// Several in a test, which takes as long as others do.
applications! {
    applications_1: ..8,
    applications_2: 8..16,
    applications_3: 16..24,
    applications_4: 24..,
}

/// The columns of a full export, with its rows.
struct Export(Vec<csv::StringRecord>);

impl Export {
    fn read(text: &str) -> Self {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        Self(reader.records().map(Result::unwrap).collect())
    }

    /// The cells of a column. What makes a formula harmless is not looked at.
    fn column(&self, at: usize) -> Vec<String> {
        self.0.iter().map(|row| row[at].trim_start_matches('\'').to_owned()).collect()
    }
}

const COLUMNS: [&str; 7] = ["id", "email", "name", "created_at", "updated_at", "is_active", "is_admin"];

fn is_understood(application: &Application) {
    let Application { name, table, wrong } = application;
    let fixture = Framework::of_application(name);
    let site = fixture.site();
    let named: Vec<_> = table.iter().flat_map(|table| ["--table", table]).collect();
    let finished = site.init(&[&["--print"], &named[..]].concat());
    assert_eq!(finished.code, Some(0), "{name}: {}", finished.stderr);
    site.configure(&finished.text());
    let found = Export::read(&site.done(&["export", "full"]));
    let expected = table.map_or_else(|| "full.csv".to_owned(), |table| format!("{table}.csv"));
    let expected = Export::read(&fixture.export_in(&expected));
    for (at, column) in COLUMNS.iter().enumerate() {
        let is_right = found.column(at) == expected.column(at);
        let why = wrong.iter().find(|(known, _)| known == column);
        assert_eq!(
            is_right,
            why.is_none(),
            "{name}, {column} ({why:?}): {:?}\n{}",
            found.column(at),
            finished.text()
        );
        if !is_right {
            let sure = finished
                .stderr
                .lines()
                .any(|line| line.trim_start().starts_with(column) && line.contains("(sure"));
            assert!(!sure, "{name}, {column}: {}", finished.stderr);
        }
    }
    if table.is_some() {
        let refused = site.init(&["--print"]);
        assert_eq!(refused.code, Some(2), "{name}: {}", refused.everything());
    }
}
