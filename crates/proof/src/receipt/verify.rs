//! A receipt that somebody presents: whose it is, and whether a file is what it tells of.

mod measure;

use super::TYPE;
use crate::canonical;
use crate::signature::PublicKey;
use headcount_model::compression::Compression;
use measure::{Broken, Layout, MARK, Measure};
use serde::Deserialize;
use serde_json::Value;
use std::io::{Read, Result, Seek};

/// A receipt, read but not yet believed.
#[derive(Debug)]
pub struct Presented {
    claims: Claims,
    /// What the signature is of.
    signed: String,
}

/// What a receipt says. A member that is there twice is an error.
#[derive(Debug, Deserialize)]
struct Claims {
    #[serde(rename = "type")]
    kind: String,
    id: String,
    outcome: Option<String>,
    rows: Option<u64>,
    bytes: Option<u64>,
    sha256: Option<String>,
    #[serde(default)]
    filters: Value,
    file_bytes: Option<u64>,
    file_sha256: Option<String>,
    signed_by: Option<String>,
    signature: Option<String>,
}

/// A text that is not a receipt, and why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoReceipt(String);

/// Why a receipt is not believed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("the receipt has no signature")]
    Unsigned,
    #[error("the receipt is signed by another key, {0}")]
    OtherKey(String),
    #[error("the receipt was changed after it was signed, or was never signed by this key")]
    Signature,
}

/// What a file is, compared with a receipt.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All of the export, to the byte; but for a byte order mark at its start, if that is said. `bytes` are those of the content.
    Unchanged { rows: u64, bytes: u64, mark: Option<Mark>, packed: Option<Packed> },
    /// Shorter than what was exported: its first users, as far as its length tells.
    Cut { rows: u64, of_rows: u64, bytes: u64, of_bytes: u64 },
    /// Something else than what was exported.
    Changed(Changed),
    /// The receipt itself says that the export did not complete, and how it ended.
    Incomplete { outcome: String, rows: Option<u64> },
    /// The receipt is of a request that exported nothing, though it was answered.
    NoExport,
}

/// The compressed file that an unchanged export is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    pub packing: Compression,
    /// Whether it is the file that was written, to the byte; `None` where the receipt is not of a file.
    pub is_as_written: Option<bool>,
}

/// What became of a byte order mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Added,
    Removed,
}

/// How a file differs that is not just cut.
#[derive(Debug, PartialEq, Eq)]
pub enum Changed {
    /// By so many bytes longer than what was exported.
    Longer(u64),
    /// By so many bytes shorter, though it ends with as many records.
    Shorter(u64),
    /// As long, but not the same.
    Content,
    /// A compressed file that cannot be unpacked to its end, though it is not just cut.
    Damaged(Compression),
}

impl Presented {
    /// Reads a receipt, in whatever form of JSON.
    ///
    /// # Errors
    ///
    /// It is no JSON, or not a receipt, or of a later form.
    pub fn parse(text: &str) -> std::result::Result<Self, NoReceipt> {
        let problem = |error: serde_json::Error| NoReceipt(error.to_string());
        let claims: Claims = serde_json::from_str(text).map_err(problem)?;
        if claims.kind != TYPE {
            return Err(NoReceipt(format!("expected the type {TYPE}, not '{}'", claims.kind.escape_debug())));
        }
        let mut value: Value = serde_json::from_str(text).map_err(problem)?;
        if let Some(members) = value.as_object_mut() {
            members.remove("signature");
        }
        let signed = canonical::text(&value).map_err(|error| NoReceipt(error.to_string()))?;
        Ok(Self { claims, signed })
    }

    /// The id of the export.
    pub fn id(&self) -> &str {
        &self.claims.id
    }

    /// Believes the receipt if this key signed it as it is.
    ///
    /// # Errors
    ///
    /// It did not.
    pub fn check_signature(&self, key: PublicKey) -> std::result::Result<(), Unfit> {
        let signature = self.claims.signature.as_deref().ok_or(Unfit::Unsigned)?;
        if key.verifies(self.signed.as_bytes(), signature) {
            return Ok(());
        }
        let other = self.claims.signed_by.as_ref().filter(|name| **name != key.fingerprint());
        Err(other.map_or(Unfit::Signature, |name| Unfit::OtherKey(name.escape_debug().to_string())))
    }

    /// Compares a file with what the receipt says. Reads it once, and a second time where a byte order mark may have come or
    /// gone, in constant memory.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn compare(&self, mut file: impl Read + Seek) -> Result<Verdict> {
        let Claims { outcome, rows, bytes, sha256, .. } = &self.claims;
        if outcome.as_deref() != Some("completed") {
            let outcome =
                outcome.as_ref().map_or_else(|| "running".to_owned(), |name| name.escape_debug().to_string());
            return Ok(Verdict::Incomplete { outcome, rows: *rows });
        }
        let (Some(rows), Some(bytes), Some(sha256)) = (*rows, *bytes, sha256) else {
            return Ok(Verdict::NoExport);
        };
        let layout = Layout::of(&self.claims.filters);
        let found = Measure::of(&mut file, layout)?;
        let (found, packed) = match found.packing() {
            None => (found, None),
            Some(packing) => {
                let mut unpacked = Measure::unpacked(&mut file, packing, layout)?;
                // What was changed may seem to go on behind the end.
                if self.claims.file_bytes.is_some_and(|bytes| found.bytes >= bytes) {
                    unpacked.broken = unpacked.broken.and(Some(Broken::Damaged));
                }
                let is_as_written = self.claims.file_sha256.as_ref().map(|sha256| *sha256 == found.sha256);
                (unpacked, Some(Packed { packing, is_as_written }))
            }
        };
        match (found.broken, packed) {
            (Some(Broken::Damaged), Some(Packed { packing, .. })) => {
                return Ok(Verdict::Changed(Changed::Damaged(packing)));
            }
            (Some(_), _) => return Ok(cut(&found, layout, rows, bytes)),
            (None, _) => {}
        }
        if found.bytes == bytes && found.sha256 == *sha256 {
            return Ok(Verdict::Unchanged { rows, bytes, mark: None, packed });
        }
        if packed.is_none()
            && layout.may_have_mark()
            && let Some(mark) = mark(&mut file, &found, bytes, sha256)?
        {
            return Ok(Verdict::Unchanged { rows, bytes, mark: Some(mark), packed });
        }
        Ok(differing(&found, layout, rows, bytes))
    }
}

/// What became of the byte order mark, if nothing else changed.
fn mark(file: &mut (impl Read + Seek), found: &Measure, bytes: u64, sha256: &str) -> Result<Option<Mark>> {
    let length = MARK.len() as u64;
    let (mark, digest) = if found.has_mark() && found.bytes.checked_sub(length) == Some(bytes) {
        (Mark::Added, measure::digest_without_mark(file)?)
    } else if !found.has_mark() && found.bytes.checked_add(length) == Some(bytes) {
        (Mark::Removed, measure::digest_with_mark(file)?)
    } else {
        return Ok(None);
    };
    Ok((digest == sha256).then_some(mark))
}

/// How a file differs from an export of so many rows and bytes.
fn differing(found: &Measure, layout: Layout, rows: u64, bytes: u64) -> Verdict {
    if found.bytes > bytes {
        Verdict::Changed(Changed::Longer(found.bytes - bytes))
    } else if found.bytes == bytes {
        Verdict::Changed(Changed::Content)
    } else if found.has_end || found.lines >= layout.lines_of(rows) && found.lines > 0 {
        // Whatever is cut off an export, the end of its last line is.
        Verdict::Changed(Changed::Shorter(bytes - found.bytes))
    } else {
        cut(found, layout, rows, bytes)
    }
}

fn cut(found: &Measure, layout: Layout, of_rows: u64, of_bytes: u64) -> Verdict {
    Verdict::Cut { rows: layout.rows_in(found.lines, of_rows), of_rows, bytes: found.bytes, of_bytes }
}

#[cfg(test)]
mod tests;
