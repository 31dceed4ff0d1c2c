//! A response's body by HTTP/1, pulled from the server as the client takes it.
//!
//! Owns: the framing, the time between reads, and the end: the lease goes back, and the connection,
//! too, if everything was read and sent; otherwise it is closed. May touch: [`crate::http1`],
//! [`crate::message`]. A client that goes away drops it, and with it the connection: the server
//! sees that at once.

use super::{connect::Connection, exchange::poll_rest, home::Home, response_head::BodyEnd};
use crate::{
    http1::{
        buffers::with_room,
        chunked::{Chunked, Step},
        moved::{Moved, WORTH_MOVING},
        outgoing::Part,
    },
    message::{
        body::{BodyError, Length, Polled, Source, Want},
        hop_by_hop::{EditedNames, end_to_end},
        upload::Upload,
    },
};
use bytes::Bytes;
use http_body::Frame;
use std::{
    io,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// A body up to this size is collected before it is sent on.
const IN_ONE_PIECE: u64 = 64 * 1024;
/// A body is collected for at most this long. Servers mostly send a head and its body with two
/// calls, some microseconds apart. To send them on one by one would cost us and the client twice
/// the calls and packets.
const PATIENCE: Duration = Duration::from_millis(2);

/// A response's body on its way.
#[derive(Debug)]
pub struct ServerBody {
    source: Option<HeldConnection>,
    /// A part that was taken off the server ahead.
    taken: Option<TakenPart>,
    framing: ReplyRest,
    read_timeout: Duration,
    armed: bool,
    /// Trailers of these names don't pass.
    edited: EditedNames,
}

#[derive(Debug)]
struct HeldConnection {
    connection: Connection,
    /// The rest of the request's body, if the server answered before it had all of it.
    rest: Option<Upload>,
    reusable: bool,
    home: Home,
}

#[derive(Debug)]
enum ReplyRest {
    Length(u64),
    Chunked(Chunked),
    Close,
}

type TakenPart = Result<Frame<Bytes>, BodyError>;

impl ServerBody {
    /// The body that follows a head on `connection`. The head says whether that is `reusable`.
    pub fn new(
        connection: Connection,
        rest: Option<Upload>,
        (framing, reusable): (BodyEnd, bool),
        home: Home,
        (read_timeout, edited): (Duration, EditedNames),
    ) -> Self {
        let framing = match framing {
            BodyEnd::Length(length) => ReplyRest::Length(length),
            BodyEnd::Chunked => ReplyRest::Chunked(Chunked::default()),
            BodyEnd::Close => ReplyRest::Close,
        };
        let source = Some(HeldConnection { connection, rest, reusable, home });
        let mut body = Self { source, taken: None, framing, read_timeout, armed: false, edited };
        if matches!(body.framing, ReplyRest::Length(0)) {
            body.finish();
        }
        body
    }

    /// The next part for the kernel to move; `None` if it must be read instead.
    fn poll_moved(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Moved, BodyError>>> {
        let left = match self.framing {
            ReplyRest::Length(left) => left,
            ReplyRest::Close => u64::MAX,
            ReplyRest::Chunked(_) => 0,
        };
        let Some(source) = &mut self.source else { return Poll::Ready(None) };
        if left < WORTH_MOVING || source.rest.is_some() || !source.connection.gear.unread.is_empty()
        {
            return Poll::Ready(None);
        }
        let moved = source.connection.poll_move(cx, left);
        match ready!(self.within_wait(cx, moved)) {
            Ok(moved) => {
                if let (Some(moved), ReplyRest::Length(left)) = (&moved, &mut self.framing) {
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

    /// Goes on sending the request. If its body fails, this body fails, too.
    fn send_rest(&mut self, cx: &mut Context<'_>) -> Result<(), BodyError> {
        let Some(source) = &mut self.source else { return Ok(()) };
        match poll_rest(cx, &mut source.rest, &mut source.connection) {
            Ok(taken) => source.reusable &= taken,
            Err(error) => return Err(self.fail(error)),
        }
        Ok(())
    }

    fn poll_server(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<Option<TakenPart>> {
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
                Ok(0) if matches!(self.framing, ReplyRest::Close) => {
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
            ReplyRest::Chunked(chunked) => {
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
            ReplyRest::Close => Some(Frame::data(std::mem::take(unread))),
            ReplyRest::Length(left) => {
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

    fn poll_more(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<Result<usize, BodyError>> {
        let Some(source) = &mut self.source else { return Poll::Ready(Ok(0)) };
        let want = match self.framing {
            ReplyRest::Length(left) if left <= most as u64 => with_room(left as usize),
            _ => most,
        };
        let read = source.connection.poll_read(cx, want, false);
        self.within_wait(cx, read)
    }

    /// Turns the result of a read, or a timeout, into the body's.
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

    /// Ready once a body of up to `most` bytes is there, or it is not to be waited for.
    fn poll_short(&mut self, cx: &mut Context<'_>, most: u64) -> Poll<()> {
        while let (Some(source), ReplyRest::Length(left)) = (&mut self.source, &self.framing) {
            let unread = source.connection.gear.unread.len() as u64;
            if unread >= *left || *left > most {
                break;
            }
            match source.connection.poll_read(cx, with_room(*left as usize), false) {
                // An end or an error is seen again when the body is pulled.
                Poll::Ready(Ok(0) | Err(_)) => break,
                Poll::Ready(Ok(_)) => {}
                // A server that still reads the request must not have to wait for us.
                Poll::Pending if source.rest.is_some() => break,
                Poll::Pending => {
                    if !self.armed {
                        self.armed = true;
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
        if source.reusable {
            let now = source.home.clock.now();
            source.home.keep(source.connection, now);
        }
    }
}

impl Source for ServerBody {
    fn poll_part(&mut self, cx: &mut Context<'_>, want: Want) -> Polled {
        if let Some(taken) = self.taken.take() {
            return Poll::Ready(Some(taken.map(Part::Frame)));
        }
        // Some clients send the whole request before they read anything.
        if let Err(error) = self.send_rest(cx) {
            return Poll::Ready(Some(Err(error)));
        }
        if want.may_move
            && let Some(moved) = ready!(self.poll_moved(cx))
        {
            return Poll::Ready(Some(moved.map(Part::Moved)));
        }
        let taken = ready!(self.poll_server(cx, want.most));
        Poll::Ready(taken.map(|it| it.map(Part::Frame)))
    }

    /// Collects a short body. If it has not come within two milliseconds, it is streamed.
    fn poll_gather(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<Option<Bytes>> {
        ready!(self.poll_short(cx, (most as u64).min(IN_ONE_PIECE)));
        self.armed = false;
        // A chunked body that came in one piece, or one with a length, ends here.
        Poll::Ready(match self.take() {
            Ok(None) if self.source.is_none() => Some(Bytes::new()),
            Ok(Some(frame)) if self.source.is_none() && frame.is_data() => frame.into_data().ok(),
            taken => {
                self.taken = taken.transpose();
                None
            }
        })
    }

    fn length(&self) -> Length {
        let taken = self.taken.as_ref().map(|it| it.as_ref().ok().and_then(Frame::data_ref));
        let taken = match taken {
            // Only chunked bodies have trailers, and they have no known length. An error is also
            // still to come.
            Some(None) => return Length::Unknown,
            Some(Some(data)) => data.len() as u64,
            None => 0,
        };
        match (&self.source, &self.framing) {
            (None, _) if taken == 0 => Length::None,
            (None, _) => Length::Exact(taken),
            (_, ReplyRest::Length(left)) => Length::Exact(taken + *left),
            _ => Length::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        message::body::Body,
        origin::{Destination, connect::Gear, pool::PoolLimits},
        upstream::{Member, Server, StrategyKind, Tried, Upstream},
    };
    use std::{
        future::poll_fn,
        io::Write as _,
        net::{TcpListener, TcpStream},
        pin::pin,
        sync::Arc,
    };

    const TIME: Duration = Duration::from_secs(60);

    /// A body of four bytes, and the server's end of its connection.
    async fn four_bytes() -> (ServerBody, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server::new("app", &listener.local_addr().unwrap().to_string());
        let member = Member::new(server);
        let to = Destination::new(&member.server, &member.reach);
        let connection = Connection::open(&to, TIME, 0, Gear::new()).await.unwrap();
        let upstream = Upstream::new("app", StrategyKind::RoundRobin, vec![member], true, None);
        let home = Home {
            pool: Arc::default(),
            limits: PoolLimits { idle: 1, idle_timeout: 1000, requests: 0, age: 0 },
            lease: Some(upstream.pick(&Tried::default(), 0, 0).unwrap()),
            clock: Clock::start(),
        };
        let framing = (BodyEnd::Length(4), true);
        let body = ServerBody::new(connection, None, framing, home, (TIME, None));
        (body, listener.accept().unwrap().0)
    }

    async fn next(body: &mut Body) -> Bytes {
        match poll_fn(|cx| body.poll_part(cx, Want::ALL)).await.unwrap().unwrap() {
            Part::Frame(frame) => frame.into_data().unwrap(),
            Part::Moved(_) => panic!("nobody asked for it"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_body_that_comes_soon_is_in_one_piece() {
        let (body, mut server) = four_bytes().await;
        let mut body = Body::stream(body);
        {
            let mut gathering = pin!(body.gather(1 << 15));
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
        assert!(matches!(body, Body::Full(_)));
        assert_eq!(next(&mut body).await, "body");
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_body_that_is_late_streams() {
        let (body, mut server) = four_bytes().await;
        server.write_all(b"bo").unwrap();
        let begun = tokio::time::Instant::now();
        let mut body = Body::stream(body);
        body.gather(1 << 15).await;
        assert!(begun.elapsed() < TIME / 2, "the head is not kept from the client");
        assert_eq!(body.length().exact(), Some(4));
        assert_eq!(next(&mut body).await, "bo");
        server.write_all(b"dy").unwrap();
        assert_eq!(next(&mut body).await, "dy");
        assert!(body.is_ended());
    }
}
