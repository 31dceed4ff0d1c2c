//! One HTTP/2 connection to a server.
//!
//! Owns: its places for requests, the requests that wait for it, and its task. The task reads and
//! writes, and sends the server a PING when nothing comes. May touch: [`crate::task`]. Next:
//! [`super::sessions`] has those of a worker, [`super::http2`] puts a request on one.

use super::{dial::Unconnected, http2_settings::Http2Settings, wire::Wire};
use bytes::Bytes;
use h2::{
    Ping,
    client::{Builder, SendRequest},
};
use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
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

/// How much of one response a server may send before we have taken it.
const STREAM_WINDOW: u32 = 128 * 1024;

/// The same for all responses of a connection together. There is room for every stream, so that
/// responses that nobody takes do not stop the others.
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
    /// The connection takes no more requests.
    closed: AtomicBool,
    /// The server's first frame has come as a whole: its settings (RFC 9113 §3.4).
    greeted: AtomicBool,
    /// The server's settings have come, and are in force.
    settled: AtomicBool,
    /// Whether anything has come since the task ran last.
    heard: AtomicBool,
    /// The connection ended because its server answered no PING.
    silent: AtomicBool,
    /// Requests that it has carried.
    requests: AtomicU64,
    /// When it was opened, on the process's clock.
    opened: u64,
    /// When a request began while there was no other.
    busy: AtomicU64,
    /// When its last request ended.
    used: AtomicU64,
}

impl SessionState {
    /// How long after its opening the connection was last without requests.
    fn idle_before(&self) -> Duration {
        Duration::from_millis(self.busy.load(Relaxed).saturating_sub(self.opened))
    }
}

/// One request on a connection, as long as it lives.
#[derive(Debug)]
pub struct Held(Arc<SessionState>);

impl Held {
    /// Notes that the connection takes no more requests: its server has said so, or it broke.
    pub fn close(&self) {
        self.0.closed.store(true, Relaxed);
    }

    /// Whether the connection ended because its server answered no PING.
    pub fn is_silent(&self) -> bool {
        self.0.silent.load(Relaxed)
    }

    /// Whether it had carried requests before.
    pub fn is_reused(&self) -> bool {
        self.0.requests.load(Relaxed) > 1
    }

    /// Gives the place back at this moment.
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
    /// Begins to use a connection on which a server has agreed to speak HTTP/2, with the first
    /// request's place.
    pub(super) async fn begin(
        wire: Wire,
        opening: Opening,
        (at, begun): (std::time::Instant, u64),
        within: Duration,
        settings: Http2Settings,
    ) -> Result<(Self, Held), Arc<Unconnected>> {
        let state = Arc::new(SessionState {
            streams: AtomicU32::new(1),
            closed: AtomicBool::new(false),
            greeted: AtomicBool::new(false),
            settled: AtomicBool::new(false),
            heard: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            requests: AtomicU64::new(1),
            opened: begun,
            busy: AtomicU64::new(begun),
            used: AtomicU64::new(begun),
        });
        let heard = Heard { wire, state: Arc::clone(&state), first: FirstFrame::default() };
        let builder = builder(&settings);
        let shaking = timeout(within, builder.handshake(heard));
        let (send, connection) = match shaking.await {
            Ok(Ok(shaken)) => shaken,
            Ok(Err(error)) => return Err(opening.fail(Unconnected::Io(io::Error::other(error)))),
            Err(_) => return Err(opening.fail(Unconnected::Timeout)),
        };
        let (session, held) = (Self { send, state: Arc::clone(&state) }, Held(Arc::clone(&state)));
        crate::task::spawn(drive(connection, state, settings, opening, at.into()));
        Ok((session, held))
    }

    /// Takes a place for a request, if there is one.
    pub(super) fn hold(&self, now: u64, settings: &Http2Settings) -> Option<Held> {
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
        if state.streams.fetch_add(1, Relaxed) == 0 {
            state.busy.store(now, Relaxed);
        }
        state.requests.fetch_add(1, Relaxed);
        state.used.store(now, Relaxed);
        Some(Held(Arc::clone(state)))
    }

    /// Whether the server takes extended CONNECTs (RFC 8441 §3); `None` if its settings are not
    /// known yet.
    pub(super) fn takes_tunnels(&self) -> Option<bool> {
        let settled = self.state.settled.load(Relaxed);
        settled.then(|| self.send.is_extended_connect_protocol_enabled())
    }

    /// Whether it takes no more requests.
    pub(super) fn is_closed(&self) -> bool {
        self.state.closed.load(Relaxed)
    }

    /// Whether it is of no more use.
    pub(super) fn is_over(&self, now: u64, idle_timeout: u64) -> bool {
        let SessionState { streams, closed, used, .. } = &*self.state;
        closed.load(Relaxed)
            || streams.load(Relaxed) == 0 && now.saturating_sub(used.load(Relaxed)) >= idle_timeout
    }
}

/// The result of opening a connection, for the requests that wait for it.
#[derive(Clone, Debug)]
enum Opened {
    Session,
    /// The server speaks HTTP/1 only.
    Http1,
    Failed(Arc<Unconnected>),
    /// The request that opened it went away.
    GivenUp,
}

/// A connection that another request opens.
#[derive(Clone)]
pub struct BeingOpened(watch::Receiver<Option<Opened>>);

impl BeingOpened {
    /// Whether there is no result yet.
    pub(super) fn is_under_way(&self) -> bool {
        self.0.borrow().is_none()
    }

    /// Whether the server turned out to speak HTTP/1 only.
    pub(super) fn was_http1(&self) -> bool {
        matches!(*self.0.borrow(), Some(Opened::Http1))
    }

    /// Ready once the connection is there. Returns whether the server speaks HTTP/2.
    pub async fn opened(mut self) -> Result<bool, Arc<Unconnected>> {
        let opened = self.0.wait_for(Option::is_some).await;
        match opened.as_deref().ok().and_then(Option::as_ref) {
            Some(Opened::Http1) => Ok(false),
            Some(Opened::Failed(why)) => Err(Arc::clone(why)),
            Some(Opened::Session | Opened::GivenUp) | None => Ok(true),
        }
    }
}

/// Held by the request that opens a connection.
pub struct Opening {
    told: watch::Sender<Option<Opened>>,
}

impl Default for Opening {
    fn default() -> Self {
        Self { told: watch::Sender::new(None) }
    }
}

impl Opening {
    /// What other requests wait for.
    pub(super) fn wait(&self) -> BeingOpened {
        BeingOpened(self.told.subscribe())
    }

    fn tell(&self, opened: Opened) {
        self.told.send_replace(Some(opened));
    }

    /// Reports that there is no connection.
    pub fn fail(self, why: Unconnected) -> Arc<Unconnected> {
        let why = Arc::new(why);
        self.tell(Opened::Failed(Arc::clone(&why)));
        why
    }

    /// Reports that the server speaks HTTP/1.
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

/// Reads and writes until the connection ends: once nothing holds it and no request is under way,
/// or when its server does not answer a PING. `opened` is when it was opened.
async fn drive(
    mut connection: h2::client::Connection<Heard, Bytes>,
    state: Arc<SessionState>,
    settings: Http2Settings,
    opening: Opening,
    opened: Instant,
) {
    let mut opening = Some(opening);
    let mut pings = connection.ping_pong();
    let (mut since, mut asked) = (opened, None);
    let mut look = pin!(sleep_until(opened + settings.ping));
    let ended = poll_fn(|cx| {
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
            return Poll::Ready(ended.map_err(|error| error.to_string()));
        }
        if state.greeted.load(Relaxed)
            && let Some(opening) = opening.take()
        {
            state.settled.store(true, Relaxed);
            opening.tell(Opened::Session);
        }
        if let Some(pings) = &mut pings {
            while let Poll::Ready(Ok(_)) = pings.poll_pong(cx) {}
        }
        if state.heard.swap(false, Relaxed) {
            since = Instant::now();
            if asked.take().is_some() {
                look.as_mut().reset(since + settings.ping);
            }
        }
        loop {
            ready!(look.as_mut().poll(cx));
            let now = Instant::now();
            if state.streams.load(Relaxed) == 0 {
                (since, asked) = (now, None);
            }
            let next = match asked {
                Some(asked) => asked + settings.ping_timeout,
                None => since.max(opened + state.idle_before()) + settings.ping,
            };
            if next > now {
                look.as_mut().reset(next);
                continue;
            }
            if asked.is_some() {
                state.silent.store(true, Relaxed);
                return Poll::Ready(Err("it answered no PING".to_owned()));
            }
            asked = Some(now);
            if let Some(pings) = &mut pings {
                // If a PING is still on its way, that is enough.
                let _ = pings.send_ping(Ping::opaque());
                cx.waker().wake_by_ref();
            }
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
    first: FirstFrame,
}

/// How much there is of the first frame: three bytes of length, six more, and the payload.
#[derive(Default)]
struct FirstFrame {
    came: usize,
    length: usize,
}

impl FirstFrame {
    /// Notes that more has come. Returns whether the frame is whole.
    fn took(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes.iter().take(3_usize.saturating_sub(self.came)) {
            self.length = self.length << 8 | usize::from(*byte);
        }
        self.came += bytes.len();
        self.came >= 9 + self.length
    }
}

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.wire).poll_read(cx, buffer));
        self.state.heard.store(true, Relaxed);
        if !self.state.greeted.load(Relaxed) && self.first.took(&buffer.filled()[before..]) {
            self.state.greeted.store(true, Relaxed);
        }
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
