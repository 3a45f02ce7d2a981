//! How sensitive a column is, by its name: for those who decide what may leave, not for what may not.

use super::{by_name, words};
use crate::named;
use serde::Serialize;

named! {
    /// How sensitive what a column holds is likely to be.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
    pub enum Sensitivity {
        /// Lets somebody in. Exported only where the configuration allows it by name.
        Credential = "credential",
        /// Says who somebody is or how they are reached or live.
        Personal = "personal",
        /// Stands for a person in this system.
        Identifier = "identifier",
        /// Nothing that its name tells.
        Other = "other",
    }
}

/// Words of which one in a name makes it personal.
const PERSONAL: [&str; 36] = [
    "email",
    "mail",
    "name",
    "phone",
    "mobile",
    "telephone",
    "fax",
    "address",
    "street",
    "city",
    "zip",
    "postcode",
    "postal",
    "birth",
    "birthday",
    "dob",
    "age",
    "gender",
    "sex",
    "nationality",
    "ssn",
    "passport",
    "tax",
    "iban",
    "ip",
    "location",
    "latitude",
    "longitude",
    "avatar",
    "photo",
    "picture",
    "bio",
    "religion",
    "language",
    "contact",
    "username",
];

/// What the name of a column tells.
pub fn sensitivity(name: &str) -> Sensitivity {
    if by_name(name).is_some() {
        return Sensitivity::Credential;
    }
    let words = words(name);
    if words.iter().any(|word| PERSONAL.contains(&word.as_str())) {
        return Sensitivity::Personal;
    }
    if words.last().is_some_and(|word| word == "id") {
        return Sensitivity::Identifier;
    }
    Sensitivity::Other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_how_sensitive_a_column_is() {
        for (name, expected) in [
            ("email", Sensitivity::Personal),
            ("phone_number", Sensitivity::Personal),
            ("emailAddress", Sensitivity::Personal),
            ("customerId", Sensitivity::Identifier),
            ("last_login_ip", Sensitivity::Personal),
            ("id", Sensitivity::Identifier),
            ("customer_id", Sensitivity::Identifier),
            ("password_hash", Sensitivity::Credential),
            ("created_at", Sensitivity::Other),
            ("page", Sensitivity::Other),
        ] {
            assert_eq!(sensitivity(name), expected, "{name}");
        }
    }
}
