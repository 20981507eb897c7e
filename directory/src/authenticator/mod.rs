//! What a user signs in with. Now: a password. Each further method is a module here.

pub mod password;
