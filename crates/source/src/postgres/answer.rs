//! The rows that a scan asks for: in blocks that were led past the driver (`demultiplexer.rs`), or one by one from the driver.

use super::demultiplexer::{HEADER, Rows};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use std::error::Error;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{Client, Row, RowStream};

/// The rows that were asked for, on whichever way they come.
pub(super) struct Answer<'a> {
    stream: Pin<Box<RowStream>>,
    rows: &'a mut Rows,
    is_ended: bool,
}

impl<'a> Answer<'a> {
    /// Asks for rows. Each `$n` in the SQL stands for the nth of the texts. The types of the columns have to be known to the
    /// client, or built in: it would look others up, whose rows would go aside as well.
    pub(super) async fn to(
        sql: &str,
        texts: &[&str],
        client: &Client,
        rows: &'a mut Rows,
    ) -> Result<Self, tokio_postgres::Error> {
        // Before the question, so that the connection's task knows it before the answer.
        rows.is_scanned.store(true, Relaxed);
        let stream = client.query_typed_raw(sql, texts.iter().map(|text| (*text, Type::TEXT))).await?;
        Ok(Self { stream: Box::pin(stream), rows, is_ended: false })
    }

    /// The next messages, with a row each; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, tokio_postgres::Error> {
        if !self.is_ended {
            tokio::select! {
                biased;
                Some(block) = self.rows.blocks.recv() => return Ok(Some(block)),
                row = self.stream.next() => match row.transpose()? {
                    Some(row) => return message(&row).map(Some),
                    None => {
                        self.is_ended = true;
                        // Not before: what is left of an answer that nobody wants waits in the way until the connection is closed.
                        self.rows.is_scanned.store(false, Relaxed);
                    }
                },
            }
        }
        // The driver sees the end only after all rows were sent aside.
        Ok(self.rows.blocks.try_recv().ok())
    }

    /// How many rows the server says it has sent; not known before the end.
    pub(super) fn count(&self) -> Option<u64> {
        self.stream.rows_affected()
    }
}

/// A row that came through the driver, as the server sent it.
fn message(row: &Row) -> Result<Bytes, tokio_postgres::Error> {
    let mut message = BytesMut::zeroed(HEADER);
    message.put_u16(row.len() as u16);
    for at in 0..row.len() {
        match row.try_get::<_, Option<Cell>>(at)? {
            None => message.put_i32(-1),
            Some(Cell(cell)) => {
                message.put_i32(cell.len() as i32);
                message.put_slice(cell);
            }
        }
    }
    let length = message.len() as u32 - 1;
    message[1..HEADER].copy_from_slice(&length.to_be_bytes());
    Ok(message.freeze())
}

/// What is in each of several messages.
#[inline]
pub(super) fn rows(mut messages: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (&[_, a, b, c, d], _) = messages.split_first_chunk::<HEADER>()?;
        let (message, after) = messages.split_at_checked(u32::from_be_bytes([a, b, c, d]) as usize + 1)?;
        messages = after;
        message.get(HEADER..)
    })
}

/// The bytes of a cell, whatever its type.
pub(super) struct Cell<'a>(pub(super) &'a [u8]);

impl<'a> FromSql<'a> for Cell<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
