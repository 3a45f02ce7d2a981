//! What a configuration may not say about columns and exports: starting is refused, and the reason names the place.

use crate::harness::{Db, FULL, MEMBERS, MEMBERS_FULL, SUPPORT, Site, profile};

fn assert_refused(site: &Site, toml: &str, words: &[&str]) {
    site.configure(toml);
    for arguments in [&["serve"][..], &["export", "full"], &["keys", "list"]] {
        let finished = site.run(arguments);
        assert_eq!(finished.code, Some(1), "{toml}: {}", finished.everything());
        assert!(finished.stdout.is_empty(), "{toml}");
        for word in ["headcount.toml"].iter().chain(words) {
            assert!(finished.stderr.contains(word), "{word} for {toml}: {}", finished.stderr);
        }
    }
}

#[test]
fn a_column_that_looks_like_a_credential_is_refused_by_name() {
    let site = Site::with_members(Db::Sqlite);
    for (column, name) in [
        ("note = 'password_hash'", "password_hash"),
        ("password_hash = 'phone'", "password_hash"),
        ("reset_token = { column = 'reset_token' }", "reset_token"),
        ("note = { column = 'reset_token' }", "reset_token"),
        ("note = { sql = 'reset_token' }", "reset_token"),
        ("note = { sql = \"coalesce(phone, substr(password_hash, 1, 3))\" }", "password_hash"),
        ("note = { sql = '\"user\".\"password_hash\"' }", "password_hash"),
        ("note = { sql = \"phone /* */||password_hash||'x'\" }", "password_hash"),
    ] {
        assert_refused(&site, &format!("{MEMBERS}{column}\n"), &[name, "credential", "allow_sensitive"]);
    }
    for (mapped, name) in [
        ("name = { sql = \"first || ' ' || last\" }", "name"),
        ("email = \"Mail Address\"", "email"),
        ("id = \"userId\"", "id"),
    ] {
        let toml = MEMBERS.replace(mapped, &format!("{name} = 'password_hash'"));
        assert_ne!(toml, MEMBERS);
        assert_refused(&site, &toml, &["password_hash", &format!("source.columns.{name}")]);
    }
}

#[test]
fn what_is_allowed_by_name_is_exported_and_nothing_else() {
    let mut site = Site::with_members(Db::Sqlite);
    let with = |allowed: &str, column: &str| {
        let source = MEMBERS.replace("[source]", &format!("[source]\nallow_sensitive = [{allowed}]"));
        format!("{source}{column}\n[exports.odd]\ncolumns = ['note']\n")
    };
    let note = "note = { sql = \"reset_token || '/' || password_hash\" }";
    assert_refused(&site, &with("'reset_token'", note), &["password_hash"]);
    assert_refused(&site, &with("'password_hash'", note), &["reset_token"]);
    assert_refused(&site, &with("'note', 'PASSWORD_HASH', 'user.password_hash'", note), &["reset_token"]);
    let key = site.declare(&with("'password_hash', 'reset_token'", note), &["odd"]);
    let server = site.serve();
    let csv = server.get_with(&key, &format!("{}?limit=1", profile("odd"))).csv();
    assert_eq!(csv, "note\r\ntoken-of-ada/hush-hush\r\n");
    assert_eq!(server.get_with(&key, FULL).csv(), MEMBERS_FULL);
}

#[test]
fn a_column_that_cannot_be_read_is_refused() {
    let site = Site::with_members(Db::Sqlite);
    for (column, words) in [
        ("note = ''", &["source.columns.note"][..]),
        ("note = 7", &["source.columns.note"]),
        ("note = ['phone']", &["source.columns.note"]),
        ("note = {}", &["source.columns.note", "'column' or 'sql'"]),
        ("note = { sql = ' ' }", &["source.columns.note"]),
        ("note = { column = 'phone', sql = 'phone' }", &["source.columns.note"]),
        ("note = { column = 'phone', typ = 'text' }", &["source.columns.note", "typ"]),
        ("note = { column = 'phone', type = 'number' }", &["source.columns.note", "boolean"]),
        ("note = { column = \"pho\\u0000ne\" }", &["source.columns.note"]),
        ("note = { sql = 7 }", &["source.columns.note", "sql"]),
        ("\"a,b\" = 'phone'", &["a,b"]),
        ("\"it's\" = 'phone'", &["it's"]),
        ("\"a\\nb\" = 'phone'", &["source.columns"]),
        ("\"\" = 'phone'", &["source.columns"]),
    ] {
        assert_refused(&site, &format!("{MEMBERS}{column}\n"), words);
    }
    for (from, to, words) in [
        ("{ column = \"createdAt\" }", "{ column = \"createdAt\", type = \"timestamp\" }", "created_at"),
        ("\"milliseconds\"", "\"minutes\"", "minutes"),
        ("table = \"user\"", "table = \"a.b.c\"", "source.table"),
        ("where = \"kind = 'person' OR kind IS NULL\"", "where = \" \"", "source.where"),
        ("[source]", "[source]\nallow_sensitive = 'all'", "allow_sensitive"),
    ] {
        let toml = MEMBERS.replace(from, to);
        assert_ne!(toml, MEMBERS, "{from}");
        assert_refused(&site, &toml, &[words]);
    }
}

#[test]
fn an_export_that_cannot_be_meant_is_refused() {
    let site = Site::with_members(Db::Sqlite);
    for (export, words) in [
        ("[exports.x]", &["exports.x.columns"][..]),
        ("[exports.x]\ncolumns = []", &["exports.x.columns"]),
        ("[exports.x]\ncolumns = ['id', 'address']", &["exports.x.columns", "address"]),
        ("[exports.x]\ncolumns = ['id', 'userId']", &["exports.x.columns", "userId"]),
        ("[exports.x]\ncolumns = ['id', 'phone', 'id']", &["exports.x.columns", "'id'", "more than once"]),
        ("[exports.x]\ncolumns = ['id', { column = 'phone', as = 'id' }]", &["'id'", "more than once"]),
        ("[exports.x]\ncolumns = [{ column = 'phone', as = '' }]", &["exports.x.columns"]),
        ("[exports.x]\ncolumns = [{ column = 'phone', as = 'a,b' }]", &["exports.x.columns"]),
        ("[exports.x]\ncolumns = [{ column = 'phone', as = \"a\\r\\nb\" }]", &["exports.x.columns"]),
        ("[exports.x]\ncolumns = [{ column = 'phone' }]", &["exports.x.columns"]),
        ("[exports.x]\ncolumns = [{ column = 'phone', as = 'a', mask = 'redact' }]", &["exports.x.columns"]),
        ("[exports.x]\ncolumns = [{ sql = 'phone', as = 'a' }]", &["exports.x.columns"]),
        ("[exports.x]\ncolumns = ['id', 7]", &["exports.x.columns"]),
        ("[exports.x]\ncolumns = ['id']\nfilename = '../x.csv'", &["exports.x.filename"]),
        ("[exports.x]\ncolumns = ['id']\nmask = { email = 'redact' }", &["exports.x.mask.email"]),
        ("[exports.x]\ncolumns = ['email']\nmask = { email = 'blur' }", &["blur", "pseudonym"]),
        ("[exports.x]\ncolumns = ['email']\nmasks = { email = 'redact' }", &["masks"]),
        ("[exports.X]\ncolumns = ['id']", &["exports.X"]),
        ("[exports.a-b]\ncolumns = ['id']", &["exports.a-b"]),
        ("[exports.\"a/b\"]\ncolumns = ['id']", &["exports.a/b"]),
        ("[exports.\"\"]\ncolumns = ['id']", &["exports."]),
        ("[exports.alive]\ncolumns = ['id']", &["users:export_alive"]),
        ("[exports.simple]\ncolumns = ['id']", &["users:export_simple"]),
        ("[exports.minimal]\ncolumns = ['id', 'email', 'name']", &["exports.minimal.columns"]),
        ("[exports.full]\ncolumns = ['id']", &["exports.full.columns"]),
        ("[exports.minimal]\nmask = { phone = 'redact' }", &["exports.minimal.mask.phone"]),
    ] {
        assert_refused(&site, &format!("{MEMBERS}{export}\n"), words);
    }
}

#[test]
fn sixty_four_columns_are_one_too_many() {
    let site = Site::with_members(Db::Sqlite);
    let many = |n: usize| {
        let declared: String = (0..n).map(|i| format!("c{i} = 'phone'\n")).collect();
        let shown: Vec<_> = (0..n).map(|i| format!("'c{i}'")).collect();
        format!("{MEMBERS}{declared}[exports.many]\ncolumns = [{}]\n", shown.join(", "))
    };
    assert_refused(&site, &many(64), &["exports.many.columns", "63"]);
    site.configure(&many(63));
    let csv = site.done(&["export", "many", "--limit", "1"]);
    assert_eq!(csv.lines().nth(1).unwrap(), vec!["'+44 20 1"; 63].join(","));
}

#[test]
fn a_repeated_feature_or_export_is_no_way_around() {
    let site = Site::with_members(Db::Sqlite);
    assert_refused(&site, &format!("{MEMBERS}{SUPPORT}[exports.support]\ncolumns = ['id']\n"), &["support"]);
    assert_refused(&site, &format!("{MEMBERS}id = 'phone'\n"), &["id"]);
}
