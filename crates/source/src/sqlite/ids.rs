//! Ids as a SQLite table stores them.

use crate::IdKind;
use headcount_model::value::append_uuid;
use rusqlite::types::Value as Bound;

/// What the ids of a table are, and how it stores them.
#[derive(Clone, Copy)]
pub(super) struct Ids {
    pub(super) kind: IdKind,
    pub(super) uuid_form: UuidForm,
}

/// How a table stores its UUIDs.
#[derive(Clone, Copy)]
pub(super) enum UuidForm {
    Bytes,
    Plain { is_upper_case: bool },
    Hyphenated { is_upper_case: bool },
}

impl UuidForm {
    /// Whether a UUID is written in this form.
    pub(super) fn is_form_of(self, text: &[u8]) -> bool {
        let (length, is_upper_case) = match self {
            Self::Bytes => return false,
            Self::Plain { is_upper_case } => (32, is_upper_case),
            Self::Hyphenated { is_upper_case } => (36, is_upper_case),
        };
        let is_other = if is_upper_case { u8::is_ascii_lowercase } else { u8::is_ascii_uppercase };
        text.len() == length && !text.iter().any(is_other)
    }

    /// A UUID as a value to compare with.
    pub(super) fn bound(self, uuid: [u8; 16]) -> Bound {
        let (text, is_upper_case) = match self {
            Self::Bytes => return Bound::Blob(uuid.to_vec()),
            Self::Plain { is_upper_case } => (headcount_model::text::hex(&uuid), is_upper_case),
            Self::Hyphenated { is_upper_case } => (hyphenated(uuid), is_upper_case),
        };
        Bound::Text(if is_upper_case { text.to_uppercase() } else { text })
    }
}

fn hyphenated(uuid: [u8; 16]) -> String {
    let mut text = Vec::with_capacity(36);
    append_uuid(&mut text, uuid);
    String::from_utf8(text).unwrap_or_default()
}
