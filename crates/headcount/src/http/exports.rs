//! The export endpoints: flag, key, grant, parameters, capacity, data. The first that fails answers, and every
//! request leaves its record, but for those that find no place for a draft of it.

use super::App;
use super::access::{Caller, authenticate, is_enabled};
use super::client;
use super::error::ApiError;
use super::headers::{RequestId, accepted, attachment};
use super::server::Voucher;
use super::trailers::{self, WithTrailers};
use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Version, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use headcount_export::{Allowance, PendingRecord, Stall, Terms};
use headcount_model::plan::{Endpoint, FormatName, Formats, PARAMETERS, Plan, Profile};
use headcount_model::text::fresh_id;
use headcount_model::timestamp::Timestamp;
use headcount_store::audit::{self, Outcome};
use headcount_store::budgets::Day;
use http_body::Body as _;
use http_body_util::BodyExt;
use percent_encoding::percent_decode;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// A form of parameters, in bytes.
const MAX_FORM: usize = 64 * 1024;
const FORM_TIMEOUT: Duration = Duration::from_secs(10);

/// An endpoint, and the export that it gives.
#[derive(Clone)]
pub(super) struct Handled {
    pub(super) profile: Arc<Profile>,
    pub(super) endpoint: Endpoint,
}

/// Answers one request to an export endpoint.
pub(super) async fn export(State(app): State<Arc<App>>, handled: Handled, request: Request) -> Response {
    let mut draft = match app.exporter.draft(audit_request(&app, &handled.endpoint, &request)).await {
        Ok(draft) => draft,
        Err(error) => return refuse(&app, None, error.into()).await,
    };
    let is_head = request.method() == Method::HEAD;
    let stall = request.extensions().get::<Stall>().cloned().unwrap_or_default();
    // In boxes: they are large, and a refusal would have to have room for them as long as it waits for its record.
    let admitted = Box::pin(admit(&app, &handled, request, &mut draft)).await;
    let answered = match admitted {
        Ok((plan, allowance)) => {
            let terms = Terms { stall, allowance };
            Box::pin(answer(&app, plan, is_head, &mut draft, terms)).await
        }
        Err(error) => Err(error),
    };
    let mut response = match answered {
        Ok(response) => response,
        Err(error) => refuse(&app, Some(draft), error).await,
    };
    if handled.endpoint.formats.offered.len() > 1 {
        response.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
    }
    response
}

/// Runs what the plan asks for: an export, or a look at one.
async fn answer(
    app: &App,
    plan: Plan,
    is_head: bool,
    draft: &mut PendingRecord,
    terms: Terms,
) -> Result<Response, ApiError> {
    let (id, format) = (draft.request.id.clone(), plan.format.name());
    let filename = plan.profile.filename_in(format);
    if plan.preflight {
        let described = app.exporter.preflight(&plan, draft).await?;
        record_look(draft, "preflight").await?;
        let mut response = Json(described).into_response();
        mark(&mut response, &id);
        return Ok(response);
    }
    if is_head {
        app.exporter.check(&plan, draft).await?;
        record_look(draft, "head").await?;
        // Of unknown length, as the export itself would be.
        let nothing = futures_util::stream::empty::<Result<Bytes, Infallible>>();
        return Ok(download(&filename, format, &id, Body::from_stream(nothing)));
    }
    let stream = app.exporter.start(plan, draft, terms).await?;
    Ok(download(&filename, format, &id, Body::new(WithTrailers::new(stream))))
}

/// Records a request that was answered without an export.
async fn record_look(draft: &mut PendingRecord, what: &str) -> Result<(), ApiError> {
    let recorded = draft.close(Outcome::Completed, Some(what.to_owned())).await;
    Ok(recorded.map_err(|_| ApiError::Internal)??)
}

/// Flag, key, grant, parameters and budget. What is learned on the way goes into the record.
async fn admit(
    app: &App,
    Handled { profile, endpoint }: &Handled,
    request: Request,
    draft: &mut PendingRecord,
) -> Result<(Plan, Option<Allowance>), ApiError> {
    if request.version() < Version::HTTP_11 {
        return Err(ApiError::HttpVersion);
    }
    if !is_enabled(app, profile.flag()).await? {
        return Err(ApiError::FlagOff(profile.flag().to_owned()));
    }
    let client = client::address(app, &request);
    let mut holder = None;
    let caller = authenticate(app, request.headers(), client, &mut holder).await;
    (draft.request.key_id, draft.request.key_name) =
        holder.map(|holder| (holder.key_id, holder.key_name)).unzip();
    let caller = caller?;
    caller.require(&profile.grant)?;
    draft.admit();
    // Whoever asks for a range has a part of another export, and would join the two. Not 416, which some take for the end of the
    // file, and not 200, in which some skip what they have.
    if request.headers().contains_key(header::RANGE) {
        return Err(ApiError::Range);
    }
    let accepted = accepted(request.headers());
    let query = request.uri().query().unwrap_or_default().to_owned();
    let voucher = request.extensions().get::<Voucher>().cloned();
    let form = read_form(request).await?;
    // Not before: whoever has a key could keep all others out with forms that never end.
    if let Some(voucher) = voucher {
        voucher.give();
    }
    let pairs = [decode(query.as_bytes())?, decode(&form)?].concat();
    check_sight(app, profile, &caller, &pairs)?;
    let formats = wanted(endpoint.formats, accepted, &pairs);
    let plan =
        Plan::parse(profile, formats, pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
    draft.request.filters = plan.summary();
    draft.request.columns = plan.column_names();
    draft.request.scope = app.exporter.scope(&plan);
    let allowance = allowance(app, &caller, draft.request.time).await?;
    Ok((plan, allowance))
}

/// The formats of an endpoint, of which `Accept` may say which is given unasked. With a preflight it is about the description.
fn wanted(formats: Formats, accepted: Option<FormatName>, pairs: &[(String, String)]) -> Formats {
    let is_preflight = pairs.iter().any(|(name, value)| name == "preflight" && value != "false");
    let accepted = accepted.filter(|format| !is_preflight && formats.offered.contains(format));
    Formats { default: accepted.unwrap_or(formats.default), ..formats }
}

/// Whether the caller may ask about all that the parameters ask about, whatever their values.
fn check_sight(
    app: &App,
    profile: &Profile,
    caller: &Caller,
    pairs: &[(String, String)],
) -> Result<(), ApiError> {
    let is_given = |name: &str| pairs.iter().any(|(given, _)| given == name);
    PARAMETERS
        .iter()
        .filter(|parameter| is_given(parameter.name))
        .filter_map(|parameter| parameter.column.as_ref())
        .try_for_each(|column| caller.require_sight(column, profile, &app.config.profiles))
}

/// The budget of the key, if it has one and something is left of it.
async fn allowance(app: &App, caller: &Caller, now: Timestamp) -> Result<Option<Allowance>, ApiError> {
    if !caller.is_stored {
        return Ok(None);
    }
    let day = Day::of(now);
    match app.store.budget(&caller.key_id, day).await? {
        None => Ok(None),
        Some(budget) if budget.is_used_up() => Err(ApiError::OverBudget { left: 0 }),
        Some(budget) => Ok(Some(Allowance { store: app.store.clone(), budget: budget.id, day })),
    }
}

fn audit_request(app: &App, endpoint: &Endpoint, request: &Request) -> audit::Request {
    let time = Timestamp::now();
    let client = client::address(app, request).to_string();
    let request_id = request.extensions().get::<RequestId>().map(|id| id.as_str().to_owned());
    audit::Request { request_id, ..audit::Request::new(fresh_id(time), time, endpoint.path.clone(), client) }
}

/// The body of a `POST`, which holds parameters like a query string does. Nothing else may have one: whoever sends it means it
/// to filter.
async fn read_form(request: Request) -> Result<Bytes, ApiError> {
    if request.method() != Method::POST {
        let method = request.method().clone();
        if has_content(request.into_body()).await {
            return Err(ApiError::Form(format!(
                "A {method} takes its parameters from the query string, and must have no body: put them there, or send them \
                 with POST."
            )));
        }
        return Ok(Bytes::new());
    }
    let is_form = has_form_type(request.headers());
    let read = tokio::time::timeout(FORM_TIMEOUT, to_bytes(request.into_body(), MAX_FORM));
    let form = match read.await {
        Ok(Ok(form)) => form,
        Ok(Err(_)) => {
            return Err(ApiError::Form(format!("The form is cut or larger than {MAX_FORM} bytes.")));
        }
        Err(_) => return Err(ApiError::Form("The form did not arrive in time.".to_owned())),
    };
    if !is_form && !form.is_empty() {
        let problem = "The body of a POST must be application/x-www-form-urlencoded.";
        return Err(ApiError::Form(problem.to_owned()));
    }
    Ok(form)
}

/// Whether a body has any content, or does not say in time that it has none. At most one piece of it is read.
async fn has_content(mut body: Body) -> bool {
    if body.size_hint().lower() > 0 {
        return true;
    }
    let first = async {
        while let Some(frame) = body.frame().await {
            // In chunks, and in HTTP/2, what has no length yet may turn out to be nothing.
            if !frame.is_ok_and(|frame| frame.data_ref().is_none_or(Bytes::is_empty)) {
                return true;
            }
        }
        false
    };
    tokio::time::timeout(FORM_TIMEOUT, first).await.unwrap_or(true)
}

fn has_form_type(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// The names and values of a query string or form (WHATWG URL, section 5.1), which must be UTF-8.
pub(super) fn decode(encoded: &[u8]) -> Result<Vec<(String, String)>, ApiError> {
    // The parser puts U+FFFD where there was no UTF-8, which may also stand in an id. Between names and values is ASCII: where all is
    // valid, each of them is.
    if percent_decode(encoded).decode_utf8().is_err() {
        return Err(ApiError::Form("The parameters are not valid UTF-8.".to_owned()));
    }
    Ok(form_urlencoded::parse(encoded).into_owned().collect())
}

fn download(filename: &str, format: FormatName, export_id: &str, body: Body) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(header::CONTENT_DISPOSITION, attachment(filename));
    headers.insert(header::TRAILER, trailers::ANNOUNCED);
    mark(&mut response, export_id);
    response
}

/// What every answer to an admitted request has: the id of its record, and nobody may keep it.
fn mark(response: &mut Response, export_id: &str) {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(export_id) {
        headers.insert("x-export-id", id);
    }
}

/// Answers a request that got no export, and records that unless it is recorded already.
async fn refuse(app: &App, draft: Option<PendingRecord>, error: ApiError) -> Response {
    let reason = error.metric_reason();
    app.exporter.metrics.refused(reason);
    if let Some(mut draft) = draft.filter(|draft| !draft.is_recorded()) {
        let (endpoint, client) = (&draft.request.endpoint, &draft.request.client);
        let about = error.log_reason();
        tracing::info!(endpoint, client, reason, about, "refused");
        let outcome = if error.is_our_fault() { Outcome::Failed } else { Outcome::Denied };
        // The answer is the same if that fails, and the log says so.
        let _ = draft.close(outcome, Some(error.audit_reason())).await;
    }
    error.into_response()
}
