//! The fields of the access log, by their names.
//!
//! Owns: the list of them, and how each begins in a line of JSON. May touch: nothing outside this
//! room.

macro_rules! fields {
    ($($(#[$about:meta])* $field:ident $name:literal,)*) => {
        /// A field of the access log.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum LogField {
            $($(#[$about])* $field,)*
        }

        impl LogField {
            /// Every field, by the name that the config and the line have for it.
            pub const NAMED: &[(&str, Self)] = &[$(($name, Self::$field),)*];

            /// How a number begins in a line.
            pub const fn begin(self) -> &'static str {
                match self {
                    $(Self::$field => concat!(",\"", $name, "\":"),)*
                }
            }

            /// How a text begins in a line.
            pub const fn begin_text(self) -> &'static str {
                match self {
                    $(Self::$field => concat!(",\"", $name, "\":\""),)*
                }
            }
        }
    };
}

fields! {
    /// When the request came.
    Time "time",
    /// The client's address.
    Client "client",
    /// The listener's name.
    Listener "listener",
    /// The method.
    Method "method",
    /// The host as the client sent it.
    Host "host",
    /// Path and query.
    Uri "uri",
    /// The client's protocol.
    Protocol "protocol",
    /// The answer's status.
    Status "status",
    /// Bytes of the answer's body.
    BytesSent "bytes_sent",
    /// Bytes of the request's body.
    BytesReceived "bytes_received",
    /// From the request's head to the answer's end.
    DurationMs "duration_ms",
    /// The route's name.
    Route "route",
    /// The client's country.
    Country "country",
    /// What the cache did.
    Cache "cache",
    /// The upstream's name.
    Upstream "upstream",
    /// The server tried last.
    Server "server",
    /// How many servers were tried.
    Attempts "attempts",
    /// From the last attempt's start to its response head.
    UpstreamMs "upstream_ms",
    /// The phase before the last attempt.
    QueueMs "queue_ms",
    /// The phase of its connection.
    ConnectMs "connect_ms",
    /// The phase of its TLS handshake.
    TlsMs "tls_ms",
    /// The phase until the response's head.
    FirstByteMs "first_byte_ms",
    /// The phase of the response's body.
    BodyMs "body_ms",
    /// The phase until the client had everything.
    ClientMs "client_ms",
    /// The request's id.
    RequestId "request_id",
    /// The W3C trace that the request belongs to.
    TraceId "trace_id",
    /// The subject of the client's certificate.
    TlsClient "tls_client",
    /// The certificate's fingerprint.
    TlsClientFingerprint "tls_client_fingerprint",
    /// What went wrong, in one word.
    Reason "reason",
    /// The same in more words.
    Detail "detail",
    /// `User-Agent`.
    UserAgent "user_agent",
    /// `Referer`.
    Referer "referer",
}

impl LogField {
    /// The phases of a request's time.
    pub const PHASES: [Self; 6] = [
        Self::QueueMs,
        Self::ConnectMs,
        Self::TlsMs,
        Self::FirstByteMs,
        Self::BodyMs,
        Self::ClientMs,
    ];

    /// What a line has, in this order, if the config does not choose: everything but the phases.
    pub fn default_set() -> impl Iterator<Item = Self> {
        Self::NAMED.iter().map(|(_, field)| *field).filter(|it| !Self::PHASES.contains(it))
    }

    /// The name.
    pub fn name(self) -> &'static str {
        self.begin().trim_matches([',', '"', ':'])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_begins_are_of_the_same_field() {
        for (name, field) in LogField::NAMED {
            assert_eq!(field.name(), *name);
            assert_eq!(field.begin_text(), format!("{}\"", field.begin()));
        }
        assert_eq!(LogField::default_set().count(), LogField::NAMED.len() - LogField::PHASES.len());
    }
}
