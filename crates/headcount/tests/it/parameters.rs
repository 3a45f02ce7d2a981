//! The query parameters of the two exports.

use crate::harness::{
    Db, EXPORT_KEY, FULL, MINIMAL, PEOPLE_FULL, PEOPLE_MINIMAL, STANDARD_KEY, Server, Site,
};

both! {
    format_is_csv_in_any_case_or_nothing,
    any_other_format_is_refused_with_its_own_words,
    email_matches_exactly,
    email_reaches_the_database_as_a_value,
    email_is_matched_before_the_limit,
    fields_are_chosen_and_ordered_by_the_caller,
    fields_must_be_columns_of_the_endpoint_named_once,
    after_is_inclusive_and_before_exclusive,
    time_filters_compare_instants_not_text,
    time_filters_pass_over_null,
    a_time_needs_its_date_its_time_and_its_offset,
    a_date_or_a_month_is_its_first_moment_in_utc,
    bounds_the_wrong_way_round_are_refused,
    a_plus_that_became_a_space_is_explained,
    white_space_that_was_pasted_with_an_address_is_refused,
    boolean_filters_are_true_or_false,
    filters_add_up,
    limit_is_a_number_of_rows,
    after_is_an_id_that_need_not_exist,
    pages_put_together_are_the_whole_export,
    bom_comes_before_the_header,
    switches_are_true_or_false,
    an_unknown_parameter_is_refused_by_name,
    a_repeated_parameter_is_refused_by_name,
    an_empty_value_is_refused_where_it_would_mean_everybody,
}

struct Exports(Server);

impl Exports {
    fn minimal(&self, query: &str) -> String {
        let answer = self.0.get_with(STANDARD_KEY, &format!("{MINIMAL}?{query}"));
        answer.csv()
    }

    fn full(&self, query: &str) -> String {
        let answer = self.0.get_with(EXPORT_KEY, &format!("{FULL}?{query}"));
        answer.csv()
    }

    /// The ids of the matching users, joined by commas; the same from either endpoint.
    fn ids(&self, query: &str) -> String {
        let [minimal, full] = [MINIMAL, FULL].map(|path| {
            let answer = self.0.get_with(EXPORT_KEY, &format!("{path}?{query}"));
            answer.ids().join(",")
        });
        assert_eq!(minimal, full, "{query}");
        full
    }

    /// Both endpoints answer 400 with a detail that contains `words`.
    fn refuse(&self, query: &str, words: &str) {
        for path in [MINIMAL, FULL] {
            let answer = self.0.get_with(EXPORT_KEY, &format!("{path}?{query}"));
            assert_eq!(answer.status, 400, "{query}");
            let detail = answer.detail(400);
            assert!(detail.contains(words), "{query}: {detail}");
        }
    }
}

fn people(db: Db) -> (Site, Exports) {
    let site = Site::with_people(db).storing_in_sqlite();
    let server = site.serve();
    (site, Exports(server))
}

fn format_is_csv_in_any_case_or_nothing(db: Db) {
    let (_site, exports) = people(db);
    for query in ["", "format=csv", "format=CSV", "format=cSv", "format=", "format"] {
        assert_eq!(exports.minimal(query), PEOPLE_MINIMAL, "{query}");
        assert_eq!(exports.full(query), PEOPLE_FULL, "{query}");
    }
}

fn any_other_format_is_refused_with_its_own_words(db: Db) {
    let (_site, exports) = people(db);
    for query in ["format=json", "format=xlsx", "format=csv%20", "format=csv,json", "format=%00"] {
        for path in [MINIMAL, FULL] {
            let answer = exports.0.get_with(EXPORT_KEY, &format!("{path}?{query}"));
            assert_eq!(answer.detail(400), "Unsupported format. Only 'csv' is supported.");
        }
    }
}

fn email_matches_exactly(db: Db) {
    let (_site, exports) = people(db);
    assert_eq!(exports.ids("email=ada@example.com"), "1");
    assert_eq!(exports.ids("email=Ada%40example.com"), "3");
    assert_eq!(exports.ids("email=ADA@EXAMPLE.COM"), "");
    assert_eq!(exports.ids("email=ada@example.co"), "");
    assert_eq!(exports.ids("email=zo%C3%AB@example.com"), "8");
    for empty in ["email=", "email"] {
        exports.refuse(empty, "'email' is empty");
    }
}

fn email_reaches_the_database_as_a_value(db: Db) {
    let (site, exports) = people(db);
    site.sql("INSERT INTO users (id, email) VALUES (9, 'o''hara%_\\@example.com')");
    assert_eq!(exports.ids("email=o'hara%25_%5C@example.com"), "9");
    for hostile in ["'OR'1'='1", "x';DROP/**/TABLE/**/users;--", "%", "$1", "?", "\\", "ada@example.com'--"] {
        let query: String =
            form_urlencoded::Serializer::new(String::new()).append_pair("email", hostile).finish();
        assert_eq!(exports.ids(&query), "", "{hostile}");
    }
    assert_eq!(exports.ids(""), "1,2,3,5,8,9");
}

fn email_is_matched_before_the_limit(db: Db) {
    let (_site, exports) = people(db);
    assert_eq!(exports.ids("limit=1&email=zo%C3%AB@example.com"), "8");
}

fn fields_are_chosen_and_ordered_by_the_caller(db: Db) {
    let (_site, exports) = people(db);
    assert_eq!(
        exports.minimal("fields=name,id&limit=2"),
        "name,id\r\nAda Lovelace,1\r\n\"Hopper, Grace\",2\r\n"
    );
    assert_eq!(
        exports.full("fields=is_admin,updated_at&limit=2"),
        "is_admin,updated_at\r\nfalse,2025-01-08T15:45:00Z\r\ntrue,\r\n"
    );
    assert_eq!(exports.full("fields=is_active"), "is_active\r\ntrue\r\ntrue\r\nfalse\r\n\"\"\r\ntrue\r\n");
    assert_eq!(exports.full("fields=id,email,name,created_at,updated_at,is_active,is_admin"), PEOPLE_FULL);
}

fn fields_must_be_columns_of_the_endpoint_named_once(db: Db) {
    let (site, exports) = people(db);
    site.sql("ALTER TABLE users ADD COLUMN password_hash TEXT");
    for (fields, culprit) in [
        ("nickname", "nickname"),
        ("id,password_hash", "password_hash"),
        ("id,email,id", "id"),
        ("ID", "ID"),
        ("*", "*"),
        ("1", "1"),
    ] {
        exports.refuse(&format!("fields={fields}"), culprit);
    }
    for fields in ["", ",", "id,", ",id", "id,,name"] {
        exports.refuse(&format!("fields={fields}"), "fields");
    }
    let target = format!("{MINIMAL}?fields=id,is_admin");
    let detail = exports.0.get_with(EXPORT_KEY, &target).detail(400);
    assert!(detail.contains("is_admin"), "{detail}");
}

fn after_is_inclusive_and_before_exclusive(db: Db) {
    let (_site, exports) = people(db);
    assert_eq!(exports.ids("created_after=2025-01-08T10:30:00Z"), "1,2,5");
    assert_eq!(exports.ids("created_before=2025-01-08T10:30:00Z"), "8");
    assert_eq!(exports.ids("created_after=2025-01-08T10:30:00.123456Z"), "2,5");
    assert_eq!(exports.ids("created_before=2025-01-08T10:30:00.123456Z"), "1,8");
    assert_eq!(exports.ids("updated_after=2025-01-10T00:00:00.5Z"), "5,8");
    assert_eq!(exports.ids("updated_before=2025-01-09T00:00:00Z"), "1");
    assert_eq!(exports.ids("created_after=2025-01-08T10:30:00Z&created_before=2025-01-10T00:00:00Z"), "1,2");
}

fn time_filters_compare_instants_not_text(db: Db) {
    let (_site, exports) = people(db);
    for same_instant in [
        "2025-01-08T10:30:00Z",
        "2025-01-08T12:30:00%2B02:00",
        "2025-01-08T05:00:00-05:30",
        "2025-01-08T10:30:00.000Z",
        "2025-01-08T10:30:00.000000-00:00",
    ] {
        let query = format!("created_after={same_instant}");
        assert_eq!(exports.ids(&query), "1,2,5", "{query}");
    }
    assert_eq!(exports.ids("created_after=2025-01-08T10:30:00.100Z"), "2,5");
    assert_eq!(exports.ids("created_after=0001-01-01T00:00:00Z"), "1,2,5,8");
    assert_eq!(exports.ids("created_before=9999-12-31T23:59:59Z"), "1,2,5,8");
}

fn time_filters_pass_over_null(db: Db) {
    let (_site, exports) = people(db);
    assert_eq!(exports.ids("created_after=1970-01-01T00:00:00Z"), "1,2,5,8");
    assert_eq!(exports.ids("updated_before=2100-01-01T00:00:00Z"), "1,3,5,8");
}

fn a_time_needs_its_date_its_time_and_its_offset(db: Db) {
    let (_site, exports) = people(db);
    for name in ["created_after", "created_before", "updated_after", "updated_before"] {
        for value in [
            "2025",
            "2025-1",
            "2025-13",
            "2025-02-29",
            "20250108",
            "2025-01-08T",
            "2025-01-08T10:30:00",
            "2025-01-08T10:30Z",
            "10:30:00Z",
            "2025-02-30T00:00:00Z",
            "2025-01-08T25:00:00Z",
            "2025-1-8T10:30:00Z",
            "2025-01-08T10:30:00%2B2",
            "1736332200",
            "yesterday",
        ] {
            exports.refuse(&format!("{name}={value}"), name);
        }
    }
}

fn a_date_or_a_month_is_its_first_moment_in_utc(db: Db) {
    let (site, exports) = people(db);
    assert_eq!(exports.ids("created_after=2025-01-08"), exports.ids("created_after=2025-01-08T00:00:00Z"));
    assert_eq!(exports.ids("created_after=2025-01"), "1,2,5");
    assert_eq!(exports.ids("created_before=2025-01"), "8");
    assert_eq!(exports.ids("created_after=2024-12&created_before=2025-01"), "8");
    assert_eq!(exports.ids("created_after=2025-01-08&created_before=2025-01-09"), "1,2");
    assert_eq!(exports.ids("updated_before=2025-01-09&created_after=2025-01"), "1");
    let command =
        ["export", "minimal", "--fields=id", "--created-after=2024-12", "--created-before=2025-01-01"];
    assert_eq!(site.done(&command), "id\r\n8\r\n");
}

fn bounds_the_wrong_way_round_are_refused(db: Db) {
    let (site, exports) = people(db);
    for (after, before) in [
        ("2025-02", "2025-01"),
        ("2025-01-08", "2025-01-08T00:00:00Z"),
        ("2025-01-08T10:30:00Z", "2025-01-08T12:30:00%2B02:00"),
        ("9999-12", "0001-01"),
    ] {
        for column in ["created", "updated"] {
            let query = format!("{column}_after={after}&{column}_before={before}");
            exports.refuse(&query, &format!("'{column}_after' must be earlier than '{column}_before'"));
            exports.refuse(&format!("preflight=true&{query}"), "must be earlier");
        }
    }
    assert_eq!(exports.ids("created_after=2025-02&updated_before=2025-01"), "");
    let finished = site.run(&["export", "full", "--updated-after=2025-02", "--updated-before=2025-01"]);
    assert_eq!((finished.code, finished.stdout.len()), (Some(2), 0), "{}", finished.stderr);
    assert!(finished.stderr.contains("--updated-after must be earlier"), "{}", finished.stderr);
}

fn a_plus_that_became_a_space_is_explained(db: Db) {
    let (site, exports) = people(db);
    exports.refuse("created_after=2025-01-08T10:30:00+02:00", "%2B");
    for address in ["ada+news@example.com", "+ada@example.com", "ada@example.com+", "ada%20news@example.com"]
    {
        exports.refuse(&format!("email={address}"), "%2B");
        let form = format!("email={address}");
        assert!(exports.0.post_with(EXPORT_KEY, FULL, &form).detail(400).contains("%2B"), "{address}");
    }
    site.sql("UPDATE users SET email = 'ada+news@example.com' WHERE id = 3");
    assert_eq!(exports.ids("email=ada%2Bnews@example.com"), "3");
    // There a plus is a plus.
    assert!(site.done(&["export", "minimal", "--email=ada+news@example.com"]).contains("\r\n3,"));
    for arguments in [["--email=ada news@example.com"], ["--created-after=2025-01-08T10:30:00 02:00"]] {
        let finished = site.run(&[&["export", "full"], &arguments[..]].concat());
        assert_eq!(finished.code, Some(2), "{arguments:?}: {}", finished.stderr);
        assert!(!finished.stderr.contains("%2B"), "{}", finished.stderr);
    }
}

fn boolean_filters_are_true_or_false(db: Db) {
    let (_site, exports) = people(db);
    assert_eq!(exports.ids("is_active=true"), "1,2,8");
    assert_eq!(exports.ids("is_active=false"), "3");
    assert_eq!(exports.ids("is_admin=true"), "2");
    assert_eq!(exports.ids("is_admin=false"), "1,3,8");
    for name in ["is_active", "is_admin"] {
        for value in ["1", "0", "True", "FALSE", "yes", "null", "true%20"] {
            exports.refuse(&format!("{name}={value}"), name);
        }
    }
}

fn filters_add_up(db: Db) {
    let (_site, exports) = people(db);
    assert_eq!(exports.ids("is_active=true&is_admin=false"), "1,8");
    assert_eq!(exports.ids("is_active=true&created_after=2025-01-01T00:00:00Z&email=ada@example.com"), "1");
    assert_eq!(exports.ids("is_active=true&after=1&limit=1"), "2");
    assert_eq!(exports.ids("is_active=false&email=ada@example.com"), "");
}

fn limit_is_a_number_of_rows(db: Db) {
    let (_site, exports) = people(db);
    assert_eq!(exports.ids("limit=1"), "1");
    assert_eq!(exports.ids("limit=3"), "1,2,3");
    assert_eq!(exports.ids("limit=9223372036854775807"), "1,2,3,5,8");
    for value in ["0", "-1", "1.5", "ten", "1e3", "0x10", "9223372036854775808", "%201"] {
        exports.refuse(&format!("limit={value}"), "limit");
    }
}

fn after_is_an_id_that_need_not_exist(db: Db) {
    let (_site, exports) = people(db);
    assert_eq!(exports.ids("after=3"), "5,8");
    assert_eq!(exports.ids("after=4"), "5,8");
    assert_eq!(exports.ids("after=-7"), "1,2,3,5,8");
    assert_eq!(exports.ids("after=8"), "");
    assert_eq!(exports.ids("after=9223372036854775807"), "");
    for value in ["ada", "1.5", "9223372036854775808", "0191f6c4-7d1c-7000-8000-000000000001"] {
        exports.refuse(&format!("after={value}"), "after");
    }
}

fn pages_put_together_are_the_whole_export(db: Db) {
    let site = Site::with_users(db, 1000).storing_in_sqlite();
    site.sql("DELETE FROM users WHERE id % 7 = 0");
    let exports = Exports(site.serve());
    let whole = exports.full("");
    for size in [99, 857, 858, 5000] {
        let (mut together, mut after) = (String::new(), String::from("0"));
        loop {
            let page = exports.full(&format!("limit={size}&after={after}"));
            let (header, rows) = page.split_once("\r\n").unwrap();
            if together.is_empty() {
                together = format!("{header}\r\n");
            }
            together += rows;
            let Some(last) = rows.lines().last() else {
                break;
            };
            after = last.split(',').next().unwrap().to_owned();
        }
        assert_eq!(together, whole, "pages of {size}");
    }
}

fn bom_comes_before_the_header(db: Db) {
    let (_site, exports) = people(db);
    assert_eq!(exports.minimal("bom=true"), format!("\u{feff}{PEOPLE_MINIMAL}"));
    assert_eq!(exports.full("bom=true"), format!("\u{feff}{PEOPLE_FULL}"));
    assert_eq!(exports.minimal("bom=false"), PEOPLE_MINIMAL);
}

fn switches_are_true_or_false(db: Db) {
    let (_site, exports) = people(db);
    for name in ["bom", "sanitize"] {
        for value in ["1", "0", "TRUE", "no", "off"] {
            exports.refuse(&format!("{name}={value}"), name);
        }
    }
}

fn an_unknown_parameter_is_refused_by_name(db: Db) {
    let (_site, exports) = people(db);
    for name in ["emial", "Email", "EMAIL", "offset", "page", "api_key", "key", "created", "id"] {
        exports.refuse(&format!("{name}=ada@example.com"), name);
    }
    exports.refuse("emial", "emial");
    let target = format!("{FULL}?emial=ada@example.com");
    let detail = exports.0.get_with(EXPORT_KEY, &target).detail(400);
    assert!(!detail.contains("ada@example.com"), "{detail}");
}

fn white_space_that_was_pasted_with_an_address_is_refused(db: Db) {
    let (site, exports) = people(db);
    for (pasted, found) in [
        ("ada@example.com%0A", "character 16 is U+000A"),
        ("%09ada@example.com", "character 1 is U+0009"),
        ("ada@example.com%C2%A0", "character 16 is U+00A0"),
        ("%EF%BB%BFada@example.com", "character 1 is U+FEFF"),
        ("ada@%C2%85example.com", "character 5 is U+0085"),
        ("%20ada@example.com", "character 1 is a space"),
    ] {
        exports.refuse(&format!("email={pasted}"), found);
    }
    let finished = site.run(&["export", "minimal", "--email=ada@example.com\n"]);
    assert_eq!((finished.code, finished.stdout.len()), (Some(2), 0), "{}", finished.stderr);
}

fn a_repeated_parameter_is_refused_by_name(db: Db) {
    let (_site, exports) = people(db);
    for (name, value) in [
        ("email", "ada@example.com"),
        ("format", "csv"),
        ("limit", "1"),
        ("fields", "id"),
        ("bom", "true"),
        ("is_active", "true"),
    ] {
        exports.refuse(&format!("{name}={value}&{name}={value}"), name);
    }
    exports.refuse("email=&email=ada@example.com", "email");
}

fn an_empty_value_is_refused_where_it_would_mean_everybody(db: Db) {
    let (site, exports) = people(db);
    for name in [
        "email",
        "fields",
        "created_after",
        "created_before",
        "updated_after",
        "updated_before",
        "is_active",
        "is_admin",
        "limit",
        "after",
        "bom",
        "sanitize",
    ] {
        exports.refuse(&format!("{name}="), name);
    }
    let finished = site.run(&["export", "minimal", "--email="]);
    assert_eq!((finished.code, finished.stdout.len()), (Some(2), 0), "{}", finished.stderr);
}
