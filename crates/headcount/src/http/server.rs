//! Accepts connections and ends them in order. The caller owns the listener and says when to stop.

mod activity;
mod answer;
mod connection;
mod places;
mod stream;
mod transport;

use super::client::{counted_as, is_trusted};
use crate::tls::Tls;
use activity::Activity;
pub(super) use activity::Voucher;
use axum::Router;
use connection::Shared;
use headcount_export::Exporter;
use ipnet::IpNet;
use places::Places;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Pause after a failed accept, which mostly means that file descriptors are short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long the records of broken-off exports may take at the end.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Bounds of the server.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Connections that are open at the same time, 1 or more.
    pub connections: usize,
    /// Those of one address that it keeps when others need them, 1 or more.
    pub connections_per_address: usize,
    /// Who speaks for many, and has no such bound.
    pub trusted_proxies: Vec<IpNet>,
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
        () = accept(&listener, &bounds, &shared, &connections) => {}
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
            "some exports ended without their record; they will be marked interrupted by another instance, or at the next start"
        );
    }
}

/// Accepts for ever. A connection too many takes the place of one that can be spared; where there is none, it waits, and others
/// wait in the kernel's queue.
async fn accept(listener: &TcpListener, bounds: &Bounds, shared: &Arc<Shared>, connections: &TaskTracker) {
    let places = Arc::new(Places::new(bounds.connections_per_address));
    let free = Arc::new(Semaphore::new(bounds.connections.min(Semaphore::MAX_PERMITS)));
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(place) = place(&free, &places).await else { return };
        let activity = Activity::new(&places, holder(peer, &bounds.trusted_proxies));
        connections.spawn(connect(Arc::clone(shared), stream, peer, activity, place));
    }
}

/// Whose connection it is; `None`: that of a proxy, whose clients are not to be locked out together.
fn holder(peer: SocketAddr, proxies: &[IpNet]) -> Option<IpAddr> {
    let address = peer.ip().to_canonical();
    (!is_trusted(proxies, address)).then(|| counted_as(address))
}

async fn place(free: &Arc<Semaphore>, places: &Places) -> Option<OwnedSemaphorePermit> {
    if let Ok(place) = Arc::clone(free).try_acquire_owned() {
        return Some(place);
    }
    let mut place = std::pin::pin!(Arc::clone(free).acquire_owned());
    tokio::select! {
        // A place may come free by itself, too.
        place = place.as_mut() => return place.ok(),
        () = places.close_one() => {}
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
