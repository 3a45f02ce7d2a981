//! Where the database is: the argument, the environment, or the configuration that there is already.

use crate::cli::Usage;
use crate::config::{Config, Overrides};
use headcount_model::database_url::DatabaseUrl;
use std::path::{Path, PathBuf};

const VARIABLE: &str = "HEADCOUNT_SOURCE_URL";

/// The database, and whether the environment named it.
pub(super) fn find(
    argument: Option<&str>,
    config: Option<PathBuf>,
    data_dir: Option<PathBuf>,
) -> anyhow::Result<(DatabaseUrl, bool)> {
    if let Some(text) = argument {
        return Ok((parse(text).map_err(Usage)?, false));
    }
    if let Some(text) = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty()) {
        let problem = |problem| Usage(format!("environment variable {VARIABLE}: {problem}"));
        return Ok((parse(&text).map_err(problem)?, true));
    }
    // --config names the file to write as well; it need not be there yet.
    let overrides = Overrides { config: config.filter(|path| path.exists()), data_dir, listen: None };
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())));
    let config = Config::load(overrides, environment)?;
    if config.source.embedded.is_some() {
        let problem = format!(
            "which database? Give its URL, as in 'headcount init sqlite:app.db' or 'headcount init \
             postgres://USER:PASSWORD@HOST/DATABASE', or set {VARIABLE}"
        );
        return Err(Usage(problem).into());
    }
    Ok((config.source.url, false))
}

/// The URL for the configuration, in which paths start at the file: as it was given where that will be in this directory.
pub(super) fn text(url: &DatabaseUrl, file: &Path) -> anyhow::Result<String> {
    Ok(match url.clone().starting_at(&start(file)?) {
        DatabaseUrl::Postgres(url) => url,
        url @ DatabaseUrl::Sqlite(_) => url.to_string(),
    })
}

/// The data directory for the configuration; beside the file if none was named.
pub(super) fn data_dir(named: Option<PathBuf>, file: &Path) -> anyhow::Result<String> {
    let Some(named) = named else { return Ok(crate::config::DATA_DIR.to_owned()) };
    match start(file)?.join(named).into_os_string().into_string() {
        Ok(path) => Ok(path),
        Err(path) => Err(Usage(format!("--data-dir {}: expected a path in UTF-8", path.display())).into()),
    }
}

/// Where paths that were given here start, as seen from the file: nowhere else if that will be here.
fn start(file: &Path) -> anyhow::Result<PathBuf> {
    let is_here = file.parent().is_none_or(|directory| directory.as_os_str().is_empty());
    Ok(if is_here { PathBuf::new() } else { std::env::current_dir()? })
}

/// Reads a URL.
fn parse(text: &str) -> Result<DatabaseUrl, String> {
    match DatabaseUrl::of_source(text)? {
        DatabaseUrl::Sqlite(path) => existing(path),
        url => Ok(url),
    }
}

/// A file that is there: SQLite's own error would not say that it is the path that is wrong.
fn existing(path: PathBuf) -> Result<DatabaseUrl, String> {
    if path.is_file() {
        return Ok(DatabaseUrl::Sqlite(path));
    }
    let mut problem = format!("there is no file {}", path.display());
    // SQLAlchemy writes a relative path as sqlite:///PATH.
    if let Ok(relative) = path.strip_prefix("/")
        && relative.is_file()
    {
        problem.push_str(&format!("; for the one here: sqlite:{}", relative.display()));
    }
    Err(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_programs_urls_are_explained() {
        for (text, hint) in [
            ("postgresql+asyncpg://me:s3cret@db/app", "write the scheme as postgres"),
            ("jdbc:postgresql://db/app?password=s3cret", "take jdbc: off"),
            ("mysql://me:s3cret@db/app", "mysql is not supported"),
            ("file:dev.db", "put sqlite: in place"),
            ("sqlite:/nowhere/app.db", "there is no file /nowhere/app.db"),
            ("Cargo.toml", "sqlite:Cargo.toml"),
            ("me:s3cret@db/app", "expected sqlite:PATH or postgres"),
        ] {
            let problem = parse(text).expect_err(text);
            assert!(problem.contains(hint) && !problem.contains("s3cret"), "{problem}");
        }
        assert!(parse("postgres://me:s3cret@db/app").is_ok());
    }
}
