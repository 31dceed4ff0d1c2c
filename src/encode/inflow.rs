//! The body that is coded, as it comes in.
//!
//! Owns: the part that is not coded yet, and how the body has ended. May touch: [`crate::http1`],
//! [`crate::message`]. Pulled by [`super::coded_body`].

use super::response_fields::drop_digests;
use crate::{
    http1::outgoing::Part,
    message::body::{Body, BodyError, Want},
};
use bytes::Bytes;
use http::HeaderMap;
use std::task::{Context, Poll};

/// No more than this is read at a time: it waits here while a client takes nothing.
const AT_A_TIME: usize = 32 * 1024;

/// The body that is coded.
pub(super) struct Inflow {
    body: Body,
    /// Taken, and not coded yet.
    pub(super) part: Bytes,
    /// Once nothing more comes.
    pub(super) ended: Option<InflowEnd>,
}

/// How a body has ended.
pub(super) enum InflowEnd {
    /// Wholly, and what follows it.
    Whole(Option<HeaderMap>),
    /// In the middle.
    Broken(BodyError),
}

impl Inflow {
    pub(super) fn new(body: Body) -> Self {
        Self { body, part: Bytes::new(), ended: None }
    }

    /// Takes the next part. To be called when there is none, and no end.
    pub(super) fn poll_more(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<()> {
        let want = Want { most: most.min(AT_A_TIME), may_move: false };
        let ended = match self.body.poll_part(cx, want) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Ok(Part::Frame(frame)))) => match frame.into_data() {
                Ok(data) => {
                    self.part = data;
                    return Poll::Ready(());
                }
                Err(frame) => {
                    let mut trailers = frame.into_trailers().unwrap_or_default();
                    drop_digests(&mut trailers);
                    InflowEnd::Whole((!trailers.is_empty()).then_some(trailers))
                }
            },
            // Nobody has asked for any to move.
            Poll::Ready(Some(Ok(Part::Moved(_)))) => InflowEnd::Broken(BodyError::Truncated),
            Poll::Ready(Some(Err(error))) => InflowEnd::Broken(error),
            Poll::Ready(None) => InflowEnd::Whole(None),
        };
        self.stop(ended);
        Poll::Ready(())
    }

    /// Nothing more is wanted of it: its connection is free.
    pub(super) fn stop(&mut self, ended: InflowEnd) {
        self.body = Body::Empty;
        self.part = Bytes::new();
        self.ended = Some(ended);
    }

    /// The client can take nothing now. What does not wait for it goes on.
    pub(super) fn poll_meanwhile(&mut self, cx: &mut Context<'_>) {
        if self.part.is_empty() && self.ended.is_none() {
            // A part that is in memory already is kept here.
            let _ = self.poll_more(cx, 0);
        }
    }
}
