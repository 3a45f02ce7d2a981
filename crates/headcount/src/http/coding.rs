//! Content codings (RFC 9110 section 8.4) of exports. The rest is short, and its coding would cost more than it saves: for
//! somebody without a key, and many times over.

use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::response::Response;
use headcount_model::plan::FormatName;
use tower_http::compression::predicate::{And, DefaultPredicate, Predicate};
use tower_http::compression::{CompressionLayer, CompressionLevel};

type IsExport = fn(StatusCode, Version, &HeaderMap, &Extensions) -> bool;

/// Speed before size: the users are waiting for a database dump, not for a web page.
pub(super) fn compression() -> CompressionLayer<And<DefaultPredicate, IsExport>> {
    // Formats that are no text are compressed already.
    let is_export: IsExport = |_, _, headers, _| {
        let content_type = headers.get(header::CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
        let mut binary = FormatName::ALL.into_iter().filter(|format| !format.is_text());
        let is_binary = binary.any(|format| content_type == format.content_type().as_bytes());
        headers.contains_key(header::TRAILER) && !is_binary
    };
    CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(DefaultPredicate::new().and(is_export))
}

/// Remembers the status of an answer before the compression has it.
pub(super) fn note_status(mut response: Response) -> Response {
    let status = response.status();
    response.extensions_mut().insert(status);
    response
}

/// Gives an answer its status back. Where the client wants neither what is there nor what could be made of it, the compression
/// says 406 above an answer that is whole. It is sent uncoded then, as it is, which RFC 9110 section 12.5.3 allows.
pub(super) fn keep_status(mut response: Response) -> Response {
    if let Some(status) = response.extensions_mut().remove::<StatusCode>() {
        *response.status_mut() = status;
    }
    response
}
