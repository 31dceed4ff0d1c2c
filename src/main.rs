//! The binary: flags, then the daemon, then the exit code.

use std::process::ExitCode;

/// Faster than the system's allocator with many requests under way; see
/// `docs/decisions/allocator.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(sheave::cli::run())
}
