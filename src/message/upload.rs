//! A request's body on its way to a server.
//!
//! Owns: counting, the size limit, and the copy that another try replays. May touch:
//! [`crate::http1`]. [`mod@crate::origin::exchange`] pulls it.

use super::{
    body::{Body, BodyError, Length, Polled, Want},
    hop_by_hop::{EditedNames, end_to_end},
    pile::join,
};
use crate::http1::outgoing::Part;
use bytes::Bytes;
use http_body::Frame;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

/// A request's body, with the copy of its beginning that another try replays.
#[derive(Debug)]
pub struct Upload {
    body: Body,
    length: Length,
    /// Frames passed on so far, as long as they fit into `keep_limit`.
    kept: Vec<Bytes>,
    keep_limit: u32,
    /// Set once something was passed on that is not kept.
    lost: bool,
    replay_at: u32,
    max: u64,
    ended: bool,
    received: Option<Arc<AtomicU64>>,
    /// How long we have waited for the client, in all attempts together. In milliseconds, to save
    /// space: every request has this.
    waited: u32,
    edited: EditedNames,
    tunnel: bool,
}

impl Upload {
    /// Lets `max` bytes through (0 = all) and keeps `keep_limit` bytes for another try. Trailers
    /// pass unless they are `edited`.
    pub fn new(body: Body, max: u64, keep_limit: usize, edited: &EditedNames) -> Self {
        let length = body.length();
        Self {
            body,
            length,
            kept: Vec::new(),
            keep_limit: u32::try_from(keep_limit).unwrap_or(u32::MAX),
            lost: false,
            replay_at: 0,
            max: if max == 0 { u64::MAX } else { max },
            ended: length == Length::None,
            received: (length != Length::None).then(Arc::default),
            waited: 0,
            edited: edited.clone(),
            tunnel: false,
        }
    }

    /// What the client sends once the server has agreed to change protocols: see [`Upload::open`].
    /// Nothing is passed on before that (RFC 9110 §7.8).
    pub fn tunnel(body: Body) -> Self {
        let mut upload = Self::new(Body::Empty, 0, 0, &None);
        upload.body = body;
        upload.received = Some(Arc::default());
        upload.tunnel = true;
        upload
    }

    /// Whether it is a tunnel's.
    pub fn is_tunnel(&self) -> bool {
        self.tunnel
    }

    /// Lets what follows pass, and keeps none of it.
    pub fn open(&mut self) {
        (self.ended, self.lost) = (false, true);
    }

    /// Its length as announced.
    pub fn length(&self) -> Length {
        self.length
    }

    /// Whether the announced length already breaks the limit.
    pub fn is_too_large(&self) -> bool {
        matches!(self.length, Length::Exact(length) if length > self.max)
    }

    /// Whether bytes were passed on that another try would lack.
    pub fn outgrows_what_is_kept(&self) -> bool {
        match self.length {
            Length::None => false,
            Length::Exact(length) => length > self.keep_limit.into(),
            Length::Unknown => true,
        }
    }

    /// The count of bytes received from the client, which outlives the body.
    pub fn received(&self) -> Option<Arc<AtomicU64>> {
        self.received.clone()
    }

    /// Notes that the client was waited for once more.
    pub fn waited_for(&mut self, time: Duration) {
        let millis = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        self.waited = self.waited.saturating_add(millis);
    }

    /// How long its client was waited for.
    pub fn waited(&self) -> Duration {
        Duration::from_millis(self.waited.into())
    }

    /// How many bytes came from the client so far.
    pub fn received_bytes(&self) -> u64 {
        self.received.as_ref().map_or(0, |it| it.load(Ordering::Relaxed))
    }

    /// Whether [`Upload::rewind`] can bring back all that was passed on.
    pub fn can_replay(&self) -> bool {
        !self.lost
    }

    /// Whether everything has been passed on.
    pub fn is_ended(&self) -> bool {
        self.replay_at as usize >= self.kept.len() && (self.ended || self.body.is_ended())
    }

    /// Starts again from the first byte.
    pub fn rewind(&mut self) {
        self.replay_at = 0;
    }

    /// The next part: data, or trailers at the end. If the kernel `may_move` bytes, it may be such
    /// a part.
    pub fn poll_next(&mut self, cx: &mut Context<'_>, may_move: bool) -> Polled {
        if let Some(data) = self.kept.get(self.replay_at as usize) {
            self.replay_at += 1;
            return Poll::Ready(Some(Ok(Part::Frame(Frame::data(data.clone())))));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        // Bytes that are not kept for another try need not be read by us.
        let unseen = self.lost || self.length != Length::Unknown && self.outgrows_what_is_kept();
        let want = Want { may_move: may_move && unseen, ..Want::ALL };
        match ready!(self.body.poll_part(cx, want)) {
            None => {
                self.ended = true;
                Poll::Ready(None)
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            Some(Ok(part)) => {
                self.count(part.size())?;
                let frame = match part {
                    Part::Frame(frame) => frame,
                    moved @ Part::Moved(_) => {
                        self.lose();
                        return Poll::Ready(Some(Ok(moved)));
                    }
                };
                if let Some(data) = frame.data_ref() {
                    self.keep(data);
                    return Poll::Ready(Some(Ok(Part::Frame(frame))));
                }
                // Trailers are not kept: a try after them is not worth a second copy.
                self.lost = true;
                let trailers = frame.into_trailers().unwrap_or_default();
                Poll::Ready(Some(Ok(Part::Frame(Frame::trailers(end_to_end(
                    trailers,
                    &self.edited,
                ))))))
            }
        }
    }

    fn count(&self, size: u64) -> Result<(), BodyError> {
        let Some(received) = &self.received else { return Ok(()) };
        let before = received.fetch_add(size, Ordering::Relaxed);
        if before + size > self.max { Err(BodyError::TooLarge) } else { Ok(()) }
    }

    fn keep(&mut self, data: &Bytes) {
        // As long as nothing was dropped, all that was received is kept.
        if !self.lost && self.received_bytes() <= self.keep_limit.into() {
            // The first frame is mostly the only one.
            let part = match self.kept.last_mut() {
                Some(last) => join(last, data.clone()),
                None => Some(data.clone()),
            };
            self.kept.extend(part);
            self.replay_at = self.kept.len() as u32;
        } else {
            self.lose();
        }
    }

    fn lose(&mut self) {
        self.lost = true;
        self.kept = Vec::new();
        self.replay_at = 0;
    }
}
