//! A whole server on port 0, both databases.

pub mod parts;
