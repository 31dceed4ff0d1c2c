//! What the `h2` crate alone costs: a relay of its connections, rustls and one thread of tokio.
//!
//! It understands as much of the bench's config as it needs, so `compare/run --also` starts it
//! beside sheave. Requests come by HTTP/2 or HTTP/1 and go to the servers in turn, by one HTTP/2
//! connection to each, with the fields that the bench has all proxies set. There are no routes,
//! checks, timeouts, retries or counts, and bodies are not held back.

use bytes::{Bytes, BytesMut};
use futures_util::stream::{FuturesUnordered, StreamExt};
use h2::{RecvStream, SendStream, client::SendRequest, server::SendResponse};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header::VIA};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use sheave::tls::to_server::{PreparedTls, ServerTlsWanted, SystemRoots};
use std::{cell::Cell, env, fs, future::poll_fn, rc::Rc, str::from_utf8, sync::Arc, task::Poll};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime, select,
    task::{LocalSet, spawn_local},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// As in sheave.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    let config = fs::read_to_string(env::args().nth(3).ok_or("relay run --config FILE")?)?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, serve(&config))
}

/// The quoted texts that come after `key` in the config.
fn quoted<'a>(config: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    config.split(key).skip(1).filter_map(|rest| rest.split('"').nth(1))
}

async fn serve(config: &str) -> Result<(), Failed> {
    let mut addresses = quoted(config, "address = ");
    let mut next = || addresses.next().ok_or("an address is missing");
    let (admin, plain, tls) = (next()?, next()?, next()?);
    let mut connections = Vec::new();
    for server in addresses {
        connections.push(connect(server, config.contains("insecure = true")).await?);
    }
    let servers = Rc::new(Servers { connections, next: Cell::new(0) });
    let cert = quoted(config, "cert = ").next().ok_or("no certificate")?;
    let key = quoted(config, "key = ").next().ok_or("no key")?;
    let acceptor = acceptor(cert, key)?;
    // The bench waits until this listens, too.
    let _admin = TcpListener::bind(admin).await?;
    let (plain, tls) = (TcpListener::bind(plain).await?, TcpListener::bind(tls).await?);
    loop {
        let servers = Rc::clone(&servers);
        select! {
            taken = plain.accept() => {
                let socket = taken?.0;
                socket.set_nodelay(true)?;
                spawn_local(async move { http1(socket, &servers, "http").await.ok() });
            }
            taken = tls.accept() => {
                let socket = taken?.0;
                socket.set_nodelay(true)?;
                let acceptor = acceptor.clone();
                spawn_local(async move {
                    let socket = acceptor.accept(socket).await.ok()?;
                    if socket.get_ref().1.alpn_protocol() == Some(b"h2") {
                        http2(socket, &servers).await.ok()
                    } else {
                        http1(socket, &servers, "https").await.ok()
                    }
                });
            }
        }
    }
}

struct Servers {
    connections: Vec<SendRequest<Bytes>>,
    next: Cell<usize>,
}

impl Servers {
    /// A connection to the next server, once it takes a request.
    async fn pick(&self) -> Result<SendRequest<Bytes>, h2::Error> {
        let next = self.next.get();
        self.next.set(next + 1);
        self.connections[next % self.connections.len()].clone().ready().await
    }

    fn set_fields(
        &self,
        fields: &mut HeaderMap,
        scheme: &'static str,
        host: &str,
    ) -> Result<(), http::Error> {
        let client = HeaderValue::from_static("127.0.0.1");
        let id = Bytes::from(format!("{:032x}", self.next.get()));
        let mut id = HeaderValue::from_maybe_shared(id)?;
        // It comes only once, so it has no place in HPACK's table. sheave does the same.
        id.set_sensitive(true);
        fields.reserve(6);
        fields.insert(HeaderName::from_static("x-forwarded-for"), client.clone());
        fields.insert(HeaderName::from_static("x-real-ip"), client);
        let scheme = HeaderValue::from_static(scheme);
        fields.insert(HeaderName::from_static("x-forwarded-proto"), scheme);
        fields.insert(HeaderName::from_static("x-forwarded-host"), HeaderValue::from_str(host)?);
        fields.insert(VIA, HeaderValue::from_static("2 lb"));
        fields.insert(HeaderName::from_static("x-request-id"), id);
        Ok(())
    }
}

/// The windows, here and in `http2`, are sheave's.
async fn connect(server: &str, tls: bool) -> Result<SendRequest<Bytes>, Failed> {
    let socket = TcpStream::connect(server).await?;
    socket.set_nodelay(true)?;
    let mut builder = h2::client::Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(128 * 1024)
        .initial_connection_window_size(16 * 1024 * 1024);
    if !tls {
        let (requests, connection) = builder.handshake(socket).await?;
        spawn_local(connection);
        return Ok(requests);
    }
    // No proxy in the bench verifies the servers' certificate.
    let wanted = ServerTlsWanted { ca: None, own: None, insecure: true, pins: Vec::new() };
    let made = PreparedTls::read(&wanted, &SystemRoots::default());
    let made = made.and_then(|it| it.for_server("localhost")).map_err(|it| it.to_string())?;
    let mut config = (*made.config).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let socket = TlsConnector::from(Arc::new(config)).connect(made.name, socket).await?;
    let (requests, connection) = builder.handshake(socket).await?;
    spawn_local(connection);
    Ok(requests)
}

fn acceptor(cert: &str, key: &str) -> Result<TlsAcceptor, Failed> {
    let chain = CertificateDer::pem_file_iter(cert)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Polls the streams in their connection's task, as sheave does: answers that are there go out in
/// one write.
async fn http2<S>(socket: S, servers: &Servers) -> Result<(), Failed>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(256 * 1024).initial_connection_window_size(1024 * 1024);
    let mut connection = builder.handshake(socket).await?;
    let mut streams = FuturesUnordered::new();
    poll_fn(|cx| {
        loop {
            while let Poll::Ready(Some(_)) = streams.poll_next_unpin(cx) {}
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    streams.push(stream(request, respond, servers));
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error.into())),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

async fn stream(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    servers: &Servers,
) -> Result<(), Failed> {
    let (mut head, body) = request.into_parts();
    let host = head.uri.authority().map_or("", |it| it.as_str());
    servers.set_fields(&mut head.headers, "https", host)?;
    let ends = body.is_end_stream();
    let mut server = servers.pick().await?;
    let (answer, to) = server.send_request(Request::from_parts(head, ()), ends)?;
    if !ends {
        pass(body, to).await?;
    }
    let (head, body) = answer.await?.into_parts();
    let ends = body.is_end_stream();
    let to = respond.send_response(Response::from_parts(head, ()), ends)?;
    if !ends {
        pass(body, to).await?;
    }
    Ok(())
}

/// A body and its trailers.
async fn pass(mut from: RecvStream, mut to: SendStream<Bytes>) -> Result<(), h2::Error> {
    while let Some(part) = from.data().await {
        let part = part?;
        from.flow_control().release_capacity(part.len())?;
        let ends = from.is_end_stream();
        to.send_data(part, ends)?;
        if ends {
            return Ok(());
        }
    }
    match from.trailers().await? {
        Some(trailers) => to.send_trailers(trailers),
        None => to.send_data(Bytes::new(), true),
    }
}

/// As much of HTTP/1 as the load needs: every body has a length, and nobody pipelines.
async fn http1<S>(mut socket: S, servers: &Servers, scheme: &'static str) -> Result<(), Failed>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut read, mut write) = (BytesMut::with_capacity(8192), Vec::with_capacity(1024));
    loop {
        let (mut request, host, length) = loop {
            if let Some(found) = parse(&mut read)? {
                break found;
            }
            read.reserve(4096);
            if socket.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
        };
        while read.len() < length {
            read.reserve(length);
            if socket.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
        }
        servers.set_fields(request.headers_mut(), scheme, &host)?;
        let mut server = servers.pick().await?;
        let (answer, mut to) = server.send_request(request, length == 0)?;
        if length > 0 {
            to.send_data(read.split_to(length).freeze(), true)?;
        }
        let (head, mut body) = answer.await?.into_parts();
        write.clear();
        write.extend_from_slice(b"HTTP/1.1 ");
        write.extend_from_slice(head.status.as_str().as_bytes());
        write.push(b' ');
        write.extend_from_slice(head.status.canonical_reason().unwrap_or_default().as_bytes());
        write.extend_from_slice(b"\r\n");
        for (name, value) in &head.headers {
            write.extend_from_slice(name.as_ref());
            write.extend_from_slice(b": ");
            write.extend_from_slice(value.as_bytes());
            write.extend_from_slice(b"\r\n");
        }
        write.extend_from_slice(b"\r\n");
        while let Some(part) = body.data().await {
            let part = part?;
            body.flow_control().release_capacity(part.len())?;
            write.extend_from_slice(&part);
        }
        socket.write_all(&write).await?;
        socket.flush().await?;
    }
}

/// A whole head, its host, and how long the body after it is.
fn parse(read: &mut BytesMut) -> Result<Option<(Request<()>, String, usize)>, Failed> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(size) = parsed.parse(read)? else {
        return Ok(None);
    };
    let mut request = Request::builder().method(parsed.method.unwrap_or_default());
    let (mut host, mut length) = ("", 0);
    for field in parsed.headers.iter() {
        let value = from_utf8(field.value)?;
        if field.name.eq_ignore_ascii_case("host") {
            host = value;
            continue;
        }
        if field.name.eq_ignore_ascii_case("content-length") {
            length = value.parse()?;
        }
        request = request.header(field.name, value);
    }
    let uri = format!("http://{host}{}", parsed.path.unwrap_or_default());
    let found = (request.uri(uri).body(())?, host.to_owned(), length);
    let _ = read.split_to(size);
    Ok(Some(found))
}
