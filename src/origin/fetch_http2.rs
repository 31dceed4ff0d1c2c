//! One request to one server that may speak HTTP/2.
//!
//! Owns: the choice of a shared connection, opening one, and what to do where the server turns out
//! to speak HTTP/1 only. May touch: [`crate::http1`], [`crate::message`], [`crate::upstream`].

use super::{
    asking::{Asking, Terms, Way},
    connect::Connection,
    dial::{Destination, Unconnected, dial},
    failure::{Failed, Failure},
    fetch_http1::over,
    http2::{self, Answered},
    pool::Pool,
    reply::{Fetched, Reply},
    session::{Held, Opening, Session},
    sessions::Offer,
};
use crate::{http1::fields::Fields, message::upload::Upload, upstream::Speaks};
use http::StatusCode;
use std::{io, mem::take, sync::Arc, time::Instant};
use tokio::time::timeout;

/// What a request goes over.
enum Over {
    Http2(Session, Held),
    /// HTTP/1, over a kept connection that is still to be found.
    Kept,
    /// HTTP/1, over this new one.
    Http1(Connection),
}

/// Asks the server once, by HTTP/2; `None` if it must be asked by HTTP/1. If the connection had
/// ended before the server can have seen the request, the request goes over another one.
pub(super) async fn by_http2(
    pool: &Pool,
    to: &Destination<'_>,
    asking: &impl Asking,
    body: &mut Upload,
    terms: &Terms<'_>,
) -> Option<Fetched> {
    let mut way = Way::Kept;
    let tunnel = asking.protocols().is_some();
    if to.reach.means.speaks == Speaks::Either && pool.has_idle(to) {
        return None;
    }
    loop {
        let line = match line(pool, to, terms, tunnel, &mut way).await {
            Ok(line) => line,
            Err(failed) => return Some(Fetched { reply: Err(failed), way }),
        };
        let (session, held) = match line {
            Over::Http2(session, held) => (session, held),
            Over::Kept => return None,
            Over::Http1(connection) => {
                let reply = over(connection, to, asking, body, terms).await;
                return Some(Fetched { reply, way });
            }
        };
        if tunnel && session.takes_tunnels() != Some(true) {
            let closed = || Failure::Reset(io::ErrorKind::UnexpectedEof.into());
            let failure = session.takes_tunnels().map_or_else(closed, |_| Failure::NoTunnels);
            return Some(Fetched { reply: Err(Failed::unsent(failure)), way });
        }
        let tls = to.reach.means.tls.is_some();
        let request = asking.to_http2(to.server, tls, body.length());
        let reply =
            http2::exchange((session, held), request, body, asking, terms, pool.gear()).await;
        match reply {
            Err(Failed { failure: Failure::Refused(_), reused: true, .. })
                if way == Way::Kept && body.can_replay() =>
            {
                // The server was about to end this connection.
                way = Way::Stale;
                body.rewind();
            }
            reply => {
                let reply = reply.map(|answered| accept(answered, asking));
                return Some(Fetched { reply, way });
            }
        }
    }
}

/// Chooses what the request goes over.
async fn line(
    pool: &Pool,
    to: &Destination<'_>,
    terms: &Terms<'_>,
    tunnel: bool,
    way: &mut Way,
) -> Result<Over, Failed> {
    let (key, now) = (to.line_key(), terms.begun.1);
    let within = terms.timeouts.connect;
    loop {
        match pool.sessions.take(key, now, terms.http2) {
            Offer::Session(session, held) => return Ok(Over::Http2(session, held)),
            Offer::Http1 => return Ok(Over::Kept),
            Offer::Wait(waiting) => {
                let begun = Instant::now();
                let opened = timeout(within, waiting.opened()).await;
                to.connected(begun);
                match opened {
                    Ok(Ok(true)) => {}
                    Ok(Ok(false)) => return Ok(Over::Kept),
                    Ok(Err(why)) => return Err(Failed::unsent(shared(&why))),
                    Err(_) => return Err(Failed::unsent(Failure::ConnectTimeout)),
                }
            }
            Offer::Open(opening) => {
                if *way == Way::Kept {
                    *way = Way::Fresh;
                }
                return open(pool, to, terms, tunnel, opening).await;
            }
        }
    }
}

async fn open(
    pool: &Pool,
    to: &Destination<'_>,
    terms: &Terms<'_>,
    tunnel: bool,
    opening: Opening,
) -> Result<Over, Failed> {
    let (within, now) = (terms.timeouts.connect, terms.begun.1);
    let moves = to.server.moves();
    let speaks = to.reach.means.speaks;
    let dialing = timeout(within, dial(to, within, speaks));
    let dialed = dialing.await.unwrap_or(Err(Unconnected::Timeout));
    let wire = match dialed {
        Ok(wire) => wire,
        Err(why) => return Err(Failed::unsent(shared(&opening.fail(why)))),
    };
    if speaks == Speaks::Either && !wire.has_agreed_on_http2() {
        opening.is_http1();
        let connection = Connection::over(wire, to, (now, moves), pool.gear());
        return Ok(Over::Http1(connection));
    }
    if to.reach.means.tls.is_some() && !wire.has_agreed_on_http2() {
        let words = "it does not agree to HTTP/2 (ALPN): write `protocol = \"auto\"`".to_owned();
        return Err(Failed::unsent(shared(&opening.fail(Unconnected::Tls(words)))));
    }
    // Only a tunnel needs the server's settings first; other requests do not wait for them.
    let settled = tunnel.then(|| opening.wait());
    let begun =
        pool.sessions.begin(to.line_key(), wire, opening, (terms.begun, within), *terms.http2);
    let (session, held) = begun.await.map_err(|why| Failed::unsent(shared(&why)))?;
    if let Some(settled) = settled
        && timeout(within, settled.opened()).await.is_err()
    {
        held.close();
        return Err(Failed::unsent(Failure::ConnectTimeout));
    }
    Ok(Over::Http2(session, held))
}

/// Why there is no connection, for each request that waited for it.
fn shared(why: &Arc<Unconnected>) -> Failure {
    why.again().into()
}

/// The answer as HTTP/1 would have it.
fn accept(mut answered: Answered, asking: &impl Asking) -> Reply {
    let mut status = answered.head.status();
    let mut fields = take(answered.head.headers_mut());
    if asking.protocols().is_some() {
        if status.is_success() {
            // RFC 8441 §5: the server agrees with 2xx, where HTTP/1 says 101.
            status = StatusCode::SWITCHING_PROTOCOLS;
            asking.agreed(&mut fields);
        } else {
            answered.sending.stop();
        }
    }
    Reply::by_http2(status, Fields::from(fields), answered)
}
