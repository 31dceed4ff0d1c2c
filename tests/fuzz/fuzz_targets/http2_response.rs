//! Whatever a server sends by HTTP/2: no panic, an answer or an error in time, and a body that ends.
//!
//! It goes the whole way, by [`fetch`] over a Unix socket. The server may begin with valid settings, and
//! with the head of a response, so that what follows gets far.
#![no_main]

use bytes::Bytes;
use http::{Method, Request, Uri, Version};
use libfuzzer_sys::fuzz_target;
use sheave::{
    clock::Clock,
    http1::{
        outgoing::{Outgoing, Part},
        request_head::HeadLimits,
    },
    message::{
        body::{Body, Length, Want},
        upload::Upload,
    },
    origin::{
        Asking, Destination, Home, Taker, Terms, fetch,
        http2_settings::Http2Settings,
        pool::{self, Pool},
    },
    settings::Timeouts,
    upstream::{Means, Reach, Server, Speaks},
};
use std::{
    future::poll_fn,
    path::PathBuf,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
    time::timeout,
};

/// For each of the waits.
const WAIT: Duration = Duration::from_millis(10);

/// For all of them together, however busy the machine is.
const LONGEST: Duration = Duration::from_secs(10);

/// How large the head of an answer may be.
const HEAD: HeadLimits = HeadLimits { head: 16 * 1024, fields: 100 };

/// A frame: its kind, its flags, its stream and what is in it.
type Frame = (u8, u8, u8, Vec<u8>);

/// A server's bytes: how it begins and ends, frames with right lengths, and anything after them.
type Sent = (u8, Vec<Frame>, Vec<u8>);

static PATH: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("sheave-fuzz-{}", std::process::id())));

struct Asked(bool);

impl Asking for Asked {
    fn method(&self) -> &Method {
        if self.0 { &Method::POST } else { &Method::GET }
    }

    fn write_http1(&self, _: &mut Outgoing, _: &Server, _: Length) {}

    fn to_http2(&self, _: &Server, _: bool, _: Length) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = self.method().clone();
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = Uri::from_static("http://a/");
        request
    }
}

fn frame((kind, flags, stream, content): &Frame) -> Vec<u8> {
    let length = content.len().min(0xffff);
    let mut bytes = vec![0, (length >> 8) as u8, length as u8, kind % 11, *flags];
    bytes.extend_from_slice(&u32::from(stream % 4).to_be_bytes());
    bytes.extend_from_slice(&content[..length]);
    bytes
}

/// Sends what it has to send once a request has come.
async fn serve(listener: UnixListener, (how, frames, rest): Sent) {
    let Ok((mut socket, _)) = listener.accept().await else { return };
    let mut sent = Vec::new();
    if how & 1 != 0 {
        sent.extend_from_slice(&frame(&(4, 0, 0, Vec::new())));
    }
    if how & 2 != 0 {
        // `:status: 200`, from HPACK's table.
        sent.extend_from_slice(&frame(&(1, 4, 1, vec![0x88])));
    }
    sent.extend(frames.iter().flat_map(frame));
    sent.extend_from_slice(&rest);
    let mut seen = [0; 4096];
    // After a request's head, which is an ordinary frame behind the preface and the settings.
    let request = timeout(WAIT, async {
        let mut came = Vec::new();
        while !came.windows(6).any(|it| it[0] == 1 && it[2..] == [0, 0, 0, 1]) {
            match socket.read(&mut seen).await {
                Ok(count @ 1..) => came.extend_from_slice(&seen[..count]),
                _ => return,
            }
        }
    });
    let _ = request.await;
    let _ = socket.write_all(&sent).await;
    if how & 0x14 != 0 {
        let _ = socket.shutdown().await;
    }
    // Its own peer decides when it has enough.
    while socket.read(&mut seen).await.is_ok_and(|count| count > 0) {}
}

async fn ask(uploads: bool) {
    let server = Server::new("fuzz", &format!("unix:{}", PATH.display()));
    let socket = Some(PATH.clone());
    let reach = Reach::new(Means { socket, speaks: Speaks::Http2, ..Means::default() });
    let to = Destination::new(&server, &reach);
    let body = if uploads { Bytes::from(vec![b'x'; 100_000]).into() } else { Body::Empty };
    let mut upload = Upload::new(body, 0, 0, &None);
    let (pool, timeouts, http2) =
        (Arc::<Pool>::default(), Timeouts::all(WAIT), Http2Settings::once(WAIT));
    let terms =
        Terms { timeouts: &timeouts, head: HEAD, http2: &http2, begun: (Instant::now(), 0) };
    let fetched = fetch(&pool, &to, &Asked(uploads), &mut upload, &terms).await;
    let Ok(reply) = fetched.reply else { return };
    let limits = pool::PoolLimits { idle: 0, idle_timeout: 0, requests: 0, age: 0 };
    let home = Home { pool, limits, lease: None, clock: Clock::start() };
    let mut body = reply.into_body(upload, home, Taker::whole(WAIT));
    let mut left = body.length();
    while !body.is_ended() {
        let Some(Ok(part)) = poll_fn(|cx| body.poll_part(cx, Want::ALL)).await else { break };
        if let (Length::Exact(before), Part::Frame(_)) = (left, &part) {
            // What was announced is not exceeded.
            assert!(part.size() <= before, "{} of {before}", part.size());
        }
        left = body.length();
    }
    assert!(poll_fn(|cx| body.poll_rest(cx)).await.is_ok() || !body.is_ended());
}

fuzz_target!(|sent: Sent| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        let _ = std::fs::remove_file(&*PATH);
        let listener = UnixListener::bind(&*PATH).expect("a socket");
        let uploads = sent.0 & 8 != 0;
        let serving = tokio::spawn(serve(listener, sent));
        timeout(LONGEST, ask(uploads)).await.expect("an end");
        // With the pool, its connections end.
        timeout(LONGEST, serving).await.expect("a connection that ends").expect("no panic");
    });
});
