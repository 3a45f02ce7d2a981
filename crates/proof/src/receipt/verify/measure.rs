//! A file, measured from its start to its end in one buffer: as it lies there, or unpacked.

use flate2::bufread::GzDecoder;
use headcount_model::compression::Compression;
use headcount_model::plan::FormatName;
use memchr::{memchr_iter, memchr2_iter};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader, ErrorKind, Read, Result, Seek, SeekFrom};

/// The byte order mark of UTF-8.
pub(super) const MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

const BUFFER: usize = 128 * 1024;

/// Where the lines of a file end and what they are, by what its receipt says of the parameters of the export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    format: FormatName,
    has_header: bool,
}

impl Layout {
    pub(super) fn of(filters: &Value) -> Self {
        let format = filters["format"].as_str().and_then(FormatName::parse).unwrap_or_default();
        Self { format, has_header: filters["header"] != false }
    }

    /// Whether readers take or leave a byte order mark at its start; of everything else it is the end.
    pub(super) fn may_have_mark(self) -> bool {
        self.format == FormatName::Csv
    }

    /// Lines before the first user.
    fn lines_before(self) -> u64 {
        match self.format {
            FormatName::Csv => u64::from(self.has_header),
            FormatName::Ndjson | FormatName::Parquet | FormatName::Xlsx => 0,
            // The opening bracket.
            FormatName::Json => 1,
        }
    }

    /// The lines of a whole file of so many users.
    pub(super) fn lines_of(self, rows: u64) -> u64 {
        let closing = u64::from(self.format == FormatName::Json);
        self.lines_before() + rows + closing
    }

    /// The users whose lines end within the first so many lines of a file of so many.
    pub(super) fn rows_in(self, lines: u64, of_rows: u64) -> u64 {
        lines.saturating_sub(self.lines_before()).min(of_rows)
    }
}

/// What is known of a file, or of what is packed in it.
pub(super) struct Measure {
    pub(super) bytes: u64,
    /// Ends of lines that are ends of records.
    pub(super) lines: u64,
    /// In hexadecimal.
    pub(super) sha256: String,
    start: Vec<u8>,
    /// Whether its last bytes are those that end a file of the format, as far as a format has such.
    pub(super) has_end: bool,
    /// How unpacking ended before the end, if it did.
    pub(super) broken: Option<Broken>,
}

/// Why a packed file cannot be unpacked to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// It ends too early.
    Cut,
    /// It is not what was packed, or has something behind it.
    Damaged,
}

impl Measure {
    /// Reads a file of this format from its start.
    pub(super) fn of(file: &mut (impl Read + Seek), layout: Layout) -> Result<Self> {
        let mut measuring = Measuring::new(layout);
        read_from(file, 0, |piece| measuring.add(piece))?;
        Ok(measuring.end(None))
    }

    /// Reads what is packed in a file.
    pub(super) fn unpacked(
        file: &mut (impl Read + Seek),
        packing: Compression,
        layout: Layout,
    ) -> Result<Self> {
        file.seek(SeekFrom::Start(0))?;
        let mut measuring = Measuring::new(layout);
        let read = match packing {
            Compression::Gzip => unzip(file, |piece| measuring.add(piece)),
            Compression::Zstd => zstd::stream::read::Decoder::new(file)
                .and_then(|decoder| read_to_end(decoder, |piece| measuring.add(piece))),
        };
        let broken = match read {
            Ok(()) => None,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Some(Broken::Cut),
            Err(error) if error.raw_os_error().is_some() => return Err(error),
            Err(_) => Some(Broken::Damaged),
        };
        Ok(measuring.end(broken))
    }

    pub(super) fn has_mark(&self) -> bool {
        self.start.starts_with(&MARK)
    }

    /// How the file is compressed, if it is.
    pub(super) fn packing(&self) -> Option<Compression> {
        Compression::ALL.into_iter().find(|packing| self.start.starts_with(packing.magic()))
    }
}

/// Reads all members of a file of gzip (RFC 1952, section 2.2).
fn unzip(file: impl Read, mut take: impl FnMut(&[u8])) -> Result<()> {
    let mut rest = BufReader::with_capacity(BUFFER, file);
    loop {
        let mut member = GzDecoder::new(rest);
        read_to_end(&mut member, &mut take)?;
        rest = member.into_inner();
        match rest.fill_buf()? {
            [] => return Ok(()),
            [first, ..] if *first == Compression::Gzip.magic()[0] => {}
            _ => return Err(ErrorKind::InvalidData.into()),
        }
    }
}

/// The bytes at the end of a container of a workbook, if nobody has put a comment there (APPNOTE.TXT section 4.3.16).
const END: usize = 22;

/// What is counted while a file is read.
struct Measuring {
    format: FormatName,
    bytes: u64,
    lines: u64,
    /// Whether what follows is within quotes.
    is_quoted: bool,
    hasher: Sha256,
    start: Vec<u8>,
    end: Vec<u8>,
}

impl Measuring {
    fn new(layout: Layout) -> Self {
        Self {
            format: layout.format,
            bytes: 0,
            lines: 0,
            is_quoted: false,
            hasher: Sha256::new(),
            start: Vec::new(),
            end: Vec::new(),
        }
    }

    fn add(&mut self, piece: &[u8]) {
        if self.start.len() < 4 {
            self.start.extend(piece.iter().take(4 - self.start.len()));
        }
        self.end.extend_from_slice(&piece[piece.len().saturating_sub(END)..]);
        self.end.drain(..self.end.len().saturating_sub(END));
        self.bytes += piece.len() as u64;
        self.hasher.update(piece);
        match self.format {
            FormatName::Csv => {
                for at in memchr2_iter(b'"', b'\n', piece) {
                    if piece[at] == b'"' {
                        self.is_quoted = !self.is_quoted;
                    } else if !self.is_quoted {
                        self.lines += 1;
                    }
                }
            }
            // Each object is on a line of its own.
            FormatName::Ndjson | FormatName::Json => self.lines += memchr_iter(b'\n', piece).count() as u64,
            // Without their end they hold no users that anything could read.
            FormatName::Parquet | FormatName::Xlsx => {}
        }
    }

    fn end(self, broken: Option<Broken>) -> Measure {
        let has_end = match self.format {
            FormatName::Parquet => self.end.ends_with(b"PAR1") && self.bytes > 12,
            FormatName::Xlsx => self.end.starts_with(b"PK\x05\x06"),
            FormatName::Csv | FormatName::Ndjson | FormatName::Json => false,
        };
        let sha256 = headcount_model::text::hex(&self.hasher.finalize());
        Measure { bytes: self.bytes, lines: self.lines, sha256, start: self.start, has_end, broken }
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

fn read_from(file: &mut (impl Read + Seek), offset: u64, take: impl FnMut(&[u8])) -> Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    read_to_end(file, take)
}

fn read_to_end(mut reader: impl Read, mut take: impl FnMut(&[u8])) -> Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => take(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
