//! The names in an SQL expression, so that one that mentions a credential can be refused.

/// The identifiers and keywords of an SQL text, without those in string literals and comments. Names in double quotes,
/// backticks and brackets (SQLite reads all three) come without them; case is kept.
///
/// It reads what both databases read, and where they differ it would rather see a name too many.
pub fn identifiers(sql: &str) -> Vec<String> {
    names(sql).into_iter().map(|(name, _)| name).filter(|name| name != "(" && name != ")").collect()
}

/// The names that a parenthesis follows, as those of functions do.
pub fn called(sql: &str) -> Vec<String> {
    let names = names(sql);
    let called = names.windows(2).filter(|two| two[1].0 == "(" && two[0].0 != "(" && two[0].0 != ")");
    called.map(|two| two[0].0.clone()).collect()
}

/// Whether an expression takes the rows of `table` as a whole, credentials included, as in `to_jsonb(users)`: it names the
/// table, or what a subquery calls it, without a column behind it.
pub fn takes_whole_row(sql: &str, table: &str) -> bool {
    let names = names(sql);
    let listed = listed(&names, table);
    let aliases: Vec<_> = listed.iter().filter_map(|at| alias(&names, *at)).collect();
    let is_row = |(at, (name, has_column)): (usize, &(String, bool))| {
        let is_table = name.eq_ignore_ascii_case(table) && !listed.contains(&at);
        let is_alias =
            aliases.iter().any(|alias| *alias != at && name.eq_ignore_ascii_case(&names[*alias].0));
        !has_column && (is_table || is_alias)
    };
    let close = sql.replace(char::is_whitespace, "").to_lowercase();
    let has_star = || ["select*", "distinct*", "all*", ",*"].iter().any(|star| close.contains(star));
    names.iter().enumerate().any(is_row) || close.contains(".*") || !listed.is_empty() && has_star()
}

/// Where subqueries list a table to read from. `FROM` alone says little: `trim(FROM users::text)` takes whole rows.
fn listed(names: &[(String, bool)], table: &str) -> Vec<usize> {
    let is = |at: usize, word: &str| names.get(at).is_some_and(|(name, _)| name.eq_ignore_ascii_case(word));
    let mut listed = Vec::new();
    // Whether each of the parentheses around has a subquery in it.
    let mut around = Vec::new();
    for at in 0..names.len() {
        if is(at, "(") {
            around.push(is(at + 1, "select"));
        } else if is(at, ")") {
            around.pop();
        } else if is(at, table) && around.last() == Some(&true) {
            // Its schema may stand before it.
            let lead = at
                .checked_sub(1)
                .and_then(|before| if names[before].1 { before.checked_sub(1) } else { Some(before) });
            listed.extend(lead.filter(|lead| is(*lead, "from") || is(*lead, "join")).map(|_| at));
        }
    }
    listed
}

/// What may follow a table that is listed, and is no other name of it.
const AFTER_TABLES: [&str; 20] = [
    "(",
    ")",
    "where",
    "on",
    "using",
    "join",
    "inner",
    "left",
    "right",
    "full",
    "cross",
    "natural",
    "group",
    "order",
    "limit",
    "offset",
    "union",
    "intersect",
    "except",
    "window",
];

/// Where the other name stands that a listed table gets.
fn alias(names: &[(String, bool)], table: usize) -> Option<usize> {
    let (next, _) = names.get(table + 1)?;
    let at = if next.eq_ignore_ascii_case("as") { table + 2 } else { table + 1 };
    let (name, _) = names.get(at)?;
    (!AFTER_TABLES.iter().any(|word| name.eq_ignore_ascii_case(word))).then_some(at)
}

/// Whether every parenthesis outside of literals and comments has its other half: an expression that closes one more than it opens
/// would leave the parentheses that are put around it.
pub fn is_balanced(sql: &str) -> bool {
    let mut depth = 0;
    for (token, _) in names(sql) {
        match token.as_str() {
            "(" => depth += 1,
            ")" if depth == 0 => return false,
            ")" => depth -= 1,
            _ => {}
        }
    }
    depth == 0
}

/// The identifiers, and whether a dot follows; parentheses, too.
fn names(sql: &str) -> Vec<(String, bool)> {
    let mut names = Vec::new();
    let mut has_column = Vec::new();
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        rest = match c {
            '\'' => after_string(&rest[1..], false),
            '-' if rest.starts_with("--") => rest.find(['\n', '\r']).map_or("", |at| &rest[at..]),
            '/' if rest.starts_with("/*") => after_comment(rest),
            '"' | '`' => quoted(&rest[1..], c, &mut names),
            // In PostgreSQL an array's index stands in brackets: its names are read as such too.
            '[' => {
                let (inner, _) = rest[1..].split_once(']').unwrap_or((&rest[1..], ""));
                names.push(inner.to_owned());
                &rest[1..]
            }
            '$' => after_dollar(rest),
            _ if is_start(c) => {
                let end =
                    rest.find(|c| !is_start(c) && !c.is_ascii_digit() && c != '$').unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                if let Some(inside) = after.strip_prefix('\'') {
                    // E'…', B'…', N'…', X'…', U&'…' without its &: a literal's kind, not a name.
                    after_string(inside, word.eq_ignore_ascii_case("e"))
                } else {
                    names.push(word.to_owned());
                    after
                }
            }
            '(' | ')' => {
                names.push(c.to_string());
                &rest[1..]
            }
            _ => &rest[c.len_utf8()..],
        };
        has_column.resize(names.len(), rest.trim_start().starts_with('.'));
    }
    names.into_iter().zip(has_column).collect()
}

fn is_start(c: char) -> bool {
    c.is_alphabetic() || c == '_' || !c.is_ascii() && !c.is_whitespace()
}

/// What follows a string literal; in it a quote is doubled or, in `E'…'`, also escaped.
fn after_string(inside: &str, has_escapes: bool) -> &str {
    let bytes = inside.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' if has_escapes => at += 1,
            b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 1,
            b'\'' => return &inside[at + 1..],
            _ => {}
        }
        at += 1;
    }
    ""
}

/// What follows a comment; in PostgreSQL they nest, in SQLite they do not, so the inner ones are read as if they did not.
fn after_comment(comment: &str) -> &str {
    comment[2..].split_once("*/").map_or("", |(_, after)| after)
}

/// Takes a quoted name, in which the quote is doubled; what follows it.
fn quoted<'a>(inside: &'a str, quote: char, names: &mut Vec<String>) -> &'a str {
    let mut name = String::new();
    let mut rest = inside;
    loop {
        let Some((before, after)) = rest.split_once(quote) else {
            names.push(name + rest);
            return "";
        };
        name.push_str(before);
        match after.strip_prefix(quote) {
            Some(next) => {
                name.push(quote);
                rest = next;
            }
            None => {
                names.push(name);
                return after;
            }
        }
    }
}

/// What follows `$tag$…$tag$`, or the dollar if it opens no such literal.
fn after_dollar(text: &str) -> &str {
    let literal = text[1..].find('$').and_then(|end| {
        let tag = &text[..end + 2];
        let is_tag = tag[1..=end].chars().all(|c| is_start(c) || c.is_ascii_digit());
        is_tag.then(|| text[tag.len()..].split_once(tag).map(|(_, after)| after)).flatten()
    });
    literal.unwrap_or(&text[1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parentheses_have_their_other_half() {
        for sql in ["a", "(a OR (b))", "a = '('", "a -- ("] {
            assert!(is_balanced(sql), "{sql}");
        }
        for sql in ["a = 0) OR (a = 1", "(a", "a)"] {
            assert!(!is_balanced(sql), "{sql}");
        }
    }

    #[test]
    fn whole_rows_are_seen() {
        for sql in [
            "to_jsonb(users)",
            "row_to_json(USERS)::text",
            "(users).*",
            "users . *",
            "hstore(\"users\")",
            "trim(both from users::text)",
            "(SELECT to_jsonb(m) FROM users m WHERE m.id = 1)",
            "(SELECT m::text FROM public.users AS \"m\")",
            "(SELECT users FROM users)",
            "EXISTS (SELECT * FROM users m WHERE m.id = 1)",
            "(SELECT x.a FROM (SELECT 1 AS a, * FROM users) x)",
            "(SELECT 1 FROM teams t, users u)",
        ] {
            assert!(takes_whole_row(sql, "users"), "{sql}");
        }
        for sql in [
            "users.email",
            "(SELECT e.email FROM user_emails e WHERE e.user_id = users.id)",
            "EXISTS (SELECT FROM public.users m WHERE m.team_id = users.id)",
            "(SELECT count(*) FROM users JOIN teams ON teams.lead = users.id)",
            "(SELECT max(x.id) FROM teams JOIN users AS x ON x.id = teams.lead)",
            "'users'",
            "2 * x",
        ] {
            assert!(!takes_whole_row(sql, "users"), "{sql}");
        }
    }

    #[test]
    fn names_are_found_where_they_are_names() {
        for (sql, expected) in [
            ("nullif(trim(first_name || ' ' || last_name), '')", "nullif trim first_name last_name"),
            ("\"firstName\" || ' password '", "firstName"),
            ("\"a\"\"b\"", "a\"b"),
            ("x -- secret\n + y /* token */ + z", "x y z"),
            ("'it''s' || salt", "salt"),
            ("E'it\\'s password' || salt", "salt"),
            ("X'ff' || a", "a"),
            ("$$secret$$ || a", "a"),
            ("$tag$ secret $$ $tag$ || a", "a"),
            ("a$b || 'x'", "a$b"),
            ("u.password_hash", "u password_hash"),
            ("`pass word` || [other name]", "pass word other name other name"),
            ("NULL::timestamptz", "NULL timestamptz"),
            ("raw_user_meta_data->>'full_name'", "raw_user_meta_data"),
            ("größe2 + 1e5", "größe2 e5"),
            ("'never closed, password", ""),
            ("\"never closed", "never closed"),
            ("/* never closed password", ""),
        ] {
            assert_eq!(identifiers(sql).join(" "), expected, "{sql}");
        }
    }

    #[test]
    fn a_nested_comment_hides_nothing() {
        let names = identifiers("/* a /* b */ password */ c");
        assert!(names.contains(&"password".to_owned()) && names.contains(&"c".to_owned()));
    }
}
