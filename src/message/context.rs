//! What is known of a request, from its head to its end.
//!
//! Owns: the facts that templates, headers and logs read. May touch: [`crate::cidr`],
//! [`crate::country`], [`crate::credentials`], [`crate::http1`], [`crate::template`]. Made once per
//! request by [`crate::proxy::begin`].

use super::{
    forwarded::ToldOfClient,
    interim::Interims,
    proxy_header::Ends,
    proxy_protocol::Announcement,
    request_id::RequestId,
    secured::Secured,
    trace_context::{TRACEPARENT, TraceContext, TraceParent},
};
use crate::{
    cidr::PeerAddress,
    country::CountryCode,
    http1::{
        buffers::Parts,
        request::{Head, RequestFields},
    },
    template::{Piece, Template, Tlv, Variable},
};
use http::{HeaderName, HeaderValue, header};
use std::{
    borrow::Cow,
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

/// The connection that a request came by; shared by all its requests.
#[derive(Debug)]
pub struct Peer {
    /// The other end, or the client that the PROXY protocol's header names.
    pub address: PeerAddress,
    /// The fields that tell servers about the peer, written once: see [`Peer::lines`].
    lines: String,
    address_text: Range<usize>,
    /// The listener's name.
    pub listener: Arc<str>,
    /// What is known of its TLS, if it has TLS.
    pub secured: Option<Box<Secured>>,
    /// What the PROXY protocol's header says of it, if there was one.
    pub announced: Option<Box<Announcement>>,
    /// Both ends, if servers are told of them.
    pub ends: Option<Box<Ends>>,
    part: AtomicUsize,
    moves: AtomicBool,
    /// Interim responses of servers, which come before their answers.
    pub interims: Interims,
}

const FORWARDED_FOR: &str = "x-forwarded-for: ";

impl Peer {
    /// A connection from `address` to `listener`.
    pub fn new(address: PeerAddress, listener: Arc<str>, secured: Option<Box<Secured>>) -> Self {
        let tls = secured.is_some();
        let is_long = matches!(address, PeerAddress::Ip(IpAddr::V6(_)));
        let mut lines = String::with_capacity(60 + if is_long { 78 } else { 30 });
        lines.push_str(FORWARDED_FOR);
        push_address(&mut lines, address);
        let address_text = FORWARDED_FOR.len()..lines.len();
        lines.push_str("\r\nx-real-ip: ");
        lines.extend_from_within(address_text.clone());
        lines.push_str("\r\nx-forwarded-proto: ");
        lines.push_str(if tls { "https\r\n" } else { "http\r\n" });
        let parts = if tls { Parts::TLS } else { Parts::PLAIN };
        Self {
            address,
            lines,
            address_text,
            listener,
            secured,
            announced: None,
            ends: None,
            part: parts.after(0).into(),
            moves: (!tls).into(),
            interims: Interims::default(),
        }
    }

    /// Whether the connection is TLS.
    pub fn is_tls(&self) -> bool {
        self.secured.is_some()
    }

    /// How many bytes of a body are taken at a time for the client. They stay in memory until the
    /// client takes them, or its timeout ends.
    pub fn part(&self) -> usize {
        self.part.load(Relaxed)
    }

    /// Notes that several bodies share the connection, so the kernel can't move their bytes.
    pub fn is_shared(&self) {
        self.moves.store(false, Relaxed);
    }

    /// Sets [`Peer::part`].
    pub fn set_part(&self, part: usize) {
        self.part.store(part, Relaxed);
    }

    /// Both ends, for a server that is told of them.
    pub fn told_ends(&self) -> Option<Box<Ends>> {
        if self.ends.is_some() {
            return self.ends.clone();
        }
        // The connection was opened under an older config, which did not need both ends.
        let PeerAddress::Ip(ip) = self.address else { return None };
        let nowhere: IpAddr =
            if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        Some(Box::new(Ends { source: (ip, 0).into(), destination: (nowhere, 0).into() }))
    }

    /// The address as text.
    pub fn address_text(&self) -> &str {
        &self.lines[self.address_text.clone()]
    }

    /// `X-Forwarded-For`, `X-Real-IP` and `X-Forwarded-Proto` for requests of this connection, if
    /// the peer is not trusted to speak for others.
    pub fn lines(&self) -> &str {
        &self.lines
    }
}

/// Written without Rust's formatter, which costs as much as everything else here. Every connection
/// needs this text.
fn push_address(text: &mut String, address: PeerAddress) {
    let PeerAddress::Ip(IpAddr::V4(ip)) = address else {
        return text.push_str(&address.to_string());
    };
    for octet in ip.octets() {
        text.push_str(itoa::Buffer::new().format(octet));
        text.push('.');
    }
    text.pop();
}

/// What is known of one request.
#[derive(Debug)]
pub struct Context {
    /// The head as received; fields may have been edited by filters.
    pub head: Head,
    /// The connection.
    pub peer: Arc<Peer>,
    /// What a trusted proxy says of the client; empty if the peer is not a trusted proxy.
    pub told: ToldOfClient,
    /// Whether the peer may speak for a client.
    pub trusted: bool,
    /// The request's number on its connection.
    pub number: u32,
    /// When the whole head had been read.
    pub started: Instant,
    /// The request's id, made here or passed on.
    pub id: RequestId,
    /// The client's country, if the route asks for it.
    pub country: Option<CountryCode>,
    /// Its place in a trace, if there are traces.
    pub trace: Option<Box<TraceContext>>,
}

impl Context {
    /// A request whose head has just been read. `told` is what a trusted proxy says of the client,
    /// with whether the peer is one.
    #[inline]
    pub fn new(
        head: Head,
        peer: Arc<Peer>,
        (trusted, told): (bool, ToldOfClient),
        id: RequestId,
    ) -> Self {
        Self {
            head,
            peer,
            told,
            trusted,
            number: 0,
            started: Instant::now(),
            id,
            country: None,
            trace: None,
        }
    }

    /// The client's address.
    pub fn client(&self) -> PeerAddress {
        self.told.client.unwrap_or(self.peer.address)
    }

    /// The client's address as text.
    pub fn client_text(&self) -> Cow<'_, str> {
        match self.told.client {
            Some(client) => client.to_string().into(),
            None => self.peer.address_text().into(),
        }
    }

    /// Whether the kernel can move a body to the client by itself.
    pub fn takes_moved(&self) -> bool {
        self.peer.moves.load(Relaxed)
    }

    /// The id of its trace: of ours, or of the one that the client tells of and that only passes.
    pub fn trace_id(&self) -> Option<&str> {
        if let Some(trace) = &self.trace {
            return Some(trace.trace_text());
        }
        let Head { fields, present, .. } = &self.head;
        let told = present.trace_parent.then(|| fields.get(&TRACEPARENT)).flatten()?;
        TraceParent::trace_text(told)
    }

    /// `http` or `https`, as the client used it.
    pub fn scheme(&self) -> &'static str {
        if self.told.https.unwrap_or(self.peer.is_tls()) { "https" } else { "http" }
    }
}

/// A context, with the names of the route, upstream and server so far.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// The request.
    pub context: &'a Context,
    /// The route's name.
    pub route: &'a str,
    /// The upstream's name, or empty.
    pub upstream: &'a str,
    /// The server tried last, or empty.
    pub server: &'a str,
    /// What `{path}` stands for, if it is not the path as received.
    pub path: Option<&'a str>,
}

impl Scope<'_> {
    /// `template` with its variables filled in.
    pub fn render(&self, template: &Template) -> String {
        let mut text = String::new();
        template.parts().iter().for_each(|part| self.render_part(part, &mut text));
        text
    }

    /// One piece of a template, appended to `text`.
    pub fn render_part(&self, part: &Piece, text: &mut String) {
        match part {
            Piece::Literal(literal) => text.push_str(literal),
            Piece::Variable(variable) => self.write(variable, text),
        }
    }

    /// `template` as a header value; characters that a header can't hold are left out.
    pub fn render_value(&self, template: &Template) -> HeaderValue {
        let mut text = self.render(template);
        text.retain(|character| !character.is_control());
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    fn write(&self, variable: &Variable, text: &mut String) {
        let head = &self.context.head;
        match variable {
            Variable::ClientIp => text.push_str(&self.context.client_text()),
            Variable::Host => {
                let start = text.len();
                text.push_str(&site_name(head.target.host()));
                text[start..].make_ascii_lowercase();
            }
            Variable::Uri => text.push_str(head.target.path_and_query()),
            Variable::Path => text.push_str(self.path.unwrap_or(head.target.path())),
            Variable::Query => text.push_str(head.target.query().unwrap_or_default()),
            Variable::Method => text.push_str(head.method.as_str()),
            Variable::Scheme => text.push_str(self.context.scheme()),
            Variable::Route => text.push_str(self.route),
            Variable::Upstream => text.push_str(self.upstream),
            Variable::Server => text.push_str(self.server),
            Variable::Tls(fact) => {
                let secured = self.context.peer.secured.as_deref();
                text.push_str(secured.map_or("", |it| it.fact(*fact)));
            }
            Variable::Country => {
                text.push_str(self.context.country.as_ref().map_or("", CountryCode::as_str));
            }
            Variable::RequestId => text.push_str(self.context.id.as_str()),
            Variable::TraceId => {
                text.push_str(self.context.trace_id().unwrap_or_default());
            }
            Variable::Header(name) => text.push_str(&first_value(&head.fields, name)),
            Variable::Cookie(name) => {
                text.push_str(cookie(&head.fields, name).unwrap_or_default());
            }
            Variable::Announced(tlv) => {
                if let Some(announced) = &self.context.peer.announced {
                    push_tlv(announced, *tlv, text);
                }
            }
        }
    }
}

/// `host:port` without the port; a bracketed IPv6 address stays whole.
pub fn host_name(host: &str) -> &str {
    match memchr::memrchr(b':', host.as_bytes()) {
        Some(colon) if !host[colon..].contains(']') => &host[..colon],
        _ => host,
    }
}

/// The name by which a site is found: no port, no trailing dot, IPv6 addresses in their short form.
/// Its case is as received.
pub fn site_name(host: &str) -> Cow<'_, str> {
    let name = host_name(host);
    let name = name.strip_suffix('.').unwrap_or(name);
    let inside = name.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    match inside.and_then(|it| it.parse::<Ipv6Addr>().ok()) {
        Some(address) => format!("[{address}]").into(),
        None => name.into(),
    }
}

/// A value as it is; if it is no text, as hexadecimal digits.
fn push_tlv(announced: &Announcement, tlv: Tlv, text: &mut String) {
    const TLS: u8 = 0x20;
    /// The flags and a result that come before the facts about TLS. In bytes.
    const VERDICT: usize = 5;
    let value = match tlv {
        Tlv::Top(kind) => announced.tlv(kind),
        Tlv::Tls(kind) => announced.tlv_within(TLS, VERDICT, kind),
    };
    match std::str::from_utf8(value.unwrap_or_default()) {
        Ok(value) => text.push_str(value),
        Err(_) => {
            for byte in value.into_iter().flatten() {
                // Writing to a string can't fail.
                let _ = write!(text, "{byte:02x}");
            }
        }
    }
}

fn first_value<'a>(fields: &'a RequestFields, name: &HeaderName) -> Cow<'a, str> {
    fields.get(name).map_or("".into(), String::from_utf8_lossy)
}

/// The value of a cookie.
pub fn cookie<'a>(fields: &'a RequestFields, name: &str) -> Option<&'a str> {
    fields
        .values(&header::COOKIE)
        .filter(|value| value.is_ascii())
        .filter_map(|value| std::str::from_utf8(value).ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::credentials::identity::Identity;

    #[test]
    fn addresses_read_as_the_formatter_writes_them() {
        for ip in ["0.0.0.0", "9.10.99.100", "255.249.200.1", "::1", "2001:db8::ff:0"] {
            let ip = PeerAddress::Ip(ip.parse().unwrap());
            let peer = Peer::new(ip, "http".into(), Some(Box::default()));
            assert_eq!(peer.address_text(), ip.to_string());
            let lines =
                format!("x-forwarded-for: {ip}\r\nx-real-ip: {ip}\r\nx-forwarded-proto: https\r\n");
            assert_eq!(peer.lines(), lines);
        }
    }

    /// The context of a request with a bit of everything.
    pub(crate) fn context() -> Context {
        let (head, ()) = http::Request::get("/a%20b?c=d")
            .header("host", "Example.com:8080")
            .header("cookie", "a=1; session=xyz")
            .header("x-user", "ann")
            .body(())
            .unwrap()
            .into_parts();
        let address = PeerAddress::Ip([192, 0, 2, 1].into());
        let peer = Arc::new(Peer::new(address, "http".into(), Some(Box::default())));
        let told = (false, ToldOfClient::default());
        Context::new(head.into(), peer, told, RequestId::Passed("id-1".into()))
    }

    #[test]
    fn every_variable() {
        let mut context = context();
        let client = Identity {
            subject: "CN=ann".into(),
            issuer: "CN=ca".into(),
            serial: "01".into(),
            fingerprint: "ff".into(),
            alternative: "DNS:a".into(),
            ends: 0,
        };
        let secured = Secured {
            version: "TLSv1.3",
            cipher: "AES",
            sni: Some("b".into()),
            client: Some(client),
        };
        context.peer = Arc::new(Peer::new(
            PeerAddress::Ip([192, 0, 2, 1].into()),
            "".into(),
            Some(Box::new(secured)),
        ));
        let scope = Scope { context: &context, route: "r", upstream: "u", server: "s", path: None };
        let all = "{client_ip} {host} {uri} {path} {query} {method} {scheme} {route} {upstream} \
                   {server} {request_id} {header.x-user} {cookie.session} {header.none}";
        assert_eq!(
            scope.render(&Template::parse(all).unwrap()),
            "192.0.2.1 example.com /a%20b?c=d /a%20b c=d GET https r u s id-1 ann xyz "
        );
        let tls = "{tls.version} {tls.cipher} {tls.sni} {tls.client.subject} {tls.client.issuer} \
                   {tls.client.serial} {tls.client.fingerprint} {tls.client.san}";
        let tls = Template::parse(tls).unwrap();
        assert_eq!(scope.render(&tls), "TLSv1.3 AES b CN=ann CN=ca 01 ff DNS:a");
        let plain = Peer::new(PeerAddress::Ip([192, 0, 2, 1].into()), "".into(), None);
        let context = Context { peer: Arc::new(plain), ..super::tests::context() };
        assert_eq!(Scope { context: &context, ..scope }.render(&tls).trim(), "");
    }

    #[test]
    fn ports_go_and_brackets_stay() {
        assert_eq!(host_name("a:1"), "a");
        assert_eq!(host_name("[::1]:80"), "[::1]");
        assert_eq!(host_name("[::1]"), "[::1]");
        assert_eq!(site_name("A.b.:80"), "A.b");
        assert_eq!(site_name("[0:0::0:1]:80"), "[::1]");
    }
}
