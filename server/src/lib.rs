//! The wiring of every room.
