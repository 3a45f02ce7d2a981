use super::*;

fn parse(query: &[(&str, &str)]) -> Result<Plan, String> {
    let formats = Formats::any(FormatName::Csv);
    Plan::parse(&Arc::new(Profile::full()), formats, query.iter().copied()).map_err(|error| error.to_string())
}

#[test]
fn every_documented_parameter_is_read() {
    for parameter in PARAMETERS {
        let value = match parameter.kind {
            ParameterKind::Boolean { default } => {
                if default == Some(true) {
                    "false"
                } else {
                    "true"
                }
            }
            ParameterKind::Count => "1",
            ParameterKind::Time => "2025-01-08T10:30:00Z",
            ParameterKind::Format => "NDJSON",
            ParameterKind::Columns => "email,id",
            ParameterKind::Word(words) => words[1],
            ParameterKind::Address | ParameterKind::Id | ParameterKind::Text => "x",
        };
        let plan = parse(&[(parameter.name, value)]).expect(parameter.name);
        let told = plan.summary();
        assert!(told.len() == 1 && told.keys().all(|name| name == parameter.name), "{told:?}");
    }
}

#[test]
fn a_plan_holds_what_was_asked() {
    let plan = parse(&[("fields", "email,id"), ("email", "a@b.c"), ("is_admin", "false"), ("limit", "7")]);
    let mut expected = Plan::new(Arc::new(Profile::full()));
    expected.columns = vec![Column::EMAIL.into(), Column::ID.into()];
    expected.filters = vec![Filter::Email("a@b.c".into()), Filter::Is(Column::IS_ADMIN, false)];
    expected.limit = Some(7);
    assert_eq!(plan, Ok(expected));
}

#[test]
fn a_space_may_have_been_a_plus() {
    for (name, value) in [("email", "ada news@example.com"), ("created_after", "2025-01-08T10:30:00 02:00")] {
        let refused = Plan::parse(&Arc::new(Profile::full()), Formats::CSV, [(name, value)]);
        assert!(matches!(refused, Err(ParameterError::Spaced { name: of, .. }) if of == name), "{refused:?}");
    }
}

#[test]
fn the_summary_hashes_the_email() {
    let plan = parse(&[("email", "a@b.c"), ("created_after", "2025-01-08T12:30:00+02:00"), ("bom", "true")]);
    let summary = serde_json::Value::from(plan.expect("a plan").summary());
    assert_eq!(
        summary,
        serde_json::json!({
            "email": "sha256:d648b243a3e817eaa3309e00e183483f2867baadf522099f0c2121770536b25a",
            "created_after": "2025-01-08T10:30:00Z",
            "bom": true,
        })
    );
}

#[test]
fn where_there_is_only_csv_nothing_else_is_given() {
    let parse = |value| Plan::parse(&Arc::new(Profile::full()), Formats::CSV, [("format", value)]);
    assert!(parse("").is_ok() && parse("cSv").is_ok());
    let refused = parse("json").map_err(|error| error.to_string());
    assert_eq!(refused, Err("Unsupported format. Only 'csv' is supported.".to_owned()));
}

#[test]
fn what_cannot_be_used_is_named() {
    for (query, message) in [
        (
            vec![("format", "xml")],
            "Unsupported format. 'csv', 'ndjson', 'json', 'parquet', 'xlsx' are supported.",
        ),
        (
            vec![("bom", "true"), ("format", "json")],
            "Parameter 'bom' is for the format csv, and this export is json.",
        ),
        (vec![("delimiter", ";")], "Parameter 'delimiter' must be one of comma, semicolon, tab."),
        (vec![("null", "-")], "Parameter 'null' must not begin like a formula, as with = + - @."),
        (vec![("null", "12345678901234567")], "Parameter 'null' must have at most 16 characters."),
        (
            vec![("null", "a;b")],
            "Parameter 'null' must have no comma, semicolon, quote or control character in it.",
        ),
        (vec![("bom", "1")], "Parameter 'bom' must be 'true' or 'false'."),
        (vec![("bom", "true"), ("bom", "true")], "Parameter 'bom' is given more than once."),
        (vec![("limit", "0")], "Parameter 'limit' must be a whole number from 1 to 9223372036854775807."),
        (vec![("limit", "+1")], "Parameter 'limit' must be a whole number from 1 to 9223372036854775807."),
        (vec![("fields", "id,id")], "Parameter 'fields' names 'id' more than once."),
        (vec![("email", "")], "Parameter 'email' is empty; leave it out to export everybody."),
        (
            vec![("email", "é@b.c\u{a0}")],
            "Parameter 'email' must have no white space or control character in it, but character 6 is U+00A0.",
        ),
        (
            vec![("created_after", "2025-02"), ("created_before", "2025-02-01")],
            "Parameter 'created_after' must be earlier than 'created_before'.",
        ),
    ] {
        assert_eq!(parse(&query), Err(message.to_owned()));
    }
    assert!(parse(&[("emial", "a@b.c")]).is_err_and(|error| error.starts_with("Unknown parameter 'emial'.")));
    assert!(parse(&[("fields", "password_hash")]).is_err_and(|error| error.contains("'password_hash'")));
}
