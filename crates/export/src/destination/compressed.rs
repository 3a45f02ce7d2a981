//! Compression on the way to a destination.

use super::Destination;
use crate::stream::Summary;
use flate2::write::GzEncoder;
use headcount_model::compression::Compression;
use sha2::{Digest, Sha256};
use std::io::{self, Write};

enum Compressor {
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Compressor {
    /// Speed before size: a database waits.
    fn new(compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::fast())),
            Compression::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(Vec::new(), 1)?),
        })
    }

    /// All that comes of these bytes: what cannot be written should be known before the export is recorded as complete.
    fn write(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let encoder: &mut dyn Write = match self {
            Self::Gzip(encoder) => encoder,
            Self::Zstd(encoder) => encoder,
        };
        encoder.write_all(bytes)?;
        encoder.flush()?;
        Ok(std::mem::take(match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        }))
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

/// A destination that gets an export compressed, or as it is.
pub struct Compressed<D> {
    destination: D,
    /// `None` of one that is not compressed; and at its end.
    compressor: Option<Compressor>,
    /// What lies there.
    written: Option<(u64, Sha256)>,
}

impl<D: Destination> Compressed<D> {
    /// # Errors
    ///
    /// There is no memory for it.
    pub fn new(destination: D, compression: Option<Compression>) -> io::Result<Self> {
        let compressor = compression.map(Compressor::new).transpose()?;
        let written = compression.map(|_| (0, Sha256::new()));
        Ok(Self { destination, compressor, written })
    }

    pub fn destination(&self) -> &D {
        &self.destination
    }

    /// How many bytes lie there of an export that was this, and their SHA-256.
    pub fn written(&self, summary: &Summary) -> (u64, [u8; 32]) {
        match &self.written {
            Some((bytes, hasher)) => (*bytes, hasher.clone().finalize().into()),
            None => (summary.bytes, summary.sha256),
        }
    }

    async fn pass_on(&mut self, compressed: &[u8]) -> io::Result<()> {
        if let Some((bytes, hasher)) = &mut self.written {
            *bytes += compressed.len() as u64;
            hasher.update(compressed);
        }
        self.destination.write(compressed).await
    }
}

impl<D: Destination> Destination for Compressed<D> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(compressor) = &mut self.compressor else { return self.destination.write(bytes).await };
        let compressed = tokio::task::block_in_place(|| compressor.write(bytes))?;
        self.pass_on(&compressed).await
    }

    async fn finish(&mut self) -> io::Result<()> {
        if let Some(compressor) = self.compressor.take() {
            let last = compressor.finish()?;
            self.pass_on(&last).await?;
        }
        self.destination.finish().await
    }

    async fn commit(self, summary: &Summary) -> io::Result<()> {
        self.destination.commit(summary).await
    }

    async fn abort(self, reason: &str) {
        self.destination.abort(reason).await;
    }
}
