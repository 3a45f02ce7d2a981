//! A demultiplexer between the socket and the driver: the rows of a scan (`DataRow` messages) go to a channel of their own, in
//! large blocks of bytes, and everything else to the driver, which would hand on every row by itself. Measured, a row that comes through the driver costs this process three times as much.

use bytes::{Buf, Bytes, BytesMut};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_util::io::poll_read_buf;
use tokio_util::sync::PollSender;

/// What is read at once, if there is as much.
const BLOCK: usize = 64 * 1024;
/// Blocks that wait for the scan.
const BLOCKS_IN_FLIGHT: usize = 2;

/// A message begins with its type and its length, which counts itself (PostgreSQL manual, section 55.2, "Messages").
pub(super) const HEADER: usize = 5;
/// The type of a message that holds a row (section 55.7, `DataRow`).
const DATA_ROW: u8 = b'D';

/// A stream to a server, of whose messages the driver sees all but the rows of a scan.
pub(super) struct Demultiplexer<S> {
    stream: S,
    phase: Phase,
    /// Read, and not told apart yet.
    unread: BytesMut,
    /// What the driver reads next.
    passed: BytesMut,
    channel: RowChannel,
}

/// The channel that carries rows past the driver.
#[derive(Clone)]
pub(super) struct RowChannel {
    rows: PollSender<Bytes>,
    /// Whether rows are sent here: set and reset while none is due.
    is_scanned: Arc<AtomicBool>,
}

impl RowChannel {
    pub(super) fn new() -> (Self, Rows) {
        let (rows, blocks) = mpsc::channel(BLOCKS_IN_FLIGHT);
        let is_scanned = Arc::new(AtomicBool::new(false));
        let channel = Self { rows: PollSender::new(rows), is_scanned: Arc::clone(&is_scanned) };
        (channel, Rows { blocks, is_scanned })
    }
}

/// The receiving end.
pub(super) struct Rows {
    /// `DataRow` messages.
    pub(super) blocks: mpsc::Receiver<Bytes>,
    pub(super) is_scanned: Arc<AtomicBool>,
}

/// What a stream consists of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The first byte will tell.
    Unknown,
    /// The server agreed to TLS: what follows is for whoever decrypts it.
    Encrypted,
    Messages,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Demultiplexer<S> {
    /// Wraps a stream that was just connected.
    pub(super) fn new(stream: S, channel: RowChannel) -> Self {
        Self::in_phase(Phase::Unknown, stream, channel)
    }

    fn in_phase(phase: Phase, stream: S, channel: RowChannel) -> Self {
        Self { stream, phase, unread: BytesMut::new(), passed: BytesMut::new(), channel }
    }

    /// Sends rows to their channel, or finds out what the driver is to read; `false` if more must be read first.
    fn poll_sort(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        let is_scanned = self.channel.is_scanned.load(Relaxed);
        let is_row = |kind| is_scanned && kind == Some(DATA_ROW);
        let rows = messages(&self.unread, is_row);
        if rows > 0 {
            // Without a receiver nobody wants them.
            if ready!(self.channel.rows.poll_reserve(context)).is_ok() {
                let _ = self.channel.rows.send_item(self.unread.split_to(rows).freeze());
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

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Demultiplexer<S> {
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

impl<S: AsyncWrite + Unpin> AsyncWrite for Demultiplexer<S> {
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

/// Encrypts with `T`, and demultiplexes what it has decrypted.
pub(super) struct DemultiplexedTls<T> {
    pub(super) tls: T,
    pub(super) channel: RowChannel,
}

impl<S, T> MakeTlsConnect<S> for DemultiplexedTls<T>
where
    T: MakeTlsConnect<S>,
    <T::TlsConnect as TlsConnect<S>>::Future: Send + 'static,
{
    type Stream = Demultiplexer<T::Stream>;
    type TlsConnect = DemultiplexedTls<T::TlsConnect>;
    type Error = T::Error;

    fn make_tls_connect(&mut self, host: &str) -> Result<Self::TlsConnect, T::Error> {
        Ok(DemultiplexedTls { tls: self.tls.make_tls_connect(host)?, channel: self.channel.clone() })
    }
}

impl<S, T> TlsConnect<S> for DemultiplexedTls<T>
where
    T: TlsConnect<S>,
    T::Future: Send + 'static,
{
    type Stream = Demultiplexer<T::Stream>;
    type Error = T::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, T::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let encrypting = self.tls.connect(stream);
        Box::pin(async move { Ok(Demultiplexer::in_phase(Phase::Messages, encrypting.await?, self.channel)) })
    }
}

impl<S: TlsStream + Unpin> TlsStream for Demultiplexer<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

#[cfg(test)]
mod tests;
