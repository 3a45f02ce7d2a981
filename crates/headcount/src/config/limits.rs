//! `[limits]`: what one client, one key, or a flood may use up.

use super::environment::Layers;
use super::file::LimitsSection;
use std::str::FromStr;
use std::time::Duration;

const GIB: usize = 1 << 30;
const PIB: i64 = 1 << 50;
/// Less has no room for what a few exports write at a time.
const LEAST_SPOOL: i64 = 16 << 20;

/// Bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Exports that run at the same time, 1 or more.
    pub concurrent_exports: usize,
    /// Exports that run at the same time with one key, 1 or more; `None`: as many as there are slots.
    pub concurrent_exports_per_key: Option<usize>,
    /// Requests that may wait for a slot; 0: none.
    pub queue: usize,
    /// How long each of them may wait.
    pub queue_timeout: Duration,
    /// How long a client may take nothing of its answer, 1 s or more.
    pub client_stall: Duration,
    /// What slow clients have not taken, all of them together, may take so many bytes of disk in `data_dir`, 16 MiB or more, and
    /// each of them half of it; 0: none.
    pub spool_bytes: usize,
    /// How long one export may keep the source waiting because there is no such room for it, beyond the time that its bytes
    /// take at 10 MB/s.
    pub source_hold: Duration,
    /// How long the source may give nothing while an export waits for it, 1 s or more.
    pub source_stall: Duration,
    /// Connections that are open at the same time, 1 or more; `None`: 10,000, or fewer if the system allows fewer files.
    pub connections: Option<usize>,
    /// Those of one address that it keeps when others need them, 1 or more; `None`: half of all.
    pub connections_per_address: Option<usize>,
    /// How long a stopping server lets running exports go on.
    pub shutdown_grace: Duration,
    /// Failed keys that one address may send in a minute before it has to wait.
    pub failed_keys_per_minute: u32,
    /// Requests that one key may make in a minute; `None`: as many as it likes.
    pub requests_per_minute: Option<u32>,
}

impl Limits {
    pub(super) fn read(layers: &Layers<'_>, file: LimitsSection) -> anyhow::Result<Self> {
        let concurrent_exports: Option<Count> = layers
            .pick("limits.concurrent_exports", file.concurrent_exports.map(|count| count.to_string()))?;
        let count = |key: &str, value: Option<i64>, range: std::ops::RangeInclusive<i64>| {
            value.map(|value| layers.in_file(key, within(value, &range))).transpose()
        };
        let duration = |key: &str, value: Option<String>, default: u64| -> anyhow::Result<Duration> {
            let given: Option<Span> = layers.pick(key, value)?;
            Ok(given.map_or(Duration::from_secs(default), |span| span.0))
        };
        let client_stall = duration("limits.client_stall", file.client_stall, 60)?;
        let source_stall = duration("limits.source_stall", file.source_stall, 600)?;
        Ok(Self {
            concurrent_exports: concurrent_exports.map_or(8, |count| count.0),
            concurrent_exports_per_key: count(
                "limits.concurrent_exports_per_key",
                file.concurrent_exports_per_key,
                0..=10_000,
            )?
            .filter(|limit| *limit > 0),
            queue: count("limits.queue", file.queue, 0..=10_000)?.unwrap_or(16),
            queue_timeout: duration("limits.queue_timeout", file.queue_timeout, 2)?,
            client_stall: layers.in_file("limits.client_stall", stall(client_stall))?,
            spool_bytes: layers
                .in_file("limits.spool_bytes", file.spool_bytes.map(spool).transpose())?
                .unwrap_or(GIB),
            source_hold: duration("limits.source_hold", file.source_hold, 60)?,
            source_stall: layers.in_file("limits.source_stall", stall(source_stall))?,
            connections: count("limits.connections", file.connections, 1..=1_000_000)?,
            connections_per_address: count(
                "limits.connections_per_address",
                file.connections_per_address,
                1..=1_000_000,
            )?,
            shutdown_grace: duration("limits.shutdown_grace", file.shutdown_grace, 30)?,
            failed_keys_per_minute: file.failed_keys_per_minute.unwrap_or(100),
            requests_per_minute: file.requests_per_minute.filter(|limit| *limit > 0),
        })
    }
}

fn within(value: i64, range: &std::ops::RangeInclusive<i64>) -> Result<usize, String> {
    let count = usize::try_from(value).ok().filter(|_| range.contains(&value));
    count.ok_or_else(|| format!("expected a whole number from {} to {}", range.start(), range.end()))
}

fn spool(bytes: i64) -> Result<usize, String> {
    if bytes == 0 {
        return Ok(0);
    }
    within(bytes, &(LEAST_SPOOL..=PIB)).map_err(|expected| format!("{expected}, or 0"))
}

/// The kernel counts that of a client in 32 bits of milliseconds, and less than a second is no more than a hiccup of a network.
fn stall(span: Duration) -> Result<Duration, String> {
    let range = Duration::from_secs(1)..=Duration::from_secs(86_400);
    range
        .contains(&span)
        .then_some(span)
        .ok_or_else(|| "expected a duration from \"1s\" to \"1d\"".to_owned())
}

/// A number of exports, which the environment can give, too.
struct Count(usize);

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let range = 1..=10_000;
        let value = text.parse().unwrap_or(*range.start() - 1);
        within(value, &range).map(Self)
    }
}

struct Span(Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = |_| "expected a duration, as in \"30s\" or \"2m\"".to_owned();
        humantime::parse_duration(text).map(Self).map_err(expected)
    }
}
