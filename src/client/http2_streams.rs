//! The streams of one HTTP/2 connection, run in the connection's own task.
//!
//! Owns: h2's connection, and the order in which it and the streams are polled. May touch: nothing
//! outside this room. With a task for each stream, an answer would wait twice in the worker's
//! queue: for its stream's turn, and then for its connection's turn to write.

use super::{
    activity::Activity, http2_given::Given, http2_response::ROOM, http2_stream::Http2Stream,
    service::Service, settings::ConnectionSettings,
};
use futures_util::{
    stream::{FuturesUnordered, StreamExt},
    task::AtomicWaker,
};
use h2::{
    Reason, RecvStream, SendStream,
    server::{Builder, Connection, Handshake, SendResponse},
};
use http::Request;
use std::{
    mem::take,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker, ready},
};
use tokio::io::{AsyncRead, AsyncWrite};

/// Enough for a fast upload, and not too much for many connections.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// A request, and where its response goes.
type Incoming = (Request<RecvStream>, SendResponse<Given>);

/// The connection as h2 has it.
enum Engine<S> {
    /// The client's preface has not come yet.
    Shaking {
        handshake: Handshake<S, Given>,
        closes: bool,
    },
    Serving(Connection<S, Given>),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Engine<S> {
    fn new(socket: S, settings: &ConnectionSettings) -> Self {
        let mut builder = Builder::new();
        builder
            .max_concurrent_streams(settings.limits.http2_streams)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(ROOM)
            .enable_connect_protocol()
            .max_header_list_size(settings.limits.request_head as u32);
        Self::Shaking { handshake: builder.handshake(socket), closes: false }
    }

    /// The next request; `None` at the end. Reads and writes as much as possible.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Incoming, h2::Error>>> {
        if let Self::Shaking { handshake, closes } = self {
            let mut connection = ready!(Pin::new(handshake).poll(cx))?;
            if *closes {
                connection.graceful_shutdown();
            }
            *self = Self::Serving(connection);
        }
        match self {
            Self::Serving(connection) => connection.poll_accept(cx),
            Self::Shaking { .. } => Poll::Pending,
        }
    }
}

/// A connection and its streams.
pub struct Streams<'a, S> {
    service: &'a Service,
    activity: &'a Activity,
    engine: Engine<S>,
    running: FuturesUnordered<Http2Stream<'a>>,
    /// Streams to be reset once what came before has been written.
    broken: Vec<SendStream<Given>>,
    doorbell: Arc<Doorbell>,
    /// Rings the doorbell.
    waker: Waker,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Streams<'a, S> {
    /// The streams of a new connection on `socket`, on which nothing has been sent yet.
    pub fn new(
        socket: S,
        service: &'a Service,
        activity: &'a Activity,
        settings: &ConnectionSettings,
    ) -> Self {
        let doorbell = Arc::new(Doorbell { rung: true.into(), ..Doorbell::default() });
        let waker = Waker::from(Arc::clone(&doorbell));
        let (engine, running) = (Engine::new(socket, settings), FuturesUnordered::new());
        Self { service, activity, engine, running, broken: Vec::new(), doorbell, waker }
    }

    /// Tells the client to ask no more; ends once the streams that there are have ended.
    pub fn say_goodbye(&mut self) {
        match &mut self.engine {
            Engine::Shaking { closes, .. } => *closes = true,
            Engine::Serving(connection) => connection.graceful_shutdown(),
        }
        self.doorbell.rung.store(true, SeqCst);
    }

    /// How many wait for their client to take what they gave.
    pub fn waiting(&self) -> u64 {
        self.running.iter().filter(|stream| stream.is_waiting()).count() as u64
    }

    /// Ends the streams that have waited for their client for `patience` milliseconds.
    pub fn end_those_waiting_for(&mut self, patience: u64) {
        let now = self.activity.clock.now();
        for stream in &mut self.running {
            stream.end_if_stalled(now, patience);
        }
    }

    /// Gives them all up.
    pub fn give_up(&mut self, reason: &'static str) {
        for stream in &mut self.running {
            stream.give_up(reason);
        }
    }

    /// Polls the connection and its streams until none of them has anything to do; ready when the
    /// connection has ended.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        self.doorbell.task.register(cx.waker());
        self.doorbell.heard.store(true, SeqCst);
        loop {
            let mut yields = false;
            if self.doorbell.rung.swap(false, SeqCst) || !self.broken.is_empty() {
                let broken = take(&mut self.broken);
                if let Poll::Ready(ended) = self.poll_engine() {
                    return Poll::Ready(ended);
                }
                // The connection woke itself: it has more to do, after other tasks had their turn.
                yields = self.doorbell.rung.load(SeqCst);
                for mut stream in broken {
                    stream.send_reset(Reason::INTERNAL_ERROR);
                }
            }
            // Answers that are ready at once are written at once.
            while let Poll::Ready(Some(broken)) = self.running.poll_next_unpin(cx) {
                self.broken.extend(broken);
            }
            if yields || !self.doorbell.rung.load(SeqCst) && self.broken.is_empty() {
                break;
            }
        }
        self.doorbell.heard.store(false, SeqCst);
        if self.doorbell.rung.load(SeqCst) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn poll_engine(&mut self) -> Poll<Result<(), h2::Error>> {
        let mut cx = Context::from_waker(&self.waker);
        loop {
            match ready!(self.engine.poll(&mut cx)) {
                Some(Ok(accepted)) => {
                    self.running.push(Http2Stream::begin(accepted, self.service, self.activity));
                }
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// Wakes the connection's task, unless it is running.
#[derive(Default)]
struct Doorbell {
    rung: AtomicBool,
    heard: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Doorbell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, SeqCst) && !self.heard.load(SeqCst) {
            self.task.wake();
        }
    }
}
