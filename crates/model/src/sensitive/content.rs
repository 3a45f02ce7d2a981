//! Credentials recognised by what stands in the cells.

/// Shorter random text is as often an id as a token.
const RANDOM_LENGTH: usize = 32;

/// Beginnings that only hashes and tokens have.
const PREFIXES: [(&str, &str); 27] = [
    ("$argon2", "argon2"),
    ("argon2$", "argon2"),
    ("$pbkdf2", "pbkdf2"),
    ("pbkdf2_", "pbkdf2"),
    ("pbkdf2:", "pbkdf2"),
    ("{PBKDF2", "pbkdf2"),
    ("$scrypt$", "scrypt"),
    ("scrypt$", "scrypt"),
    ("scrypt:", "scrypt"),
    ("$7$", "scrypt"),
    ("bcrypt$$2", "bcrypt"),
    ("bcrypt_sha256$", "bcrypt"),
    ("$1$", "crypt"),
    ("$5$", "crypt"),
    ("$6$", "crypt"),
    ("$y$", "crypt"),
    ("$P$", "phpass"),
    ("$H$", "phpass"),
    ("{SSHA}", "salted SHA-1"),
    ("{SHA}", "SHA-1"),
    ("-----BEGIN", "private key or certificate"),
    ("ghp_", "access token"),
    ("github_pat_", "access token"),
    ("glpat-", "access token"),
    ("xoxb-", "access token"),
    ("sk_live_", "access token"),
    ("otpauth://", "one-time password secret"),
];

/// Whether a sample of a column's cells looks like credentials; what it looks like, as in `bcrypt`.
///
/// One hash or token in a known form is enough. Random text has to be in at least half of the cells that are not
/// empty.
pub fn by_content<'a>(cells: impl IntoIterator<Item = &'a str>) -> Option<&'static str> {
    let (mut filled, mut random) = (0_usize, 0_usize);
    let mut all_uuids = true;
    for cell in cells.into_iter().map(str::trim).filter(|cell| !cell.is_empty()) {
        if let Some(form) = known_form(cell) {
            return Some(form);
        }
        filled += 1;
        random += usize::from(looks_random(cell));
        all_uuids &= is_plain_uuid(cell);
    }
    (random > 0 && random * 2 >= filled && !all_uuids).then_some("random text")
}

/// Whether all of a column's cells are long random text, be it a UUID.
pub fn is_random<'a>(cells: impl IntoIterator<Item = &'a str>) -> bool {
    let mut cells = cells.into_iter().map(str::trim).filter(|cell| !cell.is_empty()).peekable();
    cells.peek().is_some() && cells.all(|cell| is_plain_uuid(cell) || looks_random(cell))
}

fn known_form(cell: &str) -> Option<&'static str> {
    if is_bcrypt(cell) {
        return Some("bcrypt");
    }
    if is_jwt(cell) {
        return Some("JWT");
    }
    PREFIXES.iter().find(|(prefix, _)| cell.starts_with(prefix)).map(|(_, form)| *form)
}

/// `$2b$12$` and 53 characters; a sample may have cut it short.
fn is_bcrypt(cell: &str) -> bool {
    let mut parts = cell.split('$');
    let is_version = |part: &str| matches!(part, "2" | "2a" | "2b" | "2x" | "2y");
    let is_cost = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.next() == Some("") && parts.next().is_some_and(is_version) && parts.next().is_some_and(is_cost)
}

/// Three parts in base64url, the first of them a JSON object (RFC 7519).
fn is_jwt(cell: &str) -> bool {
    let parts: Vec<_> = cell.split('.').collect();
    let is_base64url =
        |part: &&str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    (2..=3).contains(&parts.len())
        && cell.starts_with("eyJ")
        && cell.len() >= 20
        && parts.iter().all(is_base64url)
}

/// Long text of the alphabets in which keys, hashes and tokens are written, as mixed as chance would mix it.
fn looks_random(cell: &str) -> bool {
    let bytes = cell.trim_end_matches('=').as_bytes();
    if bytes.len() < RANDOM_LENGTH {
        return false;
    }
    let count = |is: fn(&u8) -> bool| bytes.iter().filter(|byte| is(byte)).count();
    let digits = count(u8::is_ascii_digit);
    let (lower, upper) = (count(u8::is_ascii_lowercase), count(u8::is_ascii_uppercase));
    let entropy = entropy(bytes);
    if count(u8::is_ascii_hexdigit) == bytes.len() {
        return entropy >= 3.0;
    }
    let others = bytes.len() - digits - lower - upper;
    // The others of base64 and base64url are 2 of 64; a path or a slug has more.
    let is_base64 = count(|byte| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte)) == bytes.len();
    let is_mixed = digits * 16 >= bytes.len() || (digits > 0 && lower > 0 && upper > 0);
    is_base64 && others * 8 <= bytes.len() && is_mixed && entropy >= 3.8
}

/// A UUID without hyphens, which reads like a hash but is an id: its version and variant stand in fixed places
/// (RFC 9562, section 4). With hyphens it is no candidate, having too many of them.
fn is_plain_uuid(cell: &str) -> bool {
    let bytes = cell.as_bytes();
    let hyphenated = bytes.len() == 36 && [8, 13, 18, 23].iter().all(|&at| bytes[at] == b'-');
    let plain = bytes.len() == 32
        && bytes.iter().all(u8::is_ascii_hexdigit)
        && (b'1'..=b'8').contains(&bytes[12])
        && b"89abAB".contains(&bytes[16]);
    hyphenated || plain
}

/// Shannon's entropy of the bytes as they are distributed here, in bits a byte.
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for &byte in bytes {
        counts[usize::from(byte)] += 1;
    }
    let share = |count: &u32| f64::from(*count) / bytes.len() as f64;
    counts.iter().filter(|count| **count > 0).map(share).map(|share| -share * share.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_and_tokens_are_recognised() {
        for (cell, form) in [
            ("$2b$12$KIXQ0zJ4vN5Z1yP8cQeH1uJ9vT2sW3xY4zA5bC6dE7fG8hI9jK0lM", "bcrypt"),
            ("$2y$10$abcdefghijklmnopqrstuv", "bcrypt"),
            ("$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA", "argon2"),
            ("argon2$argon2id$v=19$m=102400,t=2,p=8$c2FsdA$aGFzaA", "argon2"),
            ("pbkdf2_sha256$600000$salt$aGFzaGhhc2g=", "pbkdf2"),
            ("pbkdf2:sha256:260000$salt$abcdef", "pbkdf2"),
            ("$pbkdf2-sha256$29000$c2FsdA$aGFzaA", "pbkdf2"),
            ("scrypt:32768:8:1$salt$abcdef", "scrypt"),
            ("$scrypt$ln=16,r=8,p=1$c2FsdA$aGFzaA", "scrypt"),
            ("$6$salt$hash", "crypt"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "JWT"),
            ("5f4dcc3b5aa765d61d8327deb882cf99", "random text"),
            ("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "random text"),
            ("kJ8sV2xQ9mZ4pL7wR1tY6uB3nC5hG0dFaE==", "random text"),
            ("q7w3e9r2t8y4u1i6o5p0a3s8d2f7g4h9j1k6", "random text"),
        ] {
            assert_eq!(by_content([cell]), Some(form), "{cell}");
            assert_eq!(by_content(["", cell, "  "]), Some(form), "{cell}");
        }
        assert_eq!(by_content(["!unusable", "$2b$12$KIXQ0zJ4vN5Z1yP8cQeH1u"]), Some("bcrypt"));
    }

    #[test]
    fn ids_and_texts_are_not() {
        for cell in [
            "",
            "Ada Lovelace",
            "ada@example.com",
            "1",
            "0b5a7c1e-6c1d-4c39-9f5e-3c1f3a8b2d4e",
            "0b5a7c1e6c1d4c399f5e3c1f3a8b2d4e",
            "https://cdn.example.com/avatars/0b5a7c1e6c1d4c399f5e3c1f3a8b2d4e.png",
            "the-quick-brown-fox-jumps-over-the-lazy-dog-2024",
            "uploads/users/2023/09/portraits/ada_lovelace",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "00000000000000000000000000000000",
            "Donaudampfschifffahrtsgesellschaftskapitän",
            "donaudampfschifffahrtsgesellschaftskapitaen",
            "clh3x9k2p0000qz8v5r7m1n4t",
            "2025-01-08 10:30:00.000000+00",
            "$5 a month",
        ] {
            assert_eq!(by_content([cell]), None, "{cell}");
        }
        // One odd cell among many is no rule.
        assert_eq!(by_content(["Ada", "Grace", "5f4dcc3b5aa765d61d8327deb882cf99"]), None);
        assert_eq!(by_content([]), None);
    }
}
