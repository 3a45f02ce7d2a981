//! Accepts connections and ends them in order. The caller owns the listener and says when to stop.

use super::client::Peer;
use crate::export::Exporter;
use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// How long a client may take to send its request's head, and how long an idle connection is kept.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How often an HTTP/2 client is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Pause after a failed accept, which mostly means that file descriptors are short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long the records of broken-off exports may take at the end.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until `stop` resolves; then takes no new connections, lets running requests end for `grace`, breaks off what
/// is left, and returns when every audit record is written.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    exporter: Arc<Exporter>,
    stop: impl Future<Output = ()>,
    grace: Duration,
) {
    let graceful = GracefulShutdown::new();
    let break_off = CancellationToken::new();
    let connections = TaskTracker::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = connection(stream, peer, router.clone(), &graceful);
                let break_off = break_off.clone();
                connections.spawn(async move {
                    tokio::select! {
                        () = connection => {}
                        () = break_off.cancelled() => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    tracing::info!(grace_seconds = grace.as_secs(), "stopping");
    if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("breaking off what is still running");
        exporter.break_off();
    }
    // Also ends connections that a graceful end does not reach.
    break_off.cancel();
    connections.close();
    connections.wait().await;
    if tokio::time::timeout(SETTLE_TIMEOUT, exporter.settled()).await.is_err() {
        tracing::error!(
            "some exports ended without their record; they will be marked interrupted at the next start"
        );
    }
}

fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + 'static {
    let _ = stream.set_nodelay(true);
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(Peer(peer));
        router.clone().oneshot(request)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .max_concurrent_streams(100);
    let watched = graceful.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
    async move {
        if let Err(error) = watched.await {
            tracing::debug!(%peer, error, "connection");
        }
    }
}
