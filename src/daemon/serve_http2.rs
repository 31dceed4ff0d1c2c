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
use http::StatusCode;
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
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
    Drain,
}

/// Serves HTTP/2 on `stream` until one side ends it.
pub async fn serve(stream: Stream, service: Service, settings: Settings) {
    let service = Arc::new(service);
    let activity = Arc::new(Activity::new(service.proxy().live.clock));
    let io = TokioIo::new(ClientIo::new(stream, Arc::clone(&activity)));
    let begun = Begun::default();
    let mut builder = http2::Builder::new(begun.clone());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.limits.http2_streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(settings.limits.request_head as u32);
    let answer = service_fn(|request| Arc::clone(&service).answer(Arc::clone(&activity), request));
    let mut http = pin!(builder.serve_connection(io, answer));
    let mut streams = Streams::new(begun);
    let listener = Arc::clone(service.listener());
    let mut drained = pin!(listener.drained());
    let mut alarm = Alarm::new(Instant::now(), Duration::from_millis(settings.waits.shortest()));
    let (mut draining, mut goaway_sent) = (false, false);
    loop {
        // The streams are polled at every wake-up; the others only when they have something to say.
        let mut heard = false;
        let event = poll_fn(|cx| {
            if let Poll::Ready(ended) = streams.poll(cx, http.as_mut()) {
                return Poll::Ready(Event::Ended(ended));
            }
            if alarm.poll(cx).is_ready() {
                return Poll::Ready(Event::Alarm);
            }
            if !draining && (!heard || service.listener().is_draining()) {
                heard = true;
                draining = drained.as_mut().poll(cx).is_ready();
                if draining {
                    return Poll::Ready(Event::Drain);
                }
            }
            Poll::Pending
        });
        let goodbye = match event.await {
            Event::Ended(Ok(())) => return,
            Event::Ended(Err(error)) => return refuse(&error, &service),
            Event::Drain => true,
            Event::Alarm => match look(&activity, &settings, &mut alarm) {
                Finding::Stalled => return,
                // Nothing came of the goodbye either.
                Finding::Idle if goaway_sent => return,
                Finding::Idle => true,
                Finding::Fine(_) => alarm.is_older_than(settings.age) || service.is_closing(),
            },
        };
        if goodbye && !goaway_sent {
            goaway_sent = true;
            service.close();
            http.as_mut().graceful_shutdown();
            streams.poll_connection_next();
        }
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

/// Writes down what hyper refused before it was a request.
fn refuse(error: &hyper::Error, service: &Service) {
    tracing::debug!(%error, "a connection ended with an error");
    if error.is_parse() {
        service.refuse_unread(StatusCode::BAD_REQUEST, "bad_request");
    }
}
