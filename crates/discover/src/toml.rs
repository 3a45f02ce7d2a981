//! The little of TOML that is written (TOML 1.0).

/// A string, in the form that is the easiest to read.
pub(super) fn string(text: &str) -> String {
    let is_plain = !text.contains(['"', '\\']) && !text.chars().any(headcount_model::text::steers);
    if is_plain {
        return format!("\"{text}\"");
    }
    if !text.contains('\'') && !text.chars().any(headcount_model::text::steers) {
        return format!("'{text}'");
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if headcount_model::text::steers(c) => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Lines of a comment, each at most as long as a person reads; empty lines stay.
pub(super) fn comment(text: &str) -> String {
    const WIDTH: usize = 110;
    let mut out = String::new();
    for paragraph in text.split('\n') {
        let mut line = String::from("#");
        // What comes from a database must not end a comment.
        let safe = headcount_model::text::visible(paragraph);
        for word in safe.split(' ').filter(|word| !word.is_empty()) {
            if line.chars().count() + 1 + word.chars().count() > WIDTH && line.len() > 1 {
                out.push_str(&line);
                out.push('\n');
                line = String::from("#");
            }
            line.push(' ');
            line.push_str(word);
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_read_back() {
        for text in [
            "users",
            "\"My Schema\".\"Users\"",
            "nullif(trim(a || ' ' || b), '')",
            "e.\"primary\" = 'x\\y'",
            "a\nb\u{7f}\u{1}\t\u{202e}",
            "größe",
            "",
        ] {
            let table: toml::Table = format!("key = {}", string(text)).parse().expect("TOML");
            assert_eq!(table["key"].as_str(), Some(text));
        }
    }

    #[test]
    fn comments_stay_comments() {
        let text = comment(&format!("a\n{}\nb\rlisten = 1\u{2028}", "word ".repeat(60)));
        assert!(text.lines().all(|line| line.starts_with('#') && line.chars().count() <= 110), "{text}");
        assert!(text.parse::<toml::Table>().expect("TOML").is_empty());
    }
}
