//! `check`

use super::{open_source, open_store};
use crate::config::Config;
use crate::plan::{Plan, Profile};
use crate::store::Store;
use anyhow::bail;
use std::sync::Arc;

pub(super) async fn run(config: &Config) -> anyhow::Result<()> {
    eprintln!("listen     {}", config.listen);
    eprintln!("data_dir   {}", config.data_dir.display());
    let embedded = if config.source.embedded.is_some() { " (embedded)" } else { "" };
    eprintln!("source     {}, table {}{embedded}", config.source.url, config.source.mapping.table);
    eprintln!("store      {}", config.store);
    eprintln!("exports    {} at the same time", config.limits.concurrent_exports);
    eprintln!();

    let mut problems = 0;
    let mut report = |what: &str, result: Result<String, String>| match result {
        Ok(found) => eprintln!("ok       {what}: {found}"),
        Err(problem) => {
            problems += 1;
            eprintln!("problem  {what}: {problem}");
        }
    };
    for profile in &config.profiles {
        report(&format!("source, {} export", profile.name), check_source(config, profile).await);
    }
    match open_store(config).await {
        Err(error) => report("store", Err(format!("{error:#}"))),
        Ok(store) => {
            report("store", Ok("answers and is up to date".to_owned()));
            report("flags", check_flags(config, &store).await);
            report("keys", check_keys(config, &store).await);
        }
    }
    if problems > 0 {
        bail!("{problems} {} found, see above", if problems == 1 { "problem" } else { "problems" });
    }
    Ok(())
}

async fn check_source(config: &Config, profile: &Arc<Profile>) -> Result<String, String> {
    let source = open_source(config).map_err(|error| format!("{error:#}"))?;
    source.check(&Plan::new(Arc::clone(profile))).await.map_err(|error| error.to_string())?;
    Ok("answers, and its columns have types that can be exported".to_owned())
}

/// Flags that are all off are no error, but somebody who asks what is missing wants to know.
async fn check_flags(config: &Config, store: &Store) -> Result<String, String> {
    let flags = store.flags(&config.flags).await.map_err(|error| error.to_string())?;
    let on: Vec<_> = flags.iter().filter(|flag| flag.enabled).map(|flag| flag.name.as_str()).collect();
    if on.is_empty() {
        return Ok("all off; switch one on with: headcount flags enable users:export".to_owned());
    }
    Ok(format!("on: {}", on.join(", ")))
}

async fn check_keys(config: &Config, store: &Store) -> Result<String, String> {
    let now = crate::timestamp::Timestamp::now();
    let keys = store.keys().await.map_err(|error| error.to_string())?;
    let is_valid = |key: &&crate::store::keys::ApiKey| {
        key.revoked_at.is_none() && key.expires_at.is_none_or(|expiry| expiry > now)
    };
    let valid = keys.iter().filter(is_valid).count();
    let fixed = [config.static_keys.standard, config.static_keys.export].iter().flatten().count();
    if valid + fixed == 0 {
        return Ok("none; make one with: headcount keys create NAME --kind standard".to_owned());
    }
    Ok(format!("{valid} valid in the store, {fixed} from the environment"))
}
