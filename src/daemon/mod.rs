//! Threads and sockets: the daemon from its start to its stop.
//!
//! Owns: the order of starting and stopping. May touch: [`crate::admin`], [`crate::cache`],
//! [`crate::client`], [`crate::clock`], [`crate::config`], [`crate::http1`], [`crate::message`],
//! [`crate::observe`], [`crate::origin`], [`crate::otlp`], [`crate::plan`], [`crate::proxy`],
//! [`crate::route`], [`crate::settings`], [`crate::snapshot`], [`crate::task`], [`crate::tls`],
//! [`crate::upstream`]. [`run`] is what the command line calls; the thread that calls it becomes
//! the control thread.

pub mod admin_socket;
pub mod control;
pub mod expiry;
mod exporting;
mod lag;
mod leaks;
mod overruled;
pub mod reload;
pub mod retired;
mod sampling;
mod sharing;
pub mod signals;
mod sweeping;
pub mod tending;
#[cfg(test)]
mod tests;
pub mod watch;
pub mod worker;

use crate::{
    config::{self, ConfigError, Diagnostic},
    observe::logging,
    snapshot::build::BuildError,
};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use std::{fmt, io, path::Path};

/// Why the daemon did not start.
#[derive(Debug)]
pub enum StartError {
    /// The config is wrong, or can't be read.
    Config(ConfigError),
    /// The config is valid but can't be used.
    Build(BuildError),
    /// An address can't be bound.
    Bind {
        /// `listener.NAME` or `admin`.
        what: String,
        /// The address.
        address: config::ListenAddress,
        /// Why.
        error: io::Error,
    },
    /// The system refused something else.
    System(io::Error),
}

impl StartError {
    /// 1: the config is wrong; 3: the system refused.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(error) if error.unreadable => 3,
            Self::Config(_) | Self::Build(BuildError::Tls(_) | BuildError::Countries(..)) => 1,
            Self::Build(BuildError::AccessLog(..)) | Self::Bind { .. } | Self::System(_) => 3,
        }
    }

    /// The errors for `POST /reload`: each with its place, and all of them as text.
    pub fn to_json(&self) -> Value {
        let errors: Vec<Value> = match self {
            Self::Config(error) if !error.diagnostics.is_empty() => {
                error.errors().map(diagnostic).collect()
            }
            _ => vec![json!({ "message": self.to_string() })],
        };
        json!({ "status": "error", "errors": errors, "text": self.to_string() })
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Build(error) => error.fmt(f),
            Self::Bind { what, address, error } => {
                write!(f, "error: [{what}] can't bind {address}: {error}")?;
                if let config::ListenAddress::Unix(_) = address {
                    return write!(f, "{}", hint_of_file(error.kind()));
                }
                match error.kind() {
                    io::ErrorKind::AddrInUse => {
                        write!(
                            f,
                            "\n  = hint: another process, maybe another sheave, listens there"
                        )
                    }
                    io::ErrorKind::PermissionDenied => write!(
                        f,
                        "\n  = hint: ports below 1024 need the capability CAP_NET_BIND_SERVICE"
                    ),
                    io::ErrorKind::AddrNotAvailable => {
                        write!(
                            f,
                            "\n  = hint: no network interface of this machine has that address"
                        )
                    }
                    _ => Ok(()),
                }
            }
            Self::System(error) => write!(f, "error: {error}"),
        }
    }
}

/// What to do if a Unix socket can't be bound.
fn hint_of_file(error: io::ErrorKind) -> &'static str {
    match error {
        io::ErrorKind::AddrInUse => {
            "\n  = hint: another process, maybe another sheave, listens there"
        }
        io::ErrorKind::AlreadyExists => "\n  = hint: choose another path, or remove it",
        io::ErrorKind::NotFound => "\n  = hint: make the directory that it is to be in",
        io::ErrorKind::PermissionDenied => {
            "\n  = hint: the daemon's user must be able to write in the socket's directory"
        }
        _ => "",
    }
}

impl std::error::Error for StartError {}

fn diagnostic(error: &Diagnostic) -> Value {
    json!({
        "file": error.file.display().to_string(),
        "line": error.line,
        "column": error.column,
        "message": error.message,
        "hint": error.hint,
    })
}

/// Runs the daemon by the config at `path` until it is told to stop.
pub fn run(path: &Path) -> Result<(), StartError> {
    let loaded = config::load(path).map_err(StartError::Config)?;
    let config::Log { level, format } = &loaded.config.log;
    let level = logging::start(level, *format == config::LogFormat::Json);
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(StartError::System)?;
    let ended = runtime.block_on(async {
        let signals = signals::Signals::new().map_err(StartError::System)?;
        control::Control::start(path, loaded, level).await?.serve(signals).await;
        Ok(())
    });
    runtime.shutdown_background();
    ended
}

/// Raises the limit to as many descriptors as the system allows. The usual soft limit of 1024 is
/// for programs that use `select`; here every connection takes one.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files can't be raised");
    }
}
