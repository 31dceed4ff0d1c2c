//! The binary: flags, then the daemon, then the exit code.

use std::process::ExitCode;

/// Faster than the system's where many requests are under way at once, and gives memory back; see
/// `benches/results/LOG.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(sheave::cli::run())
}
