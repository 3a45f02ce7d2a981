//! Configuration: command line, then environment, then `headcount.toml`, then defaults.

use crate::database_url::DatabaseUrl;
use crate::source::TableName;
use crate::store::flags::Flag;
use crate::store::keys;
use anyhow::{Context, bail};
use ipnet::IpNet;
use serde::Deserialize;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// The file that is read from the working directory unless another is named.
pub(crate) const FILE_NAME: &str = "headcount.toml";

/// Everything that can be set, validated.
#[derive(Debug)]
pub struct Config {
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    pub features: Vec<Flag>,
    pub source: SourceConfig,
    pub store: DatabaseUrl,
    pub filenames: Filenames,
    /// `None`: text on a terminal, else JSON.
    pub log_format: Option<LogFormat>,
    pub limits: Limits,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    pub static_keys: StaticKeys,
}

/// The users table.
#[derive(Debug)]
pub struct SourceConfig {
    pub url: DatabaseUrl,
    pub table: TableName,
    /// No URL was set: the table is our own, which we may create and fill.
    pub is_embedded: bool,
}

/// What downloads are called.
#[derive(Debug)]
pub struct Filenames {
    pub minimal: String,
    pub full: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// Bounds.
#[derive(Debug)]
pub struct Limits {
    /// Exports that run at the same time, 1 or more.
    pub concurrent_exports: usize,
    /// How long a stopping server lets running exports go on.
    pub shutdown_grace: Duration,
    /// Failed keys that one address may send in a minute.
    pub failed_keys_per_minute: u32,
    /// Requests that one key may make in a minute; `None`: as many as it likes.
    pub requests_per_minute: Option<u32>,
}

/// Keys from the environment, as hashes.
#[derive(Default)]
pub struct StaticKeys {
    pub standard: Option<[u8; 32]>,
    pub export: Option<[u8; 32]>,
}

impl fmt::Debug for StaticKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticKeys")
            .field("standard", &self.standard.is_some())
            .field("export", &self.export.is_some())
            .finish()
    }
}

/// What the command line sets.
#[derive(Debug, Default)]
pub struct Overrides {
    pub config: Option<PathBuf>,
    pub data_dir: Option<PathBuf>,
    pub listen: Option<SocketAddr>,
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ConfigFile {
    listen: Option<String>,
    data_dir: Option<PathBuf>,
    features: Option<Vec<String>>,
    trusted_proxies: Vec<String>,
    source: SourceSection,
    store: StoreSection,
    exports: ExportsSection,
    log: LogSection,
    limits: LimitsSection,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SourceSection {
    url: Option<String>,
    table: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct StoreSection {
    url: Option<String>,
}

// Written by hand because the URLs can hold passwords.
impl fmt::Debug for SourceSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceSection").field("table", &self.table).finish_non_exhaustive()
    }
}

impl fmt::Debug for StoreSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreSection").finish_non_exhaustive()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ExportsSection {
    minimal: ExportSection,
    full: ExportSection,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ExportSection {
    filename: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LogSection {
    format: Option<LogFormat>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LimitsSection {
    concurrent_exports: Option<usize>,
    shutdown_grace: Option<String>,
    failed_keys_per_minute: Option<u32>,
    requests_per_minute: Option<u32>,
}

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

impl Config {
    /// Reads every layer.
    ///
    /// # Errors
    ///
    /// An unknown key or a bad value, with where it stands and what was expected.
    pub fn load(
        overrides: Overrides,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        let environment = Environment::of(environment)?;
        let (path, file) = read_file(overrides.config.as_deref())?;
        let layers = Layers { path: &path, environment: &environment };

        let data_dir = overrides
            .data_dir
            .or_else(|| environment.get("data_dir").map(PathBuf::from))
            .or(file.data_dir)
            .unwrap_or_else(|| PathBuf::from("headcount-data"));
        let in_data_dir = |name| DatabaseUrl::Sqlite(data_dir.join(name));
        let source_url: Option<DatabaseUrl> = layers.pick("source.url", file.source.url)?;
        let concurrent_exports = layers.pick(
            "limits.concurrent_exports",
            file.limits.concurrent_exports.map(|count| count.to_string()),
        )?;
        let log_format: Option<LogFormatText> = layers.pick("log.format", None)?;
        let shutdown_grace: Option<GracePeriod> =
            layers.pick("limits.shutdown_grace", file.limits.shutdown_grace)?;

        Ok(Self {
            listen: match overrides.listen {
                Some(listen) => listen,
                None => layers
                    .pick::<ListenAddress>("listen", file.listen)?
                    .map_or(SocketAddr::from(([127, 0, 0, 1], 8080)), |listen| listen.0),
            },
            features: layers
                .pick::<Features>("features", file.features.map(|features| features.join(",")))?
                .unwrap_or_default()
                .0,
            source: SourceConfig {
                is_embedded: source_url.is_none(),
                url: source_url.unwrap_or_else(|| in_data_dir("users.db")),
                table: layers
                    .pick("source.table", file.source.table.or_else(|| Some("users".to_owned())))?
                    .context("source.table has a default")?,
            },
            store: layers.pick("store.url", file.store.url)?.unwrap_or_else(|| in_data_dir("headcount.db")),
            filenames: Filenames {
                minimal: layers.filename(
                    "exports.minimal.filename",
                    file.exports.minimal,
                    "users_export.csv",
                )?,
                full: layers.filename("exports.full.filename", file.exports.full, "users_full_export.csv")?,
            },
            log_format: log_format.map(|format| format.0).or(file.log.format),
            limits: Limits {
                concurrent_exports: concurrent_exports.unwrap_or(AtLeastOne(8)).0,
                shutdown_grace: shutdown_grace.map_or(Duration::from_secs(30), |grace| grace.0),
                failed_keys_per_minute: file.limits.failed_keys_per_minute.unwrap_or(100),
                requests_per_minute: file.limits.requests_per_minute.filter(|limit| *limit > 0),
            },
            trusted_proxies: file
                .trusted_proxies
                .iter()
                .map(|network| layers.in_file("trusted_proxies", network, trusted_proxy(network)))
                .collect::<Result<_, _>>()?,
            static_keys: environment.static_keys,
            data_dir,
        })
    }
}

fn read_file(named: Option<&Path>) -> anyhow::Result<(PathBuf, ConfigFile)> {
    let path = named.unwrap_or(Path::new(FILE_NAME));
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    let file = toml::from_str(&text).map_err(|error| {
        // The whole error would quote the line, and the line could hold a password.
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        let key = error.span().and_then(|_| text.lines().nth(line - 1)).and_then(key_of_line);
        let key = key.map_or_else(String::new, |key| format!(", key '{key}'"));
        anyhow::anyhow!("{}, line {line}{key}: {}", path.display(), error.message())
    })?;
    Ok((path.to_owned(), file))
}

/// What stands before the `=`, or the section's name.
fn key_of_line(line: &str) -> Option<&str> {
    let key = line.split('=').next()?.trim().trim_matches(['[', ']']);
    (!key.is_empty()).then_some(key)
}

/// Our variables of the environment.
#[derive(Default)]
struct Environment {
    values: Vec<(&'static str, &'static str, String)>,
    static_keys: StaticKeys,
}

impl Environment {
    fn of(variables: impl IntoIterator<Item = (String, String)>) -> anyhow::Result<Self> {
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
            } else if !is_service_link(rest) {
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

    fn get(&self, key: &str) -> Option<&str> {
        self.find(key).map(|(_, value)| value)
    }

    fn find(&self, key: &str) -> Option<(&'static str, &str)> {
        let found = self.values.iter().find(|(_, known, _)| *known == key);
        found.map(|(variable, _, value)| (*variable, value.as_str()))
    }
}

/// Kubernetes sets `NAME_PORT…` and `NAME_SERVICE_…` in every pod beside a service of that name.
fn is_service_link(rest: &str) -> bool {
    rest.starts_with("SERVICE_") || rest == "PORT" || rest.starts_with("PORT_")
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
struct Layers<'a> {
    path: &'a Path,
    environment: &'a Environment,
}

impl Layers<'_> {
    /// The value of a key, from the environment or else from the file.
    fn pick<T: FromStr<Err = String>>(
        &self,
        key: &str,
        in_file: Option<String>,
    ) -> anyhow::Result<Option<T>> {
        if let Some((variable, value)) = self.environment.find(key) {
            let problem = |expected| anyhow::anyhow!("environment variable {variable}: {expected}");
            return value.parse().map(Some).map_err(problem);
        }
        in_file.map(|value| self.in_file(key, &value, value.parse())).transpose()
    }

    fn in_file<T>(&self, key: &str, _value: &str, parsed: Result<T, String>) -> anyhow::Result<T> {
        parsed.map_err(|expected| anyhow::anyhow!("{}, key '{key}': {expected}", self.path.display()))
    }

    fn filename(&self, key: &str, section: ExportSection, default: &str) -> anyhow::Result<String> {
        let name = section.filename.unwrap_or_else(|| default.to_owned());
        let is_usable = !name.is_empty()
            && !name.starts_with('.')
            && !name.chars().any(|c| c.is_control() || matches!(c, '/' | '\\' | '"'));
        let parsed = if is_usable {
            Ok(name)
        } else {
            Err("expected a file name without path, quotes or control characters".to_owned())
        };
        self.in_file(key, "", parsed)
    }
}

struct ListenAddress(SocketAddr);

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_listen(text).map(Self)
    }
}

/// Reads where to listen.
pub(crate) fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected ADDRESS:PORT with a numeric address, as in 127.0.0.1:8080".to_owned())
}

#[derive(Default)]
struct Features(Vec<Flag>);

impl FromStr for Features {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let flags = names.map(|name| {
            Flag::from_name(name).ok_or_else(|| {
                let known = Flag::ALL.map(Flag::name).join(", ");
                format!("'{}' is not a feature; expected some of {known}", name.escape_debug())
            })
        });
        flags.collect::<Result<_, _>>().map(Self)
    }
}

struct LogFormatText(LogFormat);

impl FromStr for LogFormatText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self(LogFormat::Text)),
            "json" => Ok(Self(LogFormat::Json)),
            _ => Err("expected 'text' or 'json'".to_owned()),
        }
    }
}

struct AtLeastOne(usize);

impl FromStr for AtLeastOne {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The runtime's semaphores hold no more; nor would any database.
        let count = text.parse().ok().filter(|count| (1..=10_000).contains(count));
        count.map(Self).ok_or_else(|| "expected a whole number from 1 to 10000".to_owned())
    }
}

struct GracePeriod(Duration);

impl FromStr for GracePeriod {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = |_| "expected a duration, as in \"30s\" or \"2m\"".to_owned();
        humantime::parse_duration(text).map(Self).map_err(expected)
    }
}

fn trusted_proxy(text: &str) -> Result<IpNet, String> {
    let network =
        text.parse().or_else(|_| text.parse().map(|address: std::net::IpAddr| IpNet::from(address)));
    network.map_err(|_| "expected addresses or networks, as in [\"127.0.0.1\", \"10.0.0.0/8\"]".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("test.toml");
        std::fs::write(&path, file).expect("a file");
        let overrides = Overrides { config: Some(path.clone()), ..Overrides::default() };
        let variables = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(overrides, variables)
            .map_err(|error| format!("{error:#}").replace(&path.display().to_string(), "FILE"))
    }

    #[test]
    fn defaults() {
        let config = load("", &[]).expect("a configuration");
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.source.url.to_string(), "sqlite:headcount-data/users.db");
        assert_eq!(config.store.to_string(), "sqlite:headcount-data/headcount.db");
        assert_eq!(config.limits.concurrent_exports, 8);
        assert_eq!(config.limits.shutdown_grace, Duration::from_secs(30));
        assert!(config.features.is_empty() && config.source.is_embedded);
    }

    #[test]
    fn the_environment_beats_the_file() {
        let file = "listen = '127.0.0.1:1'\nfeatures = ['users:export']\n[limits]\nconcurrent_exports = 2";
        let config = load(file, &[("HEADCOUNT_LISTEN", "127.0.0.1:2"), ("HEADCOUNT_FEATURES", "")]);
        let config = config.expect("a configuration");
        assert_eq!(config.listen.port(), 2);
        assert_eq!(config.features, [Flag::Export]);
        assert_eq!(config.limits.concurrent_exports, 2);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (file, environment, expected) in [
            ("lisen = 'x'", vec![], "FILE, line 1, key 'lisen': unknown field `lisen`, expected one of"),
            (
                "\n[limits]\nconcurrent = 1",
                vec![],
                "FILE, line 3, key 'concurrent': unknown field `concurrent`",
            ),
            ("[log]\nformat = 'xml'", vec![], "FILE, line 2, key 'format': unknown variant `xml`, expected"),
            ("listen = 'here'", vec![], "FILE, key 'listen': expected ADDRESS:PORT"),
            (
                "[limits]\nconcurrent_exports = 0",
                vec![],
                "FILE, key 'limits.concurrent_exports': expected a whole",
            ),
            (
                "[source]\nurl = 'mysql://me:s3cret@db'",
                vec![],
                "FILE, key 'source.url': expected sqlite:PATH or",
            ),
            (
                "[exports.full]\nfilename = 'a/b'",
                vec![],
                "FILE, key 'exports.full.filename': expected a file name",
            ),
            ("features = ['users:exprt']", vec![], "FILE, key 'features': 'users:exprt' is not a feature"),
            (
                "",
                vec![("HEADCOUNT_LOG_FORMAT", "xml")],
                "environment variable HEADCOUNT_LOG_FORMAT: expected 'text'",
            ),
            ("", vec![("HEADCOUNT_FEATURE", "x")], "environment variable HEADCOUNT_FEATURE is not known"),
            (
                "",
                vec![("HEADCOUNT_API_KEY", "s3cret")],
                "environment variable HEADCOUNT_API_KEY: expected 16",
            ),
        ] {
            let error = load(file, &environment).map(|_| ()).expect_err(expected);
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let config = load(
            "[source]\nurl = 'postgres://me:s3cret@db/app'",
            &[
                ("HEADCOUNT_API_KEY", "s3cret-s3cret-s3cret"),
                ("HEADCOUNT_STORE_URL", "postgres://me:s3cret@db/x"),
            ],
        );
        assert!(!format!("{config:?}").contains("s3cret"));
    }
}
