//! Why a response is not stored.
//!
//! Owns: the reasons and their words. May touch: nothing outside this room.

/// The rule by which a response is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStored {
    /// The request is not a GET.
    Method,
    /// The request has `no-store`.
    RequestNoStore,
    /// The response is not a final one, or it is a 304.
    Interim,
    /// The response is a part of a representation.
    Partial,
    /// By its status it is about one request only.
    ForOneRequest,
    /// `must-understand`, and the status is not understood.
    NotUnderstood,
    /// The response has `no-store`.
    NoStore,
    /// The response has `private`.
    Private,
    /// The request has `Authorization`, and the response does not permit to share it.
    Authorization,
    /// The response has `Vary: *`.
    VaryAny,
    /// The response sets a cookie, and is not marked for shared caches.
    SetCookie,
    /// The status needs explicit freshness, and there is none.
    Status,
    /// `max_ttl` is 0.
    MaxTtl,
    /// The response has `no-cache`, and nothing to validate it with.
    NoCache,
    /// The response has no lifetime, and nothing to validate it with.
    NotFresh,
    /// The response was stale when it came, and has nothing to validate it with.
    Expired,
}

impl NotStored {
    /// One word for logs and `Cache-Status`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::RequestNoStore => "request_no_store",
            Self::Interim => "interim",
            Self::Partial => "partial",
            Self::ForOneRequest => "for_one_request",
            Self::NotUnderstood => "not_understood",
            Self::NoStore => "no_store",
            Self::Private => "private",
            Self::Authorization => "authorization",
            Self::VaryAny => "vary_any",
            Self::SetCookie => "set_cookie",
            Self::Status => "status",
            Self::MaxTtl => "max_ttl",
            Self::NoCache => "no_cache",
            Self::NotFresh => "not_fresh",
            Self::Expired => "expired",
        }
    }

    /// A sentence for people, with the section that says so.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Method => "Only responses to GET are stored (RFC 9111 §3).",
            Self::RequestNoStore => "The request has no-store (RFC 9111 §5.2.1.5).",
            Self::Interim => {
                "The response is not a final one, or it is a 304 to the client's own condition \
                 (RFC 9111 §3)."
            }
            Self::ForOneRequest => {
                "A response with this status is about one request only (RFC 6585 §3 to §6, RFC 9110 §15.5.13, \
                 §15.5.17)."
            }
            Self::Partial => "The response is only a part of the representation (RFC 9111 §3.3).",
            Self::NotUnderstood => {
                "The response has must-understand, and its status is not known here \
                 (RFC 9111 §5.2.2.3)."
            }
            Self::NoStore => "The response has no-store (RFC 9111 §5.2.2.5).",
            Self::Private => "The response has private (RFC 9111 §5.2.2.7).",
            Self::Authorization => {
                "The request has Authorization, and the response has none of public, \
                 must-revalidate and s-maxage (RFC 9111 §3.5)."
            }
            Self::VaryAny => "The response has Vary: * or one that is malformed (RFC 9111 §4.1).",
            Self::SetCookie => {
                "The response sets a cookie, and has none of public, s-maxage and \
                 CDN-Cache-Control (RFC 9111 §7.3)."
            }
            Self::Status => {
                "The status needs an explicit lifetime, and the response has none (RFC 9111 §3)."
            }
            Self::MaxTtl => "max_ttl is 0 here.",
            Self::NoCache => {
                "The response has no-cache, and neither an ETag nor a Last-Modified to validate \
                 it with (RFC 9111 §5.2.2.4)."
            }
            Self::NotFresh => {
                "The response has no lifetime, and neither an ETag nor a Last-Modified to \
                 validate it with (RFC 9111 §4.2)."
            }
            Self::Expired => {
                "The response was stale when it came, and has neither an ETag nor a \
                 Last-Modified to validate it with (RFC 9111 §4.2.3)."
            }
        }
    }
}
