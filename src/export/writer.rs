//! Rows into chunks: the sink that a scan fills.

use crate::encode::Value;
use crate::encode::csv::CsvEncoder;
use crate::encode::mask::Masks;
use crate::plan::ProfileColumn;
use crate::source::{Closed, RowSink, SourceError};
use bytes::Bytes;
use tokio::sync::mpsc;

/// Large enough that handing one on costs nothing beside filling it, small enough to be bounded memory.
const CHUNK: usize = 128 * 1024;
/// The first one is small: the client should see early that the export has begun.
const FIRST_CHUNK: usize = 8 * 1024;
/// Room for the row that fills a chunk, so that the buffer does not grow for it.
const SLACK: usize = 4 * 1024;

/// What a scan tells the body.
#[derive(Debug)]
pub(super) enum Message {
    Chunk {
        bytes: Bytes,
        rows: u64,
    },
    /// The verdict: a scan that does not send it did not end well.
    End(Result<(), SourceError>),
}

pub(super) struct ChunkWriter {
    encoder: CsvEncoder,
    masks: Option<Masks>,
    buffer: Vec<u8>,
    full_at: usize,
    rows: u64,
    sender: mpsc::Sender<Message>,
}

impl ChunkWriter {
    pub(super) fn new(
        encoder: CsvEncoder,
        columns: &[ProfileColumn],
        masks: Option<Masks>,
        sender: mpsc::Sender<Message>,
    ) -> Self {
        let mut buffer = Vec::with_capacity(FIRST_CHUNK + SLACK);
        encoder.header(&mut buffer, columns.iter().map(ProfileColumn::shown_name));
        Self { encoder, masks, buffer, full_at: FIRST_CHUNK, rows: 0, sender }
    }

    /// Hands on what is left.
    pub(super) async fn finish(mut self) -> Result<(), SourceError> {
        let bytes = Bytes::from(std::mem::take(&mut self.buffer));
        Ok(self.send(bytes).await?)
    }

    async fn send(&mut self, bytes: Bytes) -> Result<(), Closed> {
        let rows = std::mem::take(&mut self.rows);
        self.sender.send(Message::Chunk { bytes, rows }).await.map_err(|_| Closed)
    }
}

impl RowSink for ChunkWriter {
    fn row(&mut self, values: &[Value<'_>]) {
        self.encoder.record(&mut self.buffer, values, self.masks.as_mut());
        self.rows += 1;
    }

    fn is_full(&self) -> bool {
        self.buffer.len() >= self.full_at
    }

    async fn flush(&mut self) -> Result<(), Closed> {
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK + SLACK));
        self.full_at = CHUNK;
        self.send(Bytes::from(full)).await
    }
}
