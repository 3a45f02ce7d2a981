//! The command line. Data goes to stdout, everything for people to stderr; 0 is done, 1 failed, 2 bad usage.

mod audit;
mod check;
mod demo;
mod export;
mod flags;
mod grants;
mod init;
mod keys;
mod process;
mod receipts;
mod serve;
mod terminal;
mod users;
mod verify;
mod zone;

use crate::config::{Config, Overrides};
use crate::service::{ServiceError, random_bytes};
use crate::telemetry;
use anyhow::Context;
use clap::{Parser, Subcommand};
use headcount_export::{Exporter, SlotLimits, SpoolLimits};
use headcount_model::database_url::DatabaseUrl;
use headcount_model::plan::Profile;
use headcount_model::timestamp::Timestamp;
use headcount_proof::signature::SigningKey;
use headcount_source::Source;
use headcount_source::embedded::EmbeddedUsers;
use headcount_store::audit::{AddressKey, AuditLog};
use headcount_store::{Store, StoreError, Waiting};
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// The user export service: all the users of an application as CSV, over HTTP or here.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    /// The configuration file [default: headcount.toml, if there is one here]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where Headcount keeps its own files [default: headcount-data beside the configuration file]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make sample users, switch everything on, print keys and curl lines, and serve
    Demo {
        /// How many users to make if there are none
        #[arg(long, value_name = "N", default_value_t = 1000)]
        users: u32,
        /// Where to listen; port 0 lets the system pick one [default: 127.0.0.1:8080]
        #[arg(long, value_name = "ADDR", value_parser = crate::config::parse_listen)]
        listen: Option<SocketAddr>,
    },
    /// Look at an application's database and write a configuration for it
    Init(Box<init::Arguments>),
    /// Serve the export endpoints
    Serve {
        /// Where to listen; port 0 lets the system pick one [default: 127.0.0.1:8080]
        #[arg(long, value_name = "ADDR", value_parser = crate::config::parse_listen)]
        listen: Option<SocketAddr>,
    },
    /// Export users without a server, to stdout or to a file
    Export(Box<export::Arguments>),
    /// Make, list, revoke and rotate API keys
    #[command(subcommand)]
    Keys(keys::Command),
    /// List and switch the feature flags
    #[command(subcommand)]
    Flags(flags::Command),
    /// Read the audit
    #[command(subcommand)]
    Audit(audit::Command),
    /// Show receipts, and the key that they are signed with
    #[command(subcommand)]
    Receipts(receipts::Command),
    /// Say whether a file is an export, complete and unchanged; needs nothing but the file, its receipt and a public key
    ///
    /// Exit codes: 0 complete, unchanged, and the receipt is signed with the key; 3 the same, but no key was given; 4 not
    /// complete; 5 changed; 6 the receipt is not signed with the key; 1 something cannot be read; 2 bad usage.
    Verify(verify::Arguments),
    /// Fill the embedded users table
    #[command(subcommand)]
    Users(users::Command),
    /// Say what is configured, what answers, what is missing, and what to do about it
    Check {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Print the GRANTs that a PostgreSQL role needs for the exports as they are configured, and no more
    Grants(grants::Arguments),
    /// Print the OpenAPI document
    Openapi,
}

/// Bad usage that only shows after parsing: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// What the service says, for the command line: what cannot be meant is bad usage.
fn told(error: ServiceError) -> anyhow::Error {
    match error {
        ServiceError::Invalid(problem) => Usage(problem).into(),
        error => error.into(),
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(answer) => return tell_usage(&answer),
    };
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            // A closed stderr is no reason to panic.
            let _ = writeln!(std::io::stderr(), "error: {}", shown(&format!("{error:#}")));
            ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
        }
    }
}

/// Says what is wrong with the arguments, or what was asked about them, in the colours that a terminal has for it. What it quotes of
/// them could steer one, so that it is made of arguments that cannot.
fn tell_usage(answer: &clap::Error) -> ExitCode {
    let arguments =
        std::env::args_os().map(|argument| headcount_model::text::visible(&argument.to_string_lossy()));
    match Arguments::try_parse_from(arguments) {
        Err(harmless) => {
            // A closed stdout or stderr is no reason to panic.
            let _ = harmless.print();
        }
        // What was wrong with them is gone, as a text that is not UTF-8.
        Ok(_) => terminal::lines(&answer.render().to_string()),
    }
    ExitCode::from(u8::try_from(answer.exit_code()).unwrap_or(2))
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let listen = match &arguments.command {
        Command::Demo { listen, .. } | Command::Serve { listen } => *listen,
        _ => None,
    };
    // Some need no configuration: one makes it, the other works where there is none.
    match arguments.command {
        Command::Init(init) => in_runtime(init::run(arguments.config, arguments.data_dir, *init))?,
        Command::Verify(arguments) => return verify::run(&arguments),
        command => run_configured(command, arguments.config, arguments.data_dir, listen)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn run_configured(
    command: Command,
    config: Option<PathBuf>,
    data_dir: Option<PathBuf>,
    listen: Option<SocketAddr>,
) -> anyhow::Result<()> {
    let overrides = Overrides { config, data_dir, listen };
    let environment = || {
        std::env::vars_os().filter_map(|(name, value)| {
            // What is no Unicode is none of ours, or is refused as an unknown value.
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        })
    };
    let load = Box::new(move || Config::load(overrides.clone(), environment()));
    let config = load()?;
    in_runtime(async {
        match command {
            Command::Demo { users, .. } => demo::run(config, load, users).await,
            Command::Serve { .. } => serve::run(config, load).await,
            Command::Export(arguments) => export::run(config, *arguments).await,
            Command::Keys(command) => keys::run(&config, command).await,
            Command::Flags(command) => flags::run(&config, command).await,
            Command::Audit(command) => audit::run(&config, command).await,
            Command::Receipts(command) => receipts::run(&config, command).await,
            Command::Users(command) => users::run(&config, &command),
            Command::Check { json } => check::run(&config, json).await,
            Command::Grants(arguments) => grants::run(&config, &arguments).await,
            Command::Openapi => print(&crate::http::openapi::text(&config.profiles)),
            Command::Init(_) | Command::Verify(_) => Ok(()),
        }
    })
}

/// An error for the terminal. Our own lists go on in indented lines; no other line break is ours.
fn shown(error: &str) -> String {
    error.split("\n  ").map(headcount_model::text::visible).collect::<Vec<_>>().join("\n  ")
}

/// Runs a command to its end.
fn in_runtime(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    let result = runtime.block_on(command);
    // A thread that is stuck in writing to a slow pipe must not keep a stopped process alive.
    runtime.shutdown_background();
    result
}

/// One for each core: the connections that share a scan of PostgreSQL are read and encoded by them.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Writes data to stdout. Whoever closed the pipe has what they wanted, and how the command ends does not change by that.
fn print(text: &str) -> anyhow::Result<()> {
    match write_out(text) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("stdout cannot be written"),
    }
}

fn write_out(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(&(headcount_model::text::visible_json(&serde_json::to_string_pretty(value)?) + "\n"))
}

/// The export of this name.
fn profile_named<'a>(config: &'a Config, name: &str) -> Result<&'a Arc<Profile>, Usage> {
    config.profile(name).ok_or_else(|| {
        let names: Vec<_> = config.profiles.iter().map(|profile| profile.name.as_str()).collect();
        Usage(format!("there is no export '{name}'; there are {}{}", names.join(", "), configured(config)))
    })
}

/// The store, which is made where it is missing.
async fn open_store(config: &Config, waiting: Waiting) -> anyhow::Result<Store> {
    Store::open(&config.store, waiting).await.with_context(|| format!("the store {}", config.store))
}

/// The store for commands that have nothing to put into it: where there is none they say so and make none.
async fn existing_store(config: &Config) -> anyhow::Result<Store> {
    match Store::open_existing(&config.store).await {
        Err(StoreError::Missing(problem)) => {
            Err(anyhow::anyhow!("{}{}", StoreError::Missing(problem), configured(config)))
        }
        opened => opened.with_context(|| format!("the store {}", config.store)),
    }
}

/// Where the store is, wherever one is now.
fn place_of_store(config: &Config) -> String {
    match &config.store {
        DatabaseUrl::Sqlite(path) => {
            std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string()
        }
        url => url.to_string(),
    }
}

/// Says that no configuration was found, where that may be why something is missing; as the end of a message.
fn configured(config: &Config) -> String {
    if config.file.is_there {
        return String::new();
    }
    let path = std::path::absolute(&config.file.path).unwrap_or_else(|_| config.file.path.clone());
    format!("; there is no configuration {}: name yours with --config FILE", path.display())
}

/// The configured source, or our own, which has to be there.
fn open_source(config: &Config) -> anyhow::Result<Source> {
    if let Some(file) = config.source.embedded.as_deref().filter(|file| !file.exists()) {
        anyhow::bail!(
            "no source.url is set, and there is no embedded users table {}, which 'headcount demo' and 'headcount users \
             import' make{}",
            file.display(),
            configured(config)
        );
    }
    let (url, mapping) = (&config.source.url, config.source.mapping.clone());
    let mut source = Source::new(url, mapping, config.source.parallelism, config.limits.source_stall)
        .map_err(|expected| anyhow::anyhow!("source.url: {expected}"))?;
    if config.source.is_immutable {
        source.set_immutable();
    }
    Ok(source)
}

/// Our own table in `file`, which is made where it is missing.
fn open_embedded(config: &Config, file: &Path) -> anyhow::Result<EmbeddedUsers> {
    EmbeddedUsers::open(file, &config.source.mapping.table)
        .with_context(|| format!("the embedded users table {}", file.display()))
}

/// Everything that an export needs, with this process registered in the audit.
async fn open_exporter(config: &Config, source: Source, store: &Store) -> anyhow::Result<Exporter> {
    let instance = i64::from_ne_bytes(random_bytes::<8>()?);
    let pseudonyms = store.pseudonym_key(&random_bytes()?).await?;
    let audit = AuditLog::open(store.clone(), instance, AddressKey::new(&pseudonyms)).await?;
    let slots = SlotLimits {
        exports: config.limits.concurrent_exports,
        per_key: config.limits.concurrent_exports_per_key,
        queue: config.limits.queue,
        patience: config.limits.queue_timeout,
    };
    let spools = SpoolLimits {
        directory: config.data_dir.clone(),
        bytes: config.limits.spool_bytes,
        hold: config.limits.source_hold,
    };
    Ok(Exporter::new(source, audit, pseudonyms, slots, spools, Timestamp::now))
}

/// The key that signs receipts, which is made where it is missing.
async fn receipt_key(store: &Store) -> anyhow::Result<SigningKey> {
    Ok(store.receipt_key(&random_bytes()?).await?)
}
