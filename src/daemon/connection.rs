//! One client connection, from its first byte to its last.
//!
//! Owns: TLS, the choice of HTTP version, the client's timeouts, and the ways to end: politely
//! while draining, with 408, or at once. May touch: [`crate::proxy`], [`super::activity`]. Every
//! request goes to [`crate::proxy::handle`].

use super::{
    activity::{Activity, Finding, Waits},
    client_io::{ClientIo, Stream},
    listener::{Open, drained},
    service::Service,
};
use crate::{
    config::ListenerLimits, message::context::Peer, proxy::Proxy, snapshot::ListenerParts,
    task::Executor,
};
use http::StatusCode;
use hyper::{
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    fmt::Write as _,
    future::poll_fn,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, watch},
    time::{Instant, Sleep, sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// An IPv6 address, or an IPv4 one, as text.
const LONGEST_IP: usize = 39;
/// HTTP/2's flow control: enough for a fast download, little enough for many connections.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// While draining, an idle connection is left open this long for a request that may be on its way.
const LAST_CALL: Duration = Duration::from_secs(1);
/// How long and how much is read after an answer that ends a connection with more to come: closing
/// with unread bytes resets the connection, and the client may lose the answer (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 256 * 1024;
const REQUEST_TIMEOUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Serves a connection. `alive` tells the worker that it still runs.
pub async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    open: Open,
    proxy: Arc<Proxy>,
    alive: mpsc::Sender<()>,
) {
    let snapshot = proxy.live.load();
    let Some(parts) = snapshot.listener(open.listener().id) else { return };
    let settings = Settings::of(parts);
    let tls = parts.tls.as_ref().map(|tls| Arc::clone(&tls.server));
    let handshake = parts.timeouts.tls_handshake;
    drop(snapshot);
    let ip = peer.ip().to_canonical();
    let mut ip_text = String::with_capacity(LONGEST_IP);
    let _ = write!(ip_text, "{ip}");
    let mut peer = Peer {
        ip,
        ip_text,
        listener: Arc::clone(&open.listener().name),
        tls: tls.is_some(),
        sni: None,
    };
    let activity = Arc::new(Activity::new(proxy.live.clock));
    let drain = open.listener().drain.subscribe();
    let (stream, http2) = match tls {
        None => (Stream::Plain(stream), false),
        Some(config) => {
            let Some(stream) = shake_hands(stream, config, handshake, &open, &proxy).await else {
                return;
            };
            let (_, tls) = stream.get_ref();
            peer.sni = tls.server_name().map(str::to_ascii_lowercase);
            let http2 = tls.alpn_protocol() == Some(b"h2");
            (Stream::Tls(Box::new(stream)), http2)
        }
    };
    let io = ClientIo::new(stream, Arc::clone(&activity), !http2);
    let limit = settings.limits.requests_per_connection;
    let service = Service::new(proxy, open, peer, Arc::clone(&activity), limit, http2);
    let connection = Served { io, service, activity, settings, drain };
    if http2 {
        connection.http2().await;
    } else {
        connection.http1().await;
    }
    drop(alive);
}

async fn shake_hands(
    stream: TcpStream,
    config: Arc<rustls::ServerConfig>,
    limit: Duration,
    open: &Open,
    proxy: &Proxy,
) -> Option<TlsStream<TcpStream>> {
    let listener = &*open.listener().name;
    let shaken = timeout(limit, TlsAcceptor::from(config).accept(stream)).await;
    let (result, stream) = match shaken {
        Ok(Ok(stream)) => match stream.get_ref().1.handshake_kind() {
            Some(rustls::HandshakeKind::Resumed) => ("resumed", Some(stream)),
            _ => ("full", Some(stream)),
        },
        Ok(Err(error)) => {
            tracing::debug!(listener, %error, "TLS handshake failed");
            ("failed", None)
        }
        Err(_) => ("timeout", None),
    };
    proxy.live.metrics.tls_handshakes.with_label_values(&[listener, result]).inc();
    stream
}

/// What a connection takes from its listener's config when it begins.
struct Settings {
    waits: Waits,
    age: Duration,
    limits: ListenerLimits,
}

impl Settings {
    fn of(parts: &ListenerParts) -> Self {
        let millis = |duration: Duration| duration.as_millis() as u64;
        Self {
            waits: Waits {
                request_head: millis(parts.timeouts.request_head),
                idle: millis(parts.timeouts.idle),
                send: millis(parts.timeouts.send),
            },
            age: parts.limits.connection_age,
            limits: parts.limits.clone(),
        }
    }
}

struct Served {
    io: ClientIo,
    service: Arc<Service>,
    activity: Arc<Activity>,
    settings: Settings,
    drain: watch::Receiver<bool>,
}

/// What happened beside the HTTP connection's own progress.
enum Event {
    Ended(hyper::Result<()>),
    Timer,
    Drain,
}

/// Waits for HTTP's own progress, the timer or the drain. hyper is polled at every wake-up; the
/// others only when they have something to say, for a request is two wake-ups.
async fn next<H, D>(
    http: &mut H,
    timer: &mut Timer,
    drain: &mut Option<Pin<&mut D>>,
    draining: &AtomicBool,
) -> Event
where
    H: Future<Output = hyper::Result<()>> + Unpin,
    D: Future<Output = ()>,
{
    let mut heard = false;
    poll_fn(|cx| {
        if let Poll::Ready(ended) = Pin::new(&mut *http).poll(cx) {
            return Poll::Ready(Event::Ended(ended));
        }
        if timer.poll(cx).is_ready() {
            return Poll::Ready(Event::Timer);
        }
        if let Some(waiting) = drain
            && (!heard || draining.load(Relaxed))
        {
            heard = true;
            if waiting.as_mut().poll(cx).is_ready() {
                *drain = None;
                return Poll::Ready(Event::Drain);
            }
        }
        Poll::Pending
    })
    .await
}

impl Served {
    async fn http1(self) {
        let Self { io, service, activity, settings, mut drain } = self;
        let mut builder = http1::Builder::new();
        builder
            // Ours does it without a timer per request: see [`Activity`].
            .header_read_timeout(None)
            .max_buf_size(settings.limits.request_head.max(8192))
            .max_header_size(settings.limits.request_head);
        if settings.limits.headers != 100 {
            builder.max_headers(settings.limits.headers);
        }
        let answer = service_fn(|request| Arc::clone(&service).answer(request));
        let mut http = builder.serve_connection(TokioIo::new(io), answer);
        let mut timer = Timer::new(&settings, &activity);
        let drained = pin!(drained(&mut drain));
        let (mut drain, draining) = (Some(drained), &service.listener().draining);
        let ended = loop {
            let finding = match next(&mut http, &mut timer, &mut drain, draining).await {
                Event::Ended(ended) => break ended.map_err(Some),
                Event::Drain => {
                    service.close();
                    timer.look_in(LAST_CALL);
                    continue;
                }
                Event::Timer => timer.look_again(&activity, &settings.waits),
            };
            if drain.is_none() {
                Pin::new(&mut http).graceful_shutdown();
            }
            match finding {
                Finding::Fine(_) if timer.is_over_age() => service.close(),
                Finding::Fine(_) => {}
                Finding::Idle => break Err(None),
                Finding::Stalled => {
                    activity.stalled.store(true, Relaxed);
                    return;
                }
                Finding::SlowHead => {
                    service.refuse_unread(StatusCode::REQUEST_TIMEOUT, "head_timeout");
                    let mut stream = http.into_parts().io.into_inner().into_stream();
                    let _ = timeout(LINGER, stream.write_all(REQUEST_TIMEOUT)).await;
                    return linger(stream).await;
                }
            }
        };
        let refused = matches!(&ended, Err(Some(error)) if refuse(error, &service));
        let unread = refused || activity.may_have_unread.load(Relaxed);
        if unread && !activity.ended.load(Relaxed) {
            linger(http.into_parts().io.into_inner().into_stream()).await;
        } else if service.is_tls() {
            goodbye(http.into_parts().io.into_inner().into_stream()).await;
        }
    }

    async fn http2(self) {
        let Self { io, service, activity, settings, mut drain } = self;
        let mut builder = http2::Builder::new(Executor);
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(settings.limits.http2_streams)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(settings.limits.request_head as u32);
        let answer = service_fn(|request| Arc::clone(&service).answer(request));
        let mut http = pin!(builder.serve_connection(TokioIo::new(io), answer));
        let mut timer = Timer::new(&settings, &activity);
        let drained = pin!(drained(&mut drain));
        let (mut drain, draining) = (Some(drained), &service.listener().draining);
        let mut goaway_sent = false;
        loop {
            let goodbye = match next(&mut http, &mut timer, &mut drain, draining).await {
                Event::Ended(ended) => {
                    if let Err(error) = ended {
                        refuse(&error, &service);
                    }
                    return;
                }
                Event::Drain => true,
                Event::Timer => match timer.look_again(&activity, &settings.waits) {
                    Finding::Stalled => {
                        activity.stalled.store(true, Relaxed);
                        return;
                    }
                    // Nothing came of the goodbye either.
                    Finding::Idle if goaway_sent => return,
                    Finding::Idle | Finding::SlowHead => true,
                    Finding::Fine(_) => timer.is_over_age() || service.is_closing(),
                },
            };
            if goodbye && !goaway_sent {
                goaway_sent = true;
                service.close();
                http.as_mut().graceful_shutdown();
            }
        }
    }
}

/// The one timer of a connection: it looks what is overdue, and when to look again.
struct Timer {
    sleep: Pin<Box<Sleep>>,
    /// Whether the sleep will wake us without being polled again.
    set: bool,
    born: Instant,
    age: Duration,
}

impl Timer {
    fn new(settings: &Settings, activity: &Activity) -> Self {
        let sleep = Box::pin(sleep(Duration::ZERO));
        let mut timer = Self { sleep, set: false, born: Instant::now(), age: settings.age };
        timer.look_again(activity, &settings.waits);
        timer
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.set && !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        self.set = true;
        self.sleep.as_mut().poll(cx)
    }

    fn look_in(&mut self, time: Duration) {
        self.sleep.as_mut().reset(Instant::now() + time);
        self.set = false;
    }

    fn look_again(&mut self, activity: &Activity, waits: &Waits) -> Finding {
        let finding = activity.look(waits);
        let wait = match finding {
            Finding::Fine(at) => at.saturating_sub(activity.clock.now()).max(1),
            _ => waits.send,
        };
        self.look_in(Duration::from_millis(wait));
        finding
    }

    fn is_over_age(&self) -> bool {
        !self.age.is_zero() && self.born.elapsed() >= self.age
    }
}

/// Writes down a head that hyper refused, with the status that it answered; whether it was one.
fn refuse(error: &hyper::Error, service: &Service) -> bool {
    tracing::debug!(%error, "a connection ended with an error");
    if error.is_parse_too_large() {
        // hyper tells only in words that it was the target.
        if error.to_string().contains("URI") {
            service.refuse_unread(StatusCode::URI_TOO_LONG, "target_too_long");
        } else {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            service.refuse_unread(status, "head_too_large");
        }
    } else if error.is_parse() {
        service.refuse_unread(StatusCode::BAD_REQUEST, "bad_request");
    }
    error.is_parse() || error.is_parse_too_large()
}

/// Closes our side and reads what still comes, so that the client gets to read our answer.
async fn linger(mut stream: Stream) {
    let drain = async {
        stream.shutdown().await?;
        let (mut buffer, mut read) = (vec![0; 16 * 1024], 0);
        while read < LINGER_BYTES {
            match stream.read(&mut buffer).await? {
                0 => break,
                more => read += more,
            }
        }
        std::io::Result::Ok(())
    };
    // Whether it went well or not, the socket is closed now.
    let _ = timeout(LINGER, drain).await;
}

/// TLS says goodbye, so that the end can't be mistaken for an attack. TCP's own end is enough else.
async fn goodbye(mut stream: Stream) {
    let _ = timeout(LINGER, stream.shutdown()).await;
}
