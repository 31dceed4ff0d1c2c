//! Keys for things that sheave cannot do yet, or does by other keys.
//!
//! Owns: the words that people look for, and what to tell them. May touch: nothing outside this
//! room. Next: [`super::document`] asks here before it guesses what a key was meant to be.

/// Keys, the tables that they are told about in (by the beginning of
/// [`super::shape::Shape::pattern`]; empty: everywhere), and the hint.
type NotYetKeys = (&'static [&'static str], &'static str, &'static str);

const TOLD: [NotYetKeys; 18] = [
    (
        &["ssl", "https", "sni", "insecure", "verify", "ca_file"],
        "upstream.",
        "TLS to servers is `tls = {}`, with `ca`, `name`, `insecure`, `certificate`, `key` and `pin` in it",
    ),
    (
        &["http2", "h2c", "grpc"],
        "upstream.",
        "HTTP/2 to servers is not supported yet: they are asked by HTTP/1.1",
    ),
    (
        &["sticky", "session", "affinity"],
        "upstream.",
        "write `strategy = \"consistent_hash\"` and `hash_key = \"{cookie.NAME}\"`",
    ),
    (
        &["websocket", "websockets", "upgrade", "tunnel"],
        "",
        "WebSockets and other upgrades pass without configuration; `timeouts.tunnel` of a route is how \
         long nothing may pass",
    ),
    (
        &["gzip", "brotli", "zstd", "compression", "encode", "deflate"],
        "",
        "write `compress = true` in a route, or `compress = { … }`",
    ),
    (&["gunzip"], "", "write `decompress = true` in a route"),
    (
        &["proxy_cache", "proxy_cache_path"],
        "",
        "write `[cache.main]`, and `cache = \"main\"` in a route",
    ),
    (&["rate_limit", "ratelimit", "limit_req"], "", "rate limits are not supported yet"),
    (
        &["auth", "auth_basic", "basic_auth", "forward_auth", "jwt"],
        "",
        "authentication is not supported yet: the server has to ask for it",
    ),
    (
        &["client_auth", "client_ca", "client_certificates", "verify_client", "mtls"],
        "listener.",
        "write `tls.client = { ca = \"clients.pem\" }`",
    ),
    (&["http3", "quic"], "", "HTTP/3 is not supported yet"),
    (
        &["proxy_protocol", "accept_proxy"],
        "listener.",
        "write `proxy_protocol.from = [\"10.0.0.0/8\"]`: whose connections begin with its header",
    ),
    (&["send_proxy", "send_proxy_v2"], "upstream.", "write `proxy_protocol = \"v2\"`, or `\"v1\"`"),
    (
        &["tracing", "telemetry", "opentelemetry", "otel", "jaeger", "zipkin"],
        "",
        "traces are sent by `[otlp]`, as `endpoint = \"http://127.0.0.1:4318\"` and `sample = \"10%\"`",
    ),
    (&["cors"], "", "write its fields in `response_headers.set`"),
    (&["mirror", "shadow"], "", "mirrored requests are not supported yet"),
    (&["include", "includes", "import"], "", "there are no includes: one file has everything"),
    (
        &["acme", "letsencrypt", "auto_https"],
        "",
        "let an ACME client, as certbot, write the files of `tls.certificates`: changes are noticed",
    ),
];

/// What to tell somebody who writes `key` in a table of this `pattern`.
pub(super) fn hint(key: &str, pattern: &str) -> Option<&'static str> {
    let fits = |(keys, begins, _): &&NotYetKeys| keys.contains(&key) && pattern.starts_with(begins);
    TOLD.iter().find(fits).map(|(_, _, hint)| *hint)
}
