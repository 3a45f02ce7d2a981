//! Cells as they may be shown to whoever sets things up: enough to see that they are the right ones.

use super::Field;
use headcount_model::text::visible;

/// `j***@e***.com`, `J***`; times and flags as they are, and ids unless they are addresses.
pub fn masked(field: Field, cell: Option<&str>) -> String {
    let Some(cell) = cell else { return "NULL".to_owned() };
    let shown = match (field, cell.rsplit_once('@')) {
        (Field::Id | Field::Email | Field::Name, Some((local, domain))) => {
            let top = domain.rsplit_once('.').map_or(String::new(), |(_, top)| format!(".{top}"));
            format!("{}@{}{top}", initial(local), initial(domain))
        }
        (Field::Email | Field::Name, None) => initial(cell),
        _ => cell.to_owned(),
    };
    visible(&shown)
}

fn initial(text: &str) -> String {
    let first: String = text.chars().take(1).collect();
    if first.is_empty() { "''".to_owned() } else { first + "***" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_initials_are_shown() {
        for (field, cell, expected) in [
            (Field::Email, Some("jane@example.com"), "j***@e***.com"),
            (Field::Email, Some("jane@localhost"), "j***@l***"),
            (Field::Email, Some("not an address"), "n***"),
            (Field::Name, Some("Jane Doe"), "J***"),
            (Field::Name, Some("jane@example.com"), "j***@e***.com"),
            (Field::Name, Some(""), "''"),
            (Field::Name, None, "NULL"),
            (Field::Id, Some("4711"), "4711"),
            (Field::Id, Some("jane@example.com"), "j***@e***.com"),
            (Field::CreatedAt, Some("2025-01-08"), "2025-01-08"),
            (Field::Name, Some("\u{1b}[2J"), "\u{fffd}***"),
        ] {
            assert_eq!(masked(field, cell), expected);
        }
    }
}
