//! Lines of the access log that wait to be written.
//!
//! Owns: their forms, and the text of a second, which many lines share. May touch: nothing outside
//! this room. Next: [`super::log_writer`].

use super::{
    combined_line,
    json_line::{self, Came, ChosenField},
    line_facts::LineFacts,
};
use jiff::Timestamp;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The line's form.
#[derive(Clone, Debug)]
pub enum LineForm {
    /// One JSON object a line, with the default fields.
    Json,
    /// The same with these fields.
    Chosen(Box<[ChosenField]>),
    /// nginx's and Apache's.
    Combined,
}

/// Lines that wait to be written.
#[derive(Default)]
pub struct WaitingLines {
    /// The lines, each with its end.
    pub bytes: Vec<u8>,
    /// When the request of the last line came, in seconds since 1970, whether the line was combined,
    /// and the second as text.
    second: Option<(u64, bool, String)>,
    /// For a value that is put together.
    text: String,
}

impl WaitingLines {
    /// Adds a line.
    pub fn add(&mut self, form: &LineForm, line: &LineFacts<'_>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.add_at(form, line, now.saturating_sub(line.took));
    }

    /// `came` is when the request came, since 1970.
    fn add_at(&mut self, form: &LineForm, line: &LineFacts<'_>, came: Duration) {
        let second = (came.as_secs(), matches!(form, LineForm::Combined));
        if self.second.as_ref().is_none_or(|it| (it.0, it.1) != second) {
            self.second = Some((second.0, second.1, text(second)));
        }
        let second = self.second.as_ref().map_or("", |it| &it.2);
        let came = Came { second, millis: came.subsec_millis() };
        let out = &mut self.bytes;
        match form {
            LineForm::Json => json_line::write_default(out, line, came),
            LineForm::Chosen(fields) => {
                json_line::write_chosen(out, fields, line, came, &mut self.text);
            }
            LineForm::Combined => combined_line::write(out, line, second),
        }
        out.push(b'\n');
    }
}

/// A second as text. For JSON the end is left out: the fraction and `Z` come later.
fn text((second, is_combined): (u64, bool)) -> String {
    let form = if is_combined { "%d/%b/%Y:%H:%M:%S +0000" } else { "%Y-%m-%dT%H:%M:%S" };
    let second = Timestamp::from_second(second as i64).unwrap_or_default();
    second.strftime(form).to_string()
}

#[cfg(test)]
mod tests {
    use super::{super::phase_times::PhaseTimes, *};
    use crate::{
        message::{
            context::{Context, Peer},
            request_id::RequestId,
        },
        settings::LogField,
        template::Template,
    };
    use http::{HeaderValue, Request, StatusCode, header};
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn written(
        form: &LineForm,
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
        let told = (false, crate::message::forwarded::ToldOfClient::default());
        let head = request.into_parts().0.into();
        let context = Context::new(head, Arc::new(peer), told, RequestId::Passed("id-1".into()));
        let line = LineFacts {
            context: &context,
            host,
            route: "site:/*",
            upstream: "app",
            server: "127.0.0.1:80",
            attempts: 2,
            upstream_time: Some(took / 2),
            status: StatusCode::NOT_FOUND,
            response_fields: &[(header::ETAG, (*b"\"7\"").into())],
            sent: u64::MAX,
            received: 0,
            took,
            times: PhaseTimes { queue: Some(took), tls: Some(took * 2), ..Default::default() },
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736"),
            cache: None,
            reason: Some("reset"),
            detail: Some("it \"closed\""),
        };
        let mut lines = WaitingLines::default();
        // The text of a second is reused, and only within that second.
        lines.add_at(form, &line, came + Duration::from_secs(1));
        lines.bytes.clear();
        lines.add_at(form, &line, came);
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
        let line = parsed(&written(&LineForm::Json, b"curl \"8\"", b"a.b:1", took, came));
        assert_eq!(
            line,
            json!({
                "time": "2000-02-29T12:34:56.007Z", "client": "127.0.0.1", "listener": "http",
                "method": "GET", "host": "a.b:1", "uri": "/a?b=1", "protocol": "HTTP/1.1",
                "status": 404, "bytes_sent": u64::MAX, "bytes_received": 0,
                "duration_ms": 12345.679, "route": "site:/*", "upstream": "app",
                "server": "127.0.0.1:80", "attempts": 2, "upstream_ms": 6172.839,
                "request_id": "id-1",
                "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "reason": "reset", "detail": "it \"closed\"",
                "user_agent": "curl \"8\"", "referer": "",
            })
        );
    }

    #[test]
    fn chosen_fields_are_written_in_their_order_and_as_in_the_default_line() {
        let known = |it: LogField| ChosenField::Known(it);
        let all = LineForm::Chosen(LogField::default_set().map(known).collect());
        let (took, came) = (Duration::from_micros(1500), Duration::from_secs(951_827_696));
        let of = |form| written(form, b"curl \"8\"", b"a.b:1", took, came);
        assert_eq!(of(&all), of(&LineForm::Json));
        let tenant = Template::parse("{method} \"{header.user-agent}\" {server}").unwrap();
        let chosen = LineForm::Chosen(Box::new([
            ChosenField::Known(LogField::ConnectMs),
            ChosenField::Template { begin: json_line::begin("a \"b\""), value: tenant },
            ChosenField::Header { begin: json_line::begin("ua"), name: header::USER_AGENT },
            ChosenField::Header { begin: json_line::begin("none"), name: header::ACCEPT },
            ChosenField::ResponseHeader { begin: json_line::begin("tag"), name: header::ETAG },
            ChosenField::ResponseHeader { begin: json_line::begin("age"), name: header::AGE },
            ChosenField::Known(LogField::TlsMs),
            ChosenField::Known(LogField::Status),
            ChosenField::Known(LogField::QueueMs),
        ]));
        let wanted = r#"{"a \"b\"":"GET \"curl \"8\"\" 127.0.0.1:80","ua":"curl \"8\"","tag":"\"7\"","tls_ms":3.000,"status":404,"queue_ms":1.500}"#;
        assert_eq!(String::from_utf8(of(&chosen)).unwrap(), format!("{wanted}\n"));
        let absent = [ChosenField::Known(LogField::ConnectMs)];
        assert_eq!(of(&LineForm::Chosen(Box::new(absent))), b"{}\n");
    }

    #[test]
    fn combined_is_as_everywhere() {
        let came = Duration::from_secs(951_827_696);
        let line = written(&LineForm::Combined, b"curl \"8\"", b"", Duration::ZERO, came);
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
            let line = written(&LineForm::Json, &agent, &host, Duration::from_nanos(took), Duration::ZERO);
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
