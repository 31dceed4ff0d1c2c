//! An upstream server that speaks HTTP/2, by the `h2` crate: so that resets, GOAWAY and silence are
//! a test's to choose.

use super::{eventually, until};
use bytes::Bytes;
use h2::{Reason, RecvStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Request, Response};
use std::{
    collections::HashMap,
    fmt,
    future::{pending, poll_fn},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    sync::{Notify, watch},
};

/// What is done with a request.
#[derive(Clone, Debug)]
pub enum Deed {
    /// 200 with the server's name, once the request has been read.
    Name,
    /// 200 with the request's body, part by part as it comes, and its trailers.
    Return,
    /// 200 with these parts, and then these trailers.
    Parts(Vec<&'static str>, Vec<(&'static str, &'static str)>),
    /// A status with these fields, and nothing more.
    Head(u16, Vec<(&'static str, &'static str)>),
    /// 200 with this part, and no end.
    Endless(&'static str),
    /// 103 with this `Link`, and then the name.
    Hint(&'static str),
    /// RST_STREAM before the head.
    Reset(Reason),
    /// The same for every second request.
    ResetHalf(Reason),
    /// RST_STREAM after a part of the body.
    ResetLate(Reason),
    /// GOAWAY with this request as the last one; the connection ends after it.
    GoAway,
    /// Never answers.
    Hang,
    /// Waits until told to go on, then the name.
    Wait,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub uri: http::Uri,
    pub protocol: Option<String>,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: HeaderMap,
    /// Why the stream ended before the request did.
    pub reset: Option<String>,
}

impl Seen {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|it| it.to_str().ok())
    }
}

struct State {
    name: String,
    deeds: Mutex<HashMap<String, Deed>>,
    default: Mutex<Deed>,
    seen: Mutex<Vec<Seen>>,
    accepted: AtomicUsize,
    open: AtomicUsize,
    count: AtomicUsize,
    /// How many may go on.
    go: tokio::sync::Semaphore,
    kill: watch::Sender<usize>,
    stopped: watch::Sender<bool>,
    streams: u32,
}

/// A server; dropping it kills it.
pub struct Http2Server {
    pub address: SocketAddr,
    state: Arc<State>,
    _runtime: Runtime,
}

impl fmt::Display for Http2Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl Http2Server {
    pub fn start(name: &str) -> Self {
        Self::with_streams(name, 100)
    }

    /// One that lets so many requests run at once on a connection.
    pub fn with_streams(name: &str, streams: u32) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let state = Arc::new(State {
            name: name.to_owned(),
            deeds: Mutex::default(),
            default: Mutex::new(Deed::Name),
            seen: Mutex::default(),
            accepted: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
            go: tokio::sync::Semaphore::new(0),
            kill: watch::channel(0).0,
            stopped: watch::channel(false).0,
            streams,
        });
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, _runtime: runtime }
    }

    pub fn set(&self, deed: Deed) {
        *self.state.default.lock().unwrap() = deed;
    }

    pub fn set_for(&self, path: &str, deed: Deed) {
        self.state.deeds.lock().unwrap().insert(path.into(), deed);
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// The last request for a path, once it is there and `check` accepts it.
    pub fn wait_for(&self, path: &str, check: impl Fn(&Seen) -> bool) -> Seen {
        eventually(path, || {
            self.seen().into_iter().rev().find(|it| it.uri.path() == path && check(it))
        })
    }

    /// Connections so far.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// Connections now.
    pub fn open(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }

    /// Drops all connections; new ones are welcome.
    pub fn drop_connections(&self) {
        self.state.kill.send_modify(|it| *it += 1);
    }

    /// Stops listening, and drops its connections.
    pub fn stop(&self) {
        self.state.stopped.send_replace(true);
        self.drop_connections();
        until("the server to be gone", || std::net::TcpStream::connect(self.address).is_err());
    }

    /// Lets so many requests go on: those that wait, or that come later.
    pub fn go(&self, count: usize) {
        self.state.go.add_permits(count);
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut stopped = state.stopped.subscribe();
    loop {
        let tcp = tokio::select! {
            accepted = listener.accept() => accepted.unwrap().0,
            _ = stopped.wait_for(|it| *it) => return,
        };
        state.accepted.fetch_add(1, Ordering::SeqCst);
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            state.open.fetch_add(1, Ordering::SeqCst);
            let mut kill = state.kill.subscribe();
            kill.mark_unchanged();
            tokio::select! {
                () = serve(tcp, Arc::clone(&state)) => {}
                _ = kill.changed() => {}
            }
            state.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn serve(tcp: TcpStream, state: Arc<State>) {
    tcp.set_nodelay(true).unwrap();
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(state.streams).enable_connect_protocol();
    let Ok(mut connection) = builder.handshake::<_, Bytes>(tcp).await else { return };
    let ending = Arc::new(Notify::new());
    let mut gone = false;
    loop {
        tokio::select! {
            accepted = connection.accept() => {
                let Some(Ok((request, respond))) = accepted else { return };
                let (state, ending) = (Arc::clone(&state), Arc::clone(&ending));
                tokio::spawn(answer(request, respond, state, ending));
            }
            () = ending.notified(), if !gone => {
                gone = true;
                connection.graceful_shutdown();
            }
        }
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    state: Arc<State>,
    ending: Arc<Notify>,
) {
    let (parts, mut body) = request.into_parts();
    let protocol = parts.extensions.get::<h2::ext::Protocol>().map(|it| it.as_str().to_owned());
    let index = {
        let mut seen = state.seen.lock().unwrap();
        seen.push(Seen {
            method: parts.method.to_string(),
            uri: parts.uri.clone(),
            protocol,
            headers: parts.headers,
            body: Vec::new(),
            trailers: HeaderMap::new(),
            reset: None,
        });
        seen.len() - 1
    };
    let deed = state.deeds.lock().unwrap().get(parts.uri.path()).cloned();
    let deed = deed.unwrap_or_else(|| state.default.lock().unwrap().clone());
    let number = state.count.fetch_add(1, Ordering::SeqCst);
    match deed {
        Deed::Reset(reason) => return respond.send_reset(reason),
        Deed::ResetHalf(reason) if number.is_multiple_of(2) => return respond.send_reset(reason),
        Deed::Hang => {
            let reset = poll_fn(|cx| respond.poll_reset(cx)).await;
            note_reset(&state, index, &reset);
            return pending().await;
        }
        Deed::Hint(link) => {
            let hint = Response::builder().status(103).header("link", link).body(()).unwrap();
            respond.send_informational(hint).unwrap();
        }
        Deed::GoAway => ending.notify_one(),
        Deed::Wait => state.go.acquire().await.unwrap().forget(),
        Deed::Head(status, fields) => {
            let head = Response::builder().status(status);
            let head =
                fields.into_iter().fold(head, |head, (name, value)| head.header(name, value));
            return drop(respond.send_response(head.body(()).unwrap(), true));
        }
        Deed::Endless(part) => return give_no_end(respond, part, &state, index).await,
        Deed::Return => return give_back(&mut body, respond, &state, index).await,
        Deed::Parts(all, trailers) => {
            while let Some(Ok(data)) = body.data().await {
                state.seen.lock().unwrap()[index].body.extend_from_slice(&data);
            }
            return give_parts(respond, all, trailers).await;
        }
        Deed::ResetLate(reason) => {
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            stream.send_data("half".into(), false).unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            return stream.send_reset(reason);
        }
        Deed::Name | Deed::ResetHalf(_) => {}
    }
    give_name(&mut body, respond, &state, index).await;
}

async fn give_name(
    body: &mut RecvStream,
    mut respond: SendResponse<Bytes>,
    state: &State,
    index: usize,
) {
    while let Some(Ok(data)) = body.data().await {
        let _ = body.flow_control().release_capacity(data.len());
        state.seen.lock().unwrap()[index].body.extend_from_slice(&data);
    }
    if let Ok(Some(trailers)) = body.trailers().await {
        state.seen.lock().unwrap()[index].trailers = trailers;
    }
    let head = Response::builder().header("content-length", state.name.len()).body(()).unwrap();
    if let Ok(mut stream) = respond.send_response(head, false) {
        let _ = stream.send_data(state.name.clone().into(), true);
    }
}

async fn give_no_end(
    mut respond: SendResponse<Bytes>,
    part: &'static str,
    state: &State,
    index: usize,
) {
    let mut stream = respond.send_response(Response::new(()), false).unwrap();
    stream.send_data(part.into(), false).unwrap();
    let reset = poll_fn(|cx| stream.poll_reset(cx)).await;
    note_reset(state, index, &reset);
}

async fn give_parts(
    mut respond: SendResponse<Bytes>,
    all: Vec<&'static str>,
    trailers: Vec<(&'static str, &'static str)>,
) {
    let mut stream = respond.send_response(Response::new(()), false).unwrap();
    for part in all {
        let _ = stream.send_data(part.into(), false);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let trailers = trailers.into_iter().map(|(name, value)| {
        (name.parse::<http::HeaderName>().unwrap(), HeaderValue::from_static(value))
    });
    let _ = stream.send_trailers(trailers.collect());
}

fn note_reset(state: &State, index: usize, reset: &Result<Reason, h2::Error>) {
    let told = match reset {
        Ok(reason) => format!("{reason:?}"),
        Err(error) => error.to_string(),
    };
    state.seen.lock().unwrap()[index].reset = Some(told);
}

async fn give_back(
    body: &mut RecvStream,
    mut respond: SendResponse<Bytes>,
    state: &State,
    index: usize,
) {
    let mut stream = respond.send_response(Response::new(()), false).unwrap();
    loop {
        match body.data().await {
            Some(Ok(data)) => {
                state.seen.lock().unwrap()[index].body.extend_from_slice(&data);
                let mut left = data.clone();
                while !left.is_empty() {
                    stream.reserve_capacity(left.len());
                    let room = match stream.capacity() {
                        0 => match poll_fn(|cx| stream.poll_capacity(cx)).await {
                            Some(Ok(room)) => room,
                            _ => return,
                        },
                        room => room,
                    };
                    let part = left.split_to(room.min(left.len()));
                    if stream.send_data(part, false).is_err() {
                        return;
                    }
                }
                let _ = body.flow_control().release_capacity(data.len());
            }
            Some(Err(error)) => {
                state.seen.lock().unwrap()[index].reset = Some(error.to_string());
                return;
            }
            None => break,
        }
    }
    match body.trailers().await {
        Ok(Some(trailers)) => {
            state.seen.lock().unwrap()[index].trailers = trailers.clone();
            let _ = stream.send_trailers(trailers);
        }
        _ => drop(stream.send_data("bye".into(), true)),
    }
}
