//! Files that are anything but a configuration: an error says where and what, and never quotes a password.

use super::tests::load;
use proptest::prelude::*;

/// All sections and kinds of values.
const VALID: &str = r#"listen = "127.0.0.1:8080"
data_dir = "data"
features = ["users:export", "users:export_support"]
trusted_proxies = ["10.0.0.0/8"]
[source]
url = "postgres://me:s3cret@db/app?sslmode=verify-full"
table = "auth.members"
where = "deleted_at IS NULL"
timestamps = "milliseconds"
parallelism = 4
allow_sensitive = ["token_count"]
[source.columns]
email = "mail"
name = { sql = "first || ' ' || last" }
token_count = { column = "token_count", type = "text" }
[store]
url = "postgres://me:s3cret@db/headcount"
[exports.full]
filename = "all.csv"
mask = { email = "pseudonym" }
[exports.support]
columns = ["id", { column = "email", as = "E-mail" }]
[log]
format = "json"
[limits]
concurrent_exports = 4
client_stall = "30s"
connections = 100
connections_per_address = 50
[tls]
cert = "tls.crt"
key = "tls.key"
"#;

/// A configuration, or an error of one line that says where and what, and nothing that is secret.
fn assert_answered(file: &str) {
    if let Err(problem) = load(file, &[]) {
        let place = problem.strip_prefix("FILE").unwrap_or_else(|| panic!("{problem}\n{file}"));
        assert!([", line ", ", key '", ": "].iter().any(|next| place.starts_with(next)), "{problem}");
        assert!(!problem.contains("s3cret"), "{problem}\n{file}");
    }
}

fn edit() -> impl Strategy<Value = (prop::sample::Index, prop::sample::Index, u8, String)> {
    let piece = prop_oneof![
        ".{0,3}",
        prop::sample::select(vec![
            "=",
            "\"",
            "'",
            "[",
            "]",
            "{",
            "}",
            ",",
            "\n",
            "#",
            "-1",
            "0",
            "99999999999999999999",
            "\"\"",
            "\"x\"",
            "true",
            "1.5",
            "[[",
            "\u{1b}",
            "1s",
            "1979-05-27",
        ])
        .prop_map(String::from),
    ];
    (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..5_u8, piece)
}

#[test]
fn what_is_changed_is_valid() {
    assert!(load(VALID, &[]).is_ok(), "{:?}", load(VALID, &[]).map(|_| ()));
}

/// Mistakes that put an address where something else belongs.
#[test]
fn a_text_in_the_wrong_place_is_not_quoted() {
    for file in [
        "source = 'postgres://me:s3cret@db'",
        "[limits]\nqueue = 'postgres://me:s3cret@db'",
        "[source]\nurl 'postgres://me:s3cret@db'",
        "[source]\nurl: postgres://me:s3cret@db/app?sslmode=require",
        "[source]\npostgres://me:s3cret@db",
        "[store]\nurl = [\"postgres://me:s3cret@db\"]",
        "features = 'postgres://me:\"s3cret\"@db'",
    ] {
        assert!(load(file, &[]).is_err(), "{file}");
        assert_answered(file);
    }
}

proptest! {
    #[test]
    fn any_text_is_answered(file in "(.|\\n){0,200}") {
        assert_answered(&file);
    }

    #[test]
    fn a_file_with_mistakes_is_answered(edits in prop::collection::vec(edit(), 1..4)) {
        let mut lines: Vec<String> = VALID.lines().map(str::to_owned).collect();
        for (line, at, kind, piece) in edits {
            let (line, other) = (line.index(lines.len()), at.index(lines.len()));
            let mut at = at.index(lines[line].len() + 1);
            while !lines[line].is_char_boundary(at) {
                at -= 1;
            }
            match kind {
                0 => lines[line].insert_str(at, &piece),
                1 => lines[line].truncate(at),
                2 => lines.swap(line, other),
                3 => lines[line] = format!("{} = {piece}", lines[line].split(" =").next().unwrap_or_default()),
                _ => lines[line] = lines[other].clone(),
            }
        }
        assert_answered(&lines.join("\n"));
    }
}
