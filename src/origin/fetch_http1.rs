//! One request over a new connection, by HTTP/1.
//!
//! Owns: opening it, and how far a failed attempt came. May touch: [`crate::message`]. Called by
//! [`mod@super::fetch`] and [`super::fetch_http2`].

use super::{
    asking::{Asking, Terms},
    connect::Connection,
    dial::{Destination, Unconnected, is_ours},
    exchange::exchange,
    failure::{Failed, Failure},
    pool::Pool,
    reply::Reply,
};
use crate::message::upload::Upload;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How long to wait for other connections to give descriptors back.
const SHORTAGE: Duration = Duration::from_millis(20);

/// Sends the request over a new connection.
pub(super) async fn over_a_fresh_one(
    pool: &Pool,
    to: &Destination<'_>,
    asking: &impl Asking,
    body: &mut Upload,
    terms: &Terms<'_>,
) -> Result<Reply, Failed> {
    let opened = open(pool, to, terms).await;
    over(opened.map_err(|error| Failed::unsent(error.into()))?, to, asking, body, terms).await
}

/// Sends the request over an open connection, by HTTP/1.
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

/// Opens a connection. If descriptors have run out, it closes idle connections, or waits until
/// others are free: many requests of few HTTP/2 clients may need more descriptors than there are.
async fn open(
    pool: &Pool,
    to: &Destination<'_>,
    terms: &Terms<'_>,
) -> Result<Connection, Unconnected> {
    let (limit, now) = (terms.timeouts.connect, terms.begun.1);
    // Leave some of the time for connecting.
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

/// What is known of an attempt that failed.
pub(super) fn how_far(connection: &Connection, failure: Failure) -> Failed {
    // A server that refuses a handshake has read nothing that came after it.
    let sent = connection.gear.outgoing.sent > 0 && !matches!(failure, Failure::Tls(_));
    let answered = !connection.gear.unread.is_empty();
    Failed { failure, sent, answered, reused: connection.link.requests > 1 }
}
