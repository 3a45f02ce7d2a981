//! Where the bytes of an export go. Whatever has a name shows the export under it whole, or not at all.

mod compressed;
mod file;

pub use compressed::Compressed;
pub use file::{FileError, LocalFile};

use super::stream::{Broken, ExportStream, Summary};
use futures_util::StreamExt;
use std::io;

/// What takes an export. Nothing is seen of it under its final name before [`Destination::commit`]; dropped, or with the process
/// killed, it leaves nothing that looks finished. (The body of a response is none: the server asks it for its bytes.)
pub trait Destination: Send {
    /// Takes the next bytes.
    ///
    /// # Errors
    ///
    /// They are not kept, so that the export cannot become whole here.
    fn write(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<()>> + Send;

    /// There are no more bytes: what is kept back is written.
    ///
    /// # Errors
    ///
    /// As [`Destination::write`].
    fn finish(&mut self) -> impl Future<Output = io::Result<()>> + Send {
        async { Ok(()) }
    }

    /// The export is complete, and was this: it is shown under its name.
    ///
    /// # Errors
    ///
    /// What was there before still is.
    fn commit(self, summary: &Summary) -> impl Future<Output = io::Result<()>> + Send;

    /// There is no export, for this reason: nothing is left of what was written.
    fn abort(self, reason: &str) -> impl Future<Output = ()> + Send;
}

/// Why an export did not get to its destination.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error("the export is not complete")]
    Incomplete(#[from] Broken),
    /// Of the destination.
    #[error("the export cannot be written: {0}")]
    Unwritten(io::Error),
}

/// Writes an export out to its end; `progress` is told the rows and bytes so far. What becomes of the destination is for the caller
/// to say.
///
/// # Errors
///
/// The export is recorded as what it is, and the destination does not hold all of it.
pub async fn transfer(
    mut export: ExportStream,
    destination: &mut impl Destination,
    mut progress: impl FnMut(u64, u64),
) -> Result<Summary, TransferError> {
    while let Some(chunk) = export.next().await {
        if let Err(error) = destination.write(&chunk?).await {
            // Whoever reads a pipe may go, which is no failure of ours; a full disk is.
            let is_left = error.kind() == io::ErrorKind::BrokenPipe;
            let error = TransferError::Unwritten(error);
            if !is_left {
                export.give_up(error.to_string()).await;
            }
            return Err(error);
        }
        progress(export.rows(), export.bytes());
    }
    destination.finish().await.map_err(TransferError::Unwritten)?;
    Ok(export.summary())
}
