//! A transport below the driver, which leads the rows of a scan past it: in large blocks of bytes, where the driver would
//! hand on every row by itself. Measured, that is a third of what a row costs this process.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{Client, Row, RowStream};
use tokio_util::io::poll_read_buf;
use tokio_util::sync::PollSender;

/// What is read at once, if there is as much.
const BLOCK: usize = 128 * 1024;
/// Blocks that wait for the scan.
const BLOCKS_IN_FLIGHT: usize = 2;

/// A message begins with its type and its length, which counts itself (PostgreSQL manual, section 55.2, "Messages").
const HEADER: usize = 5;
/// The type of a message that holds a row (section 55.7, `DataRow`).
const DATA_ROW: u8 = b'D';

/// A stream to a server, of whose messages the driver sees all but the rows of a scan.
pub(super) struct Aside<S> {
    stream: S,
    phase: Phase,
    /// Read, and not told apart yet.
    unread: BytesMut,
    /// What the driver reads next.
    passed: BytesMut,
    rows: PollSender<Bytes>,
    /// Whether rows go aside: set and taken back while no answer of the server is due.
    is_scanned: Arc<AtomicBool>,
}

/// What a stream consists of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The first byte will tell.
    Unknown,
    /// The server agreed to TLS: what follows can be read by the driver only.
    Encrypted,
    Messages,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Aside<S> {
    /// Wraps a stream that was just connected.
    pub(super) fn new(stream: S) -> (Self, Rows) {
        let (rows, blocks) = mpsc::channel(BLOCKS_IN_FLIGHT);
        let is_scanned = Arc::new(AtomicBool::new(false));
        let aside = Self {
            stream,
            phase: Phase::Unknown,
            unread: BytesMut::new(),
            passed: BytesMut::new(),
            rows: PollSender::new(rows),
            is_scanned: Arc::clone(&is_scanned),
        };
        (aside, Rows { blocks, is_scanned })
    }

    /// Sends rows aside, or makes out what the driver is to read; `false` if more must be read first.
    fn poll_sort(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        let is_scanned = self.is_scanned.load(Relaxed);
        let is_row = |kind| is_scanned && kind == Some(DATA_ROW);
        let rows = messages(&self.unread, is_row);
        if rows > 0 {
            // Without a receiver nobody wants them.
            if ready!(self.rows.poll_reserve(context)).is_ok() {
                let _ = self.rows.send_item(self.unread.split_to(rows).freeze());
            } else {
                self.unread.advance(rows);
            }
            return Poll::Ready(true);
        }
        let others = messages(&self.unread, |kind| !is_row(kind));
        self.passed = self.unread.split_to(others);
        Poll::Ready(others > 0)
    }

    /// Reads what there is, up to a block and the rest of a message; `false` at the end of the stream.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let before = self.unread.len();
        self.unread.reserve(BLOCK);
        loop {
            match poll_read_buf(Pin::new(&mut self.stream), context, &mut self.unread) {
                // What came before an error may say why; the next look at the stream will find it again.
                Poll::Ready(Err(_)) if self.unread.len() > before => return Poll::Ready(Ok(true)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(self.unread.len() > before)),
                Poll::Ready(_) if self.unread.len() < before + BLOCK => {}
                Poll::Pending if self.unread.len() == before => return Poll::Pending,
                _ => return Poll::Ready(Ok(true)),
            }
        }
    }

    /// Tells by the first byte what follows: `S` and `N` answer the question for TLS (section 55.2.10); anything else begins
    /// a message, because nobody asked.
    fn find_out(&mut self) {
        let Some(&first) = self.unread.first() else { return };
        self.phase = if first == b'S' { Phase::Encrypted } else { Phase::Messages };
        self.passed = match first {
            b'S' => self.unread.split(),
            b'N' => self.unread.split_to(1),
            _ => BytesMut::new(),
        };
    }
}

/// The length of the whole messages of some kinds that stand at the beginning. What is none is of no kind.
fn messages(bytes: &[u8], are_meant: impl Fn(Option<u8>) -> bool) -> usize {
    let mut end = 0;
    while let Some((&[kind, a, b, c, d], _)) = bytes[end..].split_first_chunk::<HEADER>() {
        let length = usize::try_from(i32::from_be_bytes([a, b, c, d])).ok();
        let Some(length) = length.filter(|length| *length >= HEADER - 1) else {
            // Less than its own length is no message, whatever it is called. The driver will say so, and reads nothing after it.
            return if are_meant(None) { bytes.len() } else { end };
        };
        if !are_meant(Some(kind)) || bytes.len() - end < length + 1 {
            break;
        }
        end += length + 1;
    }
    end
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Aside<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.passed.has_remaining() {
                let length = this.passed.len().min(buffer.remaining());
                buffer.put_slice(&this.passed.split_to(length));
                return Poll::Ready(Ok(()));
            }
            if this.phase == Phase::Encrypted {
                return Pin::new(&mut this.stream).poll_read(context, buffer);
            }
            if this.phase == Phase::Messages && ready!(this.poll_sort(context)) {
                continue;
            }
            if !ready!(this.poll_fill(context))? {
                // The rest of a message that never came is the driver's to complain of.
                this.passed = this.unread.split();
                if this.passed.is_empty() {
                    return Poll::Ready(Ok(()));
                }
            } else if this.phase == Phase::Unknown {
                this.find_out();
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Aside<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, buffer)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

/// What a connection leads aside.
pub(super) struct Rows {
    /// `DataRow` messages.
    blocks: mpsc::Receiver<Bytes>,
    is_scanned: Arc<AtomicBool>,
}

impl Rows {
    /// Those of a connection that the driver has made, which leads nothing aside.
    pub(super) fn none() -> Self {
        Self { blocks: mpsc::channel(1).1, is_scanned: Arc::default() }
    }

    /// Asks for rows. Each `$n` in the SQL stands for the nth of the texts.
    pub(super) async fn query(
        &mut self,
        client: &Client,
        sql: &str,
        texts: &[&str],
    ) -> Result<Answer<'_>, tokio_postgres::Error> {
        // Before the question, so that the connection's task knows it before the answer.
        self.is_scanned.store(true, Relaxed);
        let asked = client.query_typed_raw(sql, texts.iter().map(|text| (*text, Type::TEXT))).await;
        match asked {
            Ok(stream) => Ok(Answer { stream: Box::pin(stream), rows: self, is_ended: false }),
            Err(error) => {
                self.is_scanned.store(false, Relaxed);
                Err(error)
            }
        }
    }
}

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

impl Answer<'_> {
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
    bytes: Bytes,
    has_headers: bool,
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

#[cfg(test)]
mod tests;
