//! The one place that picks a status. What the client reads is here; what the log says is logged where it is known.

use crate::service::ServiceError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use headcount_export::StartError;
use headcount_model::plan::ParameterError;
use headcount_model::timestamp::Timestamp;
use headcount_source::SourceError;
use headcount_store::StoreError;
use headcount_store::budgets::Day;

/// Why a request is not answered as it was meant.
#[derive(Debug)]
pub(super) enum ApiError {
    NotFound,
    /// No export has this name, or it was not declared yet when the server started.
    NoExport,
    MethodNotAllowed,
    HttpVersion,
    /// Which one.
    FlagOff(String),
    InvalidKey(KeyProblem),
    MissingGrant(String),
    /// A parameter asks about a column that the export does not show as it is, nor another for which the key has the grant;
    /// and the grants of those that do.
    HiddenColumn {
        column: String,
        grants: Vec<String>,
    },
    Parameter(ParameterError),
    /// What is wrong with the form.
    Form(String),
    /// A part of an export is asked for.
    Range,
    /// Too many failed keys from this address; seconds to wait.
    TooManyFailedKeys(u64),
    /// This key made too many requests; seconds to wait.
    TooManyRequests(u64),
    /// This key runs as many exports as it may.
    KeyBusy,
    /// This key has so many rows left for today, which are too few.
    OverBudget {
        left: i64,
    },
    /// Those that it has left are expected to be needed by its running exports.
    RowsClaimed,
    /// The format holds at most so many users.
    TooManyRows {
        most: u64,
    },
    Busy,
    SourceUnavailable,
    StoreUnavailable,
    /// What is not ready: the store, the source.
    NotReady(Vec<&'static str>),
    Internal,
}

/// What is wrong with a key. The caller is not told which; the audit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyProblem {
    Missing,
    /// Not something that could be a key, or two that differ.
    Malformed,
    Unknown,
    Expired,
    Revoked,
}

/// When to come back after an overload, in seconds.
const RETRY_AFTER: u64 = 5;

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound | Self::NoExport => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::HttpVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::FlagOff(_) | Self::MissingGrant(_) | Self::HiddenColumn { .. } => StatusCode::FORBIDDEN,
            Self::InvalidKey(_) => StatusCode::UNAUTHORIZED,
            Self::Parameter(_) | Self::Form(_) | Self::Range | Self::TooManyRows { .. } => {
                StatusCode::BAD_REQUEST
            }
            Self::TooManyFailedKeys(_)
            | Self::TooManyRequests(_)
            | Self::KeyBusy
            | Self::OverBudget { .. }
            | Self::RowsClaimed => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy | Self::SourceUnavailable | Self::StoreUnavailable | Self::NotReady(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::NotFound => "Not found".to_owned(),
            Self::NoExport => {
                "There is no such export; one that was declared since the server started is there after a restart or, where \
                 [source] is as it was, a reload (SIGHUP)"
                    .to_owned()
            }
            Self::MethodNotAllowed => "Method not allowed".to_owned(),
            Self::HttpVersion => {
                "Exports need HTTP/1.1 or later, where a transfer that was cut can be told from a \
                                  complete one (nginx: proxy_http_version 1.1)"
                    .to_owned()
            }
            Self::FlagOff(_) => "Export feature not enabled".to_owned(),
            Self::InvalidKey(_) => "Invalid or missing API key".to_owned(),
            Self::HiddenColumn { column, grants } => hidden_column(column, grants),
            Self::MissingGrant(grant) => format!("API key lacks the grant '{grant}'"),
            Self::Parameter(error @ ParameterError::Spaced { .. }) => {
                format!("{error} If the space was a +, write it as %2B.")
            }
            Self::Parameter(error) => error.to_string(),
            Self::Form(problem) => problem.clone(),
            Self::Range => {
                "An export has no ranges, because the next one may differ: leave out the header Range, and begin the file anew \
                 (wget: without -c; curl: without -C and -r)"
                    .to_owned()
            }
            Self::TooManyFailedKeys(_) => "Too many failed API keys from this address".to_owned(),
            Self::TooManyRequests(_) => "Too many requests with this API key".to_owned(),
            Self::KeyBusy => {
                "This API key runs as many exports at a time as it may; try again later".to_owned()
            }
            Self::OverBudget { left: 0 } => "This API key has no rows left for today (UTC)".to_owned(),
            Self::OverBudget { left } => format!(
                "This API key has {left} rows left for today (UTC), and this export has more; add limit={left} to have them"
            ),
            Self::RowsClaimed => {
                "This API key has no more rows left for today (UTC) than its running exports are \
                                  expected to need; try again when they have ended"
                    .to_owned()
            }
            Self::TooManyRows { most } => format!(
                "A sheet of the format 'xlsx' holds at most {most} users, and there are more: choose fewer, as with limit={most} \
                 and after, or another format"
            ),
            Self::Busy => "All export slots are busy; try again later".to_owned(),
            Self::SourceUnavailable => "The users source is not available".to_owned(),
            Self::StoreUnavailable => "The store of keys, flags and audit is not available".to_owned(),
            Self::NotReady(what) => format!("Not ready: {}", what.join(" and ")),
            Self::Internal => "Internal server error".to_owned(),
        }
    }

    /// What the audit says of a refused request. Holds nothing that the caller wrote.
    pub(super) fn audit_reason(&self) -> String {
        match self {
            Self::HiddenColumn { column, .. } => format!("hidden column {column}"),
            Self::MissingGrant(grant) => format!("missing grant {grant}"),
            Self::Parameter(
                ParameterError::Repeated(name)
                | ParameterError::Invalid { name, .. }
                | ParameterError::Spaced { name, .. },
            ) => {
                format!("bad parameter {name}")
            }
            Self::Parameter(ParameterError::Format(_)) => "bad parameter format".to_owned(),
            Self::Parameter(ParameterError::Unknown { .. }) => "unknown parameter".to_owned(),
            _ => self.metric_reason().replace('_', " "),
        }
    }

    /// What the log says of it: the kind, and what it is about.
    pub(super) fn log_reason(&self) -> String {
        match self {
            Self::FlagOff(flag) => {
                format!("the flag {flag} is off; switch it on with: headcount flags enable {flag}")
            }
            error => error.audit_reason(),
        }
    }

    /// The kind of refusal, as the metrics count it.
    pub(super) fn metric_reason(&self) -> &'static str {
        match self {
            Self::NotFound | Self::NoExport => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::HttpVersion => "http_version",
            Self::FlagOff(_) => "flag_off",
            Self::InvalidKey(KeyProblem::Missing) => "missing_key",
            Self::InvalidKey(KeyProblem::Malformed) => "malformed_key",
            Self::InvalidKey(KeyProblem::Unknown) => "unknown_key",
            Self::InvalidKey(KeyProblem::Expired) => "expired_key",
            Self::InvalidKey(KeyProblem::Revoked) => "revoked_key",
            Self::MissingGrant(_) => "missing_grant",
            Self::HiddenColumn { .. } => "hidden_column",
            Self::Parameter(_) => "bad_parameter",
            Self::Form(_) => "bad_form",
            Self::Range => "range",
            Self::TooManyRows { .. } => "too_many_rows",
            Self::TooManyFailedKeys(_) => "too_many_failed_keys",
            Self::TooManyRequests(_) => "too_many_requests",
            Self::KeyBusy => "key_busy",
            Self::OverBudget { .. } => "over_budget",
            Self::RowsClaimed => "rows_claimed",
            Self::Busy => "busy",
            Self::SourceUnavailable => "source_unavailable",
            Self::StoreUnavailable => "store_unavailable",
            Self::NotReady(_) => "not_ready",
            Self::Internal => "internal",
        }
    }

    /// Whether an admitted request failed here, rather than being refused.
    pub(super) fn is_our_fault(&self) -> bool {
        matches!(self, Self::SourceUnavailable | Self::StoreUnavailable | Self::Internal)
    }

    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooManyFailedKeys(seconds) | Self::TooManyRequests(seconds) => Some(*seconds),
            Self::OverBudget { .. } => Some(Day::seconds_left(Timestamp::now())),
            Self::KeyBusy
            | Self::RowsClaimed
            | Self::Busy
            | Self::SourceUnavailable
            | Self::StoreUnavailable
            | Self::NotReady(_) => Some(RETRY_AFTER),
            _ => None,
        }
    }
}

fn hidden_column(column: &str, grants: &[String]) -> String {
    let remedy = match grants {
        [] => "no export shows it of all these users".to_owned(),
        grants => format!("it needs an API key with the grant of one that does: '{}'", grants.join("' or '")),
    };
    format!(
        "This export does not show the column '{column}' as it is, so that it cannot be asked about; {remedy}"
    )
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = serde_json::json!({"detail": self.detail(), "status_code": status.as_u16()}).to_string();
        let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after() {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "store");
        Self::StoreUnavailable
    }
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Store(error) => error.into(),
            ServiceError::Missing(_) => Self::NotFound,
            ServiceError::Invalid(problem) => Self::Form(problem),
            error => {
                tracing::error!(%error, "service");
                Self::Internal
            }
        }
    }
}

impl From<ParameterError> for ApiError {
    fn from(error: ParameterError) -> Self {
        Self::Parameter(error)
    }
}

impl From<StartError> for ApiError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Busy => Self::Busy,
            StartError::KeyBusy => Self::KeyBusy,
            StartError::OverBudget { left } => Self::OverBudget { left },
            StartError::Claimed => Self::RowsClaimed,
            StartError::TooManyRows { most } => Self::TooManyRows { most },
            StartError::Store(error) | StartError::Uncounted(error) => error.into(),
            StartError::Source(SourceError::Parameter(error)) => Self::Parameter(error),
            StartError::Source(
                error @ (SourceError::Unreachable(_) | SourceError::Mismatch(_) | SourceError::Stalled(_)),
            ) => {
                tracing::error!(%error, "source");
                Self::SourceUnavailable
            }
            StartError::Source(error) => {
                tracing::error!(%error, "source");
                Self::Internal
            }
            StartError::Died => {
                tracing::error!("an export died before it began");
                Self::Internal
            }
        }
    }
}
