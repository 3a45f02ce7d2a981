//! A file, measured from its start to its end in one buffer.

use memchr::memchr2_iter;
use sha2::{Digest, Sha256};
use std::io::{ErrorKind, Read, Result, Seek, SeekFrom};

/// The byte order mark of UTF-8.
pub(super) const MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

const BUFFER: usize = 128 * 1024;

/// How compressed files begin: gzip (RFC 1952 section 2.3.1), Zstandard (RFC 8878 section 3.1.1).
const PACKED: [(&[u8], &str); 2] = [(&[0x1f, 0x8b], "gzip"), (&[0x28, 0xb5, 0x2f, 0xfd], "zstd")];

/// What is known of a file.
pub(super) struct Measure {
    pub(super) bytes: u64,
    /// Records of CSV that are there to their end, the header among them.
    pub(super) records: u64,
    /// In hexadecimal.
    pub(super) sha256: String,
    start: Vec<u8>,
}

impl Measure {
    /// Reads a file from its start.
    pub(super) fn of(file: &mut (impl Read + Seek)) -> Result<Self> {
        let (mut bytes, mut records, mut is_quoted) = (0, 0, false);
        let mut hasher = Sha256::new();
        let mut start = Vec::new();
        read_from(file, 0, |piece| {
            if start.len() < 4 {
                start.extend(piece.iter().take(4 - start.len()));
            }
            bytes += piece.len() as u64;
            hasher.update(piece);
            for at in memchr2_iter(b'"', b'\n', piece) {
                if piece[at] == b'"' {
                    is_quoted = !is_quoted;
                } else if !is_quoted {
                    records += 1;
                }
            }
        })?;
        Ok(Self { bytes, records, sha256: headcount_model::text::hex(&hasher.finalize()), start })
    }

    pub(super) fn has_mark(&self) -> bool {
        self.start.starts_with(&MARK)
    }

    /// How the file is compressed, if it is.
    pub(super) fn packed(&self) -> Option<&'static str> {
        PACKED.iter().find(|(magic, _)| self.start.starts_with(magic)).map(|(_, name)| *name)
    }
}

/// SHA-256 in hexadecimal of a file with a mark put before it.
pub(super) fn digest_with_mark(file: &mut (impl Read + Seek)) -> Result<String> {
    let mut hasher = Sha256::new_with_prefix(MARK);
    read_from(file, 0, |piece| hasher.update(piece))?;
    Ok(headcount_model::text::hex(&hasher.finalize()))
}

/// SHA-256 in hexadecimal of a file without the mark that it starts with.
pub(super) fn digest_without_mark(file: &mut (impl Read + Seek)) -> Result<String> {
    let mut hasher = Sha256::new();
    read_from(file, MARK.len() as u64, |piece| hasher.update(piece))?;
    Ok(headcount_model::text::hex(&hasher.finalize()))
}

fn read_from(file: &mut (impl Read + Seek), offset: u64, mut take: impl FnMut(&[u8])) -> Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => take(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
