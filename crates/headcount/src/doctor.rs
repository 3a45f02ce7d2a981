//! Looks at everything that an export needs and says what is wrong, why that matters, and what to do.

mod database;
mod files;
mod source;
mod store;

use crate::config::Config;
use headcount_model::timestamp::Timestamp;
use headcount_source::Source;
use headcount_store::Store;
use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Ok,
    /// Exports run, but somebody should know.
    Warning,
    /// Some export cannot run, or should not.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub struct Finding {
    pub level: Level,
    /// What was looked at: `source`, `privileges`.
    pub check: &'static str,
    pub finding: String,
    /// Why it matters; `None` if all is well.
    pub why: Option<&'static str>,
    /// What to do about it; `None` if all is well.
    pub remedy: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, finding: impl Into<String>) -> Self {
        Self { level: Level::Ok, check, finding: finding.into(), why: None, remedy: None }
    }

    fn warning(
        check: &'static str,
        finding: impl Into<String>,
        why: &'static str,
        remedy: impl Into<String>,
    ) -> Self {
        let (finding, remedy) = (finding.into(), Some(remedy.into()));
        Self { level: Level::Warning, check, finding, why: Some(why), remedy }
    }

    fn problem(
        check: &'static str,
        finding: impl Into<String>,
        why: &'static str,
        remedy: impl Into<String>,
    ) -> Self {
        Self { level: Level::Problem, ..Self::warning(check, finding, why, remedy) }
    }
}

/// Looks at everything. A source or a store that could not even be opened comes with the reason; `None` is a store that is not
/// there yet.
pub async fn examine(
    config: &Config,
    source: Result<Source, String>,
    store: Result<Option<Store>, String>,
    now: Timestamp,
) -> Vec<Finding> {
    let mut findings = match source {
        Ok(source) => source::examine(config, &source, now).await,
        Err(reason) => {
            vec![Finding::problem("source", reason, source::UNREACHABLE, "set source.url, or correct it")]
        }
    };
    findings.extend(files::examine(config));
    findings.extend(config.tls.as_ref().map(files::certificate));
    findings.extend(files::spool(config));
    findings.extend(match store {
        Ok(store) => store::examine(config, store.as_ref(), now).await,
        Err(reason) => vec![Finding::problem(
            "store",
            reason,
            "without its store nothing is exported: no key is known, and no record can be written",
            "correct store.url or data_dir, or start the database that it names",
        )],
    });
    findings
}
