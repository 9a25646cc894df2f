//! The `kscope` program: arguments, one command, an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    kscope::cli::main()
}
