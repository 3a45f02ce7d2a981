//! The canonical form of JSON (RFC 8785), for what is signed and what is hashed. Its numbers are integers: RFC 8785 asks for
//! the digits that ECMAScript writes for a double, which for those up to 2^53 - 1 are all of theirs.

use serde_json::{Map, Value};

/// The largest integer up to which all have a double of their own: 2^53 - 1 (RFC 7493 section 2.2).
const MAX_INTEGER: u64 = (1 << 53) - 1;

/// A number that not everybody reads alike.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the number {0} is no integer from -(2^53-1) to 2^53-1")]
pub struct InexactNumber(String);

/// The one text of a value (RFC 8785 section 3.2): no white space, members sorted, only `"`, `\` and control characters
/// escaped.
///
/// # Errors
///
/// A number in it is no integer, or too large.
pub fn text(value: &Value) -> Result<String, InexactNumber> {
    check(value)?;
    Ok(text_with_all_digits(value))
}

/// Like [`text`], but for the numbers that it refuses: they stand as they are, larger integers with all their digits.
pub fn text_with_all_digits(value: &Value) -> String {
    let mut out = String::new();
    append(&mut out, value);
    out
}

/// The value with every integer that is too large as a text (RFC 7493 section 2.2).
pub fn with_exact_integers(value: Value) -> Value {
    match value {
        Value::Number(number) if !is_exact(&number) => Value::String(number.to_string()),
        Value::Array(items) => items.into_iter().map(with_exact_integers).collect(),
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (name, with_exact_integers(value))).collect()
        }
        value => value,
    }
}

fn is_exact(number: &serde_json::Number) -> bool {
    let size = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
    size.is_some_and(|size| size <= MAX_INTEGER)
}

fn check(value: &Value) -> Result<(), InexactNumber> {
    match value {
        Value::Number(number) if !is_exact(number) => Err(InexactNumber(number.to_string())),
        Value::Array(items) => items.iter().try_for_each(check),
        Value::Object(members) => members.values().try_for_each(check),
        _ => Ok(()),
    }
}

fn append(out: &mut String, value: &Value) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                append(out, item);
            }
            out.push(']');
        }
        Value::Object(members) => append_object(out, members),
        // Null, truth values, integers and texts are written by the library as RFC 8785 section 3.2.2 asks for.
        scalar => out.push_str(&scalar.to_string()),
    }
}

fn append_object(out: &mut String, members: &Map<String, Value>) {
    let mut sorted: Vec<_> = members.iter().collect();
    // RFC 8785 section 3.2.3: by UTF-16 code units.
    sorted.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
    out.push('{');
    for (at, (name, value)) in sorted.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(&Value::from(name.as_str()).to_string());
        out.push(':');
        append(out, value);
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_are_sorted_by_utf_16() {
        // RFC 8785 section 3.2.3.
        let value: Value = serde_json::from_str(
            r#"{"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh",
                "1": "One", "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control",
                "\u00f6": "Latin Small Letter O With Diaeresis"}"#,
        )
        .expect("JSON");
        let expected = "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\
                        \"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\
                        \"\u{1f600}\":\"Emoji: Grinning Face\",\
                        \"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}";
        assert_eq!(text(&value), Ok(expected.to_owned()));
    }

    #[test]
    fn texts_are_escaped_as_little_as_possible() {
        // RFC 8785 section 3.2.2, without its fractions.
        let value: Value = serde_json::from_str(
            r#"{ "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/\b\t\f\u007f", "literals": [null, true, false] }"#,
        )
        .expect("JSON");
        let expected = "{\"literals\":[null,true,false],\
                        \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\\b\\t\\f\u{7f}\"}";
        assert_eq!(text(&value), Ok(expected.to_owned()));
    }

    #[test]
    fn only_numbers_that_everybody_reads_alike() {
        let exact = json!([0, -1, 9_007_199_254_740_991_u64, -9_007_199_254_740_991_i64]);
        assert_eq!(text(&exact).expect("text"), "[0,-1,9007199254740991,-9007199254740991]");
        for value in [json!(0.5), json!(1e3), json!(9_007_199_254_740_992_u64), json!(i64::MIN)] {
            assert!(text(&json!({"a": [value.clone()]})).is_err(), "{value}");
        }
        let large = json!({"limit": [i64::MAX, 3]});
        assert_eq!(text_with_all_digits(&large), r#"{"limit":[9223372036854775807,3]}"#);
        assert_eq!(with_exact_integers(large), json!({"limit": ["9223372036854775807", 3]}));
    }
}
