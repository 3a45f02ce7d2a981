//! Proof of what an export was: receipts that are signed, and files compared with them. Knows no store and no database.

// The one text of a JSON value.
pub mod canonical;
// What an export was, signed; and files compared with it.
pub mod receipt;
// What an export could show of whom.
pub mod scope;
// Ed25519.
pub mod signature;
