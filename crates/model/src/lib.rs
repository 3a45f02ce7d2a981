//! What every room of Headcount knows: values, times, plans, masks, addresses. Touches no database, no socket and no file.

// Where a database is, without its password.
// How files are compressed.
pub mod compression;
pub mod database_url;
// What a spreadsheet would run.
pub mod formula;
// How a value is made less personal.
pub mod mask;
// Times as people write them, in a time zone.
pub mod moment;
// Enums with names.
mod named;
// What is to be exported, validated once.
pub mod plan;
// What the columns of an export are.
pub mod schema;
// What looks like a credential, and what is personal.
pub mod sensitive;
// Hexadecimal, ids, and what cannot steer a terminal.
pub mod text;
// Instants, read and written as databases and RFC 3339 do.
pub mod timestamp;
// One cell.
pub mod value;
