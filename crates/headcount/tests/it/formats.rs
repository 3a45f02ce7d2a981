//! The formats, as those read them who get them: over HTTP and by command, on both databases.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use bytes::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use reqwest::Method;
use serde_json::{Value, json};

use crate::faults::{BAD_ROW, ROWS, with_a_bad_row};
use crate::harness::{
    Answer, Db, Download, EXPORT_KEY, FULL, MINIMAL, PEOPLE_FULL, Received, STANDARD_KEY, Server, Site,
    csv_records, profile,
};

both! {
    lines_and_arrays_hold_the_same_cells_as_a_csv,
    a_parquet_file_has_types,
    a_workbook_has_rows_of_typed_cells,
    accept_chooses_if_it_names_one_type_alone,
    the_two_endpoints_of_old_give_csv_alone,
    a_file_says_what_it_is,
    options_of_a_csv_are_of_a_csv_alone,
    a_csv_is_as_it_is_asked_for,
    an_export_may_have_a_format_of_its_own,
    a_mask_makes_text_in_every_format,
    a_bad_row_leaves_no_file_that_anything_opens,
    every_format_is_the_same_by_command_and_when_its_reader_waits,
    the_end_of_a_name_says_format_and_compression,
    what_a_name_does_not_fit_is_refused,
    receipts_are_of_content_and_file,
    a_preflight_is_of_the_format,
    a_sheet_that_would_be_too_long_is_refused_before_its_first_byte,
}

const FORMATS: [&str; 5] = ["csv", "ndjson", "json", "parquet", "xlsx"];

fn full() -> String {
    profile("full")
}

fn get(server: &Server, format: &str) -> Answer {
    server.get_with(EXPORT_KEY, &format!("{}?format={format}", full()))
}

/// What a CSV says, as JSON has it; by column, because texts and numbers look alike there.
fn people_as_json() -> Vec<Value> {
    let mut records = csv_records(PEOPLE_FULL.as_bytes()).into_iter();
    let names = records.next().unwrap();
    records
        .map(|record| {
            let members = names.iter().zip(record).map(|(name, cell)| {
                let value = match (name.as_str(), cell.as_str()) {
                    (_, "") => Value::Null,
                    ("id" | "is_active" | "is_admin", cell) => serde_json::from_str(cell).unwrap(),
                    // Nothing is marked where nothing would run it.
                    (_, cell) => cell.strip_prefix('\'').unwrap_or(cell).into(),
                };
                (name.clone(), value)
            });
            Value::Object(members.collect())
        })
        .collect()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn lines_and_arrays_hold_the_same_cells_as_a_csv(db: Db) {
    let site = Site::with_people(db).storing_in_sqlite();
    let server = site.serve();
    assert_eq!(lines(&get(&server, "ndjson").text()), people_as_json());
    assert_eq!(get(&server, "json").json(), Value::from(people_as_json()));
    assert_eq!(get(&server, "CSV").csv(), PEOPLE_FULL);
    // In the order that was asked for, and nobody is an array, too.
    let answer = server.get_with(EXPORT_KEY, &format!("{}?format=json&fields=name,id&email=nobody", full()));
    assert_eq!(answer.text(), "[\n]\n");
    let answer = server.get_with(EXPORT_KEY, &format!("{}?format=ndjson&fields=name,id&limit=1", full()));
    assert_eq!(answer.text(), "{\"name\":\"Ada Lovelace\",\"id\":1}\n");
}

fn parquet_rows(file: Vec<u8>) -> Vec<Vec<(String, Field)>> {
    let reader = SerializedFileReader::new(Bytes::from(file)).unwrap();
    let rows = reader.get_row_iter(None).unwrap();
    rows.map(|row| row.unwrap().into_columns()).collect()
}

fn a_parquet_file_has_types(db: Db) {
    let site = Site::with_people(db).storing_in_sqlite();
    let server = site.serve();
    let answer = get(&server, "parquet");
    let reader = SerializedFileReader::new(Bytes::from(answer.body.clone())).unwrap();
    let about = reader.metadata().file_metadata().key_value_metadata().unwrap().clone();
    let about = |key: &str| about.iter().find(|known| known.key == key).and_then(|known| known.value.clone());
    assert_eq!(about("headcount.export_id").as_deref(), Some(answer.header("x-export-id")));
    assert_eq!(about("headcount.profile").as_deref(), Some("full"));
    assert!(about("headcount.snapshot_at").is_some());
    let rows = parquet_rows(answer.body);
    assert_eq!(rows.len(), 5);
    let micros = 1_736_332_200_123_456;
    let expected = [
        ("id", Field::Long(2)),
        ("email", Field::Str("grace@example.com".into())),
        ("name", Field::Str("Hopper, Grace".into())),
        ("created_at", Field::TimestampMicros(micros)),
        ("updated_at", Field::Null),
        ("is_active", Field::Bool(true)),
        ("is_admin", Field::Bool(true)),
    ];
    assert_eq!(rows[1], expected.map(|(name, cell)| (name.to_owned(), cell)));
    let large = Site::with_users(db, 70_000).storing_in_sqlite();
    let rows = parquet_rows(get(&large.serve(), "parquet").body);
    let ids = rows.iter().map(|row| row[0].1.clone());
    assert!(ids.eq((1..=70_000).map(Field::Long)));
}

/// The sheet of a workbook, as XML.
fn sheet(file: Vec<u8>) -> String {
    let mut archive = zip::ZipArchive::new(Cursor::new(file)).unwrap();
    let mut xml = String::new();
    archive.by_name("xl/worksheets/sheet1.xml").unwrap().read_to_string(&mut xml).unwrap();
    xml
}

fn a_workbook_has_rows_of_typed_cells(db: Db) {
    let site = Site::with_people(db).storing_in_sqlite();
    let server = site.serve();
    let xml = sheet(get(&server, "xlsx").body);
    let text = |text: &str| format!("<c t=\"inlineStr\"><is><t>{text}</t></is></c>");
    let row = format!(
        "<row><c s=\"4\"><v>3</v></c>{}{}<c/><c s=\"2\"><v>45666</v></c><c s=\"5\" t=\"b\"><v>0</v></c><c s=\"5\" t=\"b\"><v>0</v></c></row>",
        text("Ada@example.com"),
        text("=HYPERLINK(\"http://example.com\")"),
    );
    assert!(xml.contains(&row), "{xml}");
    assert_eq!(xml.matches("<row>").count(), 6);
    assert!(xml.contains("<autoFilter ref=\"A1:G6\"/>"));
}

fn accept_chooses_if_it_names_one_type_alone(db: Db) {
    let site = Site::with_people(db).storing_in_sqlite();
    let server = site.serve();
    let xlsx = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
    let parquet = "application/vnd.apache.parquet";
    for (accept, query, expected) in [
        ("text/csv", "", "text/csv; charset=utf-8"),
        ("application/x-ndjson", "", "application/x-ndjson"),
        ("Application/JSON", "", "application/json"),
        (parquet, "", parquet),
        (xlsx, "", xlsx),
        ("application/json", "?format=csv", "text/csv; charset=utf-8"),
        ("application/json, text/plain, */*", "", "text/csv; charset=utf-8"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "", "text/csv; charset=utf-8"),
        ("image/png", "", "text/csv; charset=utf-8"),
        ("*/*", "", "text/csv; charset=utf-8"),
        ("text/csv", "?preflight=true", "application/json"),
        (parquet, "?preflight=false", parquet),
    ] {
        let request = server.request(Method::GET, &(full() + query)).bearer_auth(EXPORT_KEY);
        let answer = Answer::to(request.header("accept", accept));
        assert_eq!((answer.status, answer.header("content-type")), (200, expected), "{accept}");
        let vary: Vec<_> =
            answer.headers.get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
        assert!(vary.contains(&"accept"), "{vary:?}");
    }
}

fn the_two_endpoints_of_old_give_csv_alone(db: Db) {
    let site = Site::with_people(db).storing_in_sqlite();
    let server = site.serve();
    for (path, key) in [(MINIMAL, STANDARD_KEY), (FULL, EXPORT_KEY)] {
        for format in &FORMATS[1..] {
            let answer = server.get_with(key, &format!("{path}?format={format}"));
            assert_eq!(answer.detail(400), "Unsupported format. Only 'csv' is supported.");
        }
        let request = server.request(Method::GET, path).bearer_auth(key).header("accept", "application/json");
        assert_eq!(Answer::to(request).header("content-type"), "text/csv; charset=utf-8");
    }
    let refused = server.get_with(EXPORT_KEY, &format!("{}?format=xml", full())).detail(400);
    assert!(FORMATS.iter().all(|format| refused.contains(&format!("'{format}'"))), "{refused}");
}

fn a_file_says_what_it_is(db: Db) {
    let site = Site::with_people(db).storing_in_sqlite();
    let server = site.serve();
    for format in FORMATS {
        let answer = get(&server, format);
        let name = format!("attachment; filename=\"users_full_export.{format}\"");
        assert_eq!(answer.header("content-disposition"), name);
        let record = site.audit_record(answer.header("x-export-id"));
        assert_eq!(record["endpoint"], full());
        let expected = if format == "csv" { json!({}) } else { json!({"format": format}) };
        assert_eq!(record["filters"], expected);
        assert_eq!((&record["rows"], &record["bytes"]), (&json!(5), &json!(answer.body.len())));
        let coded = server.request(Method::GET, &format!("{}?format={format}", full()));
        let coded = coded.bearer_auth(EXPORT_KEY).header("accept-encoding", "gzip").send().unwrap();
        let is_coded = coded.headers().contains_key("content-encoding");
        assert_eq!(is_coded, ["csv", "ndjson", "json"].contains(&format), "{format}");
    }
}

fn options_of_a_csv_are_of_a_csv_alone(db: Db) {
    let site = Site::with_people(db).storing_in_sqlite();
    let server = site.serve();
    for option in ["bom=true", "sanitize=true", "delimiter=tab", "null=x", "header=false"] {
        for format in &FORMATS[1..] {
            for query in [format!("{option}&format={format}"), format!("format={format}&{option}")] {
                let name = option.split('=').next().unwrap();
                let detail = server.get_with(EXPORT_KEY, &format!("{}?{query}", full())).detail(400);
                let expected =
                    format!("Parameter '{name}' is for the format csv, and this export is {format}.");
                assert_eq!(detail, expected);
            }
        }
    }
}

fn a_csv_is_as_it_is_asked_for(db: Db) {
    let site = Site::with_people(db).storing_in_sqlite();
    let server = site.serve();
    for path in [FULL.to_owned(), full()] {
        for (query, expected) in [
            (
                "delimiter=semicolon&limit=2&fields=id,name",
                "id;name\r\n1;Ada Lovelace\r\n2;Hopper, Grace\r\n",
            ),
            ("delimiter=tab&limit=1&fields=id,name", "id\tname\r\n1\tAda Lovelace\r\n"),
            ("delimiter=comma&header=false&limit=1&fields=id", "1\r\n"),
            ("null=NULL&after=3&limit=1&fields=id,name,is_admin", "id,name,is_admin\r\n5,NULL,NULL\r\n"),
            (
                "null=false&limit=1&fields=id,is_admin,is_active",
                "id,is_admin,is_active\r\n1,\"false\",true\r\n",
            ),
            ("null=%5CN&after=3&limit=1&fields=name,id", "name,id\r\n\\N,5\r\n"),
            ("null=&after=3&limit=1&fields=name,id", "name,id\r\n,5\r\n"),
        ] {
            assert_eq!(server.get_with(EXPORT_KEY, &format!("{path}?{query}")).csv(), expected, "{query}");
        }
        for (query, words) in [
            ("delimiter=%3B", "'delimiter' must be one of comma, semicolon, tab"),
            ("null=%3D1", "'null' must not begin like a formula"),
            ("null=12345678901234567", "'null' must have at most 16 characters"),
            ("null=a%2Cb", "'null' must have no comma"),
            ("header=no", "'header' must be 'true' or 'false'"),
        ] {
            let detail = server.get_with(EXPORT_KEY, &format!("{path}?{query}")).detail(400);
            assert!(detail.contains(words), "{query}: {detail}");
        }
    }
    let options =
        ["--delimiter", "semicolon", "--null", "NULL", "--header", "false", "--after", "3", "--limit", "1"];
    assert_eq!(site.done(&[&["export", "minimal"], &options[..]].concat()), "5;NULL;NULL\r\n");
}

fn an_export_may_have_a_format_of_its_own(db: Db) {
    let mut site = Site::with_people(db).storing_in_sqlite();
    let toml = "[exports.minimal]\nformat = 'ndjson'\n\
                [exports.mail]\ncolumns = ['email']\nformat = 'json'\nfilename = 'mail.json'\n";
    let key = site.declare(toml, &["mail"]);
    let server = site.serve();
    let mail = server.get_with(&key, &profile("mail"));
    assert_eq!(mail.header("content-disposition"), "attachment; filename=\"mail.json\"");
    assert_eq!(mail.json()[0], json!({"email": "ada@example.com"}));
    let mail = server.get_with(&key, &format!("{}?format=csv", profile("mail")));
    assert_eq!(mail.header("content-disposition"), "attachment; filename=\"mail.csv\"");
    let minimal = server.get_with(&key, &profile("minimal"));
    assert_eq!(minimal.header("content-type"), "application/x-ndjson");
    let old = server.get_with(&key, MINIMAL);
    assert_eq!(old.header("content-disposition"), "attachment; filename=\"users_export.csv\"");
    assert!(old.csv().starts_with("id,email,name\r\n"));
    assert!(site.done(&["export", "mail"]).starts_with("[\n{\"email\":"));
    drop(server);
    site.configure("[exports.full]\nformat = 'xml'\n");
    let refused = site.run(&["check"]);
    let is_named = refused.stderr.contains("exports.full.format") && refused.stderr.contains("parquet");
    assert!(refused.code != Some(0) && is_named, "{}", refused.stderr);
}

fn a_mask_makes_text_in_every_format(db: Db) {
    let mut site = Site::with_people(db).storing_in_sqlite();
    let toml = "[exports.masked]\ncolumns = ['id', 'email', 'is_admin']\n\
                [exports.masked.mask]\nid = 'redact'\nemail = 'partial'\nis_admin = 'redact'\n";
    let key = site.declare(toml, &["masked"]);
    let server = site.serve();
    let answer =
        |format: &str| server.get_with(&key, &format!("{}?format={format}&limit=4", profile("masked")));
    let expected = json!({"id": "[redacted]", "email": "a***@example.com", "is_admin": "[redacted]"});
    let last = json!({"id": "[redacted]", "email": null, "is_admin": null});
    let found = lines(&answer("ndjson").text());
    assert_eq!((&found[0], &found[3]), (&expected, &last));
    let rows = parquet_rows(answer("parquet").body);
    assert_eq!(rows[0][2], ("is_admin".to_owned(), Field::Str("[redacted]".into())));
    assert_eq!(rows[3][2], ("is_admin".to_owned(), Field::Null));
    assert!(sheet(answer("xlsx").body).contains("<t>a***@example.com</t>"));
}

/// Whether anything that reads the format takes it for whole. Of lines only the transfer tells.
fn opens(format: &str, body: Vec<u8>) -> bool {
    match format {
        "json" => serde_json::from_slice::<Value>(&body).is_ok(),
        "parquet" => SerializedFileReader::new(Bytes::from(body)).is_ok(),
        _ => zip::ZipArchive::new(Cursor::new(body)).is_ok(),
    }
}

fn a_bad_row_leaves_no_file_that_anything_opens(db: Db) {
    let site = with_a_bad_row(db, ROWS, BAD_ROW);
    let server = site.serve();
    std::fs::create_dir(site.path("out")).unwrap();
    for format in &FORMATS[1..] {
        let target = format!("{}?format={format}", full());
        let response = server.http2(&target).bearer_auth(EXPORT_KEY).send().unwrap();
        let begun = response.status() == 200;
        assert!(!begun || Answer::read(response).is_err(), "{format}");
        // Small formats are done with before the first byte is on its way.
        if begun {
            let download = Download::open(&server, &target, EXPORT_KEY);
            let export = download.export_id();
            let Received { body, complete, .. } = download.rest();
            assert!(!complete && (*format == "ndjson" || !opens(format, body)), "{format}");
            assert_eq!(site.settled(&export)["outcome"], "failed");
        }
        let file = format!("out/users.{format}");
        let finished = site.run(&["export", "full", "-o", &file]);
        let is_named = ["is_admin", &BAD_ROW.to_string()].iter().all(|part| finished.stderr.contains(part));
        assert!(finished.code == Some(1) && is_named, "{}", finished.stderr);
        let compressed = site.run(&["export", "full", "-o", &format!("out/users.{format}.gz")]);
        assert!(compressed.code != Some(0));
    }
    assert_eq!(std::fs::read_dir(site.path("out")).unwrap().count(), 0);
}

fn every_format_is_the_same_by_command_and_when_its_reader_waits(db: Db) {
    let site = Site::with_wide_users(db).storing_in_sqlite();
    let server = site.serve();
    for format in &FORMATS[1..] {
        // A file of columns says which export it is.
        let is_stable = *format != "parquet";
        let target = format!("{}?format={format}", full());
        let download = Download::stalled(&server, &target, EXPORT_KEY);
        let whole = server.get_with(EXPORT_KEY, &target).body;
        let Received { body, complete, .. } = download.rest();
        assert!(complete && (!is_stable || body == whole), "{format}");
        let command = site.run(&["export", "full", "--format", format]);
        assert_eq!(command.code, Some(0), "{}", command.stderr);
        assert!(!is_stable || command.stdout == whole, "{format}");
        if !is_stable {
            let [first, second, third] = [body, whole, command.stdout].map(parquet_rows);
            assert!(first == second && second == third && first.len() == 3000);
        }
    }
}

fn unpacked(path: &Path) -> Vec<u8> {
    let file = File::open(path).unwrap();
    let mut reader: Box<dyn Read> = match path.extension().and_then(OsStr::to_str) {
        Some("gz") => Box::new(flate2::read::GzDecoder::new(file)),
        Some("zst") => Box::new(zstd::stream::read::Decoder::new(file).unwrap()),
        _ => Box::new(file),
    };
    let mut content = Vec::new();
    reader.read_to_end(&mut content).unwrap();
    content
}

fn the_end_of_a_name_says_format_and_compression(db: Db) {
    let site = Site::with_people(db).storing_in_sqlite();
    let ndjson = site.done(&["export", "full", "--format", "ndjson"]);
    for (arguments, file, expected) in [
        (&[][..], "a.csv", PEOPLE_FULL),
        (&[], "a.csv.gz", PEOPLE_FULL),
        (&[], "a.csv.zst", PEOPLE_FULL),
        (&[], "a.ndjson.gz", &*ndjson),
        (&[], "a.jsonl", &*ndjson),
        (&["--format", "ndjson"], "a.txt", &*ndjson),
        (&["--compress", "gzip"], "b.csv.gz", PEOPLE_FULL),
        (&[], "c.gz", PEOPLE_FULL),
        (&["--compress", "zstd"], "c.zst", PEOPLE_FULL),
        (&["--delimiter", "comma"], "a.tsv", PEOPLE_FULL),
    ] {
        let all = [&["export", "full", "-o", file], arguments].concat();
        site.done(&all);
        assert_eq!(String::from_utf8(unpacked(&site.path(file))).unwrap(), expected, "{all:?}");
    }
    site.done(&["export", "minimal", "--fields", "id,name", "--limit", "2", "-o", "b.tsv.gz"]);
    assert_eq!(unpacked(&site.path("b.tsv.gz")), b"id\tname\r\n1\tAda Lovelace\r\n2\tHopper, Grace\r\n");
    let packed = site.run(&["export", "full", "--compress", "zstd"]);
    std::fs::write(site.path("stdout.zst"), packed.stdout).unwrap();
    assert_eq!(unpacked(&site.path("stdout.zst")), PEOPLE_FULL.as_bytes());
    site.done(&["export", "full", "-o", "a.parquet"]);
    assert_eq!(parquet_rows(unpacked(&site.path("a.parquet"))).len(), 5);
    site.done(&["export", "full", "-o", "a.xlsx"]);
    assert!(sheet(unpacked(&site.path("a.xlsx"))).contains("<sheetData>"));
}

fn what_a_name_does_not_fit_is_refused(db: Db) {
    let site = Site::with_people(db).storing_in_sqlite();
    for (arguments, words) in [
        (
            &["-o", "a.csv", "--format", "json"][..],
            "the format is json, and the name ends like a file of csv",
        ),
        (&["-o", "a.csv", "--compress", "gzip"], "what gzip makes is called a.csv.gz"),
        (&["-o", "a.csv.gz", "--compress", "zstd"], "--compress says zstd, and the name ends with .gz"),
        (&["-o", "a.xls"], ".xls is no format of exports"),
        (&["-o", "a.zip"], ".zip is no format of exports"),
        (&["-o", "a.parquet.gz"], "a file of parquet is compressed already"),
        (&["--format", "xlsx", "--compress", "gzip"], "a file of xlsx is compressed already"),
        (&["--compress", "brotli"], "expected gzip or zstd"),
        (&["--format", "xml"], "Unsupported format"),
        (&["-o", "a.parquet", "--bom"], "--bom is for the format csv, and this export is parquet"),
    ] {
        let finished = site.run(&[&["export", "full"], arguments].concat());
        assert_eq!(finished.code, Some(2), "{arguments:?}: {}", finished.stderr);
        assert!(finished.stderr.contains(words), "{arguments:?}: {}", finished.stderr);
    }
    assert!(site.audit().is_empty());
}

fn receipts_are_of_content_and_file(db: Db) {
    let site = Site::with_people(db).storing_in_sqlite();
    site.create_key(&["anybody", "--kind", "standard"]);
    std::fs::write(site.path("key.pem"), site.done(&["receipts", "public-key"])).unwrap();
    let verify = |file: &str| {
        let finished = site.run_exactly(&["verify", file, "--public-key", "key.pem"]);
        (finished.code.unwrap(), finished.text())
    };
    for file in ["a.csv", "a.ndjson", "a.json", "a.parquet", "a.xlsx", "a.csv.gz", "a.ndjson.zst"] {
        site.done(&["export", "full", "-o", file, "--receipt"]);
        let (code, said) = verify(file);
        assert!(code == 0 && said.starts_with("complete and unchanged: 5 users"), "{file}: {said}");
        let receipt = std::fs::read(site.path(&format!("{file}.receipt.json"))).unwrap();
        let receipt: Value = serde_json::from_slice(&receipt).unwrap();
        let stored = std::fs::read(site.path(file)).unwrap();
        assert_eq!(receipt["file_bytes"], stored.len(), "{file}");
        let content = unpacked(&site.path(file));
        assert_eq!(receipt["bytes"], content.len(), "{file}");
        let is_packed = stored != content;
        assert_eq!(receipt["sha256"] != receipt["file_sha256"], is_packed, "{file}");
        assert_eq!(said.contains("(sha256 and file_sha256)"), is_packed, "{said}");
        // Wherever it is cut, and whatever is behind it.
        for length in [0, 1, 5, stored.len() / 2, stored.len() - 1] {
            std::fs::write(site.path(file), &stored[..length]).unwrap();
            let (code, said) = verify(file);
            assert!(code == 4 && said.starts_with("cut after"), "{file}, {length}: {said}");
        }
        std::fs::write(site.path(file), [&stored[..], b"x"].concat()).unwrap();
        let (code, said) = verify(file);
        assert!(code == 5 && said.starts_with("changed"), "{file}: {said}");
    }
    // Another file of the format, which is smaller, is not one that was cut.
    for file in ["c.parquet", "c.xlsx"] {
        site.done(&["export", "full", "-o", file, "--receipt"]);
        let (code, said) = {
            site.done(&["export", "full", "--limit", "1", "--fields", "id", "-o", file]);
            verify(file)
        };
        assert!(code == 5 && said.contains("shorter, but not cut"), "{file}: {said}");
    }
    site.done(&["export", "full", "-o", "b.csv.gz", "--receipt"]);
    let content = unpacked(&site.path("b.csv.gz"));
    std::fs::write(site.path("b.csv.gz"), zstd::encode_all(&content[..], 1).unwrap()).unwrap();
    let (code, said) = verify("b.csv.gz");
    assert!(
        code == 0 && said.contains("within zstd (sha256), though not in the file that was written"),
        "{said}"
    );
}

fn a_preflight_is_of_the_format(db: Db) {
    let site = Site::with_users(db, 1000).storing_in_sqlite();
    let server = site.serve();
    let bytes = |format: &str| {
        let target = format!("{}?format={format}&preflight=true", full());
        server.get_with(EXPORT_KEY, &target).json()["estimated_bytes"].as_u64().unwrap()
    };
    let estimated = FORMATS.map(bytes);
    for (format, estimated) in FORMATS.iter().zip(estimated) {
        let size = get(&server, format).body.len() as u64;
        assert!((size / 2..size * 2).contains(&estimated), "{format}: {estimated} of {size}");
    }
}

/// As many users as a sheet holds, and one more.
fn a_sheet_that_would_be_too_long_is_refused_before_its_first_byte(db: Db) {
    let site = Site::with_empty_table(db).storing_in_sqlite();
    site.sql(&format!("INSERT INTO users (id) SELECT i FROM {}", db.series(1_048_576)));
    if db == Db::Postgres {
        site.sql("ANALYZE users");
    }
    let server = site.serve();
    let target = format!("{}?format=xlsx&fields=id", full());
    let detail = server.get_with(EXPORT_KEY, &target).detail(400);
    assert!(detail.contains("at most 1048575 users"), "{detail}");
    assert_eq!(site.audit_of(1)[0]["outcome"], "denied");
    let refused = site.run(&["export", "full", "--format", "xlsx", "--fields", "id"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("1048575"), "{}", refused.stderr);
    assert_eq!(site.audit_of(2)[0]["outcome"], "denied");
    let head = server.request(Method::HEAD, &target).bearer_auth(EXPORT_KEY).send().unwrap();
    assert_eq!(head.status(), 400);
    let page = server.get_with(EXPORT_KEY, &format!("{target}&limit=1048575"));
    assert_eq!(sheet(page.body).matches("<row>").count(), 1_048_576);
}
