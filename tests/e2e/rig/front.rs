//! What stands before a server of the rig: a Unix socket, TLS, a reader of the PROXY protocol. It
//! passes the bytes on, and keeps what it saw of each connection.

use super::Server;
use rustls::{HandshakeKind, ServerConfig};
use std::{
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, split},
    net::{TcpListener, TcpStream, UnixListener},
    runtime::Runtime,
};
use tokio_rustls::TlsAcceptor;

/// What was seen of a connection, in the order of the layers.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The bytes of the PROXY protocol's header.
    pub proxy_header: Vec<u8>,
    /// Whether the TLS handshake resumed a session; `None` if it failed or is not done.
    pub resumed: Option<bool>,
    pub sni: Option<String>,
    pub alpn: Option<String>,
    /// The client's own certificate.
    pub certificate: Option<Vec<u8>>,
    /// Whether the server's end has been passed on.
    pub ended: bool,
}

/// What stands before a server; dropping it ends it.
pub struct Front {
    /// As the config has it: `host:port` or `unix:path`.
    pub address: String,
    state: Arc<State>,
    _runtime: Runtime,
}

struct State {
    to: SocketAddr,
    tls: Mutex<Option<Arc<ServerConfig>>>,
    proxy_protocol: bool,
    seen: Mutex<Vec<Seen>>,
}

impl fmt::Display for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

impl Front {
    /// On a TCP port of its own. It may first read a header of the PROXY protocol; with `tls` it
    /// then makes a handshake.
    pub fn start(server: &Server, tls: Option<ServerConfig>, proxy_protocol: bool) -> Self {
        let (runtime, state) = Self::begin(server, tls, proxy_protocol);
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let shared = Arc::clone(&state);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&shared).serve(stream));
            }
        });
        Self { address, state, _runtime: runtime }
    }

    /// On a Unix socket, which the config calls `name`.
    pub fn unix(server: &Server, directory: &Path, name: &str) -> Self {
        let (runtime, state) = Self::begin(server, None, false);
        let path: PathBuf = directory.join(name);
        let listener = {
            let _guard = runtime.enter();
            UnixListener::bind(path).expect("a Unix socket")
        };
        let shared = Arc::clone(&state);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&shared).serve(stream));
            }
        });
        Self { address: format!("unix:{name}"), state, _runtime: runtime }
    }

    fn begin(
        server: &Server,
        tls: Option<ServerConfig>,
        proxy_protocol: bool,
    ) -> (Runtime, Arc<State>) {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().expect("a runtime");
        let tls = Mutex::new(tls.map(Arc::new));
        let (to, seen) = (server.address, Mutex::default());
        (runtime, Arc::new(State { to, tls, proxy_protocol, seen }))
    }

    /// Other settings for the connections that come from now on.
    pub fn set_tls(&self, tls: ServerConfig) {
        *self.state.tls.lock().unwrap() = Some(Arc::new(tls));
    }

    /// Every connection so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }
}

impl State {
    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(self: Arc<Self>, stream: S) {
        let index = {
            let mut seen = self.seen.lock().unwrap();
            seen.push(Seen::default());
            seen.len() - 1
        };
        // A client that goes away is no error here.
        let _ = self.pass(stream, index).await;
    }

    fn note(&self, index: usize, note: impl FnOnce(&mut Seen)) {
        note(&mut self.seen.lock().unwrap()[index]);
    }

    async fn pass<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut stream: S,
        index: usize,
    ) -> io::Result<()> {
        if self.proxy_protocol {
            let header = proxy_header(&mut stream).await?;
            self.note(index, |seen| seen.proxy_header = header);
        }
        let server = TcpStream::connect(self.to).await?;
        server.set_nodelay(true)?;
        let tls = self.tls.lock().unwrap().clone();
        let Some(tls) = tls else {
            return self.both(stream, server, index).await;
        };
        let stream = TlsAcceptor::from(tls).accept(stream).await?;
        let (_, shaken) = stream.get_ref();
        self.note(index, |seen| {
            seen.resumed = Some(shaken.handshake_kind() == Some(HandshakeKind::Resumed));
            seen.sni = shaken.server_name().map(str::to_owned);
            seen.alpn = shaken.alpn_protocol().map(|it| String::from_utf8_lossy(it).into_owned());
            seen.certificate = shaken.peer_certificates().map(|it| it[0].to_vec());
        });
        self.both(stream, server, index).await
    }

    /// Each direction ends by itself.
    async fn both<S: AsyncRead + AsyncWrite>(
        &self,
        client: S,
        server: TcpStream,
        index: usize,
    ) -> io::Result<()> {
        let (mut from_client, mut to_client) = split(client);
        let (mut from_server, mut to_server) = server.into_split();
        let up = async {
            copy(&mut from_client, &mut to_server).await?;
            to_server.shutdown().await
        };
        let down = async {
            copy(&mut from_server, &mut to_client).await?;
            to_client.shutdown().await?;
            self.note(index, |seen| seen.ended = true);
            Ok(())
        };
        tokio::try_join!(up, down).map(|_| ())
    }
}

/// The bytes of a header, of version 1 or 2; nothing after it is read.
async fn proxy_header(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut header = vec![0; 1];
    stream.read_exact(&mut header).await?;
    if header[0] == b'P' {
        while !header.ends_with(b"\r\n") {
            header.push(stream.read_u8().await?);
        }
        return Ok(header);
    }
    header.resize(16, 0);
    stream.read_exact(&mut header[1..]).await?;
    let rest = usize::from(u16::from_be_bytes([header[14], header[15]]));
    header.resize(16 + rest, 0);
    stream.read_exact(&mut header[16..]).await?;
    Ok(header)
}
