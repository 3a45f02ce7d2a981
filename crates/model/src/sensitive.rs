//! What must not leave: columns that hold credentials, recognised by their names and by their contents.

mod content;
mod personal;
mod sql;

pub use content::{by_content, is_random};
pub use personal::{Sensitivity, sensitivity};
pub use sql::{called, identifiers, is_balanced, takes_whole_row};

/// Words that make a name a credential's, with the rule that a finding names.
const RULES: [(&str, &str); 55] = [
    ("password", "password"),
    ("passphrase", "password"),
    ("passcode", "password"),
    ("pass", "password"),
    ("passwort", "password"),
    ("kennwort", "password"),
    ("contrasena", "password"),
    ("contraseña", "password"),
    ("senha", "password"),
    ("wachtwoord", "password"),
    ("passwd", "passwd"),
    ("pswd", "passwd"),
    ("pwd", "pwd"),
    ("pw", "pwd"),
    ("hash", "hash"),
    ("bcrypt", "hash"),
    ("scrypt", "hash"),
    ("argon", "hash"),
    ("crypt", "hash"),
    ("crypted", "hash"),
    ("salt", "salt"),
    ("pepper", "salt"),
    ("secret", "secret"),
    ("token", "token"),
    ("jwt", "token"),
    ("bearer", "token"),
    ("nonce", "token"),
    ("otp", "otp"),
    ("hotp", "otp"),
    ("totp", "totp"),
    ("mfa", "mfa"),
    ("tfa", "mfa"),
    ("twofactor", "mfa"),
    ("webauthn", "mfa"),
    ("recovery", "recovery"),
    ("credential", "credential"),
    ("passkey", "credential"),
    ("apikey", "api_key"),
    ("privatekey", "private_key"),
    ("privkey", "private_key"),
    ("pin", "pin"),
    ("session", "session"),
    ("sessid", "session"),
    ("cookie", "session"),
    ("cvv", "cvv"),
    ("authkey", "api_key"),
    ("verifier", "hash"),
    ("passwrd", "password"),
    ("mdp", "password"),
    ("clave", "password"),
    ("haslo", "password"),
    ("secretquestion", "recovery"),
    ("serverkey", "private_key"),
    ("storedkey", "private_key"),
    ("uniquifier", "session"),
];

/// Two words that only together are a credential's.
const PAIRS: [(&str, &str, &str); 33] = [
    ("api", "key", "api_key"),
    ("access", "key", "api_key"),
    ("auth", "key", "api_key"),
    ("app", "key", "api_key"),
    ("private", "key", "private_key"),
    ("signing", "key", "private_key"),
    ("encryption", "key", "private_key"),
    ("pass", "key", "credential"),
    ("two", "factor", "mfa"),
    ("2", "fa", "mfa"),
    ("2", "factor", "mfa"),
    ("backup", "code", "recovery"),
    ("scratch", "code", "recovery"),
    ("security", "answer", "recovery"),
    ("security", "question", "recovery"),
    ("reset", "code", "recovery"),
    ("verification", "code", "otp"),
    ("mot", "passe", "password"),
    ("activation", "key", "recovery"),
    ("reset", "key", "recovery"),
    ("unlock", "key", "recovery"),
    ("verify", "key", "recovery"),
    ("activation", "code", "recovery"),
    ("unlock", "code", "recovery"),
    ("login", "code", "otp"),
    ("auth", "code", "otp"),
    ("sms", "code", "otp"),
    ("magic", "link", "otp"),
    ("security", "stamp", "session"),
    ("secret", "question", "recovery"),
    ("private", "pem", "private_key"),
    ("server", "key", "private_key"),
    ("stored", "key", "private_key"),
];

/// Words that stand beside a credential's in names written without a separator, as in `authtoken`.
const COMPANIONS: [&str; 46] = [
    "user",
    "usr",
    "auth",
    "oauth",
    "access",
    "refresh",
    "login",
    "reset",
    "api",
    "app",
    "client",
    "device",
    "my",
    "new",
    "old",
    "last",
    "temp",
    "tmp",
    "hashed",
    "encrypted",
    "enc",
    "key",
    "code",
    "md",
    "sha",
    "hex",
    "confirm",
    "confirmation",
    "activation",
    "remember",
    "verification",
    "verify",
    "email",
    "backup",
    "account",
    "admin",
    "member",
    "master",
    "private",
    "id",
    "data",
    "value",
    "feed",
    "csrf",
    "string",
    "text",
];

/// Whether a column's name looks like that of a credential; the rule that says so, as in `password`.
///
/// `encryptedPassword`, `password_hash` and `mfasecret` do; `hashtag_count` and `shipping` do not.
pub fn by_name(name: &str) -> Option<&'static str> {
    let words = words(name);
    let pair = words.windows(2).find_map(|pair| {
        let found =
            PAIRS.iter().find(|(first, second, _)| pair[0] == *first && singular(&pair[1]) == *second);
        found.map(|(.., rule)| *rule)
    });
    // `twitter_oauth` is what OAuth gave; `oauth_provider` says who, and `is_oauth` whether.
    let is_oauth = matches!(&words[..], [first, .., last] if last == "oauth" && !matches!(first.as_str(), "is" | "has" | "uses"));
    pair.or_else(|| words.iter().find_map(|word| rule_of(word))).or(is_oauth.then_some("token"))
}

/// The words of a name in lower case: `passwordHash`, `password-hash` and `PASSWORD_HASH` are `password` and `hash`.
/// Digits are words of their own.
pub fn words(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut rest = name.chars().peekable();
    let mut before = None;
    while let Some(c) = rest.next() {
        let starts = before.is_some_and(|before| is_boundary(before, c, rest.peek().copied()));
        if (starts || !c.is_alphanumeric()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        before = Some(c);
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

/// Whether a word starts at `c`: `fooBar`, `APIKey` (before the `K`) and `fa2` do it.
fn is_boundary(before: char, c: char, after: Option<char>) -> bool {
    let camel = c.is_uppercase() && (before.is_lowercase() || after.is_some_and(char::is_lowercase));
    camel || c.is_numeric() != before.is_numeric()
}

/// The rule for one word: itself, or the first of the words that it is glued together from.
fn rule_of(word: &str) -> Option<&'static str> {
    let exact = |word: &str| RULES.iter().find(|(known, _)| *known == word).map(|(_, rule)| *rule);
    exact(word).or_else(|| exact(&singular(word))).or_else(|| glued(word))
}

/// The rule for `authtoken` and the like: known words up to the end, one of them a credential's.
fn glued(word: &str) -> Option<&'static str> {
    // What a prefix of each length amounts to: not made of known words, harmless, or a credential's.
    let mut found: Vec<Option<Option<&'static str>>> = vec![None; word.len() + 1];
    found[0] = Some(None);
    let known = RULES.iter().map(|(word, rule)| (*word, Some(*rule)));
    let known: Vec<_> = known.chain(COMPANIONS.iter().map(|word| (*word, None))).collect();
    for end in 1..=word.len() {
        for (part, rule) in &known {
            let Some(start) = end.checked_sub(part.len()) else { continue };
            let Some(before) = found[start] else { continue };
            if &word.as_bytes()[start..end] == part.as_bytes() && found[end].flatten().is_none() {
                found[end] = Some(before.or(*rule));
            }
        }
    }
    let without_plural = word.strip_suffix('s').map_or(word.len(), str::len);
    found[word.len()].or(found[without_plural]).flatten()
}

fn singular(word: &str) -> String {
    let stem = word.strip_suffix("es").filter(|stem| stem.ends_with("sh") || stem.ends_with("ss"));
    stem.or_else(|| word.strip_suffix('s').filter(|stem| !stem.ends_with('s'))).unwrap_or(word).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_into_words() {
        for (name, expected) in [
            ("encrypted_password", "encrypted password"),
            ("encryptedPassword", "encrypted password"),
            ("PASSWORD-HASH", "password hash"),
            ("APIKey", "api key"),
            ("userID", "user id"),
            ("sha256Hash", "sha 256 hash"),
            ("é_Ünder", "é ünder"),
            ("__", ""),
        ] {
            assert_eq!(words(name).join(" "), expected);
        }
    }

    #[test]
    fn credentials_are_recognised_by_name() {
        for (name, rule) in [
            ("password", "password"),
            ("encryptedPassword", "password"),
            ("encrypted_password", "password"),
            ("password_hash", "password"),
            ("hashed_password", "password"),
            ("passwordHash", "password"),
            ("PasswordHash", "password"),
            ("user_pass", "password"),
            ("passwd", "passwd"),
            ("passwd_hash_algo", "passwd"),
            ("pwd", "pwd"),
            ("userpwd", "pwd"),
            ("hash", "hash"),
            ("hashes", "hash"),
            ("salt", "salt"),
            ("client_secret", "secret"),
            ("mfasecret", "mfa"),
            ("otp_secret", "otp"),
            ("otp_backup_codes", "recovery"),
            ("authtoken", "token"),
            ("reset_password_token", "password"),
            ("remember_token", "token"),
            ("refreshTokens", "token"),
            ("totpSeed", "totp"),
            ("mfa_active", "mfa"),
            ("recovery_codes", "recovery"),
            ("backup_codes", "recovery"),
            ("api_key", "api_key"),
            ("apiKey", "api_key"),
            ("apikey", "api_key"),
            ("api-keys", "api_key"),
            ("private_key", "private_key"),
            ("credentials", "credential"),
            ("pin", "pin"),
            ("pin_code", "pin"),
            ("session_id", "session"),
            ("2fa_enabled", "mfa"),
            ("twoFactorAuthTokenHash", "mfa"),
            ("md5password", "password"),
            ("feedtoken", "token"),
            ("contraseña", "password"),
        ] {
            assert_eq!(by_name(name), Some(rule), "{name}");
        }
    }

    #[test]
    fn other_names_are_not() {
        for name in [
            "hashtag_count",
            "shipping",
            "asalted",
            "description",
            "id",
            "email",
            "name",
            "passport_number",
            "compass",
            "bypass_count",
            "pinned_at",
            "opinion",
            "obsession",
            "hasher_name",
            "spinner",
            "saltwater",
            "public_key",
            "key",
            "tokyo_office",
            "created_at",
            "author",
            "passenger",
            "mission",
            "sharing",
            "userid",
            "adminid",
            "",
            "日本",
            "accessibility",
            "two_names",
            "digest_frequency",
        ] {
            assert_eq!(by_name(name), None, "{name}");
        }
    }
}
