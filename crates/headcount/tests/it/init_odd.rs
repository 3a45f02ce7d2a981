//! `init` on schemas that nobody has described before.

use crate::harness::{Db, Framework, PEOPLE_FULL, Site};

both! {
    a_members_table_is_understood,
    camel_case_names_are_understood,
    several_tables_of_users_are_not_confused,
    the_table_that_has_the_logins_is_taken,
    addresses_that_fit_equally_well_are_asked_for,
    hostile_names_and_cells_stay_text,
    an_empty_table_is_mapped_by_its_names,
    a_time_that_is_none_costs_no_column,
    addresses_make_users_where_nothing_is_called_so,
    a_hash_under_an_innocent_name_is_not_mapped,
}

const HEADER: &str = "id,email,name,created_at,updated_at,is_active,is_admin\r\n";

fn assert_understood(site: &mut Site, arguments: &[&str], rows: &str) {
    let configuration = site.printed_configuration(arguments);
    let exported = site.full_export_with(&configuration);
    assert_eq!(exported, format!("{HEADER}{rows}"), "{configuration}");
}

fn a_members_table_is_understood(db: Db) {
    let mut site = Site::bare(db);
    site.sql(
        "CREATE TABLE clubs (id BIGINT PRIMARY KEY, name TEXT, joined TIMESTAMP);
         CREATE TABLE fees (id BIGINT PRIMARY KEY, member_id BIGINT, amount BIGINT);
         CREATE TABLE members (id BIGINT PRIMARY KEY, mail TEXT, display TEXT, passphrase TEXT,
             joined TIMESTAMP, last_modified TIMESTAMP, blocked BOOLEAN NOT NULL, role TEXT);
         INSERT INTO members VALUES
         (2, 'bob@example.com', 'Bob', 'correct horse', '2025-01-08 10:30:00', NULL, true, 'member'),
         (1, 'ada@example.com', 'Ada', 'battery staple', '2024-01-08 10:30:00', '2025-01-09 00:00:00', false,
          'admin')",
    );
    assert_understood(
        &mut site,
        &[],
        "1,ada@example.com,Ada,2024-01-08T10:30:00Z,2025-01-09T00:00:00Z,true,true\r\n\
         2,bob@example.com,Bob,2025-01-08T10:30:00Z,,false,false\r\n",
    );
}

/// What MySQL writes for no time, and what somebody else did; and where nothing can be read, that is said.
fn a_time_that_is_none_costs_no_column(db: Db) {
    let mut site = Site::bare(db);
    site.sql(
        "CREATE TABLE users (id BIGINT PRIMARY KEY, email TEXT, created_at TEXT, updated_at TEXT, is_active BOOLEAN);
         INSERT INTO users VALUES (1, 'ada@example.com', '2025-01-08 10:30:00', '10/05/2026 10:00', true),
         (2, 'bob@example.com', '0000-00-00 00:00:00', '10/06/2026 10:00', true),
         (3, 'cat@example.com', '2026-01-08 10:30:00', '', true),
         (4, 'dan@example.com', '', '', true)",
    );
    assert_understood(
        &mut site,
        &[],
        "1,ada@example.com,,2025-01-08T10:30:00Z,,true,\r\n2,bob@example.com,,,,true,\r\n\
         3,cat@example.com,,2026-01-08T10:30:00Z,,true,\r\n4,dan@example.com,,,,true,\r\n",
    );
    let configuration = site.printed_configuration(&[]);
    assert!(configuration.contains("updated_at has a fitting name"), "{configuration}");
    // What it offers can be taken.
    assert!(configuration.contains("#updated_at_as_stored = \"updated_at\""), "{configuration}");
    site.configure(&configuration);
    let finished = site.run(&["export", "full", "--updated-after", "2020"]);
    assert!(finished.stderr.contains("updated_at is NULL for everybody"), "{}", finished.stderr);
    site.findings().assert_one("ok", "mapping", &["updated_at", "finds nobody"]);
    std::fs::remove_file(site.path("headcount.toml")).unwrap();

    site.sql("UPDATE users SET created_at = 'yesterday' WHERE id = 2");
    let finished = site.init(&["--print"]);
    assert!(finished.everything().contains("times as text in most cells"), "{}", finished.everything());
    let configuration = finished.text();
    assert!(!configuration.contains("created_at = { sql = \"NULL\" }"), "{configuration}");
}

fn addresses_make_users_where_nothing_is_called_so(db: Db) {
    let mut site = Site::bare(db);
    site.sql(
        "CREATE TABLE bestellungen (id BIGINT PRIMARY KEY, summe BIGINT);
         CREATE TABLE tbl_kunden (id BIGINT PRIMARY KEY, email TEXT);
         INSERT INTO tbl_kunden VALUES (1, 'ada@example.com')",
    );
    assert_understood(&mut site, &[], "1,ada@example.com,,,,,\r\n");
}

fn camel_case_names_are_understood(db: Db) {
    let mut site = Site::bare(db);
    site.sql(
        "CREATE TABLE \"AccountNotes\" (\"noteId\" BIGINT PRIMARY KEY, \"userId\" BIGINT, \"createdAt\" TIMESTAMP);
         CREATE TABLE \"Accounts\" (\"passwordHash\" TEXT, \"userId\" BIGINT PRIMARY KEY,
             \"emailAddress\" TEXT UNIQUE, \"displayName\" TEXT, \"createdAt\" TIMESTAMP, \"isEnabled\" BOOLEAN);
         INSERT INTO \"Accounts\" VALUES
         ('$2a$12$r3ZBO4Cay2uEEeDwWrECR.68ztpkyPbAMgiMOGTQErjvnf5oy3pN6', 10, 'zoe@example.com', 'Zoë',
          '2025-01-08 10:30:00', true),
         ('$2a$12$nZzZVVcuHreJlC2mz6eS/etnfex5K9jf4KjArLUVRNY4uvOspslry', 9, 'eve@example.com', NULL, NULL, false)",
    );
    assert_understood(
        &mut site,
        &[],
        "9,eve@example.com,,,,false,\r\n10,zoe@example.com,Zoë,2025-01-08T10:30:00Z,,true,\r\n",
    );
}

/// Five tables that look like users.
fn with_five_tables(db: Db, customers_sign_in: bool) -> Site {
    let site = Site::bare(db);
    let user = "id BIGINT PRIMARY KEY, email TEXT, password_hash TEXT, name TEXT, created_at TIMESTAMP";
    let customer = if customers_sign_in { user } else { "id BIGINT PRIMARY KEY, email TEXT, name TEXT" };
    for (table, columns) in [
        ("users", user),
        ("admin_users", user),
        ("users_backup_2023", user),
        ("customers", customer),
        ("user_profiles", "id BIGINT PRIMARY KEY, user_id BIGINT, name TEXT, email TEXT, bio TEXT"),
    ] {
        site.sql(&format!(
            "CREATE TABLE {table} ({columns});
             INSERT INTO {table} (id, email, name) VALUES (1, 'one@{table}.example.com', 'One')"
        ));
    }
    site
}

fn several_tables_of_users_are_not_confused(db: Db) {
    let mut site = with_five_tables(db, true);
    let refused = site.init(&["--print"]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stdout.is_empty());
    for candidate in ["users", "admin_users", "customers"] {
        let listed = refused.stderr.lines().any(|line| {
            let name = line.split_whitespace().next().unwrap_or_default();
            name == candidate || name == format!("public.{candidate}")
        });
        assert!(listed, "{candidate}: {}", refused.stderr);
    }
    assert!(refused.stderr.contains("--table"), "{}", refused.stderr);
    for unfit in ["user_profiles", "users_backup_2023"] {
        assert!(!refused.stderr.contains(unfit), "{unfit}: {}", refused.stderr);
    }
    for table in ["users", "admin_users", "customers", "users_backup_2023", "user_profiles"] {
        let expected = format!("1,one@{table}.example.com,One,,,,\r\n");
        assert_understood(&mut site, &["--table", table], &expected);
    }
}

fn the_table_that_has_the_logins_is_taken(db: Db) {
    let mut site = with_five_tables(db, false);
    site.sql("DROP TABLE admin_users");
    assert_understood(&mut site, &[], "1,one@users.example.com,One,,,,\r\n");
}

fn addresses_that_fit_equally_well_are_asked_for(db: Db) {
    let mut site = Site::bare(db);
    site.sql(
        "CREATE TABLE users (id BIGINT PRIMARY KEY, work_email TEXT, home_email TEXT, name TEXT);
         INSERT INTO users VALUES (1, 'ada@work.example.com', 'ada@home.example.com', 'Ada')",
    );
    let refused = site.init(&["--print"]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stdout.is_empty());
    for word in ["work_email", "home_email", "--column email="] {
        assert!(refused.stderr.contains(word), "{word}: {}", refused.stderr);
    }
    assert_understood(&mut site, &["--column", "email=home_email"], "1,ada@home.example.com,Ada,,,,\r\n");
}

/// A name that would end its comment or its string, and a cell that would steer a terminal.
fn hostile_names_and_cells_stay_text(db: Db) {
    let mut site = Site::bare(db);
    let email = "email'\"\"\\\nlisten = '0.0.0.0:1' # ";
    site.sql(&format!(
        "CREATE TABLE users (id BIGINT PRIMARY KEY, \"{email}\" TEXT, \"pass\nword\u{1b}[2J\rlisten = 1\" TEXT, name TEXT,
         created_at TIMESTAMP);
         INSERT INTO users VALUES (1, '\u{1b}]0;hello\u{7}@example.com', 'x', '\u{1b}[2J\u{9b}31m', NULL)"
    ));
    let finished = site.init(&["--print"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    for steering in ['\u{1b}', '\u{7}', '\u{9b}', '\r'] {
        assert!(!finished.everything().contains(steering), "{steering:?}: {:?}", finished.everything());
    }
    let text = finished.text();
    let file: toml::Table = text.parse().unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(file.len(), 2, "{text}");
    assert_eq!(
        file["source"]["columns"]["email"].as_str(),
        Some(email.replace("\"\"", "\"").as_str()),
        "{text}"
    );
    let exported = site.full_export_with(&text);
    assert_eq!(exported.lines().count(), 2, "{exported:?}");
}

fn an_empty_table_is_mapped_by_its_names(db: Db) {
    let mut site = Site::bare(db);
    site.sql(
        "CREATE TABLE people (person_id BIGINT PRIMARY KEY, first_name TEXT, last_name TEXT, email TEXT,
         password TEXT, created_on TIMESTAMP, is_active BOOLEAN)",
    );
    let configuration = site.printed_configuration(&[]);
    assert_eq!(site.full_export_with(&configuration), HEADER);
    site.sql(
        "INSERT INTO people VALUES (1, 'Ada', 'Lovelace', 'ada@example.com', 'x', '2025-01-08 10:30:00', true)",
    );
    assert_eq!(
        site.full_export_with(&configuration),
        format!("{HEADER}1,ada@example.com,Ada Lovelace,2025-01-08T10:30:00Z,,true,\r\n")
    );
}

fn a_hash_under_an_innocent_name_is_not_mapped(db: Db) {
    let site = Site::bare(db);
    let hash = "$2a$12$r3ZBO4Cay2uEEeDwWrECR.68ztpkyPbAMgiMOGTQErjvnf5oy3pN6";
    site.sql(&format!(
        "CREATE TABLE users (id BIGINT PRIMARY KEY, email TEXT, name TEXT, created_at TIMESTAMP);
         INSERT INTO users VALUES (1, 'ada@example.com', '{hash}', NULL)"
    ));
    let finished = site.init(&["--print"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(!finished.everything().contains(&hash[..12]), "{}", finished.everything());
    let file: toml::Table = finished.text().parse().unwrap();
    assert!(file["source"]["columns"]["name"].as_str().is_none(), "{}", finished.text());
    assert!(finished.text().contains("bcrypt"), "{}", finished.text());
}

#[test]
fn a_table_keeps_its_schema_where_its_name_alone_means_another() {
    let mut site = Site::with_people(Db::Postgres);
    site.sql(
        "CREATE SCHEMA app; GRANT USAGE ON SCHEMA app TO app_reader;
         CREATE TABLE app.users (LIKE public.users INCLUDING ALL); GRANT SELECT ON app.users TO app_reader;
         INSERT INTO app.users VALUES (1, 'other@example.com', 'Other', NULL, NULL, true, true);
         DO $$ BEGIN
             EXECUTE format('ALTER DATABASE %I SET search_path = app, public', current_database());
         END $$",
    );
    let refused = site.init(&["--print"]);
    assert_eq!(refused.code, Some(2), "{}", refused.everything());
    for table in ["app.users", "public.users"] {
        assert!(refused.stderr.contains(table), "{}", refused.stderr);
    }
    assert_understood(&mut site, &["--table", "app.users"], "1,other@example.com,Other,,,true,true\r\n");
    // As in an export, the name alone means what the role finds first.
    assert_understood(&mut site, &["--table", "users"], "1,other@example.com,Other,,,true,true\r\n");
    let configuration = site.printed_configuration(&["--table", "public.users"]);
    assert_eq!(site.full_export_with(&configuration), PEOPLE_FULL, "{configuration}");

    site.sql(
        "DO $$ BEGIN
             EXECUTE format('ALTER DATABASE %I SET search_path = nowhere', current_database());
         END $$",
    );
    let refused = site.init(&["--print", "--table", "users"]);
    assert_eq!(refused.code, Some(2), "{}", refused.everything());
    for table in ["several tables users", "app.users", "public.users"] {
        assert!(refused.stderr.contains(table), "{}", refused.stderr);
    }
}

/// So does one where the role looks nowhere by itself; and what expressions read beside it is found, too.
#[test]
fn a_role_that_looks_in_no_schema_is_told_where_everything_is() {
    let look_nowhere = "DO $$ BEGIN
             EXECUTE format('ALTER DATABASE %I SET search_path = %L', current_database(), '');
         END $$";
    let mut site = Site::with_people(Db::Postgres);
    site.unset("HEADCOUNT_STORE_URL");
    site.sql(look_nowhere);
    let configuration = site.printed_configuration(&[]);
    assert!(configuration.contains("table = \"public.users\""), "{configuration}");
    assert!(!configuration.contains("search_path"), "{configuration}");
    assert_eq!(site.full_export_with(&configuration), PEOPLE_FULL, "{configuration}");

    let discourse = Framework::named("discourse");
    let mut site = discourse.site();
    site.unset("HEADCOUNT_STORE_URL");
    site.sql(look_nowhere);
    let configuration = site.printed_configuration(&[]);
    assert!(configuration.contains("search_path = [\"public\"]"), "{configuration}");
    assert!(!configuration.contains("could not be tried"), "{configuration}");
    assert_eq!(site.full_export_with(&configuration), discourse.full_export(), "{configuration}");
}

/// They are in the same database, and their owner may read them.
#[test]
fn the_tables_of_the_store_are_no_users() {
    let mut site = Site::with_people(Db::Postgres);
    site.create_key(&["reader", "--kind", "export"]);
    site.sql("GRANT SELECT ON users TO headcount_store");
    let url = site.database().store_url();
    site.set("HEADCOUNT_SOURCE_URL", &url);
    let configuration = site.printed_configuration(&[]);
    assert_eq!(site.full_export_with(&configuration), PEOPLE_FULL, "{configuration}");
    site.sql("DROP TABLE users");
    let finished = site.init(&["--print"]);
    assert_eq!(finished.code, Some(2), "{}", finished.everything());
}
