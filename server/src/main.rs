//! The binary `cardea`.

use std::process::ExitCode;

fn main() -> ExitCode {
    server::commands::main()
}
