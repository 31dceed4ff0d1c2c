//! Where the lines of an access log go.
//!
//! Owns: the plain values. May touch: nothing outside this room.

use std::{fmt, path::PathBuf, time::Duration};

/// Where lines go, and how they wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSink {
    /// Who takes them.
    pub target: LogTarget,
    /// Bytes that may wait for the writer.
    pub buffer: usize,
    /// Whether a full buffer makes workers wait, instead of dropping lines.
    pub waits: bool,
}

/// Who takes lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// The daemon's standard output.
    Stdout,
    /// The daemon's standard error, where its own log is, too.
    Stderr,
    /// A file.
    File(PathBuf, Option<Rotation>),
    /// A socket, maybe of a syslog server.
    Socket(LogAddress, Option<Syslog>),
}

/// When a file is moved aside for a new one. At least one of the two limits is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Before it would be larger.
    pub size: Option<u64>,
    /// With the first line of each such period; periods are counted from 1970 in UTC, so `1d` is
    /// midnight.
    pub every: Option<Duration>,
    /// How many old files are kept.
    pub keep: u32,
}

/// The address of a socket that takes lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogAddress {
    /// Host and port.
    Tcp(String),
    /// Host and port; each line is a datagram.
    Udp(String),
    /// A Unix socket. Syslog servers take datagrams there, others a stream.
    Unix(PathBuf),
}

impl fmt::Display for LogAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(place) => write!(f, "tcp:{place}"),
            Self::Udp(place) => write!(f, "udp:{place}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What syslog messages say of their origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syslog {
    /// The facility's number.
    pub facility: u8,
    /// APP-NAME of RFC 5424.
    pub tag: String,
}
