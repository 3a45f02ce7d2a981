//! Exports that the configuration declares beside the two that are always there.

use crate::harness::{
    ALIVE, Answer, Db, FULL, MEMBERS, MEMBERS_FULL, MINIMAL, SIMPLE, SUPPORT, Server, Site, csv_records,
    profile,
};
use reqwest::Method;

both! {
    a_profile_shows_its_columns_under_its_names,
    a_profile_takes_every_parameter,
    a_form_is_as_good_as_a_query,
    a_check_sends_no_users,
    the_built_in_exports_keep_their_columns,
    the_command_exports_a_profile,
    a_profile_may_be_wide,
}

fn support(db: Db) -> (Site, Server, String) {
    let mut site = Site::with_members(db);
    let key = site.declare(&format!("{MEMBERS}{SUPPORT}"), &["support", "logins"]);
    let server = site.serve();
    (site, server, key)
}

fn a_profile_shows_its_columns_under_its_names(db: Db) {
    let (_site, server, key) = support(db);
    let answer = server.get_with(&key, &profile("support"));
    assert_eq!(
        answer.csv(),
        "id,\"E-mail \"\"Kontakt\"\"\",phone,team\r\n\
             1,ada@example.com,'+44 20 1,staff\r\n\
             2,Ada@example.com,,guests\r\n\
             4,,555,\r\n\
             7,bob@example.com,'-1,\"a, b\"\r\n\
             10,zoe@example.com,'@x,staff\r\n"
    );
    let disposition = answer.header("content-disposition");
    assert!(disposition.contains("users_support_export.csv"), "{disposition}");
    let answer = server.get_with(&key, &profile("logins"));
    assert_eq!(
        answer.csv(),
        "login,seen,is_admin\r\n\
         ada@example.com,2025-01-08T10:30:00.123000Z,true\r\n\
         ada@example.com,2025-01-08T10:30:00.124000Z,false\r\n\
         ,,\r\n\
         bob@example.com,2025-01-08T10:30:01Z,false\r\n\
         zoe@example.com,1969-12-31T23:59:59.999000Z,true\r\n"
    );
    let disposition = answer.header("content-disposition");
    assert!(disposition.contains("f%C3%BCr%20heute.csv"), "{disposition}");
}

fn a_profile_takes_every_parameter(db: Db) {
    let (_site, server, key) = support(db);
    let get = |name: &str, query: &str| server.get_with(&key, &format!("{}?{query}", profile(name)));
    for (query, ids) in [
        ("email=ada@example.com", "1"),
        ("is_active=false", "7"),
        ("is_admin=true&limit=1&after=1", "10"),
        ("created_after=2025-01-08T10:30:00.124Z", "2,7"),
        ("updated_before=2025-01-01T00:00:00Z", "10"),
        ("format=csv&after=4", "7,10"),
    ] {
        assert_eq!(get("support", query).ids().join(","), ids, "{query}");
    }
    assert_eq!(get("support", "fields=team,id&after=4&limit=1").csv(), "team,id\r\n\"a, b\",7\r\n");
    let renamed = get("support", "fields=E-mail+%22Kontakt%22&limit=1").csv();
    assert_eq!(renamed, "\"E-mail \"\"Kontakt\"\"\"\r\nada@example.com\r\n");
    assert_eq!(get("support", "fields=phone&limit=1&sanitize=false").csv(), "phone\r\n+44 20 1\r\n");
    assert_eq!(get("support", "fields=id&limit=1&bom=true").csv(), "\u{feff}id\r\n1\r\n");
    assert_eq!(get("logins", "after=7").csv().lines().count(), 2);

    for (query, words) in [
        ("fields=email", "E-mail \"Kontakt\""),
        ("fields=name", "phone"),
        ("fields=password_hash", "phone"),
        ("fields=id,id", "more than once"),
        ("phone=555", "Unknown parameter 'phone'"),
        ("team=staff", "Unknown parameter"),
        ("limit=0", "limit"),
        ("after=x", "integer"),
    ] {
        let detail = get("support", query).detail(400);
        assert!(detail.contains(words), "{query}: {detail}");
    }
}

fn a_form_is_as_good_as_a_query(db: Db) {
    let (_site, server, key) = support(db);
    let answer = server.post_with(&key, &profile("support"), "fields=id%2Cteam&is_active=false");
    assert_eq!(answer.csv(), "id,team\r\n7,\"a, b\"\r\n");
    server.post_with(&key, &profile("support"), "fields=email").detail(400);
}

fn a_check_sends_no_users(db: Db) {
    let (site, server, key) = support(db);
    let head = |target: &str| Answer::to(server.request(Method::HEAD, target).bearer_auth(&key));
    let answer = head(&profile("support"));
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert!(answer.header("content-disposition").contains("users_support_export.csv"));
    assert_eq!(site.settled(answer.header("x-export-id"))["rows"], 0);
    assert_eq!(head(&format!("{}?fields=email", profile("support"))).status, 400);
    assert_eq!(head(&profile("finance")).status, 404);
}

fn the_built_in_exports_keep_their_columns(db: Db) {
    let mut site = Site::with_members(db);
    let key =
        site.declare(&format!("{MEMBERS}{SUPPORT}[exports.minimal]\nfilename = 'few.csv'\n"), &["support"]);
    let server = site.serve();
    assert_eq!(server.get_with(&key, FULL).csv(), MEMBERS_FULL);
    let minimal = server.get_with(&key, MINIMAL);
    assert!(minimal.csv().starts_with("id,email,name\r\n1,ada@example.com,Ada Lovelace\r\n"));
    assert!(minimal.header("content-disposition").contains("few.csv"));
    for path in [MINIMAL, FULL] {
        server.get_with(&key, &format!("{path}?fields=phone")).detail(400);
    }
    for path in [ALIVE, SIMPLE] {
        assert_eq!(server.get(path).status, 200);
    }
}

fn the_command_exports_a_profile(db: Db) {
    let (site, server, key) = support(db);
    for name in ["support", "logins"] {
        let csv = server.get_with(&key, &profile(name)).csv();
        assert_eq!(site.done(&["export", name]), csv);
    }
    let some = site.done(&["export", "support", "--fields", "team,id", "--after", "4", "--limit", "1"]);
    assert_eq!(some, "team,id\r\n\"a, b\",7\r\n");
    site.done(&["export", "support", "-o", "out.csv"]);
    assert!(site.path("out.csv").exists());
    let record = &site.audit()[0];
    assert_eq!(record["endpoint"], "cli export support");
    assert_eq!(record["rows"], 5);
    let checked = site.done(&["check"]);
    assert!(checked.contains("support") && checked.contains("logins"), "{checked}");
}

/// Of as many columns as there are on either side of every limit in the scan, without the id and with it.
fn a_profile_may_be_wide(db: Db) {
    let mut site = Site::bare(db);
    let columns = |each: &dyn Fn(usize) -> String| (1..=63).map(each).collect::<Vec<_>>().join(", ");
    let table = db.users_table();
    site.sql(&table.replace("name TEXT", &format!("name TEXT, {}", columns(&|n| format!("c{n} TEXT")))));
    site.sql(&format!(
        "INSERT INTO users (id, {}) SELECT i, {} FROM {}",
        columns(&|n| format!("c{n}")),
        columns(&|n| format!("CASE WHEN i % {n} = 0 THEN i || '-{n}' END")),
        db.series(2000)
    ));
    let mut toml = "[source.columns]\n".to_owned();
    for n in 1..=63 {
        toml += &format!("c{n} = 'c{n}'\n");
    }
    let widths = [1, 6, 7, 8, 9, 40, 62, 63];
    for width in widths {
        let names = |first| (first..=width).map(|n| format!("'c{n}'")).collect::<Vec<_>>().join(", ");
        toml += &format!("[exports.w{width}]\ncolumns = [{}]\n", names(1));
        toml += &format!("[exports.i{width}]\ncolumns = [{}, 'id']\n", names(2)).replace("[, ", "[");
    }
    let names: Vec<_> = widths.iter().flat_map(|width| [format!("w{width}"), format!("i{width}")]).collect();
    let key = site.declare(&toml, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let server = site.serve();
    assert_eq!(server.get("/readyz").status, 200);
    for (name, width) in names.iter().zip(widths.into_iter().flat_map(|width| [width, width])) {
        let records = csv_records(server.get_with(&key, &profile(name)).csv().as_bytes());
        assert_eq!((records.len(), records[0].len()), (2001, width), "{name}");
        for (i, record) in records.iter().enumerate().skip(1) {
            for (cell, column) in record.iter().zip(&records[0]) {
                let expected = match column.strip_prefix('c').map(|n| n.parse::<usize>().unwrap()) {
                    None => i.to_string(),
                    Some(n) if i % n == 0 => format!("{i}-{n}"),
                    Some(_) => String::new(),
                };
                assert_eq!(cell, &expected, "{name}, row {i}, {column}");
            }
        }
    }
}
