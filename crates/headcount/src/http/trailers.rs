//! Trailers (RFC 9110 section 6.5) that say at the end of an export what it was. An export that is not complete has none.
//!
//! Over HTTP/2 they are always sent. Over HTTP/1.1 hyper sends them only if the request has `TE: trailers` (RFC 9110 section
//! 10.1.4), only as a part of a chunked body, and only those that the response's `Trailer` announces.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::Stream;
use headcount_export::{Broken, ExportStream};
use http_body::Frame;
use sha2::{Digest, Sha256};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Users exported.
const ROWS: HeaderName = HeaderName::from_static("x-export-rows");
/// SHA-256 of the uncompressed content, in hexadecimal.
const SHA256: HeaderName = HeaderName::from_static("x-export-sha256");
/// SHA-256 of the bytes that were sent, after any content coding (RFC 9530 section 3).
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// The value of the `Trailer` header of an export.
pub(super) const ANNOUNCED: HeaderValue =
    HeaderValue::from_static("X-Export-Rows, X-Export-Sha256, Repr-Digest");

/// An export as the body of a response. It ends with trailers once the export is complete, and breaks else.
pub(super) struct WithTrailers {
    export: ExportStream,
    is_ended: bool,
}

impl WithTrailers {
    pub(super) fn new(export: ExportStream) -> Self {
        Self { export, is_ended: false }
    }

    fn trailers(&self) -> HeaderMap {
        let digest = self.export.digest();
        let mut trailers = HeaderMap::new();
        trailers.insert(ROWS, self.export.rows().into());
        insert(&mut trailers, SHA256, &headcount_model::text::hex(&digest));
        insert(&mut trailers, REPR_DIGEST, &repr_digest(&digest));
        trailers
    }
}

impl http_body::Body for WithTrailers {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.is_ended {
            return Poll::Ready(None);
        }
        let chunk = ready!(Pin::new(&mut self.export).poll_next(context));
        // After an error there is an end, too, but no good one.
        self.is_ended = !matches!(chunk, Some(Ok(_)));
        Poll::Ready(Some(match chunk {
            Some(chunk) => chunk.map(Frame::data),
            None => Ok(Frame::trailers(self.trailers())),
        }))
    }
}

/// Where an export was compressed, makes its `Repr-Digest` that of the compressed bytes.
pub(super) fn digest_what_is_sent(response: Response) -> Response {
    let headers = response.headers();
    if !headers.contains_key(header::TRAILER) || !headers.contains_key(header::CONTENT_ENCODING) {
        return response;
    }
    response.map(|body| Body::new(Coded { body, hasher: Sha256::new() }))
}

/// What comes out of a content coding.
struct Coded {
    body: Body,
    hasher: Sha256,
}

impl http_body::Body for Coded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &mut frame {
            if let Some(bytes) = frame.data_ref() {
                self.hasher.update(bytes);
            }
            if let Some(trailers) = frame.trailers_mut() {
                let digest = self.hasher.clone().finalize();
                insert(trailers, REPR_DIGEST, &repr_digest(&digest));
            }
        }
        Poll::Ready(frame)
    }
}

/// A dictionary with a byte sequence, as structured fields are written (RFC 9651 sections 3.2 and 3.3.5).
fn repr_digest(digest: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(digest))
}

fn insert(trailers: &mut HeaderMap, name: HeaderName, value: &str) {
    // Digits, hexadecimal and Base64 always are a header's value.
    if let Ok(value) = HeaderValue::from_str(value) {
        trailers.insert(name, value);
    }
}
