//! Texts that a spreadsheet would run as a formula, and the `'` that keeps it from that.

/// What a spreadsheet takes for the start of a formula, or leaves out before one (OWASP, "CSV Injection").
pub const FORMULA: [u8; 7] = *b"=+-@\t\r\n";

/// The full-width signs, which East Asian spreadsheets read like the others: `＝＋－＠`.
pub const WIDE_FORMULA: [[u8; 3]; 4] =
    [*b"\xef\xbc\x9d", *b"\xef\xbc\x8b", *b"\xef\xbc\x8d", *b"\xef\xbc\xa0"];

/// Whether sanitized text gets a `'` in front: it starts with a formula character, or with a run of `'` before one,
/// which keeps the marking reversible.
pub fn starts_like_formula(text: &[u8]) -> bool {
    let quotes = text.iter().take_while(|&&byte| byte == b'\'').count();
    let rest = &text[quotes..];
    rest.first().is_some_and(|first| FORMULA.contains(first))
        || WIDE_FORMULA.iter().any(|sign| rest.starts_with(sign))
}

/// Takes off the `'` that sanitizing put in front; text without one is returned as it is.
pub fn unsanitized(text: &str) -> &str {
    match text.strip_prefix('\'') {
        Some(original) if starts_like_formula(text.as_bytes()) => original,
        _ => text,
    }
}
