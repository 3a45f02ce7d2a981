//! The rows that a scan asks for: in blocks that were led past the driver (`aside.rs`), or one by one from the driver.

use super::aside::{HEADER, Rows};
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

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        self.rows.is_scanned.store(false, Relaxed);
    }
}

impl<'a> Answer<'a> {
    /// Asks for rows. Each `$n` in the SQL stands for the nth of the texts.
    pub(super) async fn to(
        sql: &str,
        texts: &[&str],
        client: &Client,
        rows: &'a mut Rows,
    ) -> Result<Self, tokio_postgres::Error> {
        // Before the question, so that the connection's task knows it before the answer.
        rows.is_scanned.store(true, Relaxed);
        let asked = client.query_typed_raw(sql, texts.iter().map(|text| (*text, Type::TEXT))).await;
        match asked {
            Ok(stream) => Ok(Self { stream: Box::pin(stream), rows, is_ended: false }),
            Err(error) => {
                rows.is_scanned.store(false, Relaxed);
                Err(error)
            }
        }
    }

    /// The next rows; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Block>, tokio_postgres::Error> {
        if !self.is_ended {
            tokio::select! {
                biased;
                Some(bytes) = self.rows.blocks.recv() => return Ok(Some(Block { bytes, has_headers: true })),
                row = self.stream.next() => match row.transpose()? {
                    Some(row) => return Block::of(&row).map(Some),
                    None => self.is_ended = true,
                },
            }
        }
        // The driver sees the end only after all rows were sent aside.
        Ok(self.rows.blocks.try_recv().ok().map(|bytes| Block { bytes, has_headers: true }))
    }

    /// How many rows the server says it has sent; not known before the end.
    pub(super) fn count(&self) -> Option<u64> {
        self.stream.rows_affected()
    }
}

/// Rows as the server sends them: several messages with their headers, or what is in one.
pub(super) struct Block {
    pub(super) bytes: Bytes,
    pub(super) has_headers: bool,
}

impl Block {
    /// A row that came through the driver.
    fn of(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let mut bytes = BytesMut::new();
        bytes.put_u16(row.len() as u16);
        for at in 0..row.len() {
            match row.try_get::<_, Option<Cell>>(at)? {
                None => bytes.put_i32(-1),
                Some(Cell(cell)) => {
                    bytes.put_i32(cell.len() as i32);
                    bytes.put_slice(cell);
                }
            }
        }
        Ok(Self { bytes: bytes.freeze(), has_headers: false })
    }

    /// Its size in bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What is in each of the messages.
    pub(super) fn contents(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            if !self.has_headers {
                return (!rest.is_empty()).then(|| std::mem::take(&mut rest));
            }
            let (&[_, a, b, c, d], _) = rest.split_first_chunk::<HEADER>()?;
            let (message, after) = rest.split_at_checked(u32::from_be_bytes([a, b, c, d]) as usize + 1)?;
            rest = after;
            message.get(HEADER..)
        })
    }
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
