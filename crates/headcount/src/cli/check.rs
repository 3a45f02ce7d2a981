//! `check`

use super::{open_source, print, print_json};
use crate::config::Config;
use crate::doctor::{self, Finding, Level};
use anyhow::bail;
use headcount_model::timestamp::Timestamp;
use headcount_store::{Store, StoreError};

pub(super) async fn run(config: &Config, json: bool) -> anyhow::Result<()> {
    if !json {
        print(&summary(config))?;
    }
    let source = open_source(config).map_err(|error| format!("{error:#}"));
    let store = match Store::open_existing(&config.store).await {
        Err(StoreError::Missing(_)) => Ok(None),
        opened => opened.map(Some).map_err(|error| format!("the store {}: {error}", config.store)),
    };
    let findings = doctor::examine(config, source, store, Timestamp::now()).await;
    if json {
        print_json(&findings)?;
    } else {
        findings.iter().try_for_each(|finding| print(&report(finding)))?;
    }
    let problems: Vec<_> = findings.iter().filter(|finding| finding.level == Level::Problem).collect();
    if problems.is_empty() {
        return Ok(());
    }
    // Again: the first may be far above, and whoever keeps stdout sees only this.
    let lines = problems.iter().map(|problem| {
        format!("\n  {}: {}", problem.check, headcount_model::text::visible(&problem.finding))
    });
    let found = if problems.len() == 1 { "problem" } else { "problems" };
    bail!("{} {found} found{}", problems.len(), lines.collect::<String>())
}

/// What is configured.
fn summary(config: &Config) -> String {
    let https = if config.tls.is_some() { ", HTTPS" } else { "" };
    let embedded = if config.source.embedded.is_some() { " (embedded)" } else { "" };
    let names: Vec<_> = config.profiles.iter().map(|profile| profile.name.as_str()).collect();
    let lines = [
        format!("listen     {}{https}", config.listen),
        format!("data_dir   {}", config.data_dir.display()),
        format!("source     {}, table {}{embedded}", config.source.url, config.source.mapping.table),
        format!("store      {}", config.store),
        format!("exports    {}; {} at the same time", names.join(", "), config.limits.concurrent_exports),
        String::new(),
    ];
    visible_lines(lines)
}

fn report(finding: &Finding) -> String {
    let level = match finding.level {
        Level::Ok => "ok",
        Level::Warning => "warning",
        Level::Problem => "problem",
    };
    let first = format!("{level:<8} {}: {}", finding.check, finding.finding);
    let why = finding.why.map(|why| format!("         why: {why}"));
    let remedy = finding.remedy.as_ref().map(|remedy| format!("         do:  {remedy}"));
    visible_lines([Some(first), why, remedy].into_iter().flatten())
}

/// Whatever a line quotes stays on it.
fn visible_lines(lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().map(|line| headcount_model::text::visible(&line) + "\n").collect()
}
