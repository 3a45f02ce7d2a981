use crate::named;
use serde::Serialize;

named! {
    /// How a file is compressed.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
    pub enum Compression {
        /// RFC 1952.
        Gzip = "gzip",
        /// RFC 8878.
        Zstd = "zstd",
    }
}

impl Compression {
    /// Of the names of files.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Gzip => "gz",
            Self::Zstd => "zst",
        }
    }

    /// How such a file begins: RFC 1952 section 2.3.1, RFC 8878 section 3.1.1.
    pub fn magic(self) -> &'static [u8] {
        match self {
            Self::Gzip => &[0x1f, 0x8b],
            Self::Zstd => &[0x28, 0xb5, 0x2f, 0xfd],
        }
    }
}
