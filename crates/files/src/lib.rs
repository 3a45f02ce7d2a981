//! Where Headcount writes: which symbolic links are followed, and whose a file is.

// Where a path leads that is to be written.
pub mod links;
// Who runs this, and whose a file is.
pub mod owner;
