//! HTTP/2 with a client, by hyper.
//!
//! Owns: flow control's sizes, the client's timeouts, and the polite end. May touch:
//! [`super::activity`], [`super::service`]. Every request goes to [`crate::proxy::handle`].

use super::{
    activity::{Activity, Finding},
    alarm::Alarm,
    client_io::ClientIo,
    service::Service,
    settings::Settings,
    stream::Stream,
    streams::{Begun, Streams},
};
use bytes::Bytes;
use http::StatusCode;
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    error::Error as _,
    future::poll_fn,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Poll,
    time::{Duration, Instant},
};

/// Enough for a fast download, little enough for many connections.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// What happened beside the HTTP connection's own progress.
enum Event {
    Ended(hyper::Result<()>),
    Alarm,
    /// This is to be its last: the listener is drained, or it has carried its number of requests.
    Last,
    /// The client gives up more than it takes.
    Flood,
}

/// What was said to a client: that it may ask no more.
struct Goodbye {
    /// In the clock's milliseconds.
    said: u64,
    /// How many requests there had been when it must have heard it.
    heard: Option<u64>,
}

impl Goodbye {
    /// Whether the client goes on asking. h2 takes new streams until the client has answered.
    fn is_ignored(&mut self, activity: &Activity, patience: u64) -> bool {
        let now = activity.clock.now();
        if activity.was_slow_since(self.said) {
            // It lies in the socket's buffer still, or did so until now.
            self.said = now;
        }
        if now < self.said + patience {
            return false;
        }
        let requests = activity.requests();
        *self.heard.get_or_insert(requests) != requests
    }
}

fn builder(begun: Begun, settings: &Settings) -> http2::Builder<Begun> {
    let mut builder = http2::Builder::new(begun);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.limits.http2_streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(settings.limits.request_head as u32);
    builder
}

/// Serves HTTP/2 on `stream` until one side ends it. What `begun` has was read of it already.
pub async fn serve(stream: Stream, begun: Bytes, service: Service, settings: Settings) {
    let service = Arc::new(service);
    let clock = service.proxy().live.clock;
    let activity = Arc::new(Activity::new(clock, settings.limits.http2_streams));
    let io = TokioIo::new(ClientIo::new(stream, begun, Arc::clone(&activity)));
    let begun = Begun::default();
    let builder = builder(begun.clone(), &settings);
    let answer = service_fn(|request| Arc::clone(&service).answer(Arc::clone(&activity), request));
    let mut http = pin!(builder.serve_connection(io, answer));
    let mut streams = Streams::new(begun, Arc::clone(&activity));
    let listener = Arc::clone(service.listener());
    let mut drained = pin!(listener.drained());
    let mut alarm = Alarm::new(Instant::now(), Duration::from_millis(settings.waits.shortest()));
    let (mut draining, mut goodbye) = (false, None::<Goodbye>);
    loop {
        // The streams are polled at every wake-up; the others only when they have something to say.
        let mut heard = false;
        let event = poll_fn(|cx| {
            if let Poll::Ready(ended) = streams.poll(cx, http.as_mut()) {
                return Poll::Ready(Event::Ended(ended));
            }
            if activity.floods() {
                return Poll::Ready(Event::Flood);
            }
            if alarm.poll(cx).is_ready() {
                return Poll::Ready(Event::Alarm);
            }
            if !draining && (!heard || service.listener().is_draining()) {
                heard = true;
                draining = drained.as_mut().poll(cx).is_ready();
            }
            let last = goodbye.is_none() && (draining || service.is_closing());
            if last { Poll::Ready(Event::Last) } else { Poll::Pending }
        });
        let last = match event.await {
            Event::Ended(Ok(())) => return,
            Event::Ended(Err(error)) => return refuse(&error, &service),
            Event::Flood => break,
            Event::Last => true,
            Event::Alarm => {
                end_stalled(&activity, &settings, &mut streams);
                let patience = settings.waits.request_head.max(settings.waits.send);
                let asks_on = goodbye.as_mut().is_some_and(|it| it.is_ignored(&activity, patience));
                match look(&activity, &settings, &mut alarm) {
                    Finding::Stalled => return,
                    // Nothing came of the goodbye either.
                    Finding::Idle if goodbye.is_some() => return,
                    Finding::Fine(_) if asks_on => return,
                    Finding::Idle => true,
                    Finding::Fine(_) => alarm.is_older_than(settings.age),
                }
            }
        };
        if last && goodbye.is_none() {
            goodbye = Some(Goodbye { said: clock.now(), heard: None });
            service.close();
            http.as_mut().graceful_shutdown();
            streams.poll_connection_next();
        }
    }
    service.refuse_unread(StatusCode::BAD_REQUEST, "stream_resets");
}

/// Ends the streams of which the client takes nothing, and no others.
fn end_stalled(activity: &Activity, settings: &Settings, streams: &mut Streams) {
    if let Some(patience) = activity.patience(&settings.waits, streams.waiting()) {
        // Whatever is dropped now is so for this reason.
        activity.stalled.store(true, Relaxed);
        streams.end_those_waiting_for(patience);
        activity.stalled.store(false, Relaxed);
    }
}

/// What the alarm rang for; it is set again.
fn look(activity: &Activity, settings: &Settings, alarm: &mut Alarm) -> Finding {
    let finding = activity.look(&settings.waits);
    let wait = match finding {
        Finding::Fine(at) => at.saturating_sub(activity.clock.now()).max(1),
        Finding::Idle | Finding::Stalled => settings.waits.send,
    };
    activity.stalled.store(finding == Finding::Stalled, Relaxed);
    alarm.ring_in(Duration::from_millis(wait));
    finding
}

/// Writes down what was refused before it was a request.
fn refuse(error: &hyper::Error, service: &Service) {
    tracing::debug!(%error, "a connection ended with an error");
    let cause = error.source().and_then(|it| it.downcast_ref::<h2::Error>());
    if cause.is_some_and(|it| it.is_library() && it.is_go_away()) {
        service.refuse_unread(StatusCode::BAD_REQUEST, "bad_request");
    }
}
