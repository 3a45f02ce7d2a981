//! The web: which path is answered by what, and what every answer has in common.

mod access;
mod backoff;
mod client;
mod docs;
mod error;
mod exports;
mod headers;
pub mod openapi;
mod probes;
mod receipts;
mod recent;
pub mod server;
mod throttle;
mod trailers;

use crate::config::Config;
use crate::export::Exporter;
use crate::signature::SigningKey;
use crate::store::Store;
use crate::store::flags::FlagState;
use crate::store::keys::ApiKey;
use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::HeaderValue;
use axum::middleware::{Next, from_fn, map_response};
use axum::response::Response;
use axum::routing::get;
use backoff::Backoff;
use error::ApiError;
use headers::RequestId;
use recent::Recent;
use std::sync::Arc;
use throttle::Throttle;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::{CompressionLayer, CompressionLevel};
use tracing::Instrument;

/// What the handlers share.
pub struct App {
    config: Config,
    store: Store,
    exporter: Arc<Exporter>,
    receipt_key: SigningKey,
    failed_keys: Backoff<std::net::IpAddr>,
    key_uses: Throttle<String>,
    recent_flags: Recent<(), Arc<Vec<FlagState>>>,
    /// By the SHA-256 of the key.
    recent_keys: Recent<[u8; 32], Arc<ApiKey>>,
    openapi: String,
    docs: String,
}

impl App {
    /// The service over an open store and a running exporter.
    pub fn new(config: Config, store: Store, exporter: Arc<Exporter>, receipt_key: SigningKey) -> Self {
        let failed_keys = Backoff::new(config.limits.failed_keys_per_minute);
        Self {
            openapi: openapi::text(&config.profiles),
            docs: docs::page(&openapi::document(&config.profiles)),
            config,
            store,
            exporter,
            receipt_key,
            failed_keys,
            key_uses: Throttle::default(),
            recent_flags: Recent::default(),
            recent_keys: Recent::default(),
        }
    }
}

/// Every route, with what all of them share.
pub fn router(app: App) -> Router {
    let app = Arc::new(app);
    let mut exports = Router::new();
    for profile in &app.config.profiles {
        let handled = Arc::clone(profile);
        let handler = move |app, request| exports::export(app, handled, request);
        exports = exports.route(&profile.path, get(handler.clone()).post(handler));
    }
    // Speed before size: the users are waiting for a database dump, not for a web page.
    let exports = exports
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .layer(map_response(trailers::digest_what_is_sent));

    Router::new()
        .merge(exports)
        .route(receipts::RECEIPT, get(receipts::show))
        .route(receipts::PUBLIC_KEY, get(receipts::public_key))
        .route(probes::ALIVE, get(probes::export_alive))
        .route(probes::SIMPLE, get(probes::export_simple))
        .route("/healthz", get(probes::healthz))
        .route("/readyz", get(probes::readyz))
        .route("/metrics", get(probes::metrics))
        .route("/openapi.json", get(openapi::serve))
        .route("/docs", get(docs::serve))
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(CatchPanicLayer::custom(|_| axum::response::IntoResponse::into_response(ApiError::Internal)))
        .layer(from_fn(identify))
        .with_state(app)
}

/// Gives every request its id and its span, and every response the headers that all share.
async fn identify(mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    let route = request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str);
    let span = tracing::info_span!("request", method = %request.method(), route, request_id = id.as_str());
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).instrument(span).await;
    let headers = response.headers_mut();
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        headers.insert("x-request-id", id);
    }
    headers.entry("cache-control").or_insert(HeaderValue::from_static("no-store"));
    response
}
