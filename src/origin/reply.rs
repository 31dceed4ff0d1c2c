//! A server's answer, and what becomes of its body.
//!
//! Owns: what is left of an exchange once there is a head. May touch: [`crate::http1`],
//! [`crate::message`]. Made by [`mod@super::fetch`]; [`mod@crate::proxy::forward`] turns it into a
//! body for the client.

use super::{
    asking::Way,
    connect::Connection,
    failure::Failed,
    home::{Home, Taker},
    http1_body::ServerBody,
    http2::Answered,
    http2_body::Http2Body,
    response_head::{BodyEnd, ResponseHead},
    tunnel::Tunnel,
};
use crate::{
    http1::{
        buffers::{SMALL, with_room},
        fields::Fields,
        moved::WORTH_MOVING,
    },
    message::{body::Body, upload::Upload},
};
use http::StatusCode;

/// A server's answer: its head has been read, its body has not.
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The end-to-end fields.
    pub fields: Fields,
    rest: ExchangeRest,
}

/// The result of an attempt.
pub struct Fetched {
    /// The answer, or why there is none.
    pub reply: Result<Reply, Failed>,
    /// How it came to its connection.
    pub way: Way,
}

/// What is left of an exchange once there is a head.
enum ExchangeRest {
    Http1 {
        connection: Connection,
        framing: BodyEnd,
        reusable: bool,
    },
    /// Boxed: large.
    Http2(Box<Answered>),
}

impl Reply {
    /// By HTTP/1.
    pub(super) fn by_http1(head: ResponseHead, connection: Connection) -> Self {
        let ResponseHead { status, fields, framing, reusable, .. } = head;
        Self { status, fields, rest: ExchangeRest::Http1 { connection, framing, reusable } }
    }

    /// By HTTP/2, with the status and fields as HTTP/1 would have them.
    pub(super) fn by_http2(status: StatusCode, fields: Fields, answered: Answered) -> Self {
        Self { status, fields, rest: ExchangeRest::Http2(Box::new(answered)) }
    }

    /// Whether the server has all of the request.
    pub fn is_sent(&self) -> bool {
        match &self.rest {
            ExchangeRest::Http1 { connection, .. } => connection.gear.outgoing.is_done(),
            ExchangeRest::Http2(answered) => answered.sending.is_done(),
        }
    }

    /// Whether the length of its body is not known.
    pub fn is_endless(&self) -> bool {
        match &self.rest {
            ExchangeRest::Http1 { framing, .. } => !matches!(framing, BodyEnd::Length(_)),
            ExchangeRest::Http2(answered) => !answered.received.is_end_stream(),
        }
    }

    /// The answer's body. The rest of the request is sent meanwhile, from `upload`.
    pub fn into_body(self, upload: Upload, home: Home, taker: Taker) -> Body {
        let is_tunnel = self.status == StatusCode::SWITCHING_PROTOCOLS;
        let all_sent = self.is_sent();
        let (mut connection, framing, reusable) = match self.rest {
            ExchangeRest::Http2(answered) => {
                let wait = if is_tunnel { taker.tunnel } else { taker.read };
                let waits = (wait, taker.edited);
                return Body::stream(Http2Body::new(*answered, upload, home, waits));
            }
            ExchangeRest::Http1 { connection, .. } if is_tunnel => {
                return Body::stream(Tunnel::open(connection, upload, home, taker.tunnel));
            }
            ExchangeRest::Http1 { connection, framing, reusable } => {
                (connection, framing, reusable)
            }
        };
        let reusable = reusable && !taker.personal;
        let may_move = taker.may_move && connection.takes_moved();
        connection.link.first_read = match framing {
            // A body that is worth moving is left to the kernel, if its taker allows that.
            BodyEnd::Length(length) if !may_move || length < WORTH_MOVING => {
                with_room(length.min(taker.part as u64) as usize)
            }
            _ => SMALL,
        };
        // Most small responses have arrived whole with their head.
        if let BodyEnd::Length(length) = framing
            && length <= connection.gear.unread.len() as u64
            && all_sent
        {
            let data = connection.gear.unread.split_to(length as usize);
            if reusable {
                home.keep(connection, taker.now);
            }
            return data.into();
        }
        let rest = (!all_sent).then_some(upload);
        let waits = (taker.read, taker.edited);
        Body::stream(ServerBody::new(connection, rest, (framing, reusable), home, waits))
    }
}
