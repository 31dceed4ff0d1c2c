//! One request to one server, and its answer, over HTTP/1 or HTTP/2.
//!
//! Owns: the way from a lease to an answer: a kept connection or a new one, the exchange, and what
//! becomes of the body. May touch: [`crate::message`], [`crate::upstream`].
//! [`mod@crate::proxy::forward`] calls it; a try at another server is the caller's.

use super::{
    asking::{Asking, Terms, Way},
    dial::Destination,
    exchange::exchange,
    failure::{Failed, Failure},
    fetch_http1::{how_far, over_a_fresh_one},
    fetch_http2::by_http2,
    pool::Pool,
    reply::{Fetched, Reply},
};
use crate::{message::upload::Upload, upstream::Speaks};
use http::Method;

/// Asks one server once. A kept connection that turns out to be closed is no failure of the server:
/// the request then goes over a new one.
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

/// If the server may speak both versions, a change of protocols goes by HTTP/1: few servers know it
/// by HTTP/2.
fn asks_for_http1(asking: &impl Asking, to: &Destination<'_>) -> bool {
    to.reach.means.speaks == Speaks::Either && asking.protocols().is_some()
}

/// Whether a kept connection was closed before the server can have seen the request. If that is not
/// certain, only a request that may be repeated counts as unseen (RFC 9110 §9.2.2).
fn is_stale(failed: &Failed, body: &Upload, method: &Method) -> bool {
    matches!(failed.failure, Failure::Reset(_))
        && !failed.answered
        && body.can_replay()
        && (!failed.sent || method.is_idempotent())
}
