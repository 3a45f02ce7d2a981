//! SQL in pieces, as PostgreSQL reads it, as far as it takes to find the names in it.

/// A piece of SQL, as far as it matters here (PostgreSQL manual, section 4.1, "Lexical Structure").
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    Quoted(String),
    Operator(String),
    /// The text of a literal, or of several that are one.
    Literal(String),
    /// A digit, a parenthesis, a comma, a dot, a colon.
    Mark(char),
    /// What could hide something.
    Unreadable(&'static str),
}

impl Token {
    pub(super) fn is_word(&self, expected: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(expected))
    }
}

/// The pieces of a text.
pub(super) fn tokens(sql: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let (token, after) = match first {
            ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c' => (None, &rest[1..]),
            '-' if rest.starts_with("--") => (None, rest.find(['\n', '\r']).map_or("", |end| &rest[end..])),
            '/' if rest.starts_with("/*") => (None, after_comment(rest)),
            '\'' => literal(rest),
            '"' => quoted(rest),
            '$' => dollar(rest),
            _ if is_name(first) => word(rest),
            _ if is_operator(first) => operator(rest),
            _ => (Some(Token::Mark(first)), &rest[first.len_utf8()..]),
        };
        rest = after;
        match (tokens.last_mut(), token) {
            // Literals with nothing but a line's end between them are one.
            (Some(Token::Literal(text)), Some(Token::Literal(more))) => text.push_str(&more),
            (_, Some(token)) => tokens.push(token),
            (_, None) => {}
        }
    }
    tokens
}

fn is_name(character: char) -> bool {
    character.is_alphabetic() || character == '_' || !character.is_ascii()
}

fn is_operator(character: char) -> bool {
    "+-*/<>=~!@#%^&|`?".contains(character)
}

/// A name or keyword; or the literal that a letter before its quote begins.
fn word(sql: &str) -> (Option<Token>, &str) {
    let is_part = |character: char| is_name(character) || character.is_ascii_digit() || character == '$';
    let (word, after) = sql.split_at(sql.find(|character| !is_part(character)).unwrap_or(sql.len()));
    match word.to_ascii_lowercase().as_str() {
        "e" | "n" | "b" | "x" if after.starts_with('\'') => literal(after),
        "u" if after.starts_with("&'") || after.starts_with("&\"") => {
            (Some(Token::Unreadable("a name or text in escapes")), "")
        }
        _ => (Some(Token::Word(word.to_owned())), after),
    }
}

fn operator(sql: &str) -> (Option<Token>, &str) {
    let end = sql.find(|character| !is_operator(character)).unwrap_or(sql.len());
    // A comment ends it.
    let end = [sql.find("--"), sql.find("/*")].into_iter().flatten().fold(end, usize::min);
    let (operator, after) = sql.split_at(end);
    (Some(Token::Operator(operator.to_owned())), after)
}

fn literal(sql: &str) -> (Option<Token>, &str) {
    let (text, after) = until(&sql[1..], '\'');
    // Whether it escapes something depends on a setting.
    let token =
        if text.contains('\\') { Token::Unreadable("a text in escapes") } else { Token::Literal(text) };
    (Some(token), after)
}

fn quoted(sql: &str) -> (Option<Token>, &str) {
    let (name, after) = until(&sql[1..], '"');
    (Some(Token::Quoted(name)), after)
}

/// The text up to a quote, in which it is doubled, and what follows.
fn until(text: &str, quote: char) -> (String, &str) {
    let (mut inside, mut rest) = (String::new(), text);
    loop {
        let Some((before, after)) = rest.split_once(quote) else { return (inside + rest, "") };
        inside.push_str(before);
        match after.strip_prefix(quote) {
            Some(next) => {
                inside.push(quote);
                rest = next;
            }
            None => return (inside, after),
        }
    }
}

/// `$tag$…$tag$`.
fn dollar(sql: &str) -> (Option<Token>, &str) {
    let is_tag = |tag: &str| tag.chars().all(|character| is_name(character) || character.is_ascii_digit());
    let tag = sql[1..].find('$').map(|end| &sql[..end + 2]).filter(|tag| is_tag(&tag[1..tag.len() - 1]));
    match tag.and_then(|tag| sql[tag.len()..].split_once(tag)) {
        Some((text, after)) => (Some(Token::Literal(text.to_owned())), after),
        None => (Some(Token::Mark('$')), &sql[1..]),
    }
}

/// What follows a comment, in which there may be others.
fn after_comment(sql: &str) -> &str {
    let (mut depth, mut rest) = (0_usize, sql);
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix("/*") {
            (depth, rest) = (depth + 1, inside);
        } else if let Some(after) = rest.strip_prefix("*/") {
            (depth, rest) = (depth.saturating_sub(1), after);
            if depth == 0 {
                return rest;
            }
        } else {
            rest = rest.chars().next().map_or("", |character| &rest[character.len_utf8()..]);
        }
    }
    ""
}
