//! A server's answer, and what becomes of its body.
//!
//! Owns: what is left of an exchange once there is a head. May touch: this room. Made by
//! [`mod@super::fetch`]; [`mod@crate::proxy::forward`] turns it into a body for the client.

use super::{
    connect::Connection,
    http1_body::ServerBody,
    http2::Answered,
    http2_body::Http2Body,
    pool::{self, Pool},
    response_head::{BodyEnd, ResponseHead},
    tunnel::Tunnel,
};
use crate::{
    clock::Clock,
    http1::{
        buffers::{SMALL, with_room},
        fields::Fields,
        moved::WORTH_MOVING,
    },
    message::{body::Body, hop_by_hop::EditedNames, upload::Upload},
    upstream::Lease,
};
use http::StatusCode;
use std::{sync::Arc, time::Duration};

/// A server's answer: its head has been read, its body has not.
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The end-to-end fields.
    pub fields: Fields,
    rest: ExchangeRest,
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

/// Where a connection and a lease go at the end.
#[derive(Debug)]
pub struct Home {
    /// The worker's pool.
    pub pool: Arc<Pool>,
    /// What the pool keeps.
    pub limits: pool::PoolLimits,
    /// Held until the body has ended; a check has none.
    pub lease: Option<Lease>,
    /// For the time when they go back.
    pub clock: Clock,
}

/// What is known of who takes an answer's body.
pub struct Taker {
    /// How much is read at a time.
    pub part: usize,
    /// Whether the kernel may move the bytes.
    pub may_move: bool,
    /// Trailers of these names don't pass.
    pub edited: EditedNames,
    /// Whether the connection must not be used for anybody else.
    pub personal: bool,
    /// How long the server may send nothing.
    pub read: Duration,
    /// How long nothing may pass a tunnel.
    pub tunnel: Duration,
    /// When the head came, on the process's clock.
    pub now: u64,
}

impl Taker {
    /// One who wants all of it, within a time.
    pub fn whole(within: Duration) -> Self {
        Self {
            part: SMALL,
            may_move: false,
            edited: None,
            personal: true,
            read: within,
            tunnel: within,
            now: 0,
        }
    }
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

    /// Its body. What has not been sent of the request is sent meanwhile, from `upload`.
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

impl Home {
    /// Keeps a connection on which everything was read and sent.
    pub(super) fn keep(self, connection: Connection, now: u64) {
        self.pool.check_in(connection, &self.limits, now);
    }
}
