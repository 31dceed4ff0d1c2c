//! A response's body, pulled from the server as the client takes it.
//!
//! Owns: the framing, the time between reads, and the end: the lease goes back, and the connection,
//! too, if everything was read and sent; otherwise it is closed. May touch: [`crate::origin::exchange`],
//! [`crate::upstream`]. Next: [`super::response_body`] gives it to the client's connection.

use super::{
    connect::Connection,
    exchange::poll_rest,
    pool::{Limits, Pool},
    response_head::Framing,
};
use crate::{
    clock::Clock,
    http1::{
        chunked::{Chunked, Step},
        moved::{Moved, WORTH_MOVING},
    },
    message::{
        body::{BodyError, RequestBody},
        hop_by_hop::{EditedNames, end_to_end},
        pile::{compact, join},
    },
    upstream::Lease,
};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// A body up to this size is collected before it is sent on.
const IN_ONE_PIECE: u64 = 64 * 1024;
/// For so long at most. Servers mostly send a head and its body with two calls, some microseconds
/// apart. Sending them on one by one would cost us and the client twice the calls and packets.
const PATIENCE: Duration = Duration::from_millis(2);

/// Where a connection and a lease go at the end.
#[derive(Debug)]
pub struct Home {
    /// The worker's pool.
    pub pool: Arc<Pool>,
    /// What the pool keeps.
    pub limits: Limits,
    /// Held until the body has ended.
    pub lease: Lease,
    /// For the time when they go back.
    pub clock: Clock,
}

/// A response's body on its way.
#[derive(Debug)]
pub struct ServerBody {
    source: Option<Source>,
    /// Parts already taken off the server: mostly one, more if the client is slow.
    taken: Option<Part>,
    ahead: VecDeque<Part>,
    ahead_bytes: usize,
    /// How many bytes may be read ahead of the client.
    limit: usize,
    /// How much is read at a time.
    part: usize,
    framing: Rest,
    read_timeout: Duration,
    armed: bool,
    /// Trailers of these names don't pass.
    edited: EditedNames,
}

#[derive(Debug)]
struct Source {
    connection: Connection,
    /// The rest of the request's body, if the server answered before it had all of it.
    rest: Option<RequestBody>,
    reusable: bool,
    home: Home,
}

#[derive(Debug)]
enum Rest {
    Length(u64),
    Chunked(Chunked),
    Close,
}

/// A part of a body, or why there is none.
pub(crate) type Part = Result<Frame<Bytes>, BodyError>;

type Frames = Option<Part>;

impl ServerBody {
    /// The body that follows a head on `connection`; `reusable` as the head says. Up to `limit` bytes
    /// are taken off ahead of the client, and no more than `part` at a time.
    pub fn new(
        connection: Connection,
        rest: Option<RequestBody>,
        (framing, reusable): (Framing, bool),
        home: Home,
        read_timeout: Duration,
        (limit, part): (usize, usize),
    ) -> Self {
        let framing = match framing {
            Framing::Length(length) => Rest::Length(length),
            Framing::Chunked => Rest::Chunked(Chunked::default()),
            Framing::Close => Rest::Close,
        };
        let source = Some(Source { connection, rest, reusable, home });
        let mut body = Self {
            source,
            taken: None,
            ahead: VecDeque::new(),
            ahead_bytes: 0,
            limit,
            part,
            framing,
            read_timeout,
            armed: false,
            edited: None,
        };
        if matches!(body.framing, Rest::Length(0)) {
            body.finish();
        }
        body
    }

    /// Without the trailers of these names.
    #[must_use]
    pub fn without(self, edited: EditedNames) -> Self {
        Self { edited, ..self }
    }

    /// Reads no more than `part` bytes at a time from now on.
    pub fn read_at_most(&mut self, part: usize) {
        self.part = part;
    }

    /// Whether everything has been handed out.
    pub fn is_ended(&self) -> bool {
        self.source.is_none() && self.taken.is_none() && self.ahead.is_empty()
    }

    /// Whether everything has been read from the server; the client may still have to take some.
    pub fn is_off_the_server(&self) -> bool {
        self.source.is_none()
    }

    /// The length still to come, if known.
    pub fn size_hint(&self) -> SizeHint {
        let taken = self.taken.as_ref().and_then(|it| it.as_ref().ok());
        if taken.is_some_and(Frame::is_trailers) {
            // Only chunks can carry them, and those are for bodies of unknown length.
            return SizeHint::default();
        }
        let taken =
            taken.and_then(Frame::data_ref).map_or(0, Bytes::len) as u64 + self.ahead_bytes as u64;
        match (&self.source, &self.framing) {
            (None, _) => SizeHint::with_exact(taken),
            (_, Rest::Length(length)) => SizeHint::with_exact(taken + *length),
            _ => SizeHint::default(),
        }
    }

    /// The next part.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Frames> {
        self.poll_within(cx, u64::MAX)
    }

    /// The next part, for which no more than `most` bytes are read: with 0 it is one that is there.
    pub fn poll_within(&mut self, cx: &mut Context<'_>, most: u64) -> Poll<Frames> {
        if let Some(taken) = self.taken.take() {
            return Poll::Ready(Some(taken));
        }
        if let Some(frame) = self.ahead.pop_front() {
            self.ahead_bytes -= size(&frame);
            return Poll::Ready(Some(frame));
        }
        self.poll_server(cx, most)
    }

    /// The next part for the kernel to move, for a client that can take it so. `None` if
    /// [`ServerBody::poll_frame`] must be called instead.
    pub fn poll_moved(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Moved, BodyError>>> {
        let left = match self.framing {
            Rest::Length(left) => left,
            Rest::Close => u64::MAX,
            Rest::Chunked(_) => 0,
        };
        let Some(source) = &mut self.source else { return Poll::Ready(None) };
        let in_memory = self.taken.is_some() || !self.ahead.is_empty();
        if in_memory
            || left < WORTH_MOVING
            || source.rest.is_some()
            || !source.connection.gear.unread.is_empty()
        {
            return Poll::Ready(None);
        }
        let moved = source.connection.poll_move(cx, left);
        match ready!(self.within_wait(cx, moved)) {
            Ok(moved) => {
                if let (Some(moved), Rest::Length(left)) = (&moved, &mut self.framing) {
                    *left -= moved.left();
                    if *left == 0 {
                        self.finish();
                    }
                }
                Poll::Ready(moved.map(Ok))
            }
            Err(error) => Poll::Ready(Some(Err(self.fail(error)))),
        }
    }

    /// Takes more off the server while the client takes nothing, so that a slow client holds memory
    /// instead of a server's connection: `held` bytes already, and no more than the limit in all.
    pub fn read_ahead(&mut self, cx: &mut Context<'_>, held: usize) {
        // Some clients send all of their request before they read anything.
        if let Err(error) = self.send_rest(cx) {
            return hold(&mut self.ahead, Err(error));
        }
        while self.fits() && self.source.is_some() {
            // Without room, what has been read already is still taken out of its block.
            let room = self.limit.saturating_sub(held + self.ahead_bytes);
            let Poll::Ready(Some(frame)) = self.poll_server(cx, room as u64) else { return };
            self.ahead_bytes += size(&frame);
            hold(&mut self.ahead, frame);
        }
    }

    /// Whether all that is still to come, as far as known, may be read ahead.
    pub fn fits(&self) -> bool {
        let length = self.size_hint().exact();
        self.limit > 0 && length.is_none_or(|length| length <= self.limit as u64)
    }

    /// Whether the request is still being sent.
    pub fn is_sending(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.rest.is_some())
    }

    /// Goes on sending the request. If its body fails, this body fails, too.
    pub fn send_rest(&mut self, cx: &mut Context<'_>) -> Result<(), BodyError> {
        let Some(source) = &mut self.source else { return Ok(()) };
        match poll_rest(cx, &mut source.rest, &mut source.connection) {
            Ok(taken) => source.reusable &= taken,
            Err(error) => return Err(self.fail(error)),
        }
        Ok(())
    }

    fn poll_server(&mut self, cx: &mut Context<'_>, most: u64) -> Poll<Frames> {
        if let Err(error) = self.send_rest(cx) {
            return Poll::Ready(Some(Err(error)));
        }
        loop {
            match self.take() {
                Ok(None) if self.source.is_none() => return Poll::Ready(None),
                Ok(None) => {}
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Err(error) => return Poll::Ready(Some(Err(self.fail(error)))),
            }
            if most == 0 {
                return Poll::Pending;
            }
            match ready!(self.poll_more(cx, most)) {
                Ok(0) if matches!(self.framing, Rest::Close) => {
                    self.finish();
                    return Poll::Ready(None);
                }
                Ok(0) => return Poll::Ready(Some(Err(self.fail(BodyError::Truncated)))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(self.fail(error)))),
            }
        }
    }

    /// The next part among the bytes already read.
    fn take(&mut self) -> Result<Option<Frame<Bytes>>, BodyError> {
        let Some(source) = &mut self.source else { return Ok(None) };
        let unread = &mut source.connection.gear.unread;
        let frame = match &mut self.framing {
            Rest::Chunked(chunked) => {
                match chunked.step(unread).map_err(|_| BodyError::BadChunk)? {
                    Step::More => return Ok(None),
                    Step::Data(data) => {
                        if chunked.is_at_end(unread) {
                            self.finish();
                        }
                        Some(Frame::data(data))
                    }
                    Step::End(trailers) => {
                        self.finish();
                        trailers.map(|trailers| Frame::trailers(end_to_end(trailers, &self.edited)))
                    }
                }
            }
            _ if unread.is_empty() => None,
            Rest::Close => Some(Frame::data(std::mem::take(unread))),
            Rest::Length(left) => {
                let take = (*left).min(unread.len() as u64);
                *left -= take;
                let data = unread.split_to(take as usize);
                if *left == 0 {
                    self.finish();
                }
                Some(Frame::data(data))
            }
        };
        Ok(frame)
    }

    fn poll_more(&mut self, cx: &mut Context<'_>, most: u64) -> Poll<Result<usize, BodyError>> {
        let Some(source) = &mut self.source else { return Poll::Ready(Ok(0)) };
        let most = match self.framing {
            Rest::Length(left) => left.min(most),
            _ => most,
        };
        let want = most.min(self.part as u64) as usize;
        let read = source.connection.poll_read(cx, want, false);
        self.within_wait(cx, read)
    }

    /// The result of a read, or a timeout.
    fn within_wait<T>(
        &mut self,
        cx: &mut Context<'_>,
        read: Poll<io::Result<T>>,
    ) -> Poll<Result<T, BodyError>> {
        match read {
            Poll::Ready(read) => {
                self.armed = false;
                Poll::Ready(read.map_err(BodyError::Reset))
            }
            Poll::Pending => {
                let Some(source) = &mut self.source else { return Poll::Pending };
                if !self.armed {
                    self.armed = true;
                    source.connection.arm(Instant::now(), self.read_timeout);
                }
                source.connection.poll_deadline(cx).map(|()| Err(BodyError::ReadTimeout))
            }
        }
    }

    /// Collects a short body, so that it is sent on in one piece with its head. If it has not come
    /// within two milliseconds, it is streamed.
    pub async fn gather(&mut self) {
        let mut begun = false;
        poll_fn(|cx| self.poll_gather(cx, &mut begun)).await;
        // A chunked body that came in one piece, or one with a length, goes home here.
        self.taken = self.take().transpose();
    }

    fn poll_gather(&mut self, cx: &mut Context<'_>, begun: &mut bool) -> Poll<()> {
        while let (Some(source), Rest::Length(left)) = (&mut self.source, &self.framing) {
            let unread = source.connection.gear.unread.len() as u64;
            if unread >= *left || *left > (self.limit as u64).min(IN_ONE_PIECE) {
                break;
            }
            match source.connection.poll_read(cx, *left as usize, false) {
                // An end or an error is seen again when the body is pulled.
                Poll::Ready(Ok(0) | Err(_)) => break,
                Poll::Ready(Ok(_)) => {}
                // A server that still reads the request must not have to wait for us.
                Poll::Pending if source.rest.is_some() => break,
                Poll::Pending => {
                    if !*begun {
                        *begun = true;
                        source.connection.arm(Instant::now(), PATIENCE);
                    }
                    ready!(source.connection.poll_deadline(cx));
                    break;
                }
            }
        }
        Poll::Ready(())
    }

    fn fail(&mut self, error: BodyError) -> BodyError {
        self.source = None;
        error
    }

    /// Gives the lease back, and the connection where it is clean.
    fn finish(&mut self) {
        let Some(source) = self.source.take() else { return };
        let Source { connection, reusable, home, .. } = source;
        let Home { pool, limits, lease, clock } = home;
        if reusable {
            pool.check_in(lease.server().id(), connection, &limits, clock.now());
        }
    }
}

/// The bytes of data in a part.
pub(crate) fn size(frame: &Part) -> usize {
    frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len)
}

/// Queues a part for a client that takes nothing now.
pub(crate) fn hold(queue: &mut VecDeque<Part>, mut part: Part) {
    if let Ok(frame) = &mut part
        && let Some(data) = frame.data_mut()
    {
        let last = queue.back_mut().and_then(|last| last.as_mut().ok()?.data_mut());
        let held = match last {
            Some(last) => join(last, std::mem::take(data)),
            None => Some(compact(std::mem::take(data))),
        };
        let Some(held) = held else { return };
        *data = held;
    }
    queue.push_back(part);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        origin::connect::Gear,
        upstream::{Member, Server, StrategyKind, Tried, Upstream},
    };
    use std::{
        io::Write as _,
        net::{TcpListener, TcpStream},
        pin::pin,
    };

    const TIME: Duration = Duration::from_secs(60);

    /// A body of four bytes, and the server's end of its connection.
    async fn four_bytes() -> (ServerBody, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server::new("app", &listener.local_addr().unwrap().to_string());
        let connection = Connection::open(&server, TIME, 0, Gear::new()).await.unwrap();
        let (weight, max_fails, fail_timeout, max_conns) = (1, 1, TIME, 0);
        let member = Member {
            server,
            weight,
            max_fails,
            fail_timeout,
            fail_share: 0,
            max_conns,
            backup: false,
            down: false,
        };
        let upstream = Upstream::new("app", StrategyKind::RoundRobin, vec![member], true, None);
        let home = Home {
            pool: Arc::default(),
            limits: Limits { idle: 1, idle_timeout: 1000, requests: 0, age: 0 },
            lease: upstream.pick(&Tried::default(), 0, 0).unwrap(),
            clock: Clock::start(),
        };
        let framing = (Framing::Length(4), true);
        let body = ServerBody::new(connection, None, framing, home, TIME, (1 << 15, 1 << 15));
        (body, listener.accept().unwrap().0)
    }

    async fn next(body: &mut ServerBody) -> Bytes {
        let frame = poll_fn(|cx| body.poll_frame(cx)).await.unwrap().unwrap();
        frame.into_data().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_body_that_comes_soon_is_in_one_piece() {
        let (mut body, mut server) = four_bytes().await;
        {
            let mut gathering = pin!(body.gather());
            for part in ["bo", "dy"] {
                poll_fn(|cx| {
                    assert!(gathering.as_mut().poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
                server.write_all(part.as_bytes()).unwrap();
            }
            gathering.await;
        }
        assert!(body.is_off_the_server());
        assert_eq!(next(&mut body).await, "body");
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_body_that_is_late_streams() {
        let (mut body, mut server) = four_bytes().await;
        server.write_all(b"bo").unwrap();
        let begun = tokio::time::Instant::now();
        body.gather().await;
        assert!(begun.elapsed() < TIME / 2, "the head is not kept from the client");
        assert_eq!(body.size_hint().exact(), Some(4));
        assert_eq!(next(&mut body).await, "bo");
        server.write_all(b"dy").unwrap();
        assert_eq!(next(&mut body).await, "dy");
        assert!(body.is_ended());
    }
}
