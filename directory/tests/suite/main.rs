//! The directory on every engine.
