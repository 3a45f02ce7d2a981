//! Texts that more than one room writes: hexadecimal, ids, and what cannot steer a terminal.

use crate::timestamp::Timestamp;

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A text from elsewhere that stays on its line and cannot steer a terminal, nor turn its letters around.
pub fn visible(text: &str) -> String {
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// The same for JSON, which stays what it is: only what ends its lines is no part of a text, and is left.
pub fn visible_json(json: &str) -> String {
    use std::fmt::Write;
    json.chars().fold(String::with_capacity(json.len()), |mut text, c| {
        if steers(c) && c != '\n' {
            // All of them have four digits at most.
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
        text
    })
}

pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A fresh ULID of this time: sorts by time, 80 random bits.
pub fn fresh_id(now: Timestamp) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_micros(now.micros().max(0).unsigned_abs());
    ulid::Ulid::from_datetime(time).to_string()
}
