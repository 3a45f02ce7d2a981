//! Headers that are more than a constant.

use axum::extract::Request;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use headcount_model::plan::FormatName;
use headcount_model::timestamp::Timestamp;
use std::fmt::Write;

/// The headers of requests that something here reads.
const READ: [HeaderName; 8] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::RANGE,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-request-id"),
];

/// Lets go of what nobody reads: while requests wait, as for the store, it is in memory for all of them.
pub(super) fn shed(request: &mut Request) {
    let mut kept = HeaderMap::new();
    for name in READ {
        for value in request.headers().get_all(&name) {
            // A copy: the value is a part of the frame that it came in, and would keep all of that.
            if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                kept.append(&name, value);
            }
        }
    }
    *request.headers_mut() = kept;
    // As the values are.
    let path = request.uri().path_and_query().and_then(|path| path.as_str().parse::<PathAndQuery>().ok());
    if let Some(path) = path {
        *request.uri_mut() = Uri::from(path);
    }
}

/// The id under which a request stands in the log: the caller's, or a fresh one.
#[derive(Clone, Debug)]
pub(super) struct RequestId(String);

const MAX_LENGTH: usize = 64;

impl RequestId {
    /// The caller's `X-Request-Id` if it is 1 to 64 of `A-Za-z0-9._-`, which cannot forge a log line.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let offered = headers.get("x-request-id").and_then(|value| value.to_str().ok());
        let is_safe = |id: &&str| {
            (1..=MAX_LENGTH).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        };
        Self(
            offered
                .filter(is_safe)
                .map_or_else(|| headcount_model::text::fresh_id(Timestamp::now()), str::to_owned),
        )
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The format that `Accept` asks for, where it names the type of exactly one and nothing else. What lists several, as browsers and
/// libraries do unasked, asks for none.
pub(super) fn accepted(headers: &HeaderMap) -> Option<FormatName> {
    let mut given = headers.get_all(header::ACCEPT).iter();
    let (Some(only), None) = (given.next(), given.next()) else { return None };
    let media_type = only.to_str().ok()?.trim();
    FormatName::ALL.into_iter().find(|format| media_type.eq_ignore_ascii_case(format.media_type()))
}

/// `Content-Disposition` of a download (RFC 6266), with `filename*` (RFC 8187) where the name is not ASCII.
pub(super) fn attachment(filename: &str) -> HeaderValue {
    let ascii: String = filename.chars().map(|c| if c.is_ascii() { c } else { '_' }).collect();
    let mut text = format!("attachment; filename=\"{ascii}\"");
    if ascii != filename {
        text.push_str("; filename*=UTF-8''");
        for &byte in filename.as_bytes() {
            // The attr-char of RFC 8187 section 3.2.1.
            if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
                text.push(char::from(byte));
            } else {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    // File names are free of quotes and control characters, see `config`.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_are_not_ascii_are_given_twice() {
        assert_eq!(attachment("users.csv"), "attachment; filename=\"users.csv\"");
        assert_eq!(
            attachment("Benützer 1.csv"),
            "attachment; filename=\"Ben_tzer 1.csv\"; filename*=UTF-8''Ben%C3%BCtzer%201.csv"
        );
    }

    #[test]
    fn only_harmless_ids_are_taken_over() {
        for (offered, taken) in [("abc-1.2_X", true), ("", false), ("a b", false), ("x\ty", false)] {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", HeaderValue::from_str(offered).expect("a header value"));
            assert_eq!(RequestId::of(&headers).as_str() == offered, taken, "{offered}");
        }
        let mut headers = HeaderMap::new();
        let long = "x".repeat(65);
        headers.insert("x-request-id", HeaderValue::from_str(&long).expect("a header value"));
        assert_eq!(RequestId::of(&headers).as_str().len(), 26);
    }

    proptest! {
        #[test]
        fn a_name_never_ends_its_quotes_or_its_header(name in "[^\\p{Cc}/\\\\\"]{1,30}") {
            let value = attachment(&name);
            let text = value.to_str().expect("visible ASCII");
            let rest = text.strip_prefix("attachment; filename=\"").expect("a quoted name");
            let (quoted, rest) = rest.split_once('"').expect("its end");
            prop_assert_eq!(quoted.chars().count(), name.chars().count());
            let encoded = rest.strip_prefix("; filename*=UTF-8''").unwrap_or_default();
            prop_assert!(!encoded.contains(|c: char| c.is_whitespace() || "\"';,\\".contains(c)), "{}", text);
            let decoded: Vec<_> = form_urlencoded::parse(encoded.replace('+', "%2B").replace('&', "%26").as_bytes()).into_owned().collect();
            prop_assert!(name.is_ascii() || decoded == [(name, String::new())]);
        }

        #[test]
        fn a_request_id_never_leaves_its_line(offered in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&offered) {
                headers.insert("x-request-id", value);
            }
            let id = RequestId::of(&headers);
            prop_assert!((1..=64).contains(&id.as_str().len()));
            prop_assert!(id.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)));
        }
    }
}
