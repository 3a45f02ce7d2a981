//! The file that `init` writes, where the database is, and what `init` refuses.

use std::os::unix::fs::PermissionsExt;

use crate::harness::{Db, EXPORT_KEY, FULL, Finished, PEOPLE_FULL, Site};

both! {
    a_file_is_written_and_works,
    a_file_is_never_overwritten,
    the_file_may_have_another_name,
    a_file_that_cannot_be_written_is_an_error,
    an_address_in_the_environment_stays_there,
    an_address_in_a_configuration_is_used,
    a_database_without_users_is_refused,
    choices_that_do_not_fit_are_bad_usage,
    a_choice_is_kept,
    a_database_out_of_reach_is_an_error,
}

/// The password of PostgreSQL's role is in the URL, and only there.
const PASSWORD: &str = "reader-password-of-the-tests";

fn read(site: &Site, file: &str) -> String {
    std::fs::read_to_string(site.path(file)).unwrap()
}

/// Refused with this code and these words, and nothing is written or told.
fn assert_refused(site: &Site, finished: &Finished, code: i32, words: &[&str]) {
    assert_eq!(finished.code, Some(code), "{}", finished.everything());
    assert!(finished.stdout.is_empty(), "{}", finished.text());
    for word in words {
        assert!(finished.stderr.contains(word), "{word}: {}", finished.stderr);
    }
    assert!(!finished.stderr.contains(PASSWORD), "{}", finished.stderr);
    assert!(!site.path("headcount.toml").exists());
}

fn a_file_is_written_and_works(db: Db) {
    let mut site = Site::with_people(db);
    let finished = site.init(&[]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stdout.is_empty(), "{}", finished.text());
    assert!(!finished.stderr.contains(PASSWORD), "{}", finished.stderr);
    assert!(finished.stderr.contains("headcount.toml"), "{}", finished.stderr);
    let text = read(&site, "headcount.toml");
    assert_eq!(text, site.printed_configuration(&[]));
    let mode = std::fs::metadata(site.path("headcount.toml")).unwrap().permissions().mode() & 0o777;
    match db {
        Db::Postgres => {
            assert!(text.contains(PASSWORD), "{text}");
            assert_eq!(mode, 0o600, "{mode:o}");
        }
        // Nothing in it is secret.
        Db::Sqlite => assert_eq!(mode & 0o622, 0o600, "{mode:o}"),
    }
    site.unset("HEADCOUNT_SOURCE_URL");
    assert_eq!(site.serve().get_with(EXPORT_KEY, FULL).csv(), PEOPLE_FULL);
    site.findings().assert_well_but(&[]);
}

fn a_file_is_never_overwritten(db: Db) {
    let site = Site::with_people(db);
    std::fs::write(site.path("there.toml"), "mine").unwrap();
    std::os::unix::fs::symlink("nowhere.toml", site.path("link.toml")).unwrap();
    for output in ["there.toml", "link.toml", "app"] {
        for option in ["--output", "--config"] {
            let finished = site.init(&[option, output]);
            assert_refused(&site, &finished, 1, &[output, "--print", "--output"]);
        }
    }
    assert_eq!(read(&site, "there.toml"), "mine");
    assert!(!site.path("nowhere.toml").exists());

    site.configure("# mine\n");
    let finished = site.init(&[]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("headcount.toml"), "{}", finished.stderr);
    assert_eq!(read(&site, "headcount.toml"), "# mine\n");
    assert!(site.printed_configuration(&[]).contains("[source]"));
}

fn the_file_may_have_another_name(db: Db) {
    let mut site = Site::with_people(db);
    for (option, file) in
        [("--output", "by output.toml"), ("-o", "by-o.toml"), ("--config", "by-config.toml")]
    {
        let finished = site.init(&[option, file]);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        let text = read(&site, file);
        for place in [&text, &finished.stderr] {
            assert!(place.contains(&format!("headcount --config '{file}' check")), "{place}");
        }
        assert!(!site.path("headcount.toml").exists());
    }
    site.unset("HEADCOUNT_SOURCE_URL");
    assert_eq!(site.done(&["--config", "by output.toml", "export", "full"]), PEOPLE_FULL);
}

fn a_file_that_cannot_be_written_is_an_error(db: Db) {
    let site = Site::with_people(db);
    let finished = site.init(&["--output", "no/such/place.toml"]);
    assert_refused(&site, &finished, 1, &["no/such/place.toml"]);
    let finished = site.init(&["--output", "x.toml", "--print"]);
    assert_refused(&site, &finished, 2, &["--output"]);
    assert!(!site.path("x.toml").exists());
}

fn an_address_in_the_environment_stays_there(db: Db) {
    let site = Site::with_people(db);
    let finished = site.run_exactly(&["init", "--yes"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let text = read(&site, "headcount.toml");
    let file: toml::Table = text.parse().unwrap();
    assert!(file["source"].get("url").is_none(), "{text}");
    assert!(text.contains("HEADCOUNT_SOURCE_URL"), "{text}");
    assert!(!format!("{text}{}", finished.stderr).contains(PASSWORD), "{text}");
    assert_eq!(site.done(&["export", "full"]), PEOPLE_FULL);
}

fn an_address_in_a_configuration_is_used(db: Db) {
    let mut site = Site::with_people(db);
    let url = site.source_url();
    site.unset("HEADCOUNT_SOURCE_URL");
    let finished = site.run_exactly(&["init", "--yes", "--print"]);
    assert_refused(&site, &finished, 2, &["HEADCOUNT_SOURCE_URL", "postgres://", "sqlite:"]);
    site.configure(&format!("[source]\nurl = '{url}'\n"));
    let finished = site.run_exactly(&["init", "--yes", "--output", "new.toml"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(!finished.stderr.contains(PASSWORD), "{}", finished.stderr);
    assert_eq!(site.done(&["--config", "new.toml", "export", "full"]), PEOPLE_FULL);
}

fn a_database_without_users_is_refused(db: Db) {
    let site = Site::bare(db);
    site.sql("CREATE TABLE gone (id BIGINT); DROP TABLE gone");
    assert_refused(&site, &site.init(&[]), 2, &["--table", "none"]);
    site.sql(
        "CREATE TABLE orders (id BIGINT PRIMARY KEY, total BIGINT, created_at TIMESTAMP);
         CREATE TABLE products (id BIGINT PRIMARY KEY, name TEXT)",
    );
    assert_refused(&site, &site.init(&[]), 2, &["--table", "orders", "products"]);
    site.sql("CREATE TABLE users (email TEXT, name TEXT, password TEXT)");
    let finished = site.init(&["--table", "users"]);
    assert_refused(&site, &finished, 2, &["users", "--column id="]);
}

fn choices_that_do_not_fit_are_bad_usage(db: Db) {
    let site = Site::with_people(db);
    site.sql("ALTER TABLE users ADD COLUMN password_hash TEXT");
    for (arguments, words) in [
        (&["--table", "members"][..], &["members", "users"][..]),
        (&["--table", "nowhere.users"], &["nowhere"]),
        (&["--preset", "wordpress"], &["wordpress", "django"]),
        (&["--preset", "django"], &["django"]),
        (&["--preset", "django", "--table", "users"], &["django", "users"]),
        (&["--column", "email=mail"], &["mail", "email"]),
        (&["--column", "mail=email"], &["is_admin"]),
        (&["--column", "email"], &["FIELD=COLUMN"]),
        (&["--column", "name=password_hash"], &["password_hash", "credential"]),
    ] {
        assert_refused(&site, &site.init(arguments), 2, words);
    }
    let two_urls = site.init(&["sqlite:other.db"]);
    assert_refused(&site, &two_urls, 2, &[]);
}

fn a_choice_is_kept(db: Db) {
    let mut site = Site::with_people(db);
    site.sql("ALTER TABLE users ADD COLUMN work TEXT; UPDATE users SET work = 'w' || id");
    let text = site.printed_configuration(&["--column", "name=work", "--table", "users"]);
    let exported = site.full_export_with(&text);
    assert!(exported.contains("\r\n1,ada@example.com,w1,"), "{exported}");
    let text = site.printed_configuration(&["--preset", "fastapi-sqlalchemy"]);
    assert_eq!(site.full_export_with(&text), PEOPLE_FULL);
}

fn a_database_out_of_reach_is_an_error(db: Db) {
    let site = Site::with_people(db);
    let urls = match db {
        Db::Sqlite => {
            std::fs::write(site.path("text.db"), "not a database at all ".repeat(100)).unwrap();
            &["sqlite:missing.db", "sqlite:text.db", "sqlite:app", "app/users.db"][..]
        }
        Db::Postgres => &[
            "postgres://app_reader:hush%2Dhush@127.0.0.1:1/app",
            "postgres://app_reader@127.0.0.1:1/app?password=hush-hush",
            "postgres://app_reader:hush-hush@127.0.0.1:port/app",
            "jdbc:postgresql://127.0.0.1:1/app?user=x&password=hush-hush",
            "mysql://app_reader:hush-hush@127.0.0.1:1/app",
        ],
    };
    for url in urls {
        let finished = site.run_exactly(&["init", url, "--yes"]);
        assert!(matches!(finished.code, Some(1 | 2)), "{url}: {}", finished.everything());
        assert!(finished.stdout.is_empty(), "{url}");
        assert!(finished.stderr.contains("error: "), "{url}: {}", finished.stderr);
        for password in ["hush-hush", "hush%2Dhush"] {
            assert!(!finished.stderr.contains(password), "{url}: {}", finished.stderr);
        }
        assert!(!site.path("headcount.toml").exists());
    }
    assert!(!site.path("missing.db").exists());
}

/// The view's function would write with its owner's rights, so only a read-only transaction is in its way.
#[test]
fn a_postgres_transaction_refuses_to_write() {
    let site = Site::with_people(Db::Postgres);
    site.sql(
        "CREATE TABLE tracks (id bigint);
         CREATE FUNCTION leave_a_track(id bigint) RETURNS bigint
         LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$ BEGIN
             INSERT INTO tracks VALUES (id);
             RETURN id;
         END $$;
         CREATE VIEW members AS SELECT leave_a_track(id) AS id, email, name FROM users",
    );
    let finished = site.init(&["--table", "members", "--print"]);
    assert!(finished.stderr.contains("read-only transaction"), "{}", finished.stderr);
    assert!(site.column("SELECT id FROM tracks").is_empty());
}

#[test]
fn a_view_has_to_be_named() {
    let mut site = Site::with_people(Db::Sqlite);
    site.sql("ALTER TABLE users RENAME TO t1; CREATE VIEW members AS SELECT * FROM t1");
    let text = site.printed_configuration(&["--table", "members"]);
    // A flag that is NULL counts as no.
    assert_eq!(site.full_export_with(&text), PEOPLE_FULL.replace("500000Z,,\r\n", "500000Z,false,false\r\n"));
}

#[test]
fn a_file_in_wal_mode_is_left_as_it_is() {
    let site = Site::with_people(Db::Sqlite);
    let application = site.sqlite();
    application.query_row("PRAGMA journal_mode = WAL", (), |_| Ok(())).unwrap();
    application
        .execute_batch("PRAGMA wal_autocheckpoint = 0; UPDATE users SET name = 'X' WHERE id = 1")
        .unwrap();
    let files = || ["app/users.db", "app/users.db-wal"].map(|file| std::fs::read(site.path(file)).unwrap());
    let before = files();
    site.printed_configuration(&[]);
    assert!(files() == before);
}
