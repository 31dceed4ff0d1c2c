//! HTTP/2 with a client, by h2.
//!
//! Owns: the ways to end. May touch: [`crate::http1`], [`crate::observe`].
//!
//! h2 mostly decides what follows from a broken message or frame. For example, a field that its
//! HPACK decoder refuses ends the connection, where RFC 9113 §8.1.1 wants the stream to end.
//! `docs/decisions/http2-errors.md` lists what h2 decides and what we decide.

use super::{
    activity::Activity,
    http2_patience::{Http2End, Patience},
    http2_streams::Streams,
    io::ClientIo,
    service::Service,
    settings::ConnectionSettings,
    stream::Stream,
};
use crate::{http1::buffers::Parts, observe::foreign::about_client};
use bytes::Bytes;
use http::{StatusCode, Version};
use std::{
    future::{Future as _, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};
use tokio::time::timeout;

/// How long the socket is still read, so that a client that is sent away can read why.
const HEARD: Duration = Duration::from_secs(1);

/// GOAWAY with ENHANCE_YOUR_CALM (RFC 9113 §6.8): no further request is taken, but all that came
/// may have been processed.
const CALM: [u8; 17] = *b"\0\0\x08\x07\0\0\0\0\0\x7f\xff\xff\xff\0\0\0\x0b";

/// What happened beside the streams' own progress.
enum Event {
    Ended(Result<(), h2::Error>),
    Alarm,
    /// This is to be its last: the listener is drained, or it has carried its number of requests.
    Last,
    /// The client gives up too many of its requests.
    Flood,
}

/// Serves HTTP/2 on `stream` until one side ends it. `begun` was already read from it.
pub async fn serve(
    mut stream: Stream,
    begun: Bytes,
    service: Service,
    settings: ConnectionSettings,
) {
    service.peer().set_part(Parts::HTTP2.after(0));
    service.peer().is_shared();
    let clock = service.proxy().live.clock;
    let activity = Activity::new(clock, settings.limits.http2_streams);
    let io = ClientIo::new(&mut stream, begun, &activity);
    let end = run(io, &service, &settings, &activity).await;
    let refused = match end {
        Http2End::Refused(status, reason, waited) => Some(((status, reason), waited)),
        Http2End::Told(reason) => Some(((StatusCode::BAD_REQUEST, reason), Duration::ZERO)),
        Http2End::Unheard | Http2End::Silent => None,
    };
    if let Some((refused, waited)) = refused {
        service.refuse_unread(Version::HTTP_2, refused, waited);
    }
    match end {
        Http2End::Unheard => stream.linger().await,
        // If nothing is stuck in the socket, it is between two frames: h2 writes to the end what it
        // has begun.
        Http2End::Refused(..) if !activity.is_blocked() => {
            stream.say(&CALM).await;
            let _ = timeout(HEARD, stream.linger()).await;
        }
        Http2End::Told(..) => {
            let _ = timeout(HEARD, stream.linger()).await;
        }
        Http2End::Silent | Http2End::Refused(..) => {}
    }
}

async fn run(
    io: ClientIo<'_, Stream>,
    service: &Service,
    settings: &ConnectionSettings,
    activity: &Activity,
) -> Http2End {
    let mut streams = Streams::new(io, service, activity, settings);
    let listener = Arc::clone(service.listener());
    let mut drained = pin!(listener.drained());
    let mut draining = false;
    let mut patience = Patience::new(activity, settings);
    loop {
        // The streams are polled at every wake-up, the others only when they are ready.
        let mut heard = false;
        let event = poll_fn(|cx| {
            let polled = about_client(service.client(), || streams.poll(cx));
            if let Poll::Ready(ended) = polled {
                return Poll::Ready(Event::Ended(ended));
            }
            if activity.floods() {
                return Poll::Ready(Event::Flood);
            }
            if patience.poll(cx).is_ready() {
                return Poll::Ready(Event::Alarm);
            }
            if !draining && (!heard || service.listener().is_draining()) {
                heard = true;
                draining = drained.as_mut().poll(cx).is_ready();
            }
            let last = !patience.is_goodbye_said() && (draining || service.is_closing());
            if last { Poll::Ready(Event::Last) } else { Poll::Pending }
        });
        let last = match event.await {
            Event::Ended(Ok(())) => return Http2End::Silent,
            Event::Ended(Err(error)) => return end_of(&error, activity),
            Event::Flood => {
                return Http2End::Refused(StatusCode::BAD_REQUEST, "stream_resets", Duration::ZERO);
            }
            Event::Last => true,
            Event::Alarm => match patience.look(&mut streams) {
                Ok(last) => last,
                Err(end) => return end,
            },
        };
        if last && !patience.is_goodbye_said() {
            patience.say_goodbye();
            service.close();
            streams.say_goodbye();
        }
    }
}

/// How h2's connection ended.
fn end_of(error: &h2::Error, activity: &Activity) -> Http2End {
    tracing::debug!(%error, "a connection ended with an error");
    if !(error.is_library() && error.is_go_away()) {
        return Http2End::Silent;
    }
    // h2 ends a connection if more than 20 requests are reset before we hear of them. It also ends
    // one for other floods, and does not say which flood it was.
    let floods = error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM);
    let resets = floods && activity.resets() > 20;
    Http2End::Told(if resets { "stream_resets" } else { "bad_request" })
}
