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

    pub(super) fn is_one_of(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is_word(word))
    }

    /// The name that it is. One that is not quoted is folded (PostgreSQL manual, section 4.1.1).
    pub(super) fn name(&self) -> Option<String> {
        match self {
            Self::Word(word) => Some(word.to_lowercase()),
            Self::Quoted(name) => Some(name.clone()),
            Self::Operator(_) | Self::Literal(_) | Self::Mark(_) | Self::Unreadable(_) => None,
        }
    }
}

/// The operators that a keyword stands for: they are looked up as if they had been written.
pub(super) fn implied(token: &Token, after: Option<&Token>) -> &'static [&'static str] {
    let Token::Word(word) = token else { return &[] };
    match word.to_ascii_lowercase().as_str() {
        // Without a value before it, it compares nothing.
        "case" if after.is_some_and(|after| after.is_word("when")) => &[],
        "in" | "case" | "nullif" | "distinct" | "using" | "natural" => &["=", "<>"],
        "between" => &["<", "<=", ">", ">="],
        "like" => &["~~", "!~~"],
        "ilike" => &["~~*", "!~~*"],
        "similar" => &["~", "!~"],
        _ => &[],
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
        "n" | "b" | "x" if after.starts_with('\'') => literal(after),
        "e" if after.starts_with('\'') => {
            (Some(Token::Unreadable("a text in escapes")), after_escaped(&after[1..]))
        }
        "u" if after.starts_with("&'") || after.starts_with("&\"") => {
            let quote = if after.starts_with("&'") { '\'' } else { '"' };
            (Some(Token::Unreadable("a name or text in escapes")), until(&after[2..], quote).1)
        }
        _ => (Some(Token::Word(word.to_owned())), after),
    }
}

fn operator(sql: &str) -> (Option<Token>, &str) {
    let end = sql.find(|character| !is_operator(character)).unwrap_or(sql.len());
    // A comment ends it.
    let end = [sql.find("--"), sql.find("/*")].into_iter().flatten().fold(end, usize::min);
    // A sign at its end is one of its own, unless it has a character that no operator of standard SQL has (section 4.1.3).
    let has_other = sql[..end].contains(|character| "~!@#%^&|`?".contains(character));
    let name = if has_other { &sql[..end] } else { sql[..end].trim_end_matches(['+', '-']) };
    let end = name.len().max(1);
    let (operator, after) = sql.split_at(end);
    let operator = if operator == "!=" { "<>" } else { operator };
    (Some(Token::Operator(operator.to_owned())), after)
}

fn literal(sql: &str) -> (Option<Token>, &str) {
    let (text, after) = until(&sql[1..], '\'');
    (Some(Token::Literal(text)), after)
}

/// What follows a text in which a backslash takes the next character with it.
fn after_escaped(text: &str) -> &str {
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            '\'' if characters.as_str().starts_with('\'') => drop(characters.next()),
            '\'' => break,
            _ => {}
        }
    }
    characters.as_str()
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
