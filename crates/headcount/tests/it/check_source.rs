//! The doctor's view of the users database: what is missing, what does not fit, what the role may do.

use crate::harness::{APP_READER, Db, Findings, Site};

both! {
    a_source_out_of_reach_is_a_problem,
    a_missing_table_is_a_problem,
    a_missing_column_is_a_problem,
    a_type_that_cannot_be_shown_is_a_problem,
    a_value_that_does_not_fit_is_a_problem,
    a_condition_that_does_not_parse_is_a_problem,
    ids_without_an_index_are_a_warning,
    hashes_under_an_innocent_name_are_a_problem,
    ids_that_look_random_are_no_credentials,
    a_look_changes_nothing,
}

fn a_source_out_of_reach_is_a_problem(db: Db) {
    let mut site = Site::with_people(db);
    let url = match db {
        Db::Sqlite => "sqlite:app/missing.db",
        Db::Postgres => "postgres://app_reader:hush-hush@127.0.0.1:1/app",
    };
    site.set("HEADCOUNT_SOURCE_URL", url);
    let findings = site.findings();
    findings.assert_one("problem", "source", &["source.url"]);
    findings.assert_well_but(&["source"]);
    findings.assert_one("ok", "store", &[]);
    assert!(!format!("{findings:?}").contains("hush-hush"));
}

fn a_missing_table_is_a_problem(db: Db) {
    let mut site = Site::with_people(db);
    site.set("HEADCOUNT_SOURCE_TABLE", "members");
    let findings = site.findings();
    let problems = [findings.texts("problem", "source"), findings.texts("problem", "mapping")].concat();
    assert!(!problems.is_empty());
    for problem in problems {
        assert!(problem.contains("members") && problem.contains("source.table"), "{problem}");
    }
}

fn a_missing_column_is_a_problem(db: Db) {
    let site = Site::with_people(db);
    site.sql("ALTER TABLE users RENAME COLUMN updated_at TO modified");
    let findings = site.findings();
    findings.assert_one("problem", "mapping", &["full export", "updated_at", "[source.columns]"]);
    findings.assert_one("ok", "mapping", &["minimal"]);
    findings.assert_well_but(&["mapping"]);
}

fn a_type_that_cannot_be_shown_is_a_problem(db: Db) {
    let mut site = Site::with_people(db);
    site.sql(match db {
        Db::Sqlite => {
            "ALTER TABLE users ADD COLUMN portrait BLOB; UPDATE users SET portrait = x'ff00' WHERE id = 3"
        }
        Db::Postgres => {
            "ALTER TABLE users ADD COLUMN portrait BYTEA; UPDATE users SET portrait = '\\xff00' WHERE id = 3"
        }
    });
    site.declare(
        "[source.columns]\nportrait = 'portrait'\n[exports.faces]\ncolumns = ['id', 'portrait']\n",
        &["faces"],
    );
    let findings = site.findings();
    match db {
        // Where a column may hold anything, only its values can tell.
        Db::Sqlite => findings.assert_one("problem", "values", &["column portrait", "id 3"]),
        Db::Postgres => findings.assert_one("problem", "mapping", &["faces export", "portrait", "bytea"]),
    }
    assert_eq!(findings.of("problem").len(), 1, "{findings:?}");
}

fn a_value_that_does_not_fit_is_a_problem(db: Db) {
    let site = Site::bare(db);
    site.sql(
        "CREATE TABLE users (id BIGINT PRIMARY KEY, email TEXT, name TEXT, created_at TIMESTAMP,
         updated_at TIMESTAMP, is_active BOOLEAN, is_admin INTEGER);
         INSERT INTO users (id, name, is_admin) VALUES (1, 'Ada', 0), (4711, 'Bob', 7), (4712, 'Eve', 1)",
    );
    let findings = site.findings();
    findings.assert_one("problem", "values", &["is_admin", "4711", "correct the row"]);
    findings.assert_well_but(&["values"]);
    site.sql("UPDATE users SET is_admin = NULL WHERE id = 4711");
    site.findings().assert_well_but(&[]);
}

fn a_condition_that_does_not_parse_is_a_problem(db: Db) {
    let site = Site::with_people(db);
    for condition in ["no_such_column = 1", "id = = 1", "'unterminated"] {
        site.configure(&format!("[source]\nwhere = \"{condition}\"\n"));
        let findings = site.findings();
        assert!(findings.of("problem").contains(&"mapping"), "{condition}: {findings:?}");
    }
    site.configure("[source]\nwhere = \"id > 1\"\n");
    site.findings().assert_one("ok", "mapping", &["full"]);
}

fn ids_without_an_index_are_a_warning(db: Db) {
    let site = Site::with_users(db, 2000);
    site.findings().assert_one("ok", "order", &[]);
    site.sql("ALTER TABLE users RENAME TO indexed; CREATE TABLE users AS SELECT * FROM indexed");
    let findings = site.findings();
    findings.assert_one("warning", "order", &["CREATE INDEX", "users"]);
    assert!(findings.of("problem").is_empty(), "{findings:?}");
    site.sql("CREATE UNIQUE INDEX by_id ON users (id)");
    site.findings().assert_one("ok", "order", &[]);
}

fn hashes_under_an_innocent_name_are_a_problem(db: Db) {
    let mut site = Site::with_people(db);
    let hash = "$2a$12$r3ZBO4Cay2uEEeDwWrECR.68ztpkyPbAMgiMOGTQErjvnf5oy3pN6";
    site.sql(&format!(
        "ALTER TABLE users ADD COLUMN legacy TEXT; UPDATE users SET legacy = '{hash}' WHERE id = 3"
    ));
    let columns = "[source.columns]\nbadge = 'legacy'\n[exports.badges]\ncolumns = ['id', 'badge']\n";
    site.declare(columns, &["badges"]);
    let findings = site.findings();
    findings.assert_one("problem", "sensitive", &["badge", "bcrypt", "source.allow_sensitive"]);
    findings.assert_well_but(&["sensitive"]);
    assert!(!format!("{findings:?}").contains(&hash[..10]));

    site.configure(&format!("[source]\nallow_sensitive = ['badge']\n{columns}"));
    site.findings().assert_well_but(&[]);
    // What no export shows cannot leave.
    site.set("HEADCOUNT_FEATURES", "users:export");
    site.configure("[source.columns]\nbadge = 'legacy'\n");
    let findings = site.findings();
    findings.assert_one("warning", "mapping", &["no export shows badge"]);
    findings.assert_well_but(&["mapping"]);
}

/// Ids of 40 hexadecimal digits, as content hashes are; they are shown because they are the ids.
fn ids_that_look_random_are_no_credentials(db: Db) {
    let site = Site::bare(db);
    site.sql(
        "CREATE TABLE users (id TEXT PRIMARY KEY, email TEXT, name TEXT, created_at TIMESTAMP,
         updated_at TIMESTAMP, is_active BOOLEAN, is_admin BOOLEAN);
         INSERT INTO users (id, name) VALUES ('9b1f7c3de05a48264fd1c03b8e92a6571d60fe3c', 'Ada'),
         ('2c7a90e1f6b3854d1e0c9a7f63d2b8450aef1769', 'Bob')",
    );
    site.findings().assert_well_but(&[]);
}

fn a_look_changes_nothing(db: Db) {
    let site = Site::with_people(db);
    let before = (site.column("SELECT name FROM users ORDER BY id LIMIT 3"), content(&site));
    site.findings();
    assert!((site.column("SELECT name FROM users ORDER BY id LIMIT 3"), content(&site)) == before);
    assert!(site.audit().is_empty());
}

fn content(site: &Site) -> Vec<u8> {
    if site.db == Db::Sqlite { std::fs::read(site.sqlite_source()).unwrap() } else { Vec::new() }
}

fn assert_warned_of_privileges(findings: &Findings, words: &[&str]) {
    findings.assert_one("warning", "privileges", words);
    findings.assert_well_but(&["privileges"]);
}

#[test]
fn a_role_that_may_not_read_is_a_problem() {
    let site = Site::with_people(Db::Postgres);
    site.sql(&format!("REVOKE SELECT ON users FROM {APP_READER}"));
    let findings = site.findings();
    let texts = |findings: &Findings| {
        let texts = findings.texts("problem", "mapping").into_iter();
        texts.map(|text| text.replace("\\\"", "\"")).collect::<Vec<_>>()
    };
    let problems = texts(&findings);
    assert_eq!(problems.len(), 2, "{findings:?}");
    let grant = |columns: &str| format!("GRANT SELECT ({columns}) ON public.users TO {APP_READER};");
    assert!(problems[0].contains(&grant("\"id\", \"email\", \"name\"")), "{problems:?}");
    site.sql(&format!("GRANT SELECT (id, email, name) ON users TO {APP_READER}"));
    let findings = site.findings();
    findings.assert_one("ok", "mapping", &["minimal"]);
    // Ready to be run, and enough.
    let remedy = texts(&findings).pop().unwrap();
    assert!(
        remedy.contains(&grant("\"created_at\", \"updated_at\", \"is_active\", \"is_admin\"")),
        "{remedy}"
    );
    site.sql(&remedy[remedy.find("GRANT").unwrap()..remedy.rfind(';').unwrap()]);
    site.findings().assert_one("ok", "mapping", &["full"]);
}

#[test]
fn a_schema_that_is_closed_is_a_problem_with_its_remedy() {
    let site = Site::with_people(Db::Postgres);
    site.sql(&format!(
        "CREATE SCHEMA app; ALTER TABLE users SET SCHEMA app; GRANT SELECT ON app.users TO {APP_READER}"
    ));
    site.configure("[source]\ntable = 'app.users'\n");
    let problems = site.findings();
    assert!(format!("{problems:?}").contains("GRANT USAGE ON SCHEMA"), "{problems:?}");
    site.sql(&format!("GRANT USAGE ON SCHEMA app TO {APP_READER}"));
    site.findings().assert_well_but(&[]);
}

/// To grant SELECT would not help: the role has it.
#[test]
fn row_security_is_a_problem_with_its_own_remedy() {
    let site = Site::with_people(Db::Postgres);
    site.sql("ALTER TABLE users ENABLE ROW LEVEL SECURITY");
    let findings = site.findings();
    for problem in findings.texts("problem", "mapping") {
        assert!(problem.contains("row-level security") && problem.contains("BYPASSRLS"), "{problem}");
    }
    assert_eq!(findings.texts("problem", "mapping").len(), 2, "{findings:?}");
}

#[test]
fn a_role_that_may_write_is_a_warning() {
    let site = Site::with_people(Db::Postgres);
    for privilege in ["INSERT", "UPDATE", "DELETE", "TRUNCATE", "UPDATE (name)"] {
        site.sql(&format!("GRANT {privilege} ON users TO {APP_READER}"));
        assert_warned_of_privileges(&site.findings(), &["write", "users", "headcount init"]);
        site.sql(&format!("REVOKE {privilege} ON users FROM {APP_READER}"));
    }
    site.findings().assert_well_but(&[]);
}

#[test]
fn an_owner_and_a_superuser_are_a_warning() {
    let mut site = Site::with_people(Db::Postgres);
    site.sql("ALTER TABLE users OWNER TO headcount_store");
    let store = site.database().store_url();
    site.set("HEADCOUNT_SOURCE_URL", &store);
    assert_warned_of_privileges(&site.findings(), &["owns", "users"]);
    site.set("HEADCOUNT_SOURCE_URL", &store.replace("headcount_store@", "postgres@"));
    assert_warned_of_privileges(&site.findings(), &["superuser"]);
}

#[test]
fn a_name_cannot_steer_the_terminal() {
    let site = Site::with_people(Db::Postgres);
    site.sql("ALTER TABLE users ADD COLUMN \"password\u{1b}[2J\rok\" TEXT");
    assert_warned_of_privileges(&site.findings(), &["read", "password"]);
    let said = site.run(&["check"]).text();
    assert!(said.contains("password") && !said.contains(['\u{1b}', '\r']), "{said:?}");
}

#[test]
fn a_statement_that_may_not_take_as_long_as_an_export_is_a_warning() {
    let mut site = Site::with_people(Db::Postgres);
    site.unset("HEADCOUNT_STORE_URL");
    let limit = |time: &str| {
        site.sql(&format!(
            "DO $$ BEGIN
                 EXECUTE format('ALTER DATABASE %I SET statement_timeout = %L', current_database(), '{time}');
             END $$"
        ));
        site.findings()
    };
    limit("1min").assert_well_but(&[]);
    let findings = limit("999ms");
    findings.assert_one("warning", "timeout", &["999ms", "about 1 s", "statement_timeout"]);
    findings.assert_well_but(&["timeout"]);
}

#[test]
fn a_role_that_may_read_passwords_is_a_warning() {
    let site = Site::with_people(Db::Postgres);
    site.sql("ALTER TABLE users ADD COLUMN password_hash TEXT, ADD COLUMN \"resetToken\" TEXT");
    assert_warned_of_privileges(&site.findings(), &["read", "password_hash", "resetToken"]);
    site.sql(&format!(
        "REVOKE SELECT ON users FROM {APP_READER};
         GRANT SELECT (id, email, name, created_at, updated_at, is_active, is_admin) ON users TO {APP_READER}"
    ));
    site.findings().assert_well_but(&[]);
}
