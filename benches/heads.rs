//! What heads cost: reading a browser's request and writing it for a server, and reading a server's response.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::Method;
use sheave::{
    cidr::PeerAddress,
    http1::{
        self,
        outgoing::Outgoing,
        request_head::{HeadLimits, RequestHead},
    },
    message::{
        body::Length,
        context::{Context, Peer},
        forwarded::{Edited, ForwardedField, ToldOfClient, Written},
        request_id::RequestIds,
    },
    origin::{Asking, response_head},
    proxy::request_head::Forwarding,
    upstream::Server,
};
use std::{hint::black_box, net::Ipv4Addr, sync::Arc};

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Server: nginx/1.22.1\r\n\
    Date: Mon, 23 Nov 2026 04:06:27 GMT\r\n\
    Content-Type: text/html; charset=utf-8\r\n\
    Content-Length: 5120\r\n\
    Last-Modified: Mon, 02 Nov 2026 10:00:00 GMT\r\n\
    Connection: keep-alive\r\n\
    ETag: \"6908e2a0-1400\"\r\n\
    Cache-Control: public, max-age=3600\r\n\
    Vary: Accept-Encoding\r\n\
    Strict-Transport-Security: max-age=31536000\r\n\
    Accept-Ranges: bytes\r\n\r\n";

const REQUEST: &[u8] = b"GET /products/shoes?size=42&colour=blue HTTP/1.1\r\n\
    Host: shop.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://shop.example.com/products\r\n\
    Connection: keep-alive\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Site: same-origin\r\n\r\n";

fn parse() -> RequestHead {
    let mut unread = Bytes::from_static(REQUEST);
    http1::request_head::parse(&mut unread, LIMITS).expect("a valid head").expect("a whole head")
}

fn context() -> Context {
    let RequestHead { head, .. } = parse();
    let ip = PeerAddress::Ip(Ipv4Addr::new(192, 0, 2, 7).into());
    let id = RequestIds::new().take(&head.fields, false);
    let peer = Arc::new(Peer::new(ip, "https".into(), Some(Box::default())));
    Context::new(head, peer, (false, ToldOfClient::default()), id)
}

const LIMITS: HeadLimits = HeadLimits { head: 32 * 1024, fields: 100 };

fn request(criterion: &mut Criterion) {
    let context = context();
    let server = Server::new("app", "127.0.0.1:3001");
    let forwarding = Forwarding {
        context: &context,
        target: "/products/shoes?size=42&colour=blue",
        edits_host: false,
        written: Written {
            x_forwarded: true,
            forwarded: ForwardedField::Passed,
            edited: Edited::default(),
        },
    };
    criterion.bench_function("request_head/parse", |bencher| bencher.iter(parse));
    // The buffer belongs to a pooled connection, so it has its room already.
    let mut out = Outgoing::default();
    criterion.bench_function("request_head/write", |bencher| {
        bencher.iter(|| {
            black_box(&forwarding).write_http1(&mut out, &server, Length::None);
            out.is_empty()
        });
    });
}

fn response(criterion: &mut Criterion) {
    criterion.bench_function("response_head/parse", |bencher| {
        bencher.iter_batched(
            || Bytes::from_static(RESPONSE),
            |mut unread| response_head::parse(&mut unread, &Method::GET, LIMITS, |_, _| {}),
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, request, response);
criterion_main!(benches);
