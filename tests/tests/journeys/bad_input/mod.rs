//! Bad input: each gets one clear error in its protocol's form, and nothing is half-done.

mod doors;
mod draft;
mod matrix;
mod openid;
mod scim;
mod start;
