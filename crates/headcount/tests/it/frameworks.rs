//! Users tables as real frameworks make them, and the mapping that fits each.

use crate::harness::{Db, EXPORT_KEY, FULL, Framework, Site};

frameworks!(users_leave_as_expected);

fn users_leave_as_expected(name: &str) {
    let framework = Framework::named(name);
    let site = framework.site();
    let credentials = credentials(&site);
    assert!(!credentials.is_empty(), "{name}: no credential that could leave");
    site.configure(&framework.mapping());
    let expected = framework.full_export();

    let server = site.serve();
    let answer = server.get_with(EXPORT_KEY, FULL);
    let csv = answer.csv();
    assert_eq!(csv, expected, "{name}");
    assert_eq!(site.done(&["export", "full"]), expected, "{name}: by command");
    for credential in credentials {
        assert!(!csv.contains(&credential), "{name}: {credential}");
    }
    assert_eq!(server.get("/readyz").status, 200, "{name}");
    site.done(&["check"]);

    let ids = answer.ids();
    let target = format!("{FULL}?limit=1&after={}", ids[ids.len() - 2]);
    assert_eq!(server.get_with(EXPORT_KEY, &target).ids(), ids[ids.len() - 1..], "{name}");
}

/// What stands in the columns of any table that are called like secrets.
fn credentials(site: &Site) -> Vec<String> {
    const WORDS: &str = "pass|hash|salt|secret|token|otp|rands|credential|payload";
    let likes: Vec<_> = WORDS.split('|').map(|word| format!("found.name LIKE '%{word}%'")).collect();
    let queries = match site.db {
        Db::Sqlite => format!(
            "SELECT format('SELECT CAST(\"%w\" AS TEXT) AS value FROM \"%w\"', found.name, tables.name)
             FROM sqlite_master AS tables, pragma_table_xinfo(tables.name) AS found
             WHERE tables.type = 'table' AND ({})",
            likes.join(" OR ")
        ),
        Db::Postgres => format!(
            "SELECT format('SELECT %I::text AS value FROM %I.%I', column_name, table_schema, table_name)
             FROM information_schema.columns, lower(column_name) AS found(name)
             WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND ({})",
            likes.join(" OR ")
        ),
    };
    let values = site.column(&queries).into_iter().flat_map(|query| {
        // Shorter ones, such as the name of an algorithm, may stand in a name or an address by chance.
        site.column(&format!("SELECT value FROM ({query}) AS all_of_it WHERE length(value) >= 8"))
    });
    values.collect()
}
