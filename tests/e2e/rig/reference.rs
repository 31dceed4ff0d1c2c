//! hyper's HTTP/1 client and server as a reference: how they read the same bytes.

use super::script::Script;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http1 as client, server::conn::http1 as server};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex},
};

/// Fields that are for one connection only.
pub const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
    "proxy-authenticate",
    "proxy-authorization",
];

/// Fields that may be in a head but not in a trailer (RFC 9110 §6.5.1).
const TOO_LATE: &[&str] = &[
    "content-length",
    "host",
    "trailer",
    "set-cookie",
    "authorization",
    "cookie",
    "forwarded",
    "via",
    "x-real-ip",
];

/// The trailers that pass.
pub fn late(trailers: &Fields) -> Fields {
    let mut trailers = trailers.clone();
    trailers.retain(|name, _| {
        !TOO_LATE.contains(&&**name)
            && !HOP_BY_HOP.contains(&&**name)
            && !name.starts_with("x-forwarded-")
            && !name.contains('_')
    });
    trailers
}

/// Values by lower-case name; bytes that are not UTF-8 are replaced.
pub type Fields = BTreeMap<String, Vec<String>>;

/// How far a message came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// To its end.
    Whole,
    /// To somewhere in its body.
    #[default]
    Broken,
    /// Not even to the end of its head.
    NoHead,
}

/// A message as one side saw it. Requests have a method and a target, responses a status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    pub verdict: Verdict,
    pub status: u16,
    pub method: String,
    pub target: String,
    /// The target's scheme and authority, where it has them.
    pub scheme: Option<String>,
    pub authority: Option<String>,
    pub http10: bool,
    pub fields: Fields,
    pub body: Vec<u8>,
    pub trailers: Fields,
    /// What went wrong.
    pub error: String,
}

impl Message {
    pub fn values(&self, name: &str) -> &[String] {
        self.fields.get(name).map_or(&[], Vec::as_slice)
    }

    pub fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }
}

/// A map's fields.
pub fn fields(map: &HeaderMap) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in map {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        fields.entry(name.as_str().into()).or_default().push(value);
    }
    fields
}

/// Reads a body until it ends or breaks.
async fn collect(mut body: Incoming, into: &Mutex<Message>) {
    while let Some(frame) = body.frame().await {
        let mut message = into.lock().unwrap();
        match frame.map(hyper::body::Frame::into_data) {
            Ok(Ok(data)) => message.body.extend_from_slice(&data),
            Ok(Err(frame)) => {
                message.trailers = fields(&frame.into_trailers().unwrap_or_default());
            }
            Err(error) => {
                message.error = format!("{error:?}");
                return;
            }
        }
    }
    into.lock().unwrap().verdict = Verdict::Whole;
}

/// RFC 9110 §2.5: a later minor version is read as the latest that one knows. hyper refuses it, so
/// the version is changed to HTTP/1.1 first.
fn in_known_version(pieces: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut whole = pieces.concat();
    let later = b"HTTP/1.2";
    for at in 0..whole.len().saturating_sub(later.len() - 1) {
        if whole[at..].starts_with(later) {
            whole[at + later.len() - 1] = b'1';
        }
    }
    let mut rest = &whole[..];
    let cut = pieces.iter().map(|piece| rest.split_off(..piece.len()).unwrap().to_vec());
    cut.collect()
}

/// How hyper's client reads a server that sends `pieces`, then closes if it `ends`. `None`: it
/// waits for more.
pub fn response(method: &str, pieces: &[Vec<u8>], ends: bool) -> Option<Message> {
    let script = Script::server(&in_known_version(pieces), ends);
    let message = Arc::new(Mutex::new(Message { method: method.into(), ..Message::default() }));
    let asking = async {
        let mut builder = client::Builder::new();
        // RFC 9112 §5.1: a proxy removes it.
        builder.allow_spaces_after_header_name_in_responses(true);
        let (mut sender, connection) = builder.handshake(script.clone()).await.expect("no I/O yet");
        let request = Request::builder().method(method).uri("/").header("host", "a");
        let request = request.body(Empty::<Bytes>::new()).expect("a good request");
        let exchange = async {
            let response = match sender.send_request(request).await {
                Ok(response) => response,
                Err(error) => {
                    let mut message = message.lock().unwrap();
                    (message.verdict, message.error) = (Verdict::NoHead, format!("{error:?}"));
                    return;
                }
            };
            let (parts, body) = response.into_parts();
            {
                let mut message = message.lock().unwrap();
                message.status = parts.status.as_u16();
                message.fields = fields(&parts.headers);
            }
            collect(body, &message).await;
        };
        let (mut connection, mut exchange) = (pin!(connection), pin!(exchange));
        let mut over = false;
        poll_fn(|cx| {
            over = over || connection.as_mut().poll(cx).is_ready();
            exchange.as_mut().poll(cx)
        })
        .await;
    };
    script.drive(asking)?;
    let message = message.lock().unwrap().clone();
    Some(message)
}

/// What hyper's server made of a client's bytes.
#[derive(Debug, Default)]
pub struct Served {
    /// In order; only the last can be broken.
    pub requests: Vec<Message>,
}

impl Served {
    /// Those that came to their end.
    pub fn whole(&self) -> impl Iterator<Item = &Message> {
        self.requests.iter().filter(|request| request.verdict == Verdict::Whole)
    }
}

/// How hyper's server reads a client that sends `pieces` and then waits.
pub fn requests(pieces: &[Vec<u8>]) -> Served {
    let script = Script::client(&in_known_version(pieces));
    let seen: Arc<Mutex<Vec<Arc<Mutex<Message>>>>> = Arc::default();
    let record = Arc::clone(&seen);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (parts, body) = request.into_parts();
        let message = Arc::new(Mutex::new(Message {
            method: parts.method.to_string(),
            target: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            scheme: parts.uri.scheme_str().map(Into::into),
            authority: parts.uri.authority().map(ToString::to_string),
            http10: parts.version == http::Version::HTTP_10,
            fields: fields(&parts.headers),
            ..Message::default()
        }));
        record.lock().unwrap().push(Arc::clone(&message));
        async move {
            collect(body, &message).await;
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let serving = async {
        let connection = server::Builder::new()
            .header_read_timeout(None)
            .serve_connection(script.clone(), service);
        let mut connection = pin!(connection);
        poll_fn(|cx| connection.as_mut().poll(cx).map(drop)).await;
    };
    // Ready or not: it may be waiting for more.
    let _ = script.drive(serving);
    let requests = seen.lock().unwrap().iter().map(|it| it.lock().unwrap().clone()).collect();
    Served { requests }
}
