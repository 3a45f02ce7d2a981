//! Addresses in the audit. What a plan or an error holds of one is its SHA-256, which whoever has a list of addresses can undo;
//! what is kept is the HMAC of that, with a key of this deployment.

use super::Record;
use headcount_model::mask::PseudonymKey;
use serde_json::{Map, Value};

/// Before a digest that anybody can make, as records of older versions hold it.
const PLAIN: &str = "sha256:";
/// Before one that only this deployment can.
const KEYED: &str = "hmac-sha256:";
/// Hexadecimal digits of either.
const DIGITS: usize = 64;

/// What the addresses in the audit are hashed with.
#[derive(Clone, Debug)]
pub struct AddressKey(PseudonymKey);

impl AddressKey {
    /// That of the deployment whose pseudonyms are made with this key. They cannot be told from each other's tokens.
    pub fn new(pseudonyms: &PseudonymKey) -> Self {
        Self(pseudonyms.derived("addresses in the audit"))
    }

    /// A text with every digest of an address keyed.
    pub(super) fn keyed(&self, text: &str) -> String {
        replaced(text, |digest| format!("{KEYED}{}", self.0.mac(digest.as_bytes())))
    }

    /// Filters as the audit keeps them.
    pub(super) fn in_filters(&self, filters: Map<String, Value>) -> Map<String, Value> {
        let keyed = |value| match value {
            Value::String(text) => Value::String(self.keyed(&text)),
            value => value,
        };
        filters.into_iter().map(|(name, value)| (name, keyed(value))).collect()
    }
}

/// A text without digests of addresses: for whoever has no key to keep them under, as the log.
pub fn hidden(text: &str) -> String {
    replaced(text, |_| "(an address)".to_owned())
}

/// A text with something else for each digest of an address.
fn replaced(text: &str, replacement: impl Fn(&str) -> String) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(PLAIN) {
        let (before, after) = rest.split_at(at);
        let (mark, after) = after.split_at(PLAIN.len());
        replaced.push_str(before);
        rest = match after.get(..DIGITS).filter(|digest| is_digest(digest)) {
            Some(digest) if !before.ends_with("hmac-") => {
                replaced.push_str(&replacement(digest));
                &after[DIGITS..]
            }
            _ => {
                replaced.push_str(mark);
                after
            }
        };
    }
    replaced + rest
}

fn is_digest(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// An address that is looked for in the audit.
pub struct Sought {
    /// In whatever form a record may hold it.
    forms: Vec<String>,
}

impl Sought {
    /// The address whose SHA-256 this is, after `sha256:`. Without a key nothing was recorded with one.
    pub fn new(plain: String, key: Option<&AddressKey>) -> Self {
        let mut forms: Vec<_> = key.map(|key| key.keyed(&plain)).into_iter().collect();
        forms.push(plain);
        Self { forms }
    }

    /// Whether a record is of a request for the address, or of an export that failed at it.
    pub fn is_in(&self, record: &Record) -> bool {
        let mut texts =
            record.filters.as_object().into_iter().flat_map(Map::values).filter_map(Value::as_str);
        texts.any(|text| self.forms.iter().any(|form| form == text))
            || record
                .reason
                .as_ref()
                .is_some_and(|reason| self.forms.iter().any(|form| reason.contains(form)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headcount_model::plan::hashed;
    use serde_json::json;

    fn key() -> AddressKey {
        AddressKey::new(&PseudonymKey::new(&[7; 32]))
    }

    #[test]
    fn every_digest_is_keyed_once() {
        let keyed = key().keyed(&hashed("ada@example.com"));
        // Python: h = lambda key, text: hmac.new(key, text, "sha256")
        // h(h(bytes([7] * 32), b"addresses in the audit").digest(),
        //   hashlib.sha256(b"ada@example.com").hexdigest().encode()).hexdigest()
        let expected = "2727ab342ee4fd75a1821950eeab8de7395e036a6143ada7c9b31b4539ebd7ad";
        assert_eq!(keyed, format!("hmac-sha256:{expected}"));
        assert_eq!(key().keyed(&keyed), keyed);
        let text = format!("id {}: not {}.", hashed("a@b"), hashed("c@d"));
        let twice = key().keyed(&text);
        assert_eq!(twice.matches("hmac-sha256:").count(), 2);
        assert!(twice.starts_with("id hmac-sha256:") && twice.ends_with('.') && !twice.contains(" sha256:"));
    }

    #[test]
    fn the_log_shows_what_is_keyed_and_no_other_digest() {
        let keyed = key().keyed(&hashed("a@b"));
        let text = format!("id {}: not {keyed}", hashed("c@d"));
        assert_eq!(hidden(&text), format!("id (an address): not {keyed}"));
    }

    #[test]
    fn nothing_else_is_touched() {
        for text in [
            "",
            "sha256:",
            "sha256:sha256:00",
            "pbkdf2:sha256:260000$salt$00",
            &format!("sha256:{}é", "0".repeat(63)),
        ] {
            assert_eq!(key().keyed(text), text);
            assert_eq!(hidden(text), text);
        }
        let filters = json!({"limit": 5, "is_active": true, "fields": "id"});
        let Value::Object(filters) = filters else { panic!("no object") };
        assert_eq!(key().in_filters(filters.clone()), filters);
    }
}
