//! One connection, from the first byte to the last.

use super::activity::{Activity, Voucher};
use super::answer::WatchedBody;
use super::stream::{Streams, Watch};
use super::transport::Transport;
use crate::http::client::Peer;
use crate::http::headers::shed;
use crate::tls::Tls;
use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::coop::unconstrained;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// How long a client may take to send its request's head, and how long an idle connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take for the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client that was told of the end may take to go.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long connections may take to say that their answers are broken off.
const BREAKING_OFF: Duration = Duration::from_millis(100);
/// How often an HTTP/2 client is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// The longest head of a request in HTTP/1.1, in bytes, and what of a request is read ahead.
const MAX_HEAD: usize = 64 * 1024;
/// What of the bodies of a connection's requests is read ahead in HTTP/2, in bytes: a form has no more.
const WINDOW: u32 = 64 * 1024;
/// Requests of a connection that HTTP/2 answers at a time: as many as there are slots for exports, and few enough for those who
/// take none of their answers.
const STREAMS: u32 = 8;

/// What all connections share.
pub(super) struct Shared {
    pub(super) router: Router,
    /// `None`: HTTP without TLS.
    pub(super) tls: Option<Arc<Tls>>,
    /// How long a client may take nothing of its answer.
    pub(super) stall: Duration,
    /// Cancelled when connections should end with what they are doing.
    pub(super) stopping: CancellationToken,
    /// Cancelled when they should end at once.
    pub(super) break_off: CancellationToken,
}

/// Serves one connection to its end.
pub(super) async fn serve(shared: &Shared, stream: TcpStream, peer: SocketAddr, activity: &Arc<Activity>) {
    let transport = match Transport::new(stream, shared.stall, Arc::clone(activity)) {
        Ok(transport) => transport,
        Err(error) => return tracing::debug!(%peer, %error, "connection"),
    };
    let mut speaking = std::pin::pin!(speak(shared, transport, peer, activity));
    let patience = tokio::select! {
        () = speaking.as_mut() => return,
        () = activity.closing.cancelled() => {
            tracing::debug!(%peer, "a connection makes room for another");
            Duration::ZERO
        }
        () = shared.break_off.cancelled() => BREAKING_OFF,
    };
    // An answer that is under way ends as one that is broken off, if the client still takes that.
    activity.is_torn.store(true, Ordering::Relaxed);
    let _ = tokio::time::timeout(patience, unconstrained(speaking)).await;
}

async fn speak(shared: &Shared, transport: Transport, peer: SocketAddr, activity: &Arc<Activity>) {
    let Some(tls) = &shared.tls else {
        return speak_http(shared, transport, peer, activity).await;
    };
    let handshake =
        tokio::time::timeout(HANDSHAKE_TIMEOUT.min(shared.stall), tls.acceptor().accept(transport));
    let accepted = tokio::select! {
        accepted = handshake => accepted,
        () = shared.stopping.cancelled() => return,
    };
    match accepted {
        Ok(Ok(stream)) => {
            activity.restart();
            speak_http(shared, stream, peer, activity).await;
        }
        Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake"),
        Err(_) => tracing::debug!(%peer, "the TLS handshake took too long"),
    }
}

async fn speak_http(
    shared: &Shared,
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    peer: SocketAddr,
    activity: &Arc<Activity>,
) {
    let service = hyper::service::service_fn(|request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(axum::body::Body::new);
        // At once, not when its task has its turn.
        shed(&mut request);
        let task = Arc::new(activity.begin_request());
        let (router, stall) = (shared.router.clone(), activity.stall.clone());
        // In a box, which is gone when the answer is known.
        Box::pin(async move {
            let watch = Watch::current();
            let stall = match &watch {
                Some(watch) => stall.of_stream(&watch.is_cut_off),
                None => stall,
            };
            request.extensions_mut().insert(Peer(peer));
            request.extensions_mut().insert(stall);
            request.extensions_mut().insert(Voucher(Arc::clone(&task)));
            let response = router.oneshot(request).await;
            response.map(|response| response.map(|body| WatchedBody::new(body, watch, task)))
        })
    });
    let builder = builder(shared);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(io), service));
    // A client that is slow with a head, and one that sends none, are the same here: nothing is to be done for them.
    let mut patience = IDLE_TIMEOUT.min(shared.stall);
    let mut is_ending = false;
    loop {
        tokio::select! {
            // A request that has come is served, even if the time for it is over just now.
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%peer, error, "connection");
                }
                return;
            }
            () = activity.idle_for(patience) => {
                if is_ending {
                    return;
                }
                activity.restart();
                patience = FAREWELL;
            }
            () = shared.stopping.cancelled(), if !is_ending => {}
        }
        is_ending = true;
        connection.as_mut().graceful_shutdown();
    }
}

fn builder(shared: &Shared) -> Builder<Streams> {
    let streams = Streams { stall: shared.stall, break_off: shared.break_off.clone() };
    let mut builder = Builder::new(streams);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(MAX_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .initial_connection_window_size(WINDOW)
        .initial_stream_window_size(WINDOW)
        .max_concurrent_streams(STREAMS);
    builder
}
