//! One request to one server, and its answer, whatever the server speaks.
//!
//! Owns: the way from a lease to an answer: a kept connection or a new one, the exchange, and what
//! becomes of the body. May touch: this room. [`mod@crate::proxy::forward`] calls it; a try at another
//! server is the caller's.

use super::{
    connect::Connection,
    dial::{Destination, Unconnected, is_ours},
    exchange::exchange,
    failure::{Failed, Failure},
    http1_body::ServerBody,
    pool::{self, Pool},
    response_head::{Framing, ResponseHead},
    timeouts::Timeouts,
    tunnel::Tunnel,
};
use crate::{
    clock::Clock,
    http1::{
        buffers::SMALL, fields::Fields, moved::WORTH_MOVING, outgoing::Outgoing,
        request_head::Limits,
    },
    message::{
        body::{Body, Length},
        hop_by_hop::EditedNames,
        upload::Upload,
    },
    upstream::{Lease, Server},
};
use http::{Method, StatusCode};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// How long to wait for descriptors that others give back.
const SHORTAGE: Duration = Duration::from_millis(20);

/// A request's head, as its sender has it.
pub trait Asking: Sync {
    /// The method.
    fn method(&self) -> &Method;

    /// Begins the request by HTTP/1: the whole head, with a body of `length`.
    fn write_http1(&self, outgoing: &mut Outgoing, server: &Server, length: Length);

    /// The protocols that it wants to change to, if any.
    fn protocols(&self) -> Option<&str> {
        None
    }

    /// Takes an interim response (RFC 9110 §15.2), with its end-to-end fields.
    fn interim(&self, _status: StatusCode, _fields: Fields) {}
}

/// How long a server may take, and how much it may send.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// The waits.
    pub timeouts: &'a Timeouts,
    /// The response's head.
    pub head: Limits,
    /// The moment just before, and the same in the clock's milliseconds: reading a clock costs as
    /// much as choosing a server.
    pub begun: (Instant, u64),
}

/// How an attempt came to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By one that was kept.
    Kept,
    /// By a new one.
    Fresh,
    /// By a new one, after a kept one had turned out to be closed.
    Stale,
}

/// What came of an attempt.
pub struct Fetched {
    /// The answer, or why there is none.
    pub reply: Result<Reply, Failed>,
    /// How it went out.
    pub way: Way,
}

/// A server's answer: its head has been read, its body has not.
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The end-to-end fields.
    pub fields: Fields,
    framing: Framing,
    reusable: bool,
    connection: Connection,
}

/// Where a connection and a lease go at the end.
#[derive(Debug)]
pub struct Home {
    /// The worker's pool.
    pub pool: Arc<Pool>,
    /// What the pool keeps.
    pub limits: pool::Limits,
    /// Held until the body has ended.
    pub lease: Lease,
    /// For the time when they go back.
    pub clock: Clock,
}

/// What is known of who takes an answer's body.
pub struct Taker {
    /// How much is read at a time.
    pub part: usize,
    /// Whether the kernel may move the bytes.
    pub may_move: bool,
    /// How many bytes may be read ahead of it.
    pub ahead: usize,
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

/// Asks the server there once. If a kept connection turns out to be closed, this is no failure of the
/// server: the request goes over a new one.
pub async fn fetch(
    pool: &Pool,
    to: &Destination<'_>,
    asking: &impl Asking,
    body: &mut Upload,
    terms: Terms<'_>,
) -> Fetched {
    let (begun, now) = terms.begun;
    // A request that can't be sent twice must not meet a connection that has just been closed.
    let thorough = !asking.method().is_idempotent() || body.outgrows_what_is_kept();
    let mut way = Way::Fresh;
    if let Some(mut connection) = pool.check_out(to, now, thorough) {
        asking.write_http1(&mut connection.gear.outgoing, to.server, body.length());
        match exchange(&mut connection, body, asking, terms, begun).await {
            Ok(head) => return Fetched { reply: Ok(Reply::new(head, connection)), way: Way::Kept },
            Err(failure) => {
                let failed = how_far(&connection, failure);
                if !is_stale(&failed, body, asking.method()) {
                    return Fetched { reply: Err(failed), way: Way::Kept };
                }
                way = Way::Stale;
                body.rewind();
            }
        }
    }
    // Boxed: rare, and large.
    let reply = Box::pin(over_a_fresh_one(pool, to, asking, body, terms)).await;
    Fetched { reply, way }
}

async fn over_a_fresh_one(
    pool: &Pool,
    to: &Destination<'_>,
    asking: &impl Asking,
    body: &mut Upload,
    terms: Terms<'_>,
) -> Result<Reply, Failed> {
    let opened = open(pool, to, terms).await;
    let mut connection = opened.map_err(|error| Failed::unsent(error.into()))?;
    asking.write_http1(&mut connection.gear.outgoing, to.server, body.length());
    match exchange(&mut connection, body, asking, terms, Instant::now()).await {
        Ok(head) => Ok(Reply::new(head, connection)),
        Err(failure) => Err(how_far(&connection, failure)),
    }
}

/// A new connection. Where descriptors have run out, those of idle connections are given up for it, or
/// it waits for others' to be free: many requests of few HTTP/2 clients may need more than there are.
async fn open(
    pool: &Pool,
    to: &Destination<'_>,
    terms: Terms<'_>,
) -> Result<Connection, Unconnected> {
    let (limit, now) = (terms.timeouts.connect, terms.begun.1);
    let until = Instant::now() + limit;
    loop {
        match Connection::open(to, limit, now, pool.gear()).await {
            Err(Unconnected::Io(error)) if is_ours(&error) && Instant::now() < until => {
                if !pool.make_room() {
                    sleep(SHORTAGE).await;
                }
            }
            opened => return opened,
        }
    }
}

fn how_far(connection: &Connection, failure: Failure) -> Failed {
    // Who refuses a handshake has read nothing after it.
    let sent = connection.gear.outgoing.sent > 0 && !matches!(failure, Failure::Tls(_));
    let answered = !connection.gear.unread.is_empty();
    Failed { failure, sent, answered, reused: connection.link.requests > 1 }
}

/// Whether a kept connection was closed before the server can have seen the request. If that is
/// not certain, only requests that may be repeated are (RFC 9110 §9.2.2).
fn is_stale(failed: &Failed, body: &Upload, method: &Method) -> bool {
    matches!(failed.failure, Failure::Reset(_))
        && !failed.answered
        && body.can_replay()
        && (!failed.sent || method.is_idempotent())
}

impl Reply {
    fn new(head: ResponseHead, connection: Connection) -> Self {
        let ResponseHead { status, fields, framing, reusable, .. } = head;
        Self { status, fields, framing, reusable, connection }
    }

    /// Whether the server has all of the request.
    pub fn is_sent(&self) -> bool {
        self.connection.gear.outgoing.is_done()
    }

    /// Its body. What has not been sent of the request is sent meanwhile, from `upload`.
    pub async fn into_body(self, upload: Upload, home: Home, taker: Taker) -> Body {
        if self.status == StatusCode::SWITCHING_PROTOCOLS {
            return Body::stream(Tunnel::open(self.connection, upload, home, taker.tunnel));
        }
        let all_sent = self.is_sent();
        let Self { framing, reusable, mut connection, .. } = self;
        let reusable = reusable && !taker.personal;
        let may_move = taker.may_move && connection.takes_moved();
        connection.link.first_read = match framing {
            // A body that is worth moving is left to the kernel, if its taker allows that.
            Framing::Length(length) if !may_move || length < WORTH_MOVING => {
                SMALL.max(length.min(taker.part as u64) as usize)
            }
            _ => SMALL,
        };
        // Most small responses have arrived whole with their head.
        if let Framing::Length(length) = framing
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
        let body = ServerBody::new(connection, rest, (framing, reusable), home, waits);
        Box::new(body).gather(taker.ahead).await
    }
}

impl Home {
    /// Keeps a connection on which everything was read and sent.
    pub(super) fn keep(self, connection: Connection, now: u64) {
        self.pool.check_in(connection, &self.limits, now);
    }
}
