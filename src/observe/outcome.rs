//! How an attempt at a server ended.
//!
//! Owns: the words for it, in log and metrics. May touch: nothing outside this room.

/// How an attempt at a server ended, as the label `outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// A response came, to its end or for as long as the client took it.
    Success,
    /// A response head came, with a status that the upstream counts as a failure or retries.
    Status,
    /// There was no connection.
    ConnectFailed,
    /// There was no connection in time.
    ConnectTimeout,
    /// The TLS handshake failed.
    TlsFailed,
    /// The server took no bytes of the request for too long.
    SendTimeout,
    /// The connection ended before the head.
    Reset,
    /// The server's HTTP/2 connection took no more requests. This is no failure of the server.
    Refused,
    /// The server was not asked for a tunnel, because it takes none by HTTP/2: no failure either.
    NoTunnels,
    /// No response head came in time.
    ResponseTimeout,
    /// The server's head or framing can't be passed on.
    BadResponse,
    /// The rest of the body did not come in time.
    ReadTimeout,
    /// The body ended early.
    ResponseTruncated,
    /// A pooled connection had been closed: no failure of the server.
    StaleConnection,
    /// The client went away or broke its body: no failure of the server.
    ClientAborted,
}

impl AttemptOutcome {
    /// All outcomes, in their order.
    pub const ALL: [Self; 15] = [
        Self::Success,
        Self::Status,
        Self::ConnectFailed,
        Self::ConnectTimeout,
        Self::TlsFailed,
        Self::SendTimeout,
        Self::Reset,
        Self::Refused,
        Self::NoTunnels,
        Self::ResponseTimeout,
        Self::BadResponse,
        Self::ReadTimeout,
        Self::ResponseTruncated,
        Self::StaleConnection,
        Self::ClientAborted,
    ];

    /// Whether the server failed. A client that went away is no failure of it, and neither is a
    /// connection that could not take the request.
    pub fn is_failure(self) -> bool {
        !matches!(
            self,
            Self::Success
                | Self::Refused
                | Self::NoTunnels
                | Self::StaleConnection
                | Self::ClientAborted
        )
    }

    /// The word for logs and the label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Status => "status",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::TlsFailed => "tls_failed",
            Self::SendTimeout => "send_timeout",
            Self::Reset => "reset",
            Self::Refused => "stream_refused",
            Self::NoTunnels => "upgrade_unsupported",
            Self::ResponseTimeout => "response_timeout",
            Self::BadResponse => "bad_response",
            Self::ReadTimeout => "read_timeout",
            Self::ResponseTruncated => "response_truncated",
            Self::StaleConnection => "stale_connection",
            Self::ClientAborted => "client_aborted",
        }
    }
}
