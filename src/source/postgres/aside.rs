//! A transport below the driver, which leads the rows of a `COPY` past it: in large blocks of bytes, where the driver would
//! hand on every row by itself. Measured, that is a third of what a row costs this process.

use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_postgres::CopyOutStream;
use tokio_util::io::poll_read_buf;
use tokio_util::sync::PollSender;

/// What is read at once, if there is as much.
const BLOCK: usize = 128 * 1024;
/// Blocks that wait for the scan.
const BLOCKS_IN_FLIGHT: usize = 2;

/// A message begins with its type and its length, which counts itself (PostgreSQL manual, section 55.2, "Messages").
const HEADER: usize = 5;
/// The type of a message that holds a row (section 55.7, `CopyData`).
const COPY_DATA: u8 = b'd';

/// A stream to a server, of whose messages the driver sees all but the rows of a `COPY`.
pub(super) struct Aside<S> {
    stream: S,
    phase: Phase,
    /// Read, and not told apart yet.
    unread: BytesMut,
    /// What the driver reads next.
    passed: BytesMut,
    rows: PollSender<Bytes>,
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
    /// Wraps a stream that was just connected; the rows come as whole `CopyData` messages, in blocks.
    pub(super) fn new(stream: S) -> (Self, mpsc::Receiver<Bytes>) {
        let (rows, receiver) = mpsc::channel(BLOCKS_IN_FLIGHT);
        let aside = Self {
            stream,
            phase: Phase::Unknown,
            unread: BytesMut::new(),
            passed: BytesMut::new(),
            rows: PollSender::new(rows),
        };
        (aside, receiver)
    }

    /// Sends rows aside, or makes out what the driver is to read; `false` if more must be read first.
    fn poll_sort(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        let rows = messages(&self.unread, true);
        if rows > 0 {
            // Without a receiver nobody wants them.
            if ready!(self.rows.poll_reserve(context)).is_ok() {
                let _ = self.rows.send_item(self.unread.split_to(rows).freeze());
            } else {
                self.unread.advance(rows);
            }
            return Poll::Ready(true);
        }
        let others = messages(&self.unread, false);
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

/// The length of the whole messages that stand at the beginning: those with rows, or the others.
fn messages(bytes: &[u8], are_rows: bool) -> usize {
    let mut end = 0;
    while let Some((&[kind, a, b, c, d], _)) = bytes[end..].split_first_chunk::<HEADER>() {
        let length = usize::try_from(i32::from_be_bytes([a, b, c, d])).ok();
        let Some(length) = length.filter(|length| *length >= HEADER - 1) else {
            // Less than its own length is no message, whatever it is called. The driver will say so, and reads nothing after it.
            return if are_rows { end } else { bytes.len() };
        };
        if (kind == COPY_DATA) != are_rows || bytes.len() - end < length + 1 {
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

/// The messages of one `COPY`, on whichever way they come.
pub(super) struct CopyMessages<'a> {
    stream: Pin<Box<CopyOutStream>>,
    rows: &'a mut mpsc::Receiver<Bytes>,
    is_ended: bool,
}

impl<'a> CopyMessages<'a> {
    pub(super) fn new(stream: CopyOutStream, rows: &'a mut mpsc::Receiver<Bytes>) -> Self {
        Self { stream: Box::pin(stream), rows, is_ended: false }
    }

    /// The next messages; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Block>, tokio_postgres::Error> {
        if !self.is_ended {
            tokio::select! {
                biased;
                Some(bytes) = self.rows.recv() => return Ok(Some(Block { bytes, has_headers: true })),
                row = self.stream.next() => match row.transpose()? {
                    Some(bytes) => return Ok(Some(Block { bytes, has_headers: false })),
                    None => self.is_ended = true,
                },
            }
        }
        // The driver sees the end only after all rows were sent aside.
        Ok(self.rows.try_recv().ok().map(|bytes| Block { bytes, has_headers: true }))
    }
}

/// Messages of a `COPY`: several with their headers, or what is in one.
pub(super) struct Block {
    bytes: Bytes,
    has_headers: bool,
}

impl Block {
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

#[cfg(test)]
mod tests;
