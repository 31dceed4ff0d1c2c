//! The binary: flags, then the daemon, then the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(sheave::cli::run())
}
