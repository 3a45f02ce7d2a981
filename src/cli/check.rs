//! `check`

use super::terminal::tell;
use super::{open_source, print_json};
use crate::config::Config;
use crate::doctor::{self, Finding, Level};
use crate::store::{Store, StoreError};
use crate::timestamp::Timestamp;
use anyhow::bail;

pub(super) async fn run(config: &Config, json: bool) -> anyhow::Result<()> {
    if !json {
        summary(config);
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
        findings.iter().for_each(report);
    }
    let problems = findings.iter().filter(|finding| finding.level == Level::Problem).count();
    if problems > 0 {
        let found = if problems == 1 { "problem" } else { "problems" };
        bail!("{problems} {found} found{}", if json { "" } else { ", see above" });
    }
    Ok(())
}

fn summary(config: &Config) {
    let https = if config.tls.is_some() { ", HTTPS" } else { "" };
    tell!("listen     {}{https}", config.listen);
    tell!("data_dir   {}", config.data_dir.display());
    let embedded = if config.source.embedded.is_some() { " (embedded)" } else { "" };
    let source = format!("{}, table {}", config.source.url, config.source.mapping.table);
    tell!("source     {source}{embedded}");
    tell!("store      {}", config.store);
    let names: Vec<_> = config.profiles.iter().map(|profile| profile.name.as_str()).collect();
    tell!("exports    {}; {} at the same time", names.join(", "), config.limits.concurrent_exports);
    tell!("");
}

fn report(finding: &Finding) {
    let level = match finding.level {
        Level::Ok => "ok",
        Level::Warning => "warning",
        Level::Problem => "problem",
    };
    tell!("{level:<8} {}: {}", finding.check, finding.finding);
    if let Some(why) = finding.why {
        tell!("         why: {why}");
    }
    if let Some(remedy) = &finding.remedy {
        tell!("         do:  {remedy}");
    }
}
