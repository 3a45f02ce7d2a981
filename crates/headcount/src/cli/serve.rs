//! `serve`

use super::terminal::{self, tell};
use super::{configured, open_embedded, open_exporter, open_source, open_store, process, receipt_key};
use crate::config::{Config, TlsFiles};
use crate::http::{App, Routes, server};
use crate::tls::Tls;
use anyhow::Context;
use headcount_store::Waiting;
use headcount_store::flags::FlagState;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Reads the configuration again.
pub(super) type Load = Box<dyn Fn() -> anyhow::Result<Config> + Send + Sync>;

pub(super) async fn run(config: Config, load: Load) -> anyhow::Result<()> {
    serve(config, load, async |_: &str| Ok(String::new())).await
}

/// Serves until a signal; `prepare` is called with the address, once it is taken, and says what else there is to be told.
pub(super) async fn serve(
    config: Config,
    load: Load,
    prepare: impl AsyncFnOnce(&str) -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    super::telemetry::start_logging(config.log_format, "info,sqlx=warn,tokio_postgres=warn");
    // Registered first, so that a signal during the start is not lost.
    let stop = process::stop()?;
    let hangup = signal(SignalKind::hangup())?;

    let tls = config.tls.clone().map(https).transpose()?;
    let store = open_store(&config, Waiting::Clients).await?;
    if let Some(file) = &config.source.embedded {
        let users = open_embedded(&config, file)?;
        if users.is_empty()? {
            tracing::warn!(
                "no source.url is set, and the embedded users table {} has no users{}",
                file.display(),
                configured(&config)
            );
        }
    }
    let exporter = Arc::new(open_exporter(&config, open_source(&config)?, &store).await?);
    let receipt_key = receipt_key(&store).await?;
    let listener = TcpListener::bind(config.listen).await.with_context(|| {
        format!("cannot listen on {}; choose another address with --listen", config.listen)
    })?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let address = format!("{scheme}://{}", listener.local_addr()?);
    tell!(
        "users from {}, table {}; keys, flags and audit in {}",
        config.source.url,
        config.source.mapping.table,
        config.store
    );
    let announcement = prepare(&address).await?;
    print_flags(&store.flags(&config.flags).await?, &config);
    terminal::lines(&announcement);
    tell!("listening on {address}");

    let connections = process::connections(&config.limits);
    let bounds = server::Bounds {
        connections,
        connections_per_address: config.limits.connections_per_address.unwrap_or(connections / 2).max(1),
        trusted_proxies: config.trusted_proxies.clone(),
        client_stall: config.limits.client_stall,
        grace: config.limits.shutdown_grace,
    };
    let routes = Routes::new(App::new(config.clone(), store, Arc::clone(&exporter), receipt_key));
    tokio::spawn(read_again(hangup, tls.clone(), Current { config, load, routes: Arc::clone(&routes) }));
    server::serve(listener, routes.router(), exporter, tls, bounds, stop).await;
    Ok(())
}

/// Reads the certificate.
fn https(files: TlsFiles) -> anyhow::Result<Arc<Tls>> {
    if Tls::is_key_exposed(&files) {
        tracing::warn!(
            "tls.key, {0}, can be read by other users of this machine; chmod o-r {0}",
            files.key.display()
        );
    }
    Ok(Arc::new(Tls::load(files)?))
}

/// The configuration that is in effect.
struct Current {
    config: Config,
    load: Load,
    routes: Arc<Routes>,
}

impl Current {
    /// Reads the file again, and lets take effect of it what can.
    fn read_again(&mut self) {
        let read = match (self.load)() {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "the configuration cannot be read; the old one is kept"
                );
                return;
            }
        };
        let later = self.config.needing_restart(&read).join(", ");
        let has_exports = self.config.has_source_of(&read);
        self.config = self.config.with_exports_of(&read);
        self.routes.change(self.config.clone());
        if has_exports {
            tracing::info!("the exports and the features of the configuration were read again");
        } else {
            tracing::warn!(
                "the features of the configuration were read again; the exports and their masks are kept as they are, because \
                 [source] changed: restart"
            );
        }
        if !later.is_empty() {
            tracing::warn!(
                settings = later,
                "changed in the configuration, and only a restart lets them take effect"
            );
        }
    }
}

/// Reads the configuration and the certificate again at every SIGHUP. A terminal that goes away does not end the service.
async fn read_again(mut hangup: Signal, tls: Option<Arc<Tls>>, mut current: Current) {
    while hangup.recv().await.is_some() {
        current.read_again();
        match tls.as_ref().map(|tls| tls.reload()) {
            None => {}
            Some(Ok(())) => tracing::info!("the certificate was read again"),
            Some(Err(error)) => tracing::error!(%error, "the old certificate is kept"),
        }
    }
}

fn print_flags(flags: &[FlagState], config: &Config) {
    let options = options(config);
    for flag in flags {
        let (name, state) = (&flag.name, if flag.enabled { "on" } else { "off" });
        if flag.enabled {
            tell!("{name}: {state}");
        } else {
            tell!("{name}: {state}; switch it on with: headcount{options} flags enable {name}");
        }
    }
}

/// What leads another command to the same configuration and store, unless they are where everybody looks.
fn options(config: &Config) -> String {
    let places = [
        ("config", config.file.path.as_path(), crate::config::FILE_NAME, config.file.is_there),
        ("data-dir", config.data_dir.as_path(), crate::config::DATA_DIR, true),
    ];
    let elsewhere =
        places.into_iter().filter(|(_, place, usual, is_used)| *is_used && *place != Path::new(usual));
    elsewhere
        .map(|(option, place, ..)| {
            format!(" --{option} '{}'", place.display().to_string().replace('\'', "'\\''"))
        })
        .collect()
}
