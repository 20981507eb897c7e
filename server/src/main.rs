//! The binary `cardea`.

fn main() {}
