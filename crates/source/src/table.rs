//! The name of the users table.

use std::fmt;
use std::str::FromStr;

/// A table or view: `users`, `auth.users`, or quoted as in `"My Schema"."Users"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableName {
    schema: Option<String>,
    name: String,
}

impl TableName {
    /// A table by the parts of its name, as a catalogue has them.
    pub fn new(schema: Option<String>, name: String) -> Self {
        Self { schema, name }
    }

    /// The first part, unquoted, if there are two.
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// As [`TableName::from_str`] reads it: like `Display`, but a part that would be misread is quoted.
    pub fn parseable(&self) -> String {
        let part = |name: &str| {
            if name.contains('.') || name.starts_with('"') { quote(name) } else { name.to_owned() }
        };
        match &self.schema {
            Some(schema) => format!("{}.{}", part(schema), part(&self.name)),
            None => part(&self.name),
        }
    }

    /// As it stands in SQL, every part quoted.
    pub fn quoted(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quote(schema), quote(&self.name)),
            None => quote(&self.name),
        }
    }

    /// The last part, unquoted.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl From<&str> for TableName {
    /// A table without a schema, by its very name.
    fn from(name: &str) -> Self {
        Self { schema: None, name: name.to_owned() }
    }
}

impl FromStr for TableName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        loop {
            let (part, after) = split_part(rest, '.').ok_or("expected NAME or SCHEMA.NAME")?;
            parts.push(part);
            match after.strip_prefix('.') {
                Some(next) => rest = next,
                None => break,
            }
        }
        match <[String; 2]>::try_from(parts) {
            Ok([schema, name]) => Ok(Self { schema: Some(schema), name }),
            Err(mut parts) if parts.len() == 1 => Ok(Self { schema: None, name: parts.remove(0) }),
            Err(_) => Err("expected NAME or SCHEMA.NAME".to_owned()),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        f.write_str(&self.name)
    }
}

/// A name as SQL wants it (ISO/IEC 9075-2, delimited identifier).
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Names that commas separate, each quoted or plain.
pub fn names(text: &str) -> Option<Vec<String>> {
    let (mut names, mut rest) = (Vec::new(), text.trim());
    while !rest.is_empty() || !names.is_empty() {
        let (name, after) = split_part(rest.trim_start(), ',')?;
        names.push(name.trim().to_owned());
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => break,
        }
    }
    Some(names)
}

/// Splits off one name, quoted or plain; the rest is empty or starts with the separator.
fn split_part(text: &str, separator: char) -> Option<(String, &str)> {
    let (part, rest) = match text.strip_prefix('"') {
        None => {
            let (part, rest) = text.split_at(text.find(separator).unwrap_or(text.len()));
            (part.to_owned(), rest)
        }
        Some(quoted) => {
            let mut part = String::new();
            let mut rest = quoted;
            loop {
                let (before, after) = rest.split_once('"')?;
                part.push_str(before);
                match after.strip_prefix('"') {
                    Some(next) => {
                        part.push('"');
                        rest = next;
                    }
                    None => break (part, after),
                }
            }
        }
    };
    let rest = rest.trim_start();
    let is_end = rest.is_empty() || rest.starts_with(separator);
    let is_name = !part.is_empty() && !part.contains('\0') && is_end;
    is_name.then_some((part, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_part_by_part() {
        for (text, quoted) in [
            ("users", "\"users\""),
            ("auth.users", "\"auth\".\"users\""),
            ("\"odd.name\".\"Us\"\"ers\"", "\"odd.name\".\"Us\"\"ers\""),
            ("users; drop table users", "\"users; drop table users\""),
        ] {
            assert_eq!(text.parse::<TableName>().map(|table| table.quoted()), Ok(quoted.to_owned()));
        }
        for text in ["", ".", "a.", "a.b.c", "\"open", "\"a\"b"] {
            assert!(text.parse::<TableName>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_listed_with_commas() {
        let read = |text| names(text).map(|names| names.join("|"));
        assert_eq!(read("app, \"$user\" ,\"a,\"\"b\",public ").as_deref(), Some("app|$user|a,\"b|public"));
        assert_eq!(read(" ").as_deref(), Some(""));
        for text in ["app,", ",app", "app,,public", "\"app", "\"a\"b"] {
            assert_eq!(names(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for (schema, name) in
            [(None, "users"), (Some("auth"), "users"), (Some("odd.name"), "Us\"ers"), (None, "\"quoted\"")]
        {
            let table = TableName::new(schema.map(str::to_owned), name.to_owned());
            assert_eq!(table.parseable().parse(), Ok(table));
        }
    }
}
