//! Configuration: command line, then environment, then `headcount.toml`, then defaults.

mod changes;
mod environment;
mod exports;
mod file;
mod limits;
mod mapping;

use anyhow::bail;
use environment::{Environment, Layers};
pub(crate) use file::FILE_NAME;
pub use file::File;
use headcount_model::database_url::DatabaseUrl;
use headcount_model::moment;
use headcount_model::named;
use headcount_model::plan::Profile;
use headcount_source::Mapping;
use headcount_store::flags::{self, Flags};
use ipnet::IpNet;
use jiff::tz::TimeZone;
pub use limits::Limits;
use serde::Deserialize;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// The data directory, where none is named.
pub(crate) const DATA_DIR: &str = "headcount-data";

/// Everything that can be set, validated.
#[derive(Clone, Debug)]
pub struct Config {
    pub file: File,
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    pub flags: Flags,
    pub source: SourceConfig,
    pub store: DatabaseUrl,
    /// Every export, the two built-in ones first.
    pub profiles: Vec<Arc<Profile>>,
    /// `None`: text on a terminal, else JSON.
    pub log_format: Option<LogFormat>,
    pub limits: Limits,
    /// `None`: HTTP without TLS.
    pub tls: Option<TlsFiles>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    pub static_keys: StaticKeys,
}

/// The users table.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceConfig {
    pub url: DatabaseUrl,
    pub mapping: Mapping,
    /// Readers that share a large scan, threads or connections, 1 or more.
    pub parallelism: usize,
    /// That of dates and times without an offset on the command line.
    pub time_zone: TimeZone,
    /// Whether nobody writes the SQLite file, so that nothing beside it has to be written.
    pub is_immutable: bool,
    /// Columns that may leave though they look like credentials.
    pub allow_sensitive: Vec<String>,
    /// The file of our own table, which we may create and fill; `None` where a URL is set.
    pub embedded: Option<PathBuf>,
}

named! {
    /// How log lines look.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
    pub enum LogFormat {
        Text = "text",
        Json = "json",
    }
}

/// What HTTPS needs, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, and those between it and its root.
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// Keys from the environment, as hashes.
#[derive(Clone, Default)]
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
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub config: Option<PathBuf>,
    pub data_dir: Option<PathBuf>,
    pub listen: Option<SocketAddr>,
}

impl Config {
    /// The export of this name.
    pub fn profile(&self, name: &str) -> Option<&Arc<Profile>> {
        self.profiles.iter().find(|profile| profile.name == name)
    }

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
        let (read, file) = file::read_file(overrides.config.as_deref())?;
        let layers = Layers { file: &read, environment: &environment };
        let data_dir = overrides.data_dir.or_else(|| environment.get("data_dir").map(PathBuf::from));
        // The default, too, stays with the file: whichever directory a command is run in, it finds the same keys and audit.
        let data_dir = data_dir
            .unwrap_or_else(|| read.directory().join(file.data_dir.unwrap_or_else(|| DATA_DIR.into())));
        let source_url = layers.pick_url("source.url", file.source.url.clone(), DatabaseUrl::of_source)?;
        if source_url.is_none() && file.source.describes_a_table() {
            let problem = "[source] describes a table of an application, but not where it is";
            let remedy = "set source.url, or the environment variable HEADCOUNT_SOURCE_URL";
            bail!("{}: {problem}; {remedy}", read.path.display());
        }
        let own_users = data_dir.join("users.db");
        let parallelism: Option<Threads> =
            layers.pick("source.parallelism", file.source.parallelism.map(|count| count.to_string()))?;
        let is_immutable = file.source.immutable;
        if is_immutable && !matches!(source_url, Some(DatabaseUrl::Sqlite(_))) {
            let expected = "expected only where source.url is sqlite:PATH";
            layers.in_file("source.immutable", Err::<(), _>(expected.to_owned()))?;
        }
        let allow_sensitive = file.source.allow_sensitive.clone();
        let time_zone = file.source.time_zone.as_deref();
        let time_zone =
            time_zone.map(|name| layers.in_file("source.time_zone", moment::zone(name))).transpose()?;
        let mapping = mapping::mapping(&layers, file.source)?;
        let profiles = exports::profiles(&layers, file.exports, &mapping)?;
        let known = known_flags(&profiles);
        let features = file.features.map(|features| features.join(","));
        let features =
            layers.pick_with("features", features, |text| features_among(&known, text))?.unwrap_or_default();
        let log_format: Option<LogFormatText> = layers.pick("log.format", None)?;

        Ok(Self {
            listen: match overrides.listen {
                Some(listen) => listen,
                None => layers
                    .pick::<ListenAddress>("listen", file.listen)?
                    .map_or(SocketAddr::from(([127, 0, 0, 1], 8080)), |listen| listen.0),
            },
            flags: Flags { known, features },
            source: SourceConfig {
                embedded: source_url.is_none().then(|| own_users.clone()),
                url: source_url.unwrap_or(DatabaseUrl::Sqlite(own_users)),
                mapping,
                parallelism: parallelism.map_or_else(default_parallelism, |count| count.0),
                time_zone: time_zone.unwrap_or(TimeZone::UTC),
                is_immutable,
                allow_sensitive,
            },
            store: layers
                .pick_url("store.url", file.store.url, DatabaseUrl::of_store)?
                .unwrap_or_else(|| DatabaseUrl::Sqlite(data_dir.join("headcount.db"))),
            profiles,
            log_format: log_format.map(|format| format.0).or(file.log.format),
            limits: Limits::read(&layers, file.limits)?,
            tls: layers.in_file("tls", tls_files(file.tls, read.directory()))?,
            trusted_proxies: file
                .trusted_proxies
                .iter()
                .map(|network| layers.in_file("trusted_proxies", trusted_proxy(network)))
                .collect::<Result<_, _>>()?,
            static_keys: environment.static_keys,
            data_dir,
            file: read,
        })
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

/// The flag of every export, and of the two endpoints that export nothing.
fn known_flags(profiles: &[Arc<Profile>]) -> Vec<String> {
    let mut known: Vec<_> = profiles.iter().map(|profile| profile.flag().to_owned()).collect();
    // Beside the built-in ones, where they have always been listed.
    known.splice(2..2, [flags::ALIVE, flags::SIMPLE].map(str::to_owned));
    known
}

fn features_among(known: &[String], text: &str) -> Result<Vec<String>, String> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let features = names.map(|name| {
        if known.iter().any(|known| known == name) {
            return Ok(name.to_owned());
        }
        Err(format!("'{}' is not a feature; expected some of {}", name.escape_debug(), known.join(", ")))
    });
    features.collect()
}

/// As many as there are cores, but no more than a database should be asked for by default.
fn default_parallelism() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4))
}

struct LogFormatText(LogFormat);

impl FromStr for LogFormatText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = LogFormat::ALL.into_iter().find(|known| known.name() == text);
        known.map(Self).ok_or_else(|| format!("expected '{}'", LogFormat::NAMES.join("' or '")))
    }
}

fn tls_files(section: file::TlsSection, directory: &Path) -> Result<Option<TlsFiles>, String> {
    match (section.cert, section.key) {
        (None, None) => Ok(None),
        (Some(cert), Some(key)) => {
            Ok(Some(TlsFiles { cert: directory.join(cert), key: directory.join(key) }))
        }
        _ => Err("expected both tls.cert and tls.key, or neither".to_owned()),
    }
}

struct Threads(usize);

impl FromStr for Threads {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Each holds a few MiB, and a connection or a core.
        let count = text.parse().ok().filter(|count| (1..=16).contains(count));
        count.map(Self).ok_or_else(|| "expected a whole number from 1 to 16".to_owned())
    }
}

fn trusted_proxy(text: &str) -> Result<IpNet, String> {
    let network =
        text.parse().or_else(|_| text.parse().map(|address: std::net::IpAddr| IpNet::from(address)));
    network.map_err(|_| "expected addresses or networks, as in [\"127.0.0.1\", \"10.0.0.0/8\"]".to_owned())
}

#[cfg(test)]
mod hostile;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    pub(super) fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
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
        // Beside the file.
        let data_dir = config.file.directory().join(DATA_DIR);
        assert_eq!(config.source.url, DatabaseUrl::Sqlite(data_dir.join("users.db")));
        assert_eq!(config.store, DatabaseUrl::Sqlite(data_dir.join("headcount.db")));
        assert_eq!(config.limits.concurrent_exports, 8);
        assert_eq!(config.limits.shutdown_grace, Duration::from_secs(30));
        assert!(config.flags.features.is_empty() && config.source.embedded.is_some());
    }

    #[test]
    fn the_environment_beats_the_file() {
        let file = "listen = '127.0.0.1:1'\nfeatures = ['users:export']\n[limits]\nconcurrent_exports = 2";
        let config = load(file, &[("HEADCOUNT_LISTEN", "127.0.0.1:2"), ("HEADCOUNT_FEATURES", "")]);
        let config = config.expect("a configuration");
        assert_eq!(config.listen.port(), 2);
        assert_eq!(config.flags.features, ["users:export"]);
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
