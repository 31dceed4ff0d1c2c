//! The attributes that spans have by themselves.
//!
//! The names are OpenTelemetry's semantic conventions for HTTP, or begin with `sheave.`.

/// An attribute of a span, which `exclude` may leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SpanAttribute {
    /// Of the client, as told by trusted proxies.
    ClientAddress,
    /// Why a request failed: the status, or our reason.
    ErrorType,
    /// The method, or `_OTHER`.
    Method,
    /// A method that is not a usual one.
    MethodOriginal,
    /// Bytes of the request's body.
    RequestSize,
    /// The number of an attempt after the first.
    Resend,
    /// Bytes of the response's body.
    ResponseSize,
    /// The path pattern of the route.
    Route,
    /// The status.
    Status,
    /// `1.1` or `2`.
    ProtocolVersion,
    /// The other end of the connection.
    PeerAddress,
    /// Its port.
    PeerPort,
    /// The host that was asked for, or the server's.
    ServerAddress,
    /// Its port.
    ServerPort,
    /// `http` or `https`.
    Scheme,
    /// The whole URL that a server is asked for.
    FullUrl,
    /// The path.
    Path,
    /// The query.
    Query,
    /// The client's program.
    UserAgent,
    /// The version of the client's TLS.
    TlsVersion,
    /// What the cache did.
    Cache,
    /// Why we answered with an error.
    Reason,
    /// Our id of the request.
    RequestId,
    /// The route's name.
    RouteName,
    /// The server's address, as in the config.
    Server,
    /// The upstream's name.
    Upstream,
    /// How an attempt came to its connection.
    Connection,
    /// How an attempt ended.
    Outcome,
    /// The listener's name.
    Listener,
    /// The client's country.
    Country,
    /// Servers that were asked.
    Attempts,
    /// Until the last attempt began.
    QueueTime,
    /// Until an attempt's connection was open.
    ConnectTime,
    /// Its TLS handshake.
    TlsTime,
    /// From there to the response's head.
    FirstByteTime,
    /// From there to the end of the server's body.
    BodyTime,
    /// From there until the client had everything.
    ClientTime,
}

impl SpanAttribute {
    /// All of them.
    pub const ALL: [Self; 37] = [
        Self::ClientAddress,
        Self::ErrorType,
        Self::Method,
        Self::MethodOriginal,
        Self::RequestSize,
        Self::Resend,
        Self::ResponseSize,
        Self::Route,
        Self::Status,
        Self::ProtocolVersion,
        Self::PeerAddress,
        Self::PeerPort,
        Self::ServerAddress,
        Self::ServerPort,
        Self::Scheme,
        Self::FullUrl,
        Self::Path,
        Self::Query,
        Self::UserAgent,
        Self::TlsVersion,
        Self::Cache,
        Self::Reason,
        Self::RequestId,
        Self::RouteName,
        Self::Server,
        Self::Upstream,
        Self::Connection,
        Self::Outcome,
        Self::Listener,
        Self::Country,
        Self::Attempts,
        Self::QueueTime,
        Self::ConnectTime,
        Self::TlsTime,
        Self::FirstByteTime,
        Self::BodyTime,
        Self::ClientTime,
    ];

    /// Its name, in spans and in the config.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClientAddress => "client.address",
            Self::ErrorType => "error.type",
            Self::Method => "http.request.method",
            Self::MethodOriginal => "http.request.method_original",
            Self::RequestSize => "http.request.body.size",
            Self::Resend => "http.request.resend_count",
            Self::ResponseSize => "http.response.body.size",
            Self::Route => "http.route",
            Self::Status => "http.response.status_code",
            Self::ProtocolVersion => "network.protocol.version",
            Self::PeerAddress => "network.peer.address",
            Self::PeerPort => "network.peer.port",
            Self::ServerAddress => "server.address",
            Self::ServerPort => "server.port",
            Self::Scheme => "url.scheme",
            Self::FullUrl => "url.full",
            Self::Path => "url.path",
            Self::Query => "url.query",
            Self::UserAgent => "user_agent.original",
            Self::TlsVersion => "tls.protocol.version",
            Self::Cache => "sheave.cache",
            Self::Reason => "sheave.reason",
            Self::RequestId => "sheave.request_id",
            Self::RouteName => "sheave.route",
            Self::Server => "sheave.server",
            Self::Upstream => "sheave.upstream",
            Self::Connection => "sheave.connection",
            Self::Outcome => "sheave.outcome",
            Self::Listener => "sheave.listener",
            Self::Country => "geo.country.iso_code",
            Self::Attempts => "sheave.attempts",
            Self::QueueTime => "sheave.queue_ms",
            Self::ConnectTime => "sheave.connect_ms",
            Self::TlsTime => "sheave.tls_ms",
            Self::FirstByteTime => "sheave.first_byte_ms",
            Self::BodyTime => "sheave.body_ms",
            Self::ClientTime => "sheave.client_ms",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_name_and_a_bit_of_its_own() {
        for (at, attribute) in SpanAttribute::ALL.into_iter().enumerate() {
            assert_eq!(attribute as usize, at);
            let same = SpanAttribute::ALL.iter().filter(|it| it.name() == attribute.name());
            assert_eq!(same.count(), 1, "{attribute:?}");
        }
        assert!(SpanAttribute::ALL.len() <= 64);
    }
}
