//! How long we wait for an HTTP/2 client.
//!
//! Owns: the connection's one alarm, and what happens when it rings. May touch: nothing outside
//! this room. Used by [`super::http2`].

use super::{
    activity::{Activity, Finding},
    alarm::Alarm,
    http2_streams::Streams,
    settings::{ConnectionSettings, Waits},
};
use http::StatusCode;
use std::{
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::io::{AsyncRead, AsyncWrite};

/// How a connection ended.
pub enum Http2End {
    /// There is nothing more to send, or the client is gone.
    Silent,
    /// h2 has said GOAWAY, for this reason.
    Told(&'static str),
    /// The client has done nothing after our goodbye.
    Unheard,
    /// The client is sent away for this reason, after it was waited for so long.
    Refused(StatusCode, &'static str, Duration),
}

/// A client has been told that it may send no more requests.
struct Goodbye {
    /// When it was said, in the clock's milliseconds.
    said: u64,
    /// How many requests there had been when the client must have read the goodbye.
    heard: Option<u64>,
}

impl Goodbye {
    /// Whether the client has had time to read it, and still asks or does nothing. h2 takes new
    /// streams, and keeps the connection, until the client has answered the PING that follows.
    fn is_ignored(&mut self, activity: &Activity, waits: &Waits) -> bool {
        let now = activity.clock.now();
        if activity.was_slow_since(self.said) {
            // The goodbye is still in the socket's buffer, or was until now.
            self.said = now;
        }
        if activity.in_flight() == 0 {
            // Wait as long as a request may take on its way to us.
            return now >= self.said.max(activity.idle_since()) + waits.request_head;
        }
        if now < self.said + waits.request_head.max(waits.send) {
            return false;
        }
        let requests = activity.requests();
        *self.heard.get_or_insert(requests) != requests
    }
}

/// How long we wait for a client.
pub struct Patience<'a> {
    activity: &'a Activity,
    settings: &'a ConnectionSettings,
    alarm: Alarm,
    /// Whether the alarm is set to what an idle connection waits for.
    rests: bool,
    goodbye: Option<Goodbye>,
}

impl<'a> Patience<'a> {
    /// The patience with a connection that begins.
    pub fn new(activity: &'a Activity, settings: &'a ConnectionSettings) -> Self {
        let alarm = Alarm::new(Instant::now(), Duration::from_millis(settings.waits.shortest()));
        Self { activity, settings, alarm, rests: false, goodbye: None }
    }

    /// Ready when it is time to [`Patience::look`].
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.rests && self.activity.is_busy() {
            self.look_soon();
        }
        self.alarm.poll(cx)
    }

    /// Whether the client was told that it may ask no more.
    pub fn is_goodbye_said(&self) -> bool {
        self.goodbye.is_some()
    }

    /// Notes that the client is told so now.
    pub fn say_goodbye(&mut self) {
        self.goodbye = Some(Goodbye { said: self.activity.clock.now(), heard: None });
        self.look_soon();
    }

    /// Ends what has waited for too long: single streams, or the connection. Returns whether the
    /// client should be told to ask no more.
    pub fn look<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        streams: &mut Streams<'_, S>,
    ) -> Result<bool, Http2End> {
        let Self { activity, settings, .. } = *self;
        let soon = Duration::from_millis(settings.waits.shortest());
        self.rests = false;
        self.alarm.ring_in(soon);
        // End the streams of which the client takes nothing, and no others.
        if let Some(patience) = activity.patience(&settings.waits, streams.waiting()) {
            streams.end_those_waiting_for(patience);
        }
        let goodbye = &mut self.goodbye;
        let ignored = goodbye.as_mut().is_some_and(|it| it.is_ignored(activity, &settings.waits));
        let finding = activity.look(&settings.waits);
        match finding {
            Finding::Stalled => {
                streams.give_up("send_timeout");
                return Err(Http2End::Silent);
            }
            Finding::Late(waited) => {
                let waited = Duration::from_millis(waited);
                return Err(Http2End::Refused(StatusCode::REQUEST_TIMEOUT, "head_timeout", waited));
            }
            _ if ignored && activity.in_flight() == 0 => return Err(Http2End::Unheard),
            _ if ignored => return Err(Http2End::Silent),
            Finding::Fine(at) if self.goodbye.is_none() => {
                let wait = Duration::from_millis(at.saturating_sub(activity.clock.now()).max(1));
                let left = self.alarm.ages_in(settings.age);
                self.alarm.ring_in(left.map_or(wait, |left| left.min(wait)));
                self.rests = !activity.is_busy();
            }
            Finding::Fine(_) | Finding::Idle => {}
        }
        Ok(finding == Finding::Idle || self.alarm.is_older_than(settings.age))
    }

    fn look_soon(&mut self) {
        self.rests = false;
        self.alarm.ring_within(Duration::from_millis(self.settings.waits.shortest()));
    }
}
