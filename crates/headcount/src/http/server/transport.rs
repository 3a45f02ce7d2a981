//! The socket, and what can be seen of a client that does not take what it is sent.

use super::activity::{Activity, Task};
use rustix::net::sockopt::{set_socket_linger, set_tcp_user_timeout};
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connection's socket. While the client does not take what was written, its connection is not idle.
pub(super) struct Transport {
    stream: TcpStream,
    activity: Arc<Activity>,
    blocked: Option<Task>,
    /// Whether the kernel resets the connection if it is closed now.
    resets: bool,
}

impl Transport {
    /// A socket that the kernel gives up when the client has acknowledged nothing, or kept its window shut, for
    /// `stall` while there was something to send (`TCP_USER_TIMEOUT`, tcp(7); RFC 5482 section 2). Only the kernel
    /// sees every byte that a client takes: a write returns no sooner than a third of its buffer is empty.
    pub(super) fn new(stream: TcpStream, stall: Duration, activity: Arc<Activity>) -> Result<Self> {
        stream.set_nodelay(true)?;
        set_tcp_user_timeout(&stream, u32::try_from(stall.as_millis()).unwrap_or(u32::MAX))?;
        Ok(Self { stream, activity, blocked: None, resets: false })
    }

    fn is_midway(&self) -> bool {
        self.activity.is_midway.load(Ordering::Relaxed)
    }

    /// Whether a connection that is closed in the middle of an answer is reset: by us or by the kernel when this process dies,
    /// with TLS or without. Clients take a connection that is ended in order for the end of the file.
    fn set_resets(&mut self, resets: bool) {
        if self.resets != resets && set_socket_linger(&self.stream, resets.then_some(Duration::ZERO)).is_ok()
        {
            self.resets = resets;
        }
    }

    fn before_write(&mut self) {
        if self.is_midway() {
            self.set_resets(true);
        }
    }

    fn note<T>(&mut self, written: Poll<Result<T>>) -> Poll<Result<T>> {
        match &written {
            Poll::Pending if self.blocked.is_none() => self.blocked = Some(self.activity.begin()),
            Poll::Pending => {}
            Poll::Ready(Ok(_)) => self.blocked = None,
            Poll::Ready(Err(error)) => self.note_error(error),
        }
        written
    }

    fn note_error(&self, error: &Error) {
        if error.kind() == ErrorKind::TimedOut {
            self.activity.stall.cut_off();
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        // The kernel tells its verdict once, to whoever asks first.
        if let Poll::Ready(Err(error)) = &read {
            self.note_error(error);
        }
        read
    }
}

impl AsyncWrite for Transport {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.before_write();
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.before_write();
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        // Whoever flushes has written all there was.
        if flushed.is_ready() && !self.is_midway() {
            self.set_resets(false);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
