//! Signatures: Ed25519 (RFC 8032).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use std::fmt;

/// What stands before the 32 bytes of an Ed25519 key in a `SubjectPublicKeyInfo` (RFC 8410 section 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The secret half of a key. `Debug` shows nothing.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// The key of 32 secret random bytes (RFC 8032 section 5.1.5); `None` never happens for so many.
    pub fn from_seed(seed: &[u8; 32]) -> Option<Self> {
        Ed25519KeyPair::from_seed_unchecked(seed).ok().map(Self)
    }

    /// The signature of a message in Base64. The same message always has the same.
    pub fn sign(&self, message: &[u8]) -> String {
        STANDARD.encode(self.0.sign(message))
    }

    /// The half that everybody may know.
    pub fn public(&self) -> PublicKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(key)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// The half of a key that verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// A text that is no key of ours.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an Ed25519 public key in PEM, as `headcount receipts public-key` prints it")]
pub struct NoPublicKey;

impl PublicKey {
    /// Reads `SubjectPublicKeyInfo` in PEM (RFC 7468 section 13, RFC 8410 section 4).
    ///
    /// # Errors
    ///
    /// It is none, or of another algorithm.
    pub fn from_pem(pem: &[u8]) -> Result<Self, NoPublicKey> {
        let spki = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| NoPublicKey)?;
        let key = spki.strip_prefix(&SPKI_PREFIX).ok_or(NoPublicKey)?;
        key.try_into().map(Self).map_err(|_| NoPublicKey)
    }

    /// `SubjectPublicKeyInfo` in PEM.
    pub fn to_pem(self) -> String {
        let base64 = STANDARD.encode(self.spki());
        format!("-----BEGIN PUBLIC KEY-----\n{base64}\n-----END PUBLIC KEY-----\n")
    }

    /// `sha256:` and the digest of the `SubjectPublicKeyInfo` in hexadecimal: what the key is called.
    pub fn fingerprint(self) -> String {
        format!("sha256:{}", headcount_model::text::hex(&Sha256::digest(self.spki())))
    }

    /// Whether a signature in Base64 is this key's of this message.
    pub fn verifies(self, message: &[u8], signature: &str) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, self.0);
        STANDARD.decode(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
    }

    fn spki(self) -> Vec<u8> {
        [&SPKI_PREFIX[..], &self.0].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032 section 7.1, test 1.
    const SEED: [u8; 32] = [
        0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44,
        0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
    ];

    fn key() -> SigningKey {
        SigningKey::from_seed(&SEED).expect("a key")
    }

    #[test]
    fn signs_as_the_standard_does() {
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(headcount_model::text::hex(&key().public().0), public);
        let signature = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701\
                         cf9b46bd25bf5f0595bbe24655141438e7a100b";
        let signed = STANDARD.decode(key().sign(b"")).expect("Base64");
        assert_eq!(headcount_model::text::hex(&signed), signature);
        assert_eq!(format!("{:?}", key()), "SigningKey(…)");
    }

    #[test]
    fn only_its_own_signature_of_the_same_message_verifies() {
        let (public, signature) = (key().public(), key().sign(b"message"));
        assert!(public.verifies(b"message", &signature));
        assert!(!public.verifies(b"messagf", &signature));
        let other = SigningKey::from_seed(&[7; 32]).expect("a key");
        assert!(!other.public().verifies(b"message", &signature));
        for wrong in ["", "!", &signature[4..], &other.sign(b"message")] {
            assert!(!public.verifies(b"message", wrong), "{wrong}");
        }
    }

    #[test]
    fn keys_are_written_as_pem() {
        // RFC 8410 section 10.1.
        let pem = "-----BEGIN PUBLIC KEY-----\n\
                   MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
                   -----END PUBLIC KEY-----\n";
        let key = PublicKey::from_pem(pem.as_bytes()).expect("a key");
        assert_eq!(key.to_pem(), pem);
        assert_eq!(PublicKey::from_pem(pem.replace('\n', "\r\n").as_bytes()), Ok(key));
        let certificate = pem.replace("PUBLIC KEY", "CERTIFICATE");
        let x25519 = pem.replace("MCowBQYDK2Vw", "MCowBQYDK2Vu");
        for other in ["", "no key", &certificate, &x25519] {
            assert_eq!(PublicKey::from_pem(other.as_bytes()), Err(NoPublicKey), "{other}");
        }
    }
}
