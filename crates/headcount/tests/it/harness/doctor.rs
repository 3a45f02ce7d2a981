//! `check --json` and the questions that tests ask of it.

use std::fmt;

use serde_json::Value;

use super::postgres::APP_READER_PASSWORD;
use super::{EXPORT_KEY, STANDARD_KEY, Site};

const MEMBERS: [&str; 5] = ["check", "finding", "level", "remedy", "why"];

/// What `check` found.
pub(crate) struct Findings(Vec<Value>);

impl fmt::Debug for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|finding| writeln!(f, "{finding}"))
    }
}

impl Site {
    /// Runs `check --json`. Whatever it finds, its form, its exit code and its silence about secrets are as promised.
    pub(crate) fn findings(&self) -> Findings {
        self.findings_with(&[])
    }

    pub(crate) fn findings_with(&self, arguments: &[&str]) -> Findings {
        let mut all = vec!["check", "--json"];
        all.extend(arguments);
        let finished = self.run(&all);
        let said = finished.everything();
        for secret in [STANDARD_KEY, EXPORT_KEY, APP_READER_PASSWORD] {
            assert!(!said.contains(secret), "{said}");
        }
        let findings: Vec<Value> = serde_json::from_slice(&finished.stdout)
            .unwrap_or_else(|error| panic!("no JSON array: {error}: {said}"));
        for finding in &findings {
            assert_form(finding);
        }
        let findings = Findings(findings);
        let code = if findings.of("problem").is_empty() { 0 } else { 1 };
        assert_eq!(finished.code, Some(code), "{said}");
        findings
    }
}

fn assert_form(finding: &Value) {
    let mut members: Vec<_> = finding.as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(members, MEMBERS, "{finding}");
    for member in ["check", "finding"] {
        assert!(finding[member].as_str().is_some_and(|text| !text.is_empty()), "{finding}");
    }
    let is_well = finding["level"] == "ok";
    assert!(is_well || finding["level"] == "warning" || finding["level"] == "problem", "{finding}");
    for member in ["why", "remedy"] {
        let is_told = finding[member].as_str().is_some_and(|text| !text.is_empty());
        assert!(if is_well { finding[member].is_null() } else { is_told }, "{finding}");
    }
}

impl Findings {
    /// What was looked at, and found to be of this level.
    pub(crate) fn of(&self, level: &str) -> Vec<&str> {
        let of_level = self.0.iter().filter(|finding| finding["level"] == level);
        of_level.map(|finding| finding["check"].as_str().unwrap()).collect()
    }

    /// The findings of one check at one level, with their remedies.
    pub(crate) fn texts(&self, level: &str, check: &str) -> Vec<String> {
        let found = self.0.iter().filter(|finding| finding["level"] == level && finding["check"] == check);
        found.map(|finding| format!("{} -> {}", finding["finding"], finding["remedy"])).collect()
    }

    /// One finding of this check and level, and only one, has all these words.
    pub(crate) fn assert_one(&self, level: &str, check: &str, words: &[&str]) {
        let texts = self.texts(level, check);
        let fitting = texts.iter().filter(|text| words.iter().all(|word| text.contains(word)));
        assert_eq!(fitting.count(), 1, "{level} {check} {words:?}: {self:?}");
    }

    /// Nothing is wrong but, perhaps, what is named here.
    pub(crate) fn assert_well_but(&self, excepted: &[&str]) {
        assert!(!self.of("ok").is_empty());
        for level in ["warning", "problem"] {
            let unexpected: Vec<_> =
                self.of(level).into_iter().filter(|check| !excepted.contains(check)).collect();
            assert!(unexpected.is_empty(), "{unexpected:?}: {self:?}");
        }
    }
}
