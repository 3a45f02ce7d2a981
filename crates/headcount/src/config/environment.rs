//! The environment, and how it lies above the file.

use super::{File, StaticKeys};
use anyhow::bail;
use headcount_model::database_url::DatabaseUrl;
use headcount_store::keys;
use std::str::FromStr;

/// Environment variables and the keys of the file that they override. An empty variable counts as not set.
const ENVIRONMENT: [(&str, &str); 8] = [
    ("HEADCOUNT_LISTEN", "listen"),
    ("HEADCOUNT_DATA_DIR", "data_dir"),
    ("HEADCOUNT_FEATURES", "features"),
    ("HEADCOUNT_SOURCE_URL", "source.url"),
    ("HEADCOUNT_SOURCE_TABLE", "source.table"),
    ("HEADCOUNT_STORE_URL", "store.url"),
    ("HEADCOUNT_LOG_FORMAT", "log.format"),
    ("HEADCOUNT_CONCURRENT_EXPORTS", "limits.concurrent_exports"),
];
const STANDARD_KEY: &str = "HEADCOUNT_API_KEY";
const EXPORT_KEY: &str = "HEADCOUNT_EXPORT_API_KEY";
const STATIC_KEY_MIN_LENGTH: usize = 16;

/// Our variables of the environment.
#[derive(Default)]
pub(super) struct Environment {
    values: Vec<(&'static str, &'static str, String)>,
    pub(super) static_keys: StaticKeys,
}

impl Environment {
    pub(super) fn of(variables: impl IntoIterator<Item = (String, String)>) -> anyhow::Result<Self> {
        let mut environment = Self::default();
        for (name, value) in variables {
            let Some(rest) = name.strip_prefix("HEADCOUNT_").filter(|_| !value.is_empty()) else {
                continue;
            };
            if let Some((variable, key)) = ENVIRONMENT.iter().find(|(variable, _)| *variable == name) {
                environment.values.push((variable, key, value));
            } else if name == STANDARD_KEY {
                environment.static_keys.standard = Some(static_key(STANDARD_KEY, &value)?);
            } else if name == EXPORT_KEY {
                environment.static_keys.export = Some(static_key(EXPORT_KEY, &value)?);
            } else if !is_service_link(rest, &value) {
                let names: Vec<_> = ENVIRONMENT.iter().map(|(variable, _)| *variable).collect();
                bail!(
                    "environment variable {name} is not known; expected {}, {STANDARD_KEY} or {EXPORT_KEY}",
                    names.join(", ")
                );
            }
        }
        if environment.static_keys.standard.is_some()
            && environment.static_keys.standard == environment.static_keys.export
        {
            bail!(
                "{STANDARD_KEY} and {EXPORT_KEY} are the same; they grant different things, so make them differ"
            );
        }
        Ok(environment)
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.find(key).map(|(_, value)| value)
    }

    fn find(&self, key: &str) -> Option<(&'static str, &str)> {
        let found = self.values.iter().find(|(_, known, _)| *known == key);
        found.map(|(variable, _, value)| (*variable, value.as_str()))
    }
}

/// Kubernetes sets `NAME_PORT…` and `NAME_SERVICE_…` in every pod beside a service of that name.
fn is_service_link(rest: &str, value: &str) -> bool {
    // A bare number is what somebody set who means `HEADCOUNT_LISTEN`.
    rest.starts_with("SERVICE_") || rest.starts_with("PORT_") || rest == "PORT" && value.contains("://")
}

fn static_key(variable: &str, value: &str) -> anyhow::Result<[u8; 32]> {
    if value.chars().count() < STATIC_KEY_MIN_LENGTH {
        bail!("environment variable {variable}: expected {STATIC_KEY_MIN_LENGTH} or more characters");
    }
    if value.trim() != value || value.chars().any(char::is_control) {
        bail!(
            "environment variable {variable}: expected no control characters and no spaces around it, which HTTP headers lose"
        );
    }
    Ok(keys::hash(value))
}

/// The environment above the file.
pub(super) struct Layers<'a> {
    pub(super) file: &'a File,
    pub(super) environment: &'a Environment,
}

impl Layers<'_> {
    /// The value of a key, from the environment or else from the file.
    pub(super) fn pick<T: FromStr<Err = String>>(
        &self,
        key: &str,
        in_file: Option<String>,
    ) -> anyhow::Result<Option<T>> {
        self.pick_with(key, in_file, str::parse)
    }

    /// As [`Layers::pick`], for a value that does not parse itself.
    pub(super) fn pick_with<T>(
        &self,
        key: &str,
        in_file: Option<String>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> anyhow::Result<Option<T>> {
        if let Some((variable, value)) = self.environment.find(key) {
            let problem = |expected| anyhow::anyhow!("environment variable {variable}: {expected}");
            return parse(value).map(Some).map_err(problem);
        }
        in_file.map(|value| self.in_file(key, parse(&value))).transpose()
    }

    /// As [`Layers::pick_with`], for the address of a database: files that it names start at the file that it stands in.
    pub(super) fn pick_url(
        &self,
        key: &str,
        in_file: Option<String>,
        parse: impl Fn(&str) -> Result<DatabaseUrl, String>,
    ) -> anyhow::Result<Option<DatabaseUrl>> {
        let url = self.pick_with(key, in_file, parse)?;
        Ok(match self.environment.find(key) {
            None => url.map(|url| url.starting_at(self.file.directory())),
            Some(_) => url,
        })
    }

    /// What was parsed of a value in the file, or where it stands and what was expected.
    pub(super) fn in_file<T>(&self, key: &str, parsed: Result<T, String>) -> anyhow::Result<T> {
        parsed.map_err(|expected| anyhow::anyhow!("{}, key '{key}': {expected}", self.file.path.display()))
    }
}
