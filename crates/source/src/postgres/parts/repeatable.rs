//! Whether SQL of the administrator's says the same to each of several readers, which share a snapshot, but are transactions and
//! sessions of their own: not what depends on the time, on chance, on the session, or on other rows of the result.
//!
//! A transaction that only reads cannot have the server take an expression apart, so its text is: every name in it is looked up in
//! the catalogue, whatever its schema and arguments. What is not known to be harmless counts as not repeatable, which costs speed.

use super::super::error::mismatch;
use super::super::session::Session;
use super::super::tokens::{Token, implied, tokens};
use crate::SourceError;
use tokio_postgres::types::{ToSql, Type};

/// Functions of the server's own that are `STABLE` because they depend on settings, which are the same for all readers.
const SETTLED: [&str; 29] = [
    "array_to_json",
    "array_to_string",
    "concat",
    "concat_ws",
    "date_part",
    "date_trunc",
    "extract",
    "format",
    "generate_series",
    "json_agg",
    "json_build_array",
    "json_build_object",
    "json_object_agg",
    "jsonb_agg",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_object_agg",
    "make_timestamptz",
    "quote_literal",
    "quote_nullable",
    "row_to_json",
    "timezone",
    "to_char",
    "to_date",
    "to_json",
    "to_jsonb",
    "to_number",
    "to_timestamp",
    "to_tsvector",
];

/// Words that are read as a time, or that make a value of other rows or of chance.
const WORDS: [&str; 8] = [
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "over",
    "tablesample",
    "uescape",
];

/// Texts that are a moment when they are read as a time (PostgreSQL manual, section 8.5.1.4, "Special Values").
const MOMENTS: [&str; 4] = ["now", "today", "tomorrow", "yesterday"];

/// Types that read a time of a text.
const TIMES: [&str; 5] = ["date", "time", "timestamp", "timestamptz", "timetz"];

/// Bytes of a name; the server ignores what is more.
const NAME: usize = 63;

/// A name that is, or could be, something that is not repeatable: a function or an operator that is not immutable; a type that reads
/// times, perhaps of a text that says `now`, or that has code of its own; a view, or what is no table of this server's. Casts need
/// not be named.
const CULPRITS: &str = "
    SELECT p.proname::text FROM pg_proc p
     WHERE p.proname = ANY ($1) AND (p.prokind = 'w' OR p.provolatile <> 'i')
       AND NOT (p.pronamespace = 'pg_catalog'::regnamespace AND p.provolatile = 's' AND p.proname = ANY ($3))
    UNION ALL
    SELECT o.oprname::text FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode
     WHERE o.oprname = ANY ($2) AND o.oprnamespace <> 'pg_catalog'::regnamespace AND p.provolatile <> 'i'
    UNION ALL
    SELECT t.typname::text FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
     WHERE t.typname = ANY ($1)
       AND (t.typtype IN ('d', 'r', 'm') OR t.typtype = 'c' AND c.relkind = 'c'
            OR t.typtype = 'b' AND (t.typcategory = 'D' OR t.typcategory = 'A' AND t.typname LIKE '\\_%'))
    UNION ALL
    SELECT c.relname::text FROM pg_class c WHERE c.relname = ANY ($1) AND c.relkind IN ('v', 'f', 'S')
    UNION ALL
    SELECT p.proname::text FROM pg_cast c JOIN pg_proc p ON p.oid = c.castfunc
     WHERE p.pronamespace <> 'pg_catalog'::regnamespace AND p.provolatile <> 'i'
    LIMIT 1";

/// What in one of these texts may not be the same for every reader; `None` if all of it is.
pub(super) async fn culprit(session: &Session, texts: &[String]) -> Result<Option<String>, SourceError> {
    if texts.is_empty() {
        return Ok(None);
    }
    let (mut names, mut operators) = (Vec::new(), Vec::new());
    for sql in texts {
        match look(&tokens(sql)) {
            Ok(found) => {
                names.extend(found.names);
                operators.extend(found.operators);
            }
            Err(culprit) => return Ok(Some(culprit)),
        }
    }
    let settled = SETTLED.map(str::to_owned).to_vec();
    let values: [&(dyn ToSql + Sync); 3] = [&names, &operators, &settled];
    let values = values.map(|value| (value, Type::TEXT_ARRAY));
    let found = session.ask(CULPRITS, &values).await.map_err(|error| mismatch(&error))?;
    Ok(found.first().map(|row| row.get(0)))
}

/// What the catalogue is to be asked about.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    names: Vec<String>,
    operators: Vec<String>,
}

/// The names in a text; or what in it is not repeatable, or cannot be read here.
fn look(tokens: &[Token]) -> Result<Found, String> {
    let mut found = Found::default();
    let mut rest = tokens;
    while let Some((token, after)) = rest.split_first() {
        rest = after;
        match token {
            Token::Word(word) => {
                let folded = word.to_ascii_lowercase();
                if WORDS.contains(&&*folded) {
                    return Err(folded);
                }
                if let Some(after) = after_harmless_time(token, rest) {
                    rest = after;
                    continue;
                }
                let implied = implied(token, rest.first()).iter();
                found.operators.extend(implied.map(|&operator| operator.to_owned()));
                // Servers with one byte a character fold the others, too.
                let lower = word.to_lowercase();
                found.names.extend((lower != folded).then_some(lower).into_iter().chain([folded]).map(cut));
            }
            Token::Quoted(name) => found.names.push(cut(name.clone())),
            Token::Operator(operator) => found.operators.push(operator.clone()),
            Token::Literal(text) => {
                let mut words = text.split(|character: char| !character.is_alphabetic());
                let is_moment = |word: &str| MOMENTS.iter().any(|moment| word.eq_ignore_ascii_case(moment));
                if let Some(moment) = words.find(|word| is_moment(word)) {
                    return Err(format!("'{moment}'"));
                }
                rest = after_harmless_time(token, rest).unwrap_or(rest);
            }
            Token::Unreadable(what) => return Err((*what).to_owned()),
            Token::Mark(_) => {}
        }
    }
    Ok(found)
}

/// What follows a time that is the same whenever it is read: `NULL::timestamptz`, `'2025-01-08'::date`, `DATE '2025-01-08'`, whose text
/// is looked at by itself; and what follows `AT TIME ZONE`.
fn after_harmless_time<'a>(token: &Token, rest: &'a [Token]) -> Option<&'a [Token]> {
    match (token, rest) {
        (Token::Word(word), [time, zone, after @ ..])
            if word.eq_ignore_ascii_case("at") && time.is_word("time") && zone.is_word("zone") =>
        {
            Some(after)
        }
        (Token::Word(word), [Token::Mark(':'), Token::Mark(':'), after @ ..])
            if word.eq_ignore_ascii_case("null") =>
        {
            after_time_type(after)
        }
        (Token::Literal(_), [Token::Mark(':'), Token::Mark(':'), after @ ..]) => after_time_type(after),
        (Token::Word(_), _) if TIMES.iter().any(|time| token.is_word(time)) => {
            let after = after_zone(rest);
            matches!(after, [Token::Literal(_), ..]).then_some(after)
        }
        _ => None,
    }
}

fn after_time_type(tokens: &[Token]) -> Option<&[Token]> {
    let (first, after) = tokens.split_first()?;
    TIMES.iter().any(|time| first.is_word(time)).then(|| after_zone(after))
}

fn after_zone(tokens: &[Token]) -> &[Token] {
    match tokens {
        [with, time, zone, after @ ..]
            if (with.is_word("with") || with.is_word("without"))
                && time.is_word("time")
                && zone.is_word("zone") =>
        {
            after
        }
        _ => tokens,
    }
}

/// A name as the server cuts it.
fn cut(mut name: String) -> String {
    name.truncate(name.floor_char_boundary(NAME));
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(sql: &str) -> Result<String, String> {
        look(&tokens(sql)).map(|found| found.names.join(" "))
    }

    #[test]
    fn every_name_is_found() {
        for (sql, expected) in [
            ("Lower(trim(\"Name\"))", "lower trim Name"),
            ("app.\"now\"()", "app now"),
            ("users.full_name || ' unknown'", "users full_name"),
            ("a /* now() /* b */ */ + c -- now()", "a c"),
            ("created AT TIME ZONE 'Europe/Berlin'", "created"),
            ("concat('a', (date(x)))", "concat date x"),
            ("NULL::timestamptz", ""),
            ("coalesce(NULL::timestamp with time zone, x)", "coalesce x"),
            ("created >= '2025-01-08'::date", "created"),
            ("created >= TIMESTAMP WITHOUT TIME ZONE '2025-01-08'", "created"),
            ("x::date", "x date"),
            ("date(x)", "date x"),
            ("GRÖẞE", "größe grÖẞe"),
            ("'it''s' || $$knowing$$ || a$b", "a$b"),
            ("a ~ '^\\d+\\' || b", "a b"),
        ] {
            assert_eq!(names(sql).as_deref(), Ok(expected), "{sql}");
        }
        let operators = look(&tokens("a <-> b ->> 'c' || d/*x*/- e")).map(|found| found.operators);
        assert_eq!(operators, Ok(["<->", "->>", "||", "-"].map(str::to_owned).to_vec()));
    }

    #[test]
    fn what_is_a_moment_or_could_hide_one_is_seen() {
        for sql in [
            "created_at > 'now'",
            "created_at > 'Today 10:00'",
            "created_at > $q$yesterday$q$",
            "created_at > 'to'\n 'morrow'",
            "created_at > 'to' -- a comment\n 'day'",
            "created_at > E'\\x6eow'",
            "created_at > E'it\\'s' || now",
            "created_at > U&'\\006eow'",
            "U&\"\\006eow\"()",
            "created_at > '[now,)'",
            "CURRENT_TIMESTAMP(3)",
            "count(*) OVER ()",
            "(SELECT a FROM b TABLESAMPLE SYSTEM (1))",
        ] {
            assert!(names(sql).is_err(), "{sql}");
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_to_an_end(sql in ".{0,60}") {
            let _ = look(&tokens(&sql));
        }
    }
}
