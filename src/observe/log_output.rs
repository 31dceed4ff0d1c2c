//! What takes the lines of a log: a file, a standard stream or a socket.
//!
//! Owns: the choice. May touch: [`crate::settings`]. Called by [`super::log_writer`] only.

use super::{log_file::LogFile, log_rotation::RotatedFile, log_socket::LogSocket};
use crate::settings::LogTarget;
use std::io;

/// What takes lines.
pub enum LogOutput {
    /// Standard output or standard error.
    Stream(LogFile),
    /// A file.
    File(RotatedFile),
    /// A socket.
    Socket(LogSocket),
}

impl LogOutput {
    /// Opens it.
    pub fn open(target: &LogTarget) -> io::Result<Self> {
        Ok(match target {
            LogTarget::Stdout => Self::Stream(LogFile::standard(io::stdout())?),
            LogTarget::Stderr => Self::Stream(LogFile::standard(io::stderr())?),
            LogTarget::File(path, rules) => Self::File(RotatedFile::open(path, rules.as_ref())?),
            LogTarget::Socket(address, syslog) => {
                Self::Socket(LogSocket::new(address, syslog.as_ref()))
            }
        })
    }

    /// Writes lines, each with its end. Returns how many were lost. `ends` tells a socket that is
    /// away that there is no more time.
    pub fn write(&mut self, lines: &[u8], ends: &dyn Fn() -> bool) -> u64 {
        match self {
            Self::Stream(file) => file.write(lines),
            Self::File(file) => file.write(lines),
            Self::Socket(socket) => socket.write(lines, ends),
        }
    }

    /// Begins anew, as a file may have been moved away.
    pub fn reopen(&mut self) {
        match self {
            Self::Stream(_) => {}
            Self::Socket(socket) => socket.reopen(),
            Self::File(file) => {
                if let Err(error) = file.reopen() {
                    tracing::error!(%error, "the access log can't be reopened; lines still go to the old file");
                }
            }
        }
    }
}
