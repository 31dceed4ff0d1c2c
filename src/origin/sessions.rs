//! HTTP/2 connections to servers, those of one worker.
//!
//! Owns: which connection takes the next request, when another one is opened, and the task of each:
//! it reads and writes, and asks the server for a sign of life when nothing comes. May touch:
//! [`crate::task`]. Requests share a connection ([`super::http2`]). Where one is being opened,
//! others wait for it instead of opening their own.

use super::{
    dial::{LineKey, Unconnected},
    http2_settings::Http2Settings,
    wire::Wire,
};
use bytes::Bytes;
use foldhash::fast::FixedState;
use h2::{
    Ping,
    client::{Builder, SendRequest},
};
use std::{
    collections::HashMap,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

/// What a server may send of one response before it is taken.
const STREAM_WINDOW: u32 = 128 * 1024;

/// The same of all responses of a connection: room for every stream, so that those which nobody takes
/// do not stop the others.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// A connection that takes requests.
#[derive(Clone)]
pub struct Session {
    /// Begins requests.
    pub send: SendRequest<Bytes>,
    state: Arc<SessionState>,
}

/// What is known of a connection.
#[derive(Debug)]
struct SessionState {
    /// Requests under way.
    streams: AtomicU32,
    /// It takes no more.
    closed: AtomicBool,
    /// The server has said how many requests it takes at once.
    settled: AtomicBool,
    /// Whether anything has come since the last look.
    heard: AtomicBool,
    /// Requests that it has carried.
    requests: AtomicU64,
    /// When it was opened, on the process's clock.
    opened: u64,
    /// When its last request ended.
    used: AtomicU64,
}

/// One request on a connection, as long as it lives.
#[derive(Debug)]
pub struct Held(Arc<SessionState>);

impl Held {
    /// The connection takes no more requests: its server has said so, or it broke.
    pub fn close(&self) {
        self.0.closed.store(true, Relaxed);
    }

    /// Whether it had carried requests before.
    pub fn is_reused(&self) -> bool {
        self.0.requests.load(Relaxed) > 1
    }

    /// Gives it back at this moment.
    pub fn end(self, now: u64) {
        self.0.used.store(now, Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Relaxed);
    }
}

impl Session {
    /// Takes a place for a request, if there is one.
    fn hold(&self, now: u64, settings: &Http2Settings) -> Option<Held> {
        let state = &self.state;
        let most = settings.streams.min(self.send.current_max_send_streams() as u32);
        let worn = settings.requests != 0 && state.requests.load(Relaxed) >= settings.requests
            || settings.age != 0 && now.saturating_sub(state.opened) >= settings.age;
        if worn {
            state.closed.store(true, Relaxed);
        }
        let takes = state.settled.load(Relaxed) && !state.closed.load(Relaxed);
        if !takes || state.streams.load(Relaxed) >= most {
            return None;
        }
        state.streams.fetch_add(1, Relaxed);
        state.requests.fetch_add(1, Relaxed);
        state.used.store(now, Relaxed);
        Some(Held(Arc::clone(state)))
    }

    fn is_over(&self, now: u64, idle_timeout: u64) -> bool {
        let SessionState { streams, closed, used, .. } = &*self.state;
        closed.load(Relaxed)
            || streams.load(Relaxed) == 0 && now.saturating_sub(used.load(Relaxed)) >= idle_timeout
    }
}

/// What came of opening a connection, for those that wait for it.
#[derive(Clone, Debug)]
enum Opened {
    Session,
    /// The server speaks HTTP/1 only.
    Http1,
    Failed(Arc<Unconnected>),
    /// Who opened it went away.
    GivenUp,
}

/// What there is for a request.
pub enum Offer {
    /// A connection.
    Session(Session, Held),
    /// One is being opened.
    Wait(BeingOpened),
    /// One has to be opened.
    Open(Opening),
    /// The last one that was opened speaks HTTP/1 only, so nothing can be shared.
    Http1,
}

/// A connection that somebody else opens.
pub struct BeingOpened(watch::Receiver<Option<Opened>>);

impl BeingOpened {
    /// Ready once it is there; whether the server speaks HTTP/2.
    pub async fn opened(mut self) -> Result<bool, Arc<Unconnected>> {
        let opened = self.0.wait_for(Option::is_some).await;
        match opened.as_deref().ok().and_then(Option::as_ref) {
            Some(Opened::Http1) => Ok(false),
            Some(Opened::Failed(why)) => Err(Arc::clone(why)),
            Some(Opened::Session | Opened::GivenUp) | None => Ok(true),
        }
    }
}

/// The one that opens a connection.
pub struct Opening {
    told: watch::Sender<Option<Opened>>,
}

impl Opening {
    fn tell(&self, opened: Opened) {
        self.told.send_replace(Some(opened));
    }

    /// There is none.
    pub fn fail(self, why: Unconnected) -> Arc<Unconnected> {
        let why = Arc::new(why);
        self.tell(Opened::Failed(Arc::clone(&why)));
        why
    }

    /// The server speaks HTTP/1.
    pub fn is_http1(self) {
        self.tell(Opened::Http1);
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let given_up = |told: &mut Option<Opened>| {
            if told.is_some() {
                return false;
            }
            *told = Some(Opened::GivenUp);
            true
        };
        self.told.send_if_modified(given_up);
    }
}

/// A server's connections.
#[derive(Default)]
struct ServerLine {
    sessions: Vec<Session>,
    idle_timeout: u64,
    opening: Option<watch::Receiver<Option<Opened>>>,
    waiting: u32,
}

impl ServerLine {
    fn open(&mut self) -> Opening {
        let (told, opening) = watch::channel(None);
        (self.opening, self.waiting) = (Some(opening), 1);
        Opening { told }
    }
}

/// HTTP/2 connections to servers.
#[derive(Default)]
pub struct Sessions {
    lines: Mutex<HashMap<LineKey, ServerLine, FixedState>>,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Sessions").field(&self.lock().len()).finish()
    }
}

impl Sessions {
    /// A connection for a request, or what has to be done for one.
    pub fn take(&self, key: LineKey, now: u64, settings: &Http2Settings) -> Offer {
        let mut lines = self.lock();
        let line = lines.entry(key).or_default();
        line.idle_timeout = settings.idle_timeout;
        line.sessions.retain(|it| !it.state.closed.load(Relaxed));
        for session in &line.sessions {
            if let Some(held) = session.hold(now, settings) {
                return Offer::Session(session.clone(), held);
            }
        }
        // As many as will fit on it wait for a connection that is being opened.
        if let Some(opening) = &line.opening {
            let told = opening.borrow().is_some();
            if !told && line.waiting < settings.streams {
                line.waiting += 1;
                return Offer::Wait(BeingOpened(opening.clone()));
            }
            if matches!(*opening.borrow(), Some(Opened::Http1)) {
                return Offer::Http1;
            }
        }
        Offer::Open(line.open())
    }

    /// To open one in any case.
    pub fn open(&self, key: LineKey) -> Opening {
        self.lock().entry(key).or_default().open()
    }

    /// Takes a connection on which a server has agreed to speak HTTP/2, and gives the first request
    /// its place on it.
    pub async fn begin(
        &self,
        key: LineKey,
        wire: Wire,
        opening: Opening,
        (now, within): (u64, Duration),
        settings: Http2Settings,
    ) -> Result<(Session, Held), Arc<Unconnected>> {
        let state = Arc::new(SessionState {
            streams: AtomicU32::new(0),
            closed: AtomicBool::new(false),
            settled: AtomicBool::new(false),
            heard: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            opened: now,
            used: AtomicU64::new(now),
        });
        let heard = Heard { wire, state: Arc::clone(&state) };
        let builder = builder(&settings);
        let shaking = timeout(within, builder.handshake(heard));
        let (send, connection) = match shaking.await {
            Ok(Ok(shaken)) => shaken,
            Ok(Err(error)) => return Err(opening.fail(Unconnected::Io(io::Error::other(error)))),
            Err(_) => return Err(opening.fail(Unconnected::Timeout)),
        };
        let session = Session { send, state: Arc::clone(&state) };
        // It is new, so there is a place.
        session.state.streams.fetch_add(1, Relaxed);
        session.state.requests.fetch_add(1, Relaxed);
        let held = Held(Arc::clone(&session.state));
        self.lock().entry(key).or_default().sessions.push(session.clone());
        crate::task::spawn(drive(connection, state, settings, opening));
        Ok((session, held))
    }

    /// Drops connections that have ended, are idle for too long, or lead to no current server.
    pub fn sweep(&self, now: u64, is_current: impl Fn(u64) -> bool) {
        self.lock().retain(|key, line| {
            if !is_current(key.0) {
                return false;
            }
            let idle_timeout = line.idle_timeout;
            line.sessions.retain(|it| !it.is_over(now, idle_timeout));
            let opens = line.opening.as_ref().is_some_and(|it| it.borrow().is_none());
            !line.sessions.is_empty() || opens
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LineKey, ServerLine, FixedState>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn builder(settings: &Http2Settings) -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(settings.head)
        .initial_max_send_streams(settings.streams as usize);
    builder
}

/// Reads and writes until the connection ends: once nothing holds it and no request is under way, or
/// when its server gives no sign of life.
async fn drive(
    mut connection: h2::client::Connection<Heard, Bytes>,
    state: Arc<SessionState>,
    settings: Http2Settings,
    opening: Opening,
) {
    let mut opening = Some(opening);
    let mut pings = connection.ping_pong();
    let mut look = pin!(sleep_until(Instant::now() + settings.ping));
    let mut asked = false;
    let ended = poll_fn(|cx| {
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
            return Poll::Ready(ended.map_err(|error| error.to_string()));
        }
        if state.heard.load(Relaxed)
            && let Some(opening) = opening.take()
        {
            // What a server says first are its settings (RFC 9113 §3.4).
            state.settled.store(true, Relaxed);
            opening.tell(Opened::Session);
        }
        if let Some(pings) = &mut pings {
            while let Poll::Ready(Ok(_)) = pings.poll_pong(cx) {}
        }
        loop {
            ready!(look.as_mut().poll(cx));
            let heard = state.heard.swap(false, Relaxed) || state.streams.load(Relaxed) == 0;
            if asked && !heard {
                return Poll::Ready(Err("it gave no sign of life".to_owned()));
            }
            asked = !heard;
            if asked && let Some(pings) = &mut pings {
                // A ping that is still on its way is enough.
                let _ = pings.send_ping(Ping::opaque());
                cx.waker().wake_by_ref();
            }
            let next = if asked { settings.ping_timeout } else { settings.ping };
            look.as_mut().reset(Instant::now() + next);
        }
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "an HTTP/2 connection to a server ended");
    }
    state.closed.store(true, Relaxed);
}

/// A wire that notes when something comes.
struct Heard {
    wire: Wire,
    state: Arc<SessionState>,
}

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.wire).poll_read(cx, buffer));
        self.state.heard.store(true, Relaxed);
        Poll::Ready(read)
    }
}

impl AsyncWrite for Heard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}
