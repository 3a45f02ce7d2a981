//! What the documents say of the tests.

use std::path::Path;

/// `module::name` in back quotes.
fn named_tests(text: &str) -> Vec<(&str, &str)> {
    let quoted = text.split('`').skip(1).step_by(2);
    let names = quoted.filter_map(|quoted| quoted.split_once("::"));
    names.filter(|(module, name)| !name.is_empty() && is_identifier(module) && is_identifier(name)).collect()
}

fn is_identifier(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Whether a file of tests has this one, as a function of its own and as a case: after `#[test]`, or listed in `both!`.
fn has_test(source: &str, name: &str) -> bool {
    let definition = format!("fn {name}(");
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let Some(at) = lines.iter().position(|line| line.starts_with(&definition)) else { return false };
    let is_marked =
        lines[..at].iter().rev().take_while(|line| line.starts_with("#[")).any(|&line| line == "#[test]");
    is_marked || lines.contains(&format!("{name},").as_str())
}

#[test]
fn every_test_that_a_promise_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = std::fs::read_to_string(root.join("../../docs/reliability.md")).unwrap();
    // A fence is three back quotes, which would shift which ones open.
    let names = document.split("```").step_by(2).flat_map(named_tests);
    let mut missing = Vec::new();
    let mut found = 0;
    for (module, name) in names {
        let source = std::fs::read_to_string(root.join(format!("tests/it/{module}.rs"))).unwrap_or_default();
        if has_test(&source, name) {
            found += 1;
        } else {
            missing.push(format!("{module}::{name}"));
        }
    }
    assert!(missing.is_empty(), "docs/reliability.md names tests that are not there: {missing:?}");
    assert!(found > 50, "{found}");
}
