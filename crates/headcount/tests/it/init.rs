//! `init` on the databases of real frameworks: what it writes exports them, and it tells nothing of their users.

use crate::harness::{Db, EXPORT_KEY, FULL, Finished, Framework, Site};

frameworks!(a_framework_is_recognised);

fn a_framework_is_recognised(name: &str) {
    let framework = Framework::named(name);
    let mut site = framework.site();
    let file_before = content(&site);
    let finished = site.init(&["--print"]);
    assert_eq!(finished.code, Some(0), "{name}: {}", finished.stderr);
    let preset = format!("(preset {})", name.trim_end_matches("-sqlite"));
    assert!(finished.stderr.contains(&preset), "{name}: {}", finished.stderr);
    assert_only_toml(&finished);
    assert_discreet(&framework, &finished);
    assert!(content(&site) == file_before, "{name}: init changed the file");

    std::fs::write(site.path("made.toml"), finished.text()).unwrap();
    site.unset("HEADCOUNT_SOURCE_URL");
    let expected = framework.full_export();
    let made = ["--config", "made.toml"];
    assert_eq!(site.done(&["export", "full", made[0], made[1]]), expected, "{name}");
    let server = site.serve_with(&made);
    assert_eq!(server.get_with(EXPORT_KEY, FULL).csv(), expected, "{name}: by HTTP");
    let findings = site.findings_with(&made);
    assert!(findings.of("problem").is_empty(), "{name}: {findings:?}");
}

/// The users database, where it is a file.
fn content(site: &Site) -> Option<Vec<u8>> {
    (site.db == Db::Sqlite).then(|| std::fs::read(site.sqlite_source()).unwrap())
}

fn assert_only_toml(finished: &Finished) {
    let text = finished.text();
    let file: toml::Table = text.parse().unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(file.keys().collect::<Vec<_>>(), ["data_dir", "source"], "{text}");
    assert_eq!(file["source"]["columns"].as_table().unwrap().len(), 7, "{text}");
    assert!(!finished.stderr.is_empty());
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let shown = finished.stderr.lines().any(|shown| shown.trim() == line);
        assert!(!shown, "on stderr, too: {line}");
    }
}

/// Nothing that stands in a row is shown, but for what a sample shows on purpose: times, flags and ids.
fn assert_discreet(framework: &Framework, finished: &Finished) {
    let texts = telling_texts(framework);
    assert!(texts.iter().any(|text| text.contains('@')), "no address among {texts:?}");
    assert!(texts.len() > 10, "{texts:?}");
    let said = finished.everything();
    for text in texts {
        assert!(!said.contains(&text), "{text}: {said}");
    }
}

/// The texts in the rows that are long enough not to be met by chance.
fn telling_texts(framework: &Framework) -> Vec<String> {
    let export = framework.full_export();
    let ids: Vec<_> = export.lines().filter_map(|line| line.split(',').next()).collect();
    let mapping = framework.mapping();
    let is_time = |text: &str| {
        let year = text.split_once('-').map_or("", |(year, _)| year);
        year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit())
    };
    let statements = framework.rows();
    let lines = statements.lines().filter(|line| !line.trim_start().starts_with("--"));
    let literals = literals(&lines.collect::<Vec<_>>().join("\n"));
    let telling = literals.into_iter().filter(|text| {
        text.chars().count() >= 8
            && !is_time(text)
            && !ids.contains(&text.as_str())
            && !mapping.contains(text.as_str())
    });
    telling.collect()
}

/// The string literals of some SQL.
fn literals(sql: &str) -> Vec<String> {
    let mut literals = Vec::new();
    let mut rest = sql;
    while let Some((_, started)) = rest.split_once('\'') {
        let mut literal = String::new();
        rest = started;
        while let Some((part, after)) = rest.split_once('\'') {
            literal.push_str(part);
            rest = after;
            let Some(doubled) = after.strip_prefix('\'') else { break };
            literal.push('\'');
            rest = doubled;
        }
        literals.push(literal);
    }
    literals
}

#[test]
fn literals_are_found() {
    assert_eq!(literals("VALUES ('a', NULL, '''b''', '')"), ["a", "'b'", ""]);
}
