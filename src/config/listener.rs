//! `[listener.NAME]`: a socket that we accept on, its TLS, timeouts and limits.

use super::{
    Place, ProxyProtocol,
    listen_address::{ListenAddress, NOWHERE, listen_address, socket_mode},
    table::Table,
};
use std::{path::PathBuf, time::Duration};

/// A socket that we accept on.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// The NAME in `[listener.NAME]`.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// Where to listen.
    pub address: ListenAddress,
    /// `mode`: who may connect to a Unix socket, default 0666: any user, as with TCP.
    pub mode: u32,
    /// `defer_accept`: a connection is accepted once its client has sent something, or after about
    /// a second (Linux's `TCP_DEFER_ACCEPT`), default true.
    pub defer_accept: bool,
    /// The addresses whose connections begin with the PROXY protocol's header; `None`: no
    /// connection does.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// `None`: without TLS.
    pub tls: Option<Tls>,
    /// The client's side of the timeouts.
    pub timeouts: ListenerTimeouts,
    /// The client's side of the limits.
    pub limits: ListenerLimits,
}

/// `tls` of a listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    /// At least one; the first is used when no name matches.
    pub certificates: Vec<Certificate>,
    /// Lowest protocol version: `true` refuses TLS 1.2 (`min_version = "1.3"`, default `"1.2"`).
    pub only_tls13: bool,
    /// Offer HTTP/2 by ALPN (`http2`, default true).
    pub http2: bool,
    /// Answer 421 when the host is not one that the certificate chosen by SNI covers (`strict_sni`,
    /// default true).
    pub strict_sni: bool,
    /// `client`: who may connect; `None` asks nobody for a certificate.
    pub client: Option<ClientCertificates>,
    /// `ticket_keys`: a file of keys for session tickets; `None` makes them in memory.
    pub ticket_keys: Option<PathBuf>,
}

/// `tls.client` of a listener.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientCertificates {
    /// `ca`: PEM, the authorities whose certificates are taken.
    pub ca: PathBuf,
    /// `mode`: `"required"` (the default) refuses clients without one, `"optional"` lets them in.
    pub required: bool,
    /// `crl`: PEM or DER, the authorities' lists of revoked certificates.
    pub crl: Option<PathBuf>,
}

/// A certificate chain and its key, already found to be readable and to match.
#[derive(Clone, Debug, PartialEq)]
pub struct Certificate {
    /// PEM, leaf first; relative paths are taken from the config file's directory and stored
    /// joined.
    pub cert: PathBuf,
    /// PEM, PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
    /// DER: an OCSP response about it, for clients that want one.
    pub ocsp: Option<PathBuf>,
}

/// `timeouts` of a listener. Zero is refused.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerTimeouts {
    /// `tls_handshake`, default 10 s.
    pub tls_handshake: Duration,
    /// `request_head`: from the first byte of a request to the end of its head, default 10 s; 408.
    pub request_head: Duration,
    /// `idle`: between two requests on one connection, default 75 s.
    pub idle: Duration,
    /// `send`: between two successful writes to the client, default 60 s.
    pub send: Duration,
}

/// `limits` of a listener.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ListenerLimits {
    /// `request_line`: bytes of the target, default 8 KiB; 414.
    pub request_line: usize,
    /// `request_head`: bytes of the whole head, default 32 KiB; 431. 8 to 128 KiB.
    pub request_head: usize,
    /// `headers`: fields in a request, default 100; 431.
    pub headers: usize,
    /// `requests_per_connection`, default 10 000; the last answer says `Connection: close`. 0 =
    /// unlimited.
    pub requests_per_connection: u64,
    /// `connection_age`, default 1 h, closed gracefully after. Zero = unlimited.
    pub connection_age: Duration,
    /// `connections`: open at once on this listener; beyond that, new ones wait in the kernel's
    /// queue. Default 0 = as many as the limit of open files allows, for all listeners together.
    pub connections: usize,
    /// `http2_streams`: concurrent streams per connection, default 100.
    pub http2_streams: u32,
}

impl Listener {
    /// Reads `[listener.NAME]`.
    pub(super) fn read(name: String, table: &Table<'_>) -> Self {
        let address = table.required_text("address", "\"127.0.0.1:8080\"");
        let address = address.map_or(NOWHERE, |text| listen_address(table, text));
        Self {
            name,
            place: table.place(),
            mode: socket_mode(table, &address, 0o666),
            defer_accept: table.boolean("defer_accept", true),
            proxy_protocol: table
                .optional_table("proxy_protocol")
                .map(|announced| ProxyProtocol::read(&announced, &address)),
            address,
            tls: table.optional_table("tls").map(|tls| Tls::read(&tls)),
            timeouts: ListenerTimeouts::read(&table.table("timeouts")),
            limits: ListenerLimits::read(&table.table("limits")),
        }
    }
}

impl Tls {
    fn read(table: &Table<'_>) -> Self {
        Self {
            certificates: read_certificates(table),
            only_tls13: read_only_tls13(table),
            http2: table.boolean("http2", true),
            strict_sni: table.boolean("strict_sni", true),
            client: table.optional_table("client").map(|it| ClientCertificates::read(&it)),
            ticket_keys: optional_path(table, "ticket_keys"),
        }
    }

    /// Reads `tls` of `[admin]`, where HTTP/1.1 is spoken.
    pub(super) fn read_admin(table: &Table<'_>) -> Self {
        Self {
            certificates: read_certificates(table),
            only_tls13: read_only_tls13(table),
            http2: false,
            strict_sni: false,
            client: table.optional_table("client").map(|it| ClientCertificates::read(&it)),
            ticket_keys: None,
        }
    }

    /// Every file that it names.
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let pairs = self.certificates.iter();
        let pairs = pairs.flat_map(|it| [Some(&it.cert), Some(&it.key), it.ocsp.as_ref()]);
        let client = self.client.iter().flat_map(|it| [Some(&it.ca), it.crl.as_ref()]);
        pairs.chain(client).chain([self.ticket_keys.as_ref()]).flatten()
    }
}

fn read_certificates(table: &Table<'_>) -> Vec<Certificate> {
    let example = "certificates = [{ cert = \"site.pem\", key = \"site.key\" }]";
    let certificates: Vec<_> =
        table.tables("certificates", example).iter().map(Certificate::read).collect();
    if certificates.is_empty()
        && table.value("certificates").is_none_or(super::tree::Value::is_empty)
    {
        let message = format!("{} has no certificates", table.label());
        let hint = format!("add `{example}`");
        table.absent(table.value_span("certificates"), message, Some(hint));
    }
    certificates
}

fn read_only_tls13(table: &Table<'_>) -> bool {
    table.choice("min_version", false, &[("1.2", false), ("1.3", true)])
}

impl ClientCertificates {
    fn read(table: &Table<'_>) -> Self {
        let ca = table.required_text("ca", "\"clients.pem\"");
        Self {
            ca: ca.map_or_else(PathBuf::new, |text| table.path_in(text)),
            required: table.choice("mode", true, &[("required", true), ("optional", false)]),
            crl: optional_path(table, "crl"),
        }
    }
}

fn optional_path(table: &Table<'_>, key: &'static str) -> Option<PathBuf> {
    table.text(key).map(|text| table.path_in(text))
}

impl Certificate {
    fn read(table: &Table<'_>) -> Self {
        let path = |key, example| {
            table.required_text(key, example).map_or_else(PathBuf::new, |text| table.path_in(text))
        };
        Self {
            cert: path("cert", "\"site.pem\""),
            key: path("key", "\"site.key\""),
            ocsp: optional_path(table, "ocsp"),
        }
    }
}

impl ListenerTimeouts {
    fn read(table: &Table<'_>) -> Self {
        let seconds = Duration::from_secs;
        Self {
            tls_handshake: table.positive_duration("tls_handshake", seconds(10)),
            request_head: table.positive_duration("request_head", seconds(10)),
            idle: table.positive_duration("idle", seconds(75)),
            send: table.positive_duration("send", seconds(60)),
        }
    }
}

impl ListenerLimits {
    fn read(table: &Table<'_>) -> Self {
        let limits = Self {
            request_line: table.size("request_line", 8 << 10),
            request_head: head_size(table, "request_head", 32 << 10),
            headers: table.number("headers", 100, 1..=10_000),
            requests_per_connection: table.number(
                "requests_per_connection",
                10_000,
                0..=u64::from(u32::MAX),
            ),
            connection_age: table.duration("connection_age", Duration::from_secs(3600)),
            connections: table.number("connections", 0, 0..=u64::from(u32::MAX)),
            http2_streams: table.number("http2_streams", 100, 1..=65_535),
        };
        if limits.request_line == 0 || limits.request_line > limits.request_head {
            let hint = Some("the line is a part of the head: write a size up to its limit".into());
            let place = if table.has("request_line") { "request_line" } else { "request_head" };
            let message = "`request_line` must be above zero and within `request_head`";
            table.error(table.value_span(place), message, hint);
        }
        limits
    }
}

/// The size of a head; `key` in `table`.
pub(super) fn head_size(table: &Table<'_>, key: &'static str, default: usize) -> usize {
    let size = table.size(key, default);
    let (fault, hint) = match size {
        0..0x2000 => {
            ("small", "write at least `\"8KiB\"`: heads of several KiB are nothing unusual")
        }
        0x2000..=0x2_0000 => return size,
        _ => ("large", "write at most `\"128KiB\"`: a head is held in memory as a whole"),
    };
    table.error(table.value_span(key), format!("`{key}` is too {fault}"), Some(hint.into()));
    default
}
