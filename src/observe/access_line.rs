//! One line of the access log.
//!
//! Owns: its two forms. May touch: [`crate::message`]. Lines are written without Rust's formatter
//! (`write!`): with it, a line cost two thirds of what the whole request does. Next:
//! [`super::access_log`].

use super::phase_times::PhaseTimes;
use crate::message::context::Context;
use http::{HeaderName, StatusCode, Version, header};
use jiff::Timestamp;
use std::{
    io::Write,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The line's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// nginx's and Apache's.
    Combined,
}

/// What a line has in addition to its [`Context`].
pub struct LineFacts<'a> {
    /// The request.
    pub context: &'a Context,
    /// The host as the client sent it.
    pub host: &'a [u8],
    /// The route's name, or empty.
    pub route: &'a str,
    /// The upstream's name, or empty.
    pub upstream: &'a str,
    /// The server tried last, or empty.
    pub server: &'a str,
    /// Servers tried.
    pub attempts: u32,
    /// From the last attempt's start to its response head.
    pub upstream_time: Option<Duration>,
    /// The answer's status.
    pub status: StatusCode,
    /// Bytes of its body.
    pub sent: u64,
    /// Bytes of the request's body.
    pub received: u64,
    /// From the request's head to the answer's end.
    pub took: Duration,
    /// Where that time went, as far as anybody wants to know.
    pub times: PhaseTimes,
    /// The trace that the request belongs to: 32 hexadecimal digits.
    pub trace_id: Option<&'a str>,
    /// What the cache did, if there is one.
    pub cache: Option<&'a str>,
    /// What went wrong, in one word.
    pub reason: Option<&'static str>,
    /// The same in more words, if there are any.
    pub detail: Option<&'a str>,
}

/// Lines that wait to be written.
#[derive(Default)]
pub struct WaitingLines {
    /// The lines, each with its end.
    pub bytes: Vec<u8>,
    /// When the request of the last line came, in seconds since 1970, and as text.
    second: Option<(u64, String)>,
}

impl WaitingLines {
    /// Adds a line.
    pub fn add(&mut self, format: Format, line: &LineFacts<'_>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.add_at(format, line, now.saturating_sub(line.took));
    }

    /// `came` is when the request came, since 1970.
    fn add_at(&mut self, format: Format, line: &LineFacts<'_>, came: Duration) {
        let second = came.as_secs();
        if self.second.as_ref().is_none_or(|(last, _)| *last != second) {
            self.second = Some((second, text(format, second)));
        }
        let text = self.second.as_ref().map_or("", |(_, text)| text);
        let out = &mut self.bytes;
        match format {
            Format::Json => json(out, line, text, came.subsec_millis()),
            Format::Combined => combined(out, line, text),
        }
        out.push(b'\n');
    }
}

/// A second as text. For JSON the end is left out: the fraction and `Z` come later.
fn text(format: Format, second: u64) -> String {
    let form = match format {
        Format::Json => "%Y-%m-%dT%H:%M:%S",
        Format::Combined => "%d/%b/%Y:%H:%M:%S +0000",
    };
    let second = Timestamp::from_second(second as i64).unwrap_or_default();
    second.strftime(form).to_string()
}

fn json(out: &mut Vec<u8>, line: &LineFacts<'_>, second: &str, millis: u32) {
    let LineFacts { context, .. } = line;
    let head = &context.head;
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(second.as_bytes());
    fraction(out, millis);
    out.extend_from_slice(b"Z\"");
    string(out, ",\"client\":\"", context.client_text().as_bytes());
    string(out, ",\"listener\":\"", context.peer.listener.as_bytes());
    string(out, ",\"method\":\"", head.method.as_str().as_bytes());
    string(out, ",\"host\":\"", line.host);
    string(out, ",\"uri\":\"", uri(line).as_bytes());
    string(out, ",\"protocol\":\"", protocol(head.version).as_bytes());
    number(out, ",\"status\":", line.status.as_u16().into());
    number(out, ",\"bytes_sent\":", line.sent);
    number(out, ",\"bytes_received\":", line.received);
    duration(out, ",\"duration_ms\":", line.took);
    string(out, ",\"route\":\"", line.route.as_bytes());
    if let Some(country) = context.country {
        string(out, ",\"country\":\"", country.as_str().as_bytes());
    }
    if let Some(cache) = line.cache {
        string(out, ",\"cache\":\"", cache.as_bytes());
    }
    if !line.upstream.is_empty() {
        string(out, ",\"upstream\":\"", line.upstream.as_bytes());
        string(out, ",\"server\":\"", line.server.as_bytes());
        number(out, ",\"attempts\":", line.attempts.into());
        if let Some(time) = line.upstream_time {
            duration(out, ",\"upstream_ms\":", time);
        }
    }
    string(out, ",\"request_id\":\"", context.id.as_str().as_bytes());
    if let Some(client) = context.peer.secured.as_deref().and_then(|it| it.client.as_ref()) {
        string(out, ",\"tls_client\":\"", client.subject.as_bytes());
        string(out, ",\"tls_client_fingerprint\":\"", client.fingerprint.as_bytes());
    }
    if let Some(reason) = line.reason {
        string(out, ",\"reason\":\"", reason.as_bytes());
    }
    if let Some(detail) = line.detail {
        string(out, ",\"detail\":\"", detail.as_bytes());
    }
    string(out, ",\"user_agent\":\"", header_bytes(line, &header::USER_AGENT));
    string(out, ",\"referer\":\"", header_bytes(line, &header::REFERER));
    out.push(b'}');
}

/// Writes a string. `begin` is everything before the value, including its opening quote.
fn string(out: &mut Vec<u8>, begin: &str, value: &[u8]) {
    out.extend_from_slice(begin.as_bytes());
    escape_json(out, value);
    out.push(b'"');
}

fn number(out: &mut Vec<u8>, begin: &str, value: u64) {
    out.extend_from_slice(begin.as_bytes());
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Writes a duration in milliseconds, with the microseconds after the point.
fn duration(out: &mut Vec<u8>, begin: &str, value: Duration) {
    let micros = (value + Duration::from_nanos(500)).as_micros() as u64;
    number(out, begin, micros / 1000);
    fraction(out, (micros % 1000) as u32);
}

/// Writes a point and three digits.
fn fraction(out: &mut Vec<u8>, thousandths: u32) {
    let digit = |place: u32| b'0' + (thousandths / place % 10) as u8;
    out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
}

/// Whether nothing must be escaped. It never returns early, so that the compiler can test many
/// bytes at once.
fn is_plain(text: &[u8]) -> bool {
    let odd = |byte: u8| !(0x20..0x7f).contains(&byte) || byte == b'"' || byte == b'\\';
    !text.iter().fold(false, |any, byte| any | odd(*byte))
}

fn escape_json(out: &mut Vec<u8>, text: &[u8]) {
    if is_plain(text) {
        return out.extend_from_slice(text);
    }
    for chunk in text.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                0..0x20 | 0x7f => {
                    let _ = write!(out, "\\u{byte:04x}");
                }
                _ => out.push(byte),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

fn combined(out: &mut Vec<u8>, line: &LineFacts<'_>, second: &str) {
    let head = &line.context.head;
    out.extend_from_slice(line.context.client_text().as_bytes());
    out.extend_from_slice(b" - - [");
    out.extend_from_slice(second.as_bytes());
    out.extend_from_slice(b"] \"");
    escape_combined(out, head.method.as_str().as_bytes());
    out.push(b' ');
    escape_combined(out, uri(line).as_bytes());
    out.push(b' ');
    out.extend_from_slice(protocol(head.version).as_bytes());
    number(out, "\" ", line.status.as_u16().into());
    number(out, " ", line.sent);
    out.extend_from_slice(b" \"");
    escape_combined(out, or_dash(header_bytes(line, &header::REFERER)));
    out.extend_from_slice(b"\" \"");
    escape_combined(out, or_dash(header_bytes(line, &header::USER_AGENT)));
    out.push(b'"');
}

fn or_dash(value: &[u8]) -> &[u8] {
    if value.is_empty() { b"-" } else { value }
}

/// nginx's escape: `\xHH`.
fn escape_combined(out: &mut Vec<u8>, text: &[u8]) {
    if is_plain(text) {
        return out.extend_from_slice(text);
    }
    for byte in text {
        if matches!(byte, b'"' | b'\\' | 0..0x20 | 0x7f..) {
            let _ = write!(out, "\\x{byte:02X}");
        } else {
            out.push(*byte);
        }
    }
}

fn header_bytes<'a>(line: &'a LineFacts<'_>, name: &HeaderName) -> &'a [u8] {
    line.context.head.fields.get(name).unwrap_or_default()
}

fn uri<'a>(line: &'a LineFacts<'_>) -> &'a str {
    line.context.head.target.path_and_query()
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{context::Peer, request_id::RequestId};
    use http::{HeaderValue, Request};
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use std::{sync::Arc, time::Instant};

    fn written(
        format: Format,
        agent: &[u8],
        host: &[u8],
        took: Duration,
        came: Duration,
    ) -> Vec<u8> {
        let mut request = Request::get("/a?b=1").body(()).unwrap();
        if let Ok(agent) = HeaderValue::from_bytes(agent) {
            request.headers_mut().insert(header::USER_AGENT, agent);
        }
        let peer = crate::cidr::PeerAddress::Ip([127, 0, 0, 1].into());
        let peer = Peer::new(peer, "http".into(), None);
        let context = Context {
            head: request.into_parts().0.into(),
            peer: Arc::new(peer),
            told: crate::message::forwarded::ToldOfClient::default(),
            trusted: false,
            number: 0,
            country: None,
            trace: None,
            started: Instant::now(),
            id: RequestId::Passed("id-1".into()),
        };
        let line = LineFacts {
            context: &context,
            host,
            route: "site:/*",
            upstream: "app",
            server: "127.0.0.1:80",
            attempts: 2,
            upstream_time: Some(took / 2),
            status: StatusCode::NOT_FOUND,
            sent: u64::MAX,
            received: 0,
            took,
            times: PhaseTimes::default(),
            trace_id: None,
            cache: None,
            reason: Some("reset"),
            detail: Some("it \"closed\""),
        };
        let mut lines = WaitingLines::default();
        // The text of a second is reused, and only within that second.
        lines.add_at(format, &line, came + Duration::from_secs(1));
        lines.bytes.clear();
        lines.add_at(format, &line, came);
        lines.bytes
    }

    fn parsed(line: &[u8]) -> Value {
        assert!(line.iter().position(|it| *it == b'\n') == Some(line.len() - 1));
        serde_json::from_slice(line).unwrap()
    }

    #[test]
    fn json_has_everything() {
        let (took, came) =
            (Duration::from_nanos(12_345_678_500), Duration::new(951_827_696, 7_999_999));
        let line = parsed(&written(Format::Json, b"curl \"8\"", b"a.b:1", took, came));
        assert_eq!(
            line,
            json!({
                "time": "2000-02-29T12:34:56.007Z", "client": "127.0.0.1", "listener": "http",
                "method": "GET", "host": "a.b:1", "uri": "/a?b=1", "protocol": "HTTP/1.1",
                "status": 404, "bytes_sent": u64::MAX, "bytes_received": 0,
                "duration_ms": 12345.679, "route": "site:/*", "upstream": "app",
                "server": "127.0.0.1:80", "attempts": 2, "upstream_ms": 6172.839,
                "request_id": "id-1", "reason": "reset", "detail": "it \"closed\"",
                "user_agent": "curl \"8\"", "referer": "",
            })
        );
    }

    #[test]
    fn combined_is_as_everywhere() {
        let came = Duration::from_secs(951_827_696);
        let line = written(Format::Combined, b"curl \"8\"", b"", Duration::ZERO, came);
        let wanted = "127.0.0.1 - - [29/Feb/2000:12:34:56 +0000] \"GET /a?b=1 HTTP/1.1\" 404 \
                      18446744073709551615 \"-\" \"curl \\x228\\x22\"\n";
        assert_eq!(String::from_utf8(line).unwrap(), wanted);
    }

    proptest! {
        #[test]
        fn whatever_a_client_sends_it_is_one_json_object(
            agent in prop::collection::vec(any::<u8>(), 0..40),
            host in prop::collection::vec(any::<u8>(), 0..40),
            took in 0..u64::MAX / 4,
        ) {
            let line = written(Format::Json, &agent, &host, Duration::from_nanos(took), Duration::ZERO);
            let line = parsed(&line);
            prop_assert_eq!(&line["host"], &*String::from_utf8_lossy(&host));
            if HeaderValue::from_bytes(&agent).is_ok() {
                prop_assert_eq!(&line["user_agent"], &*String::from_utf8_lossy(&agent));
            }
            let millis = line["duration_ms"].as_f64().unwrap();
            prop_assert!((millis - took as f64 / 1e6).abs() <= 0.0006 + millis * 1e-12);
        }
    }
}
