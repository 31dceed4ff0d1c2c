//! Clients over TLS: a raw HTTP/1.1 one, and an HTTP/2 one from hyper.

use super::{Client, PATIENCE, certs};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};
use std::{
    io::{self, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::io::AsyncWriteExt;

/// The client's side of a TLS handshake.
#[derive(Clone)]
pub struct Handshake {
    config: Arc<ClientConfig>,
}

/// What was agreed on.
#[derive(Debug)]
pub struct Agreed {
    pub certificate: Vec<u8>,
    pub alpn: Option<String>,
    pub version: ProtocolVersion,
    pub resumed: bool,
}

pub type TlsClient = Client<StreamOwned<ClientConnection, TcpStream>>;

impl Handshake {
    /// TLS 1.2 and 1.3 with these ALPN protocols; tickets are kept between connections of one
    /// `Handshake`.
    pub fn offering(alpn: &[&str]) -> Self {
        Self::with_versions(alpn, rustls::ALL_VERSIONS)
    }

    pub fn with_versions(
        alpn: &[&str],
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(certs::authority_der())).expect("the authority");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_protocol_versions(versions);
        let mut config =
            builder.expect("versions").with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        Self { config: Arc::new(config) }
    }

    /// The same with another setting.
    pub fn with(mut self, change: impl FnOnce(&mut ClientConfig)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    /// The same as the client whose `NAME.pem` and `NAME.key` are in `dir`.
    pub fn for_client(self, dir: &Path, name: &str) -> Self {
        let file = |end: &str| dir.join(format!("{name}.{end}"));
        let chain = CertificateDer::pem_file_iter(file("pem")).expect("a file");
        let chain = chain.collect::<Result<Vec<_>, _>>().expect("certificates");
        let key = PrivateKeyDer::from_pem_file(file("key")).expect("a key");
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = CertifiedKey::from_der(chain, key, &provider).expect("a pair");
        self.with(|it| it.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(key)))
    }

    /// A request, or why there is no answer: with TLS 1.3 the client learns only then that its
    /// certificate is refused.
    pub fn ask(
        &self,
        address: SocketAddr,
        name: &str,
        request: &str,
    ) -> io::Result<super::Response> {
        let (mut client, _) = self.try_connect(address, name)?;
        client.try_send(request)?;
        client.try_response("GET")
    }

    /// Connects with `name` as SNI; the certificate must cover that name.
    pub fn connect(&self, address: SocketAddr, name: &str) -> (TlsClient, Agreed) {
        self.try_connect(address, name).unwrap_or_else(|e| panic!("TLS as {name}: {e}"))
    }

    pub fn try_connect(&self, address: SocketAddr, name: &str) -> io::Result<(TlsClient, Agreed)> {
        let tcp = TcpStream::connect_timeout(&address, PATIENCE)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_nodelay(true)?;
        self.try_over(tcp, name)
    }

    /// On a connection on which something may have been sent already.
    pub fn try_over(&self, mut tcp: TcpStream, name: &str) -> io::Result<(TlsClient, Agreed)> {
        let name = ServerName::try_from(name.to_owned()).expect("a server name");
        let mut tls =
            ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        let agreed = Agreed {
            certificate: tls.peer_certificates().map(|c| c[0].to_vec()).unwrap_or_default(),
            alpn: tls.alpn_protocol().map(|p| String::from_utf8_lossy(p).into_owned()),
            version: tls.protocol_version().expect("a version"),
            resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
        };
        let mut stream = StreamOwned::new(tls, tcp);
        stream.flush()?;
        Ok((Client::over(stream), agreed))
    }
}

/// One HTTP/2 connection, on a runtime of its own.
pub struct Http2 {
    runtime: tokio::runtime::Runtime,
    sender: hyper::client::conn::http2::SendRequest<Full<Bytes>>,
}

/// What an HTTP/2 request got.
pub struct Http2Response {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Vec<u8>,
    pub trailers: http::HeaderMap,
}

impl Http2 {
    pub fn connect(handshake: &Handshake, address: SocketAddr, name: &str) -> Self {
        Self::connect_with_window(handshake, address, name, 1 << 20)
    }

    /// A client that lets `window` bytes of a body come before it reads them.
    pub fn connect_with_window(
        handshake: &Handshake,
        address: SocketAddr,
        name: &str,
        window: u32,
    ) -> Self {
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(&handshake.config));
        let name = ServerName::try_from(name.to_owned()).expect("a server name");
        Self::over(window, async {
            let tcp = tokio::net::TcpStream::connect(address).await.expect("a connection");
            connector.connect(name, tcp).await.expect("a TLS handshake")
        })
    }

    /// Without TLS, knowing that the other side speaks HTTP/2.
    pub fn connect_plain(address: SocketAddr) -> Self {
        Self::over(1 << 20, async {
            tokio::net::TcpStream::connect(address).await.expect("a connection")
        })
    }

    /// The same by a Unix socket.
    pub fn connect_unix(path: &Path) -> Self {
        Self::over(1 << 20, async {
            tokio::net::UnixStream::connect(path).await.expect("a connection")
        })
    }

    /// The same on a connection on which something has been sent already.
    pub fn connect_behind(address: SocketAddr, sent: &[u8]) -> Self {
        Self::over(1 << 20, async {
            let mut tcp = tokio::net::TcpStream::connect(address).await.expect("a connection");
            tcp.write_all(sent).await.expect("the daemon takes what is sent");
            tcp
        })
    }

    fn over<S>(window: u32, stream: impl Future<Output = S>) -> Self
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().expect("a runtime");
        let sender = runtime.block_on(async {
            let (sender, connection) =
                hyper::client::conn::http2::Builder::new(TokioExecutor::new())
                    .initial_stream_window_size(window)
                    .handshake(TokioIo::new(stream.await))
                    .await
                    .expect("an HTTP/2 handshake");
            tokio::spawn(connection);
            sender
        });
        Self { runtime, sender }
    }

    pub fn send(&self, request: http::Request<Full<Bytes>>) -> Result<Http2Response, String> {
        self.runtime.block_on(Self::exchange(self.sender.clone(), request))
    }

    /// Several at once, answered in the order asked.
    pub fn send_all(
        &self,
        requests: Vec<http::Request<Full<Bytes>>>,
    ) -> Vec<Result<Http2Response, String>> {
        self.runtime.block_on(async {
            let running: Vec<_> = requests
                .into_iter()
                .map(|request| tokio::spawn(Self::exchange(self.sender.clone(), request)))
                .collect();
            let mut responses = Vec::new();
            for one in running {
                responses.push(one.await.expect("a task"));
            }
            responses
        })
    }

    /// Sends them, and closes the connection when a server has each of them.
    pub fn send_and_leave(
        self,
        requests: Vec<http::Request<Full<Bytes>>>,
        all_there: impl Fn() -> bool,
    ) {
        for request in requests {
            self.runtime.spawn(Self::exchange(self.sender.clone(), request));
        }
        super::until("the requests to be there", all_there);
        self.runtime.shutdown_background();
    }

    pub fn get(&self, uri: &str) -> Result<Http2Response, String> {
        self.send(http::Request::get(uri).body(Full::default()).expect("a request"))
    }

    /// The response's body, read only after `meanwhile`.
    pub fn get_slowly(&self, uri: &str, meanwhile: impl FnOnce()) -> Vec<u8> {
        let request = http::Request::get(uri).body(Full::default()).expect("a request");
        let mut sender = self.sender.clone();
        let sent = self.runtime.block_on(async {
            sender.ready().await.expect("a connection");
            sender.send_request(request).await.expect("a response")
        });
        meanwhile();
        let body = self.runtime.block_on(sent.into_body().collect());
        body.expect("a whole body").to_bytes().to_vec()
    }

    /// The response's body, of which a part is there before `meanwhile`.
    pub fn get_in_parts(&self, uri: &str, meanwhile: impl FnOnce()) -> Vec<u8> {
        let request = http::Request::get(uri).body(Full::default()).expect("a request");
        self.in_parts(request, meanwhile)
    }

    /// The same of any request.
    pub fn in_parts(
        &self,
        request: http::Request<Full<Bytes>>,
        meanwhile: impl FnOnce(),
    ) -> Vec<u8> {
        let mut sender = self.sender.clone();
        let (first, body) = self.runtime.block_on(async {
            sender.ready().await.expect("a connection");
            let mut body = sender.send_request(request).await.expect("a response").into_body();
            let first = body.frame().await.expect("a part").expect("a whole one");
            (first.into_data().expect("data").to_vec(), body)
        });
        meanwhile();
        let rest = self.runtime.block_on(body.collect()).expect("a whole body").to_bytes();
        [first, rest.to_vec()].concat()
    }

    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    async fn exchange(
        mut sender: hyper::client::conn::http2::SendRequest<Full<Bytes>>,
        request: http::Request<Full<Bytes>>,
    ) -> Result<Http2Response, String> {
        let whole = async {
            sender.ready().await.map_err(|e| e.to_string())?;
            let response = sender.send_request(request).await.map_err(|e| format!("{e:?}"))?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(|e| format!("{e:?}"))?;
            let trailers = body.trailers().cloned().unwrap_or_default();
            let (status, headers) = (parts.status.as_u16(), parts.headers);
            Ok(Http2Response { status, headers, body: body.to_bytes().to_vec(), trailers })
        };
        let patience: Duration = PATIENCE;
        tokio::time::timeout(patience, whole)
            .await
            .unwrap_or_else(|_| Err("no response in time".into()))
    }
}

/// What a client does on a connection by HTTP/2 itself, without TLS.
pub fn by_h2(address: SocketAddr, does: impl AsyncFnOnce(h2::client::SendRequest<Bytes>)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        let driven = async {
            connection.await.expect("no error");
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = does(client) => {}
            () = driven => {}
            () = tokio::time::sleep(PATIENCE) => panic!("it takes too long"),
        }
    });
}
