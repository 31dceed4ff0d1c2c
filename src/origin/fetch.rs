//! One request to one server, and its answer, over HTTP/1 or HTTP/2.
//!
//! Owns: the way from a lease to an answer: a kept connection or a new one, the exchange, and what
//! becomes of the body. May touch: this room. [`mod@crate::proxy::forward`] calls it; a try at
//! another server is the caller's.

use super::{
    connect::Connection,
    dial::{Destination, Unconnected, is_ours},
    exchange::exchange,
    failure::{Failed, Failure},
    fetch_http2::by_http2,
    pool::Pool,
    reply::Reply,
    sessions,
    timeouts::Timeouts,
};
use crate::{
    http1::{fields::Fields, outgoing::Outgoing, request_head::HeadLimits},
    message::{body::Length, upload::Upload},
    upstream::{Server, Speaks},
};
use http::{HeaderMap, Method, Request, StatusCode};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How long to wait for descriptors that others give back.
const SHORTAGE: Duration = Duration::from_millis(20);

/// A request's head, as its sender has it.
pub trait Asking: Sync {
    /// The method.
    fn method(&self) -> &Method;

    /// Begins the request by HTTP/1: the whole head, with a body of `length`.
    fn write_http1(&self, outgoing: &mut Outgoing, server: &Server, length: Length);

    /// The same for HTTP/2, over TLS or not.
    fn to_http2(&self, server: &Server, tls: bool, length: Length) -> Request<()>;

    /// The protocols that it wants to change to, if any.
    fn protocols(&self) -> Option<&str> {
        None
    }

    /// The server has agreed by HTTP/2: adds what HTTP/1 would say.
    fn agreed(&self, _fields: &mut HeaderMap) {}

    /// Takes an interim response (RFC 9110 §15.2), with its end-to-end fields.
    fn interim(&self, _status: StatusCode, _fields: Fields) {}
}

/// How long a server may take, and how much it may send.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// The waits.
    pub timeouts: &'a Timeouts,
    /// The response's head.
    pub head: HeadLimits,
    /// How HTTP/2 is spoken.
    pub http2: &'a sessions::Http2Settings,
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

/// Asks the server there once. If a kept connection turns out to be closed, this is no failure of the
/// server: the request goes over a new one.
pub async fn fetch(
    pool: &Pool,
    to: &Destination<'_>,
    asking: &impl Asking,
    body: &mut Upload,
    terms: &Terms<'_>,
) -> Fetched {
    if to.reach.means.speaks != Speaks::Http1
        && !asks_for_http1(asking, to)
        // Boxed: other requests do not pay for it.
        && let Some(fetched) = Box::pin(by_http2(pool, to, asking, body, terms)).await
    {
        return fetched;
    }
    let (_, now) = terms.begun;
    // A request that can't be sent twice must not meet a connection that has just been closed.
    let thorough = !asking.method().is_idempotent() || body.outgrows_what_is_kept();
    let Some(mut connection) = pool.check_out(to, now, thorough) else {
        // Boxed: rare, and large.
        let reply = Box::pin(over_a_fresh_one(pool, to, asking, body, terms)).await;
        return Fetched { reply, way: Way::Fresh };
    };
    asking.write_http1(&mut connection.gear.outgoing, to.server, body.length());
    match exchange(&mut connection, body, asking, terms).await {
        Ok(head) => Fetched { reply: Ok(Reply::by_http1(head, connection)), way: Way::Kept },
        Err(failure) => {
            let failed = how_far(&connection, failure);
            if !is_stale(&failed, body, asking.method()) {
                return Fetched { reply: Err(failed), way: Way::Kept };
            }
            drop(connection);
            body.rewind();
            let reply = Box::pin(over_a_fresh_one(pool, to, asking, body, terms)).await;
            Fetched { reply, way: Way::Stale }
        }
    }
}

/// Where both may be spoken, a change of protocols goes by HTTP/1: few servers know it by HTTP/2.
fn asks_for_http1(asking: &impl Asking, to: &Destination<'_>) -> bool {
    to.reach.means.speaks == Speaks::Either && asking.protocols().is_some()
}

async fn over_a_fresh_one(
    pool: &Pool,
    to: &Destination<'_>,
    asking: &impl Asking,
    body: &mut Upload,
    terms: &Terms<'_>,
) -> Result<Reply, Failed> {
    let opened = open(pool, to, terms).await;
    over(opened.map_err(|error| Failed::unsent(error.into()))?, to, asking, body, terms).await
}

/// Over a connection that is there, by HTTP/1.
pub(super) async fn over(
    mut connection: Connection,
    to: &Destination<'_>,
    asking: &impl Asking,
    body: &mut Upload,
    terms: &Terms<'_>,
) -> Result<Reply, Failed> {
    asking.write_http1(&mut connection.gear.outgoing, to.server, body.length());
    let terms = Terms { begun: (Instant::now(), terms.begun.1), ..*terms };
    match exchange(&mut connection, body, asking, &terms).await {
        Ok(head) => Ok(Reply::by_http1(head, connection)),
        Err(failure) => Err(how_far(&connection, failure)),
    }
}

/// A new connection. Where descriptors have run out, those of idle connections are given up for it, or
/// it waits for others' to be free: many requests of few HTTP/2 clients may need more than there are.
async fn open(
    pool: &Pool,
    to: &Destination<'_>,
    terms: &Terms<'_>,
) -> Result<Connection, Unconnected> {
    let (limit, now) = (terms.timeouts.connect, terms.begun.1);
    // Some of the time is left for connecting.
    let until = Instant::now() + limit * 3 / 4;
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
