//! Personal values that leave as less than they are.

use reqwest::Method;
use sha2::{Digest, Sha256};

use crate::harness::{
    Answer, Db, FULL, MEMBERS, MINIMAL, STANDARD_KEY, SUPPORT, Server, Site, csv_records, profile,
};

both! {
    each_mask_leaves_what_it_says,
    a_mask_follows_its_column,
    masks_are_for_every_type,
    a_pseudonym_is_an_hmac_with_the_key_in_the_store,
    a_pseudonym_is_the_same_everywhere,
    instances_that_start_at_once_agree_on_the_key,
    another_deployment_has_other_pseudonyms,
    masked_values_can_still_be_filtered_on,
    a_masked_id_ends_no_page,
    a_large_masked_export_is_complete,
}

const MASKED: &str = r#"
[exports.masked]
columns = ["id", "email", { column = "email", as = "again" }, "name", "phone", "team"]
mask = { email = "partial", name = "redact", phone = "pseudonym" }
[exports.tokens]
columns = ["team", { column = "phone", as = "tel" }, "id"]
mask = { phone = "pseudonym", id = "pseudonym" }
"#;

fn masked(db: Db) -> (Site, Server, String) {
    let mut site = Site::with_members(db);
    let key = site.declare(&format!("{MEMBERS}{SUPPORT}{MASKED}"), &["masked", "tokens", "support"]);
    let server = site.serve();
    (site, server, key)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_token(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The cells of one column, without the header.
fn column(csv: &str, name: &str) -> Vec<String> {
    let records = csv_records(csv.as_bytes());
    let at = records[0].iter().position(|column| column == name).unwrap();
    records[1..].iter().map(|record| record[at].clone()).collect()
}

fn each_mask_leaves_what_it_says(db: Db) {
    let (_site, server, key) = masked(db);
    let csv = server.get_with(&key, &profile("masked")).csv();
    assert!(csv.starts_with("id,email,again,name,phone,team\r\n"), "{csv}");
    let emails = ["a***@example.com", "A***@example.com", "", "b***@example.com", "z***@example.com"];
    assert_eq!(column(&csv, "email"), emails);
    assert_eq!(column(&csv, "again"), emails);
    assert_eq!(column(&csv, "name"), ["[redacted]", "[redacted]", "", "[redacted]", "[redacted]"]);
    assert_eq!(column(&csv, "id"), ["1", "2", "4", "7", "10"]);
    assert_eq!(column(&csv, "team"), ["staff", "guests", "", "a, b", "staff"]);
    let phones = column(&csv, "phone");
    let shown: Vec<_> = phones.iter().map(|phone| is_token(phone)).collect();
    assert_eq!(shown, [true, false, true, true, true], "{phones:?}");
    assert_eq!(phones[1], "");
    for hidden in ["ada@", "Lovelace", "44 20 1", "Bob", "山田"] {
        assert!(!csv.contains(hidden), "{hidden}: {csv}");
    }
}

fn a_mask_follows_its_column(db: Db) {
    let (site, server, key) = masked(db);
    let get = |query: &str| server.get_with(&key, &format!("{}?limit=1&{query}", profile("masked"))).csv();
    let token = column(&get(""), "phone").remove(0);
    assert_eq!(get("fields=phone,id,email"), format!("phone,id,email\r\n{token},1,a***@example.com\r\n"));
    assert_eq!(get("fields=team,name&sanitize=false&bom=true"), "\u{feff}team,name\r\nstaff,[redacted]\r\n");
    assert_eq!(get("fields=team"), "team\r\nstaff\r\n");
    let nothing = server.get_with(&key, &format!("{}?fields=name&after=2&limit=1", profile("masked")));
    assert_eq!(nothing.csv(), "name\r\n\"\"\r\n");
    let support = server.get_with(&key, &format!("{}?fields=phone&limit=1", profile("support")));
    assert_eq!(support.csv(), "phone\r\n'+44 20 1\r\n");

    site.configure(&format!(
        "{MEMBERS}{SUPPORT}{MASKED}[exports.minimal]\nmask = {{ email = 'redact' }}\n\
         [exports.full]\nmask = {{ name = 'partial', created_at = 'redact' }}\n"
    ));
    let server = site.serve();
    let minimal = server.get_with(STANDARD_KEY, &format!("{MINIMAL}?limit=1")).csv();
    assert_eq!(minimal, "id,email,name\r\n1,[redacted],Ada Lovelace\r\n");
    let full = server.get_with(&key, &format!("{FULL}?fields=email,created_at,name&after=4&limit=1")).csv();
    assert_eq!(full, "email,created_at,name\r\nbob@example.com,[redacted],'=***\r\n");
    assert_eq!(site.done(&["export", "minimal", "--limit", "1"]), minimal);
}

fn masks_are_for_every_type(db: Db) {
    let mut site = Site::with_people(db);
    site.sql(
        "UPDATE users SET name = '\"a\nb\"@example.com, Inc.' WHERE id = 1; DELETE FROM users WHERE id > 1",
    );
    let columns = "'id', 'name', 'created_at', 'is_active'";
    let mut toml = String::new();
    for mask in ["pseudonym", "partial", "redact"] {
        let masks: Vec<_> = columns.split(", ").map(|name| format!("{name} = '{mask}'")).collect();
        toml += &format!("[exports.{mask}]\ncolumns = [{columns}]\nmask = {{ {} }}\n", masks.join(", "));
    }
    let key = site.declare(&toml, &["pseudonym", "partial", "redact"]);
    let server = site.serve();
    let cells = |name: &str| csv_records(server.get_with(&key, &profile(name)).csv().as_bytes()).remove(1);
    assert_eq!(cells("redact"), ["[redacted]"; 4]);
    assert_eq!(cells("partial"), ["***", "\"***", "2***", "***"]);
    let tokens = cells("pseudonym");
    assert!(tokens.iter().all(|token| is_token(token)), "{tokens:?}");
}

/// RFC 2104, by hand.
fn hmac(key: &[u8], message: &str) -> String {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    hex(&Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize())
}

fn key_in_the_store(site: &Site) -> Vec<u8> {
    let sql = "SELECT value FROM headcount_secrets WHERE name = 'pseudonyms'";
    let values: Vec<String> = match site.db {
        Db::Postgres => site.column(sql),
        Db::Sqlite => {
            let store = rusqlite::Connection::open(site.data_dir().join("headcount.db")).unwrap();
            let mut statement = store.prepare(sql).unwrap();
            let values = statement.query_map((), |row| row.get(0)).unwrap();
            values.map(Result::unwrap).collect()
        }
    };
    assert_eq!(values.len(), 1);
    let digits = values[0].as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn a_pseudonym_is_an_hmac_with_the_key_in_the_store(db: Db) {
    let (site, server, key) = masked(db);
    let csv = server.get_with(&key, &profile("tokens")).csv();
    let secret = key_in_the_store(&site);
    assert_eq!(secret.len(), 32);
    assert!(secret.iter().any(|byte| *byte != 0));
    let token = |text: &str| hmac(&secret, text)[..32].to_owned();
    assert_eq!(column(&csv, "tel"), [&token("+44 20 1"), "", &token("555"), &token("-1"), &token("@x")]);
    assert_eq!(column(&csv, "id"), ["1", "2", "4", "7", "10"].map(token));
    let (said, record) = (server.said(), site.audit_of(1)[0].to_string());
    for leak in [hex(&secret), "+44 20 1".to_owned()] {
        assert!(!said.contains(&leak) && !record.contains(&leak));
    }
}

fn a_pseudonym_is_the_same_everywhere(db: Db) {
    let (site, server, key) = masked(db);
    let phones = column(&server.get_with(&key, &profile("masked")).csv(), "phone");
    assert_eq!(column(&server.get_with(&key, &profile("tokens")).csv(), "tel"), phones);
    let second = site.serve();
    assert_eq!(column(&second.get_with(&key, &profile("tokens")).csv(), "tel"), phones);
    drop((server, second));
    assert_eq!(column(&site.done(&["export", "tokens"]), "tel"), phones);
    let again = site.serve();
    assert_eq!(column(&again.get_with(&key, &profile("masked")).csv(), "phone"), phones);
    // The number 10 and the text '10' are one value.
    site.sql("UPDATE \"user\" SET phone = '10' WHERE \"userId\" = 1");
    let csv = again.get_with(&key, &profile("tokens")).csv();
    assert_eq!(column(&csv, "tel")[0], column(&csv, "id")[4]);
}

fn instances_that_start_at_once_agree_on_the_key(db: Db) {
    let mut site = Site::with_members(db);
    site.configure(&format!("{MEMBERS}[exports.minimal]\nmask = {{ email = 'pseudonym' }}\n"));
    site.set("HEADCOUNT_FEATURES", "users:export");
    let exports: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..4).map(|_| scope.spawn(|| site.done(&["export", "minimal"]))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(exports.iter().all(|csv| *csv == exports[0]), "{exports:?}");
    assert_eq!(site.serve().get_with(STANDARD_KEY, MINIMAL).csv(), exports[0]);
}

fn another_deployment_has_other_pseudonyms(db: Db) {
    let [first, second] = [(); 2].map(|()| {
        let (_site, server, key) = masked(db);
        column(&server.get_with(&key, &profile("tokens")).csv(), "id")
    });
    assert!(first.iter().all(|token| is_token(token) && !second.contains(token)), "{first:?} {second:?}");
}

fn masked_values_can_still_be_filtered_on(db: Db) {
    let (_site, server, key) = masked(db);
    let target = format!("{}?email=Ada@example.com&is_active=true", profile("masked"));
    assert_eq!(server.get_with(&key, &target).ids(), ["2"]);
    let target = format!("{}?email=A***@example.com", profile("masked"));
    assert_eq!(server.get_with(&key, &target).ids(), [""; 0]);
}

fn a_masked_id_ends_no_page(db: Db) {
    let (site, server, key) = masked(db);
    let path = profile("tokens");
    let first = server.get_with(&key, &format!("{path}?limit=1&fields=id")).ids().remove(0);
    for query in [format!("after={first}"), "after=1".to_owned(), "after=1&fields=team".to_owned()] {
        let detail = server.get_with(&key, &format!("{path}?{query}")).detail(400);
        assert!(detail.contains("'after'"), "{detail}");
        server.post_with(&key, &path, &query).detail(400);
        let head = server.request(Method::HEAD, &format!("{path}?{query}")).bearer_auth(&key);
        assert_eq!(Answer::to(head).status, 400);
    }
    let finished = site.run(&["export", "tokens", "--after", "1"]);
    assert_eq!((finished.code, finished.stdout.len()), (Some(2), 0), "{}", finished.stderr);
    assert_eq!(server.get_with(&key, &format!("{}?after=4&limit=1", profile("masked"))).ids(), ["7"]);
    // In the order of the ids all the same.
    let teams = server.get_with(&key, &format!("{path}?fields=team&limit=4")).csv();
    assert_eq!(teams, "team\r\nstaff\r\nguests\r\n\"\"\r\n\"a, b\"\r\n");
}

fn a_large_masked_export_is_complete(db: Db) {
    let site = Site::with_users(db, 30_000);
    site.configure("[exports.minimal]\nmask = { email = 'partial', name = 'pseudonym' }\n");
    let server = site.serve();
    let csv = server.get_with(STANDARD_KEY, MINIMAL).csv();
    let records = csv_records(csv.as_bytes());
    assert_eq!(records.len(), 30_001);
    let mut tokens = std::collections::BTreeSet::new();
    for (i, record) in records.iter().enumerate().skip(1) {
        assert_eq!(record[..2], [i.to_string(), "u***@example.com".to_owned()]);
        assert!(is_token(&record[2]) && tokens.insert(record[2].clone()), "{record:?}");
    }
}
