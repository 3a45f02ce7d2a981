//! How a personal value is made less so, and the key that pseudonyms come from.

use crate::named;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;

named! {
    /// How a personal value is made less so. NULL stays NULL.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
    pub enum Mask {
        /// A token that is the same wherever the value is the same, so that joins still work: the first 16 bytes of its
        /// HMAC-SHA-256 (RFC 2104) in hexadecimal.
        Pseudonym = "pseudonym",
        /// Its first character, and the domain of an address: `j***@example.com`; of a telephone number the last four digits.
        Partial = "partial",
        /// Its last four letters and digits: `***5678`.
        Last4 = "last4",
        /// Nothing of it: `[redacted]`.
        Redact = "redact",
    }
}

const TOKEN_BYTES: usize = 16;

/// The key of this deployment's pseudonyms. `Debug` shows nothing.
#[derive(Clone)]
pub struct PseudonymKey(Hmac<Sha256>);

impl PseudonymKey {
    /// A key of 256 bits.
    pub fn new(key: &[u8; 32]) -> Self {
        // HMAC itself fills a key up to the block with zeros (RFC 2104 section 2).
        let mut block = [0; 64];
        block[..32].copy_from_slice(key);
        Self(Hmac::new(&block.into()))
    }

    /// A key for another purpose, from whose use nothing can be learned of this one.
    #[must_use]
    pub fn derived(&self, purpose: &str) -> Self {
        Self::new(&self.digest(purpose.as_bytes()))
    }

    /// The whole HMAC-SHA-256 of a text in hexadecimal.
    pub fn mac(&self, text: &[u8]) -> String {
        crate::text::hex(&self.digest(text))
    }

    /// What stands for a text: the first 16 bytes of its HMAC in hexadecimal.
    pub fn token(&self, text: &[u8]) -> String {
        crate::text::hex(&self.digest(text)[..TOKEN_BYTES])
    }

    fn digest(&self, text: &[u8]) -> [u8; 32] {
        self.0.clone().chain_update(text).finalize().into_bytes().into()
    }
}

impl fmt::Debug for PseudonymKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PseudonymKey(…)")
    }
}
