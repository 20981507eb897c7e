//! The Control iD connector against a simulator that was built from the vendor's documents by other hands.

mod behaviour;
mod building;
mod https;
mod online;
mod questions;
