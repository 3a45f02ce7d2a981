//! Accepts connections and ends them in order. The caller owns the listener and says when to stop.

mod activity;
mod connection;
mod stream;
mod transport;

use crate::export::Exporter;
use crate::tls::Tls;
use activity::{Activity, IdleList};
use axum::Router;
use connection::Shared;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Pause after a failed accept, which mostly means that file descriptors are short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a connection without a request is safe from making room for another.
const IDLE_GRACE: Duration = Duration::from_millis(100);
/// How long the records of broken-off exports may take at the end.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Bounds of the server.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections that are open at the same time, 1 or more.
    pub connections: usize,
    /// How long a client may take nothing of its answer.
    pub client_stall: Duration,
    /// How long running requests may go on when the server stops.
    pub grace: Duration,
}

/// Serves until `stop` resolves; then takes no new connections, lets running requests end for `bounds.grace`, breaks
/// off what is left, and returns when every audit record is written.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    exporter: Arc<Exporter>,
    tls: Option<Arc<Tls>>,
    bounds: Bounds,
    stop: impl Future<Output = ()>,
) {
    let shared = Arc::new(Shared {
        router,
        tls,
        stall: bounds.client_stall,
        stopping: CancellationToken::new(),
        break_off: CancellationToken::new(),
    });
    let connections = TaskTracker::new();
    tokio::select! {
        () = accept(&listener, bounds.connections, &shared, &connections) => {}
        () = stop => {}
    }
    drop(listener);
    let grace = bounds.grace;
    tracing::info!(grace_seconds = grace.as_secs(), "stopping");
    shared.stopping.cancel();
    connections.close();
    if tokio::time::timeout(grace, connections.wait()).await.is_err() {
        tracing::warn!("breaking off what is still running");
        exporter.break_off();
    }
    shared.break_off.cancel();
    connections.wait().await;
    if tokio::time::timeout(SETTLE_TIMEOUT, exporter.settled()).await.is_err() {
        tracing::error!(
            "some exports ended without their record; they will be marked interrupted at the next start"
        );
    }
}

/// Accepts for ever. A connection too many takes the place of the one that has had nothing to do for the longest time;
/// where all have something to do, it waits, and others wait in the kernel's queue.
async fn accept(listener: &TcpListener, limit: usize, shared: &Arc<Shared>, connections: &TaskTracker) {
    let idle = Arc::new(IdleList::new(IDLE_GRACE));
    let places = Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS)));
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(place) = place(&places, &idle).await else { return };
        connections.spawn(connect(Arc::clone(shared), stream, peer, Activity::new(&idle), place));
    }
}

async fn place(places: &Arc<Semaphore>, idle: &IdleList) -> Option<OwnedSemaphorePermit> {
    if let Ok(place) = Arc::clone(places).try_acquire_owned() {
        return Some(place);
    }
    let mut place = std::pin::pin!(Arc::clone(places).acquire_owned());
    tokio::select! {
        // A place may come free by itself, too.
        place = place.as_mut() => return place.ok(),
        () = idle.close_one() => {}
    }
    place.await.ok()
}

async fn connect(
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    activity: Arc<Activity>,
    _place: OwnedSemaphorePermit,
) {
    connection::serve(&shared, stream, peer, &activity).await;
}
