//! What a scan asks, as the driver says it and as it is sent.

use super::data_row::Wire;
use bytes::{Bytes, BytesMut};
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend;
use std::error::Error;
use tokio_postgres::types::Type;

/// Cells in their types' own format (PostgreSQL manual, section 55.2.3, "Formats and Format Codes").
const BINARY: i16 = 1;
/// Cells as text.
const TEXT: i16 = 0;

/// A question of the driver's, which asks for all cells in the binary format, and what is sent in its place: texts are asked for as
/// texts. Their bytes are the same, and a server spends a tenth less on a row.
pub(super) struct Question {
    written: Bytes,
    sent: Bytes,
}

impl Question {
    /// `None` if it cannot be said in a message.
    pub(super) fn of(sql: &str, texts: &[&str], wires: &[Wire]) -> Option<Self> {
        let formats: Vec<_> = wires.iter().map(|wire| if wire.is_text() { TEXT } else { BINARY }).collect();
        Some(Self { written: said(sql, texts, &[BINARY]).ok()?, sent: said(sql, texts, &formats).ok()? })
    }

    /// What to send instead of what the driver has written, if the question is the last of it.
    pub(super) fn instead_of(&self, written: &[u8]) -> Option<BytesMut> {
        let mut instead = BytesMut::from(written.strip_suffix(&*self.written)?);
        instead.extend_from_slice(&self.sent);
        Some(instead)
    }
}

/// The messages of [`tokio_postgres::Client::query_typed_raw`] with texts as parameters.
fn said(sql: &str, texts: &[&str], formats: &[i16]) -> Result<Bytes, Box<dyn Error + Send + Sync>> {
    let mut said = BytesMut::new();
    frontend::parse("", sql, texts.iter().map(|_| Type::TEXT.oid()), &mut said)?;
    let value = |text: &&str, value: &mut BytesMut| {
        value.extend_from_slice(text.as_bytes());
        Ok(IsNull::No)
    };
    let parameters = texts.iter().map(|_| BINARY);
    frontend::bind("", "", parameters, texts, value, formats.iter().copied(), &mut said)
        .map_err(|_| "a parameter is too large")?;
    frontend::describe(b'S', "", &mut said)?;
    frontend::execute("", 0, &mut said)?;
    frontend::sync(&mut said);
    Ok(said.freeze())
}
