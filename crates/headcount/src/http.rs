//! The web: which path is answered by what, and what every answer has in common.

mod access;
mod backoff;
mod client;
mod coding;
mod docs;
mod error;
mod exports;
mod headers;
pub mod openapi;
mod probes;
mod readiness;
mod receipts;
mod recent;
mod records;
mod scrapes;
pub mod server;
mod throttle;
mod trailers;

use crate::config::Config;
use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::HeaderValue;
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use backoff::Backoff;
use bytes::Bytes;
use error::ApiError;
use headcount_export::Exporter;
use headcount_model::mask::PseudonymKey;
use headcount_proof::signature::SigningKey;
use headcount_store::Store;
use headcount_store::flags::FlagState;
use headcount_store::keys::ApiKey;
use headers::RequestId;
use parking_lot::{RwLock, RwLockReadGuard};
use readiness::Readiness;
use recent::Recent;
use scrapes::Scrapes;
use std::any::Any;
use std::sync::{Arc, OnceLock};
use throttle::Throttle;
use tower::{ServiceExt, service_fn};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

/// Where declared exports are; what is here is none.
const NO_EXPORT: &str = "/api/v1/users/exports/profiles/{name}";

/// What the handlers share.
pub struct App {
    config: Config,
    store: Store,
    exporter: Arc<Exporter>,
    receipt_key: Arc<SigningKey>,
    /// Names the keys of the environment in the audit.
    static_keys: PseudonymKey,
    failed_keys: Arc<Backoff<std::net::IpAddr>>,
    key_uses: Arc<Throttle<String>>,
    recent_flags: Recent<(), Arc<Vec<FlagState>>>,
    /// By the SHA-256 of the key.
    recent_keys: Arc<Recent<[u8; 32], Arc<ApiKey>>>,
    readiness: Readiness,
    scrapes: Scrapes,
    /// Made once, for the first who asks: who asks for them again and takes nothing costs next to nothing, and so does a start.
    openapi: OnceLock<Bytes>,
    docs: OnceLock<Bytes>,
}

impl App {
    /// The service over an open store and a running exporter.
    pub fn new(config: Config, store: Store, exporter: Arc<Exporter>, receipt_key: SigningKey) -> Self {
        let failed_keys = Backoff::new(config.limits.failed_keys_per_minute);
        Self {
            static_keys: exporter.derived_key("ids of the keys in the environment"),
            config,
            store,
            exporter,
            receipt_key: Arc::new(receipt_key),
            failed_keys: Arc::new(failed_keys),
            key_uses: Arc::default(),
            recent_flags: Recent::default(),
            recent_keys: Arc::default(),
            readiness: Readiness::default(),
            scrapes: Scrapes::default(),
            openapi: OnceLock::new(),
            docs: OnceLock::new(),
        }
    }
}

impl App {
    /// The same service with other exports and features: what it knows of keys and addresses stays.
    fn with(&self, config: Config) -> Self {
        Self {
            static_keys: self.static_keys.clone(),
            config,
            store: self.store.clone(),
            exporter: Arc::clone(&self.exporter),
            receipt_key: Arc::clone(&self.receipt_key),
            failed_keys: Arc::clone(&self.failed_keys),
            key_uses: Arc::clone(&self.key_uses),
            recent_flags: Recent::default(),
            recent_keys: Arc::clone(&self.recent_keys),
            readiness: Readiness::default(),
            scrapes: Scrapes::default(),
            openapi: OnceLock::new(),
            docs: OnceLock::new(),
        }
    }
}

/// The routes as the configuration has them now, which may be read again while requests are answered.
pub struct Routes {
    now: RwLock<(Arc<App>, Router)>,
}

impl Routes {
    pub fn new(app: App) -> Arc<Self> {
        let app = Arc::new(app);
        Arc::new(Self { now: RwLock::new((Arc::clone(&app), router(app))) })
    }

    /// From now on requests are answered with the exports and the features of this configuration.
    pub fn change(&self, config: Config) {
        let app = Arc::new(self.now().0.with(config));
        let routes = router(Arc::clone(&app));
        *self.now.write() = (app, routes);
    }

    fn now(&self) -> RwLockReadGuard<'_, (Arc<App>, Router)> {
        self.now.read()
    }

    /// Answers each request with the routes of its time.
    pub fn router(self: &Arc<Self>) -> Router {
        let routes = Arc::clone(self);
        Router::new().fallback_service(service_fn(move |request: Request| {
            let routes = routes.now().1.clone();
            routes.oneshot(request)
        }))
    }
}

/// Every route, with what all of them share.
fn router(app: Arc<App>) -> Router {
    let mut exports = Router::new();
    let profiles = app.config.profiles.iter();
    for (profile, endpoint) in profiles.flat_map(|profile| profile.endpoints().map(move |at| (profile, at))) {
        let path = endpoint.path.clone();
        let handled = exports::Handled { profile: Arc::clone(profile), endpoint };
        let handler =
            async move |app, request| coding::note_status(exports::export(app, handled, request).await);
        exports = exports.route(&path, get(handler.clone()).post(handler));
    }
    let exports = exports
        .layer(coding::compression())
        .layer(map_response(async |response| trailers::digest_what_is_sent(coding::keep_status(response))));

    let routes = Router::new()
        .merge(exports)
        .route(records::RECORDS, get(records::list))
        .route(receipts::RECEIPT, get(receipts::show))
        .route(receipts::PUBLIC_KEY, get(receipts::public_key))
        .route(probes::ALIVE, get(probes::export_alive))
        .route(probes::SIMPLE, get(probes::export_simple))
        .route("/healthz", get(probes::healthz))
        .route("/readyz", get(probes::readyz))
        .route("/metrics", get(probes::metrics))
        .route("/openapi.json", get(openapi::serve))
        .route("/docs", get(docs::serve))
        .route(NO_EXPORT, any(async || ApiError::NoExport))
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .with_state(app);
    with_what_all_share(routes)
}

fn with_what_all_share(routes: Router) -> Router {
    routes.layer(CatchPanicLayer::custom(after_panic)).layer(from_fn(identify))
}

/// The answer of a handler that panicked. What it said is on stderr, and might quote anything.
fn after_panic(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    ApiError::Internal.into_response()
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

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use axum::http::StatusCode;

    #[tokio::test]
    async fn a_handler_that_panics_is_answered_for() {
        let routes = Router::new()
            .route("/panics", get(async || -> &'static str { panic!("as a bug would") }))
            .route("/works", get(async || "works"));
        let service = with_what_all_share(routes);
        let get = |path: &str| {
            let request = Request::builder().uri(path).header("x-request-id", "mine");
            service.clone().oneshot(request.body(Body::empty()).expect("a request"))
        };
        let answer = get("/panics").await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in [
            ("x-request-id", "mine"),
            ("content-type", "application/json"),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(answer.headers()[name], value);
        }
        let body = to_bytes(answer.into_body(), 1024).await.expect("a body");
        let json: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(json, serde_json::json!({"detail": "Internal server error", "status_code": 500}));
        assert_eq!(get("/works").await.expect("an answer").status(), StatusCode::OK);
    }
}
