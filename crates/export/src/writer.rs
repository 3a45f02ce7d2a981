//! Rows into chunks, and chunks into parts: the sinks that a scan fills.

use bytes::Bytes;
use headcount_format::masks::Masks;
use headcount_format::{Assembler, Encoder, Format};
use headcount_model::schema::Schema;
use headcount_model::value::{Misfit, Value};
use headcount_source::{Parts, RowSink, SinkError};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use tokio::sync::mpsc;

/// Large enough that waking whoever takes it costs nothing beside filling it, small enough to be bounded memory.
const CHUNK: usize = 512 * 1024;
/// The first one is small: the client should see early that the export has begun.
const FIRST_CHUNK: usize = 8 * 1024;
/// Room for the row that fills a chunk, so that the buffer does not grow for it.
const SLACK: usize = 4 * 1024;
/// Full buffers between the scan and the client, where one follows the other: enough that neither waits for the other's
/// scheduling.
const CHUNKS_IN_FLIGHT: usize = 2;
/// Full buffers of a part that waits for its turn: as many as it has, so that its worker can go on to the next.
const CHUNKS_IN_PART: usize = 9;

/// What a part of a scan tells the stream.
#[derive(Debug)]
pub(super) enum Message {
    Chunk {
        bytes: Bytes,
        /// Those that begin in it.
        rows: u64,
    },
    /// The part is whole: one that does not say so did not end well.
    End,
}

/// What a scan tells the stream.
pub(super) enum Progress {
    /// The part that follows those before it; with the first one, what makes a file of all.
    Part { assembler: Option<Box<dyn Assembler>>, messages: mpsc::Receiver<Message> },
    /// There are no more: a scan that does not say so did not end well.
    End,
}

/// Makes the sinks of a scan, in the order in which the stream reads them.
pub(super) struct PartWriters<F> {
    format: F,
    /// Empty until the scan begins.
    schema: Schema,
    masks: Option<Masks>,
    progress: mpsc::Sender<Progress>,
    buffers: Buffers,
    /// There from the beginning of the scan to its first sink.
    assembler: Option<Box<dyn Assembler>>,
}

impl<F: Format> PartWriters<F> {
    pub(super) fn new(format: F, masks: Option<Masks>, progress: mpsc::Sender<Progress>) -> Self {
        let (schema, buffers) = (Schema(Vec::new()), Buffers::default());
        Self { format, schema, masks, progress, buffers, assembler: None }
    }

    async fn writer(&mut self, chunks: usize) -> Result<ChunkWriter<F::Encoder>, SinkError> {
        let (sender, messages) = mpsc::channel(chunks);
        let assembler = self.assembler.take();
        let is_first = assembler.is_some();
        let part = Progress::Part { assembler, messages };
        self.progress.send(part).await.map_err(|_| SinkError::Closed)?;
        let encoder = self.format.encoder(&self.schema, self.masks.clone());
        let buffers = self.buffers.clone();
        let (buffer, full_at) = match is_first {
            true => (Vec::with_capacity(FIRST_CHUNK + SLACK), FIRST_CHUNK),
            false => (buffers.take(), CHUNK),
        };
        Ok(ChunkWriter { encoder, buffer, buffers, full_at, rows: 0, sender })
    }
}

impl<F: Format> Parts for PartWriters<F> {
    type Sink = ChunkWriter<F::Encoder>;

    fn are_large(&self) -> bool {
        F::WANTS_LARGE_PARTS
    }

    fn begin(&mut self, schema: &Schema) {
        self.schema = schema.clone();
        self.assembler = Some(self.format.assembler(schema));
    }

    async fn only(mut self) -> Result<Self::Sink, SinkError> {
        self.writer(CHUNKS_IN_FLIGHT).await
    }

    async fn next(&mut self) -> Result<Self::Sink, SinkError> {
        self.writer(CHUNKS_IN_PART).await
    }
}

/// Collects the rows of a part, and sends them chunk by chunk.
pub(super) struct ChunkWriter<E> {
    encoder: E,
    buffer: Vec<u8>,
    buffers: Buffers,
    full_at: usize,
    rows: u64,
    sender: mpsc::Sender<Message>,
}

impl<E> ChunkWriter<E> {
    async fn send(&mut self, mut bytes: Bytes) -> Result<(), SinkError> {
        // Counted with their first bytes: a row of which something left has left. All of them are counted with the first piece,
        // because a buffer that is full takes none.
        let mut rows = std::mem::take(&mut self.rows);
        // Large rows make large chunks. In pieces they fill the channel, which then holds no more of them than of others.
        while bytes.len() > 2 * CHUNK {
            let piece = Message::Chunk { bytes: bytes.split_to(CHUNK), rows: std::mem::take(&mut rows) };
            self.sender.send(piece).await.map_err(|_| SinkError::Closed)?;
        }
        self.sender.send(Message::Chunk { bytes, rows }).await.map_err(|_| SinkError::Closed)
    }
}

impl<E: Encoder> RowSink for ChunkWriter<E> {
    #[inline]
    fn row(&mut self, values: &[Value<'_>]) -> Result<(), Box<Misfit>> {
        self.encoder.row(&mut self.buffer, values)?;
        self.rows += 1;
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.buffer.len() >= self.full_at
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        let full = std::mem::replace(&mut self.buffer, self.buffers.take());
        self.full_at = CHUNK;
        self.send(self.buffers.lent(full)).await
    }

    async fn finish(mut self) -> Result<(), SinkError> {
        let ended = self.encoder.finish(&mut self.buffer);
        ended.map_err(|misfit| SinkError::Failed(misfit.problem))?;
        if !self.buffer.is_empty() {
            let last = std::mem::take(&mut self.buffer);
            self.send(self.buffers.lent(last)).await?;
        }
        self.sender.send(Message::End).await.map_err(|_| SinkError::Closed)
    }
}

/// The buffers of an export, which come back when their bytes were sent: new ones would cost the kernel a page after the other.
#[derive(Clone, Default)]
struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    fn take(&self) -> Vec<u8> {
        let returned = self.0.lock().pop();
        returned.unwrap_or_else(|| Vec::with_capacity(CHUNK + SLACK))
    }

    fn lent(&self, buffer: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { buffer, home: Arc::downgrade(&self.0) })
    }
}

/// A buffer that comes back, as long as somebody writes.
struct Lent {
    buffer: Vec<u8>,
    home: Weak<Mutex<Vec<Vec<u8>>>>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // The first is smaller; one with large rows is more than is needed again.
        if (CHUNK + SLACK..=2 * CHUNK).contains(&self.buffer.capacity())
            && let Some(home) = self.home.upgrade()
        {
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.clear();
            home.lock().push(buffer);
        }
    }
}
