//! What the columns of an export are, known before its first row.

use crate::plan::{Column, Plan};

/// The columns of an export, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema(pub Vec<Field>);

/// A column as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// In the header.
    pub name: String,
    pub stored: Stored,
}

/// What stands in a column, as far as it is known before it is read. A further column of SQLite is only declared: a cell of it may be
/// a value of any type, which a format that prints cells prints, and one that has types refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    pub data_type: DataType,
    /// Whether a cell may be NULL. `true` where nobody says that none is.
    pub is_nullable: bool,
}

/// What a cell is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataType {
    Boolean,
    /// 64 bits with a sign.
    Integer,
    /// 64 bits (IEEE 754), some of them printed by the database.
    Float,
    /// As many digits as the database prints, which it may bound.
    Decimal(Option<Digits>),
    /// UTF-8. What stands in such a column and is no text is exported as it is printed.
    Text,
    Uuid,
    /// Microseconds, in UTC.
    Timestamp,
    /// A day, printed as in `2025-01-31`.
    Date,
    /// JSON (RFC 8259), as the database prints it.
    Json,
    /// Anything else, as the database prints it.
    Printed,
}

/// The digits of a decimal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digits {
    /// At most so many, 1 to 38: what two numbers of 64 bits hold.
    pub precision: u8,
    /// So many of them behind the point.
    pub scale: u8,
}

impl Digits {
    pub const MAX_PRECISION: u8 = 38;
}

impl Schema {
    /// The columns of a plan, of which `stored` knows what stands in them. A mask makes a text of whatever it is.
    pub fn of(plan: &Plan, stored: impl Fn(&Column) -> Stored) -> Self {
        let fields = plan.columns.iter().map(|shown| {
            let mut stored = stored(&shown.column);
            if shown.mask.is_some() {
                stored.data_type = DataType::Text;
            }
            Field { name: shown.shown_name().to_owned(), stored }
        });
        Self(fields.collect())
    }

    /// The names in the header.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|field| field.name.as_str())
    }
}
