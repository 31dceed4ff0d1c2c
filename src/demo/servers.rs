//! The demo's upstream servers, and the small server that stops and starts them.
//!
//! Owns: their sockets, on a thread and a runtime of their own, as other programs would have them.
//! May touch: [`crate::task`]. The proxy knows their addresses and nothing else.

use crate::task;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{HttpService, service_fn},
};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    fmt::Write,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener as StdListener},
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::Mutex,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

/// How many upstream servers there are.
pub const COUNT: usize = 3;

/// Fields of a request that show what the proxy adds.
const TOLD: [&str; 5] = ["host", "x-forwarded-for", "x-forwarded-proto", "x-request-id", "via"];

/// Where to find them.
#[derive(Clone, Copy, Debug)]
pub struct Servers {
    /// The upstream servers.
    pub addresses: [SocketAddr; COUNT],
    /// Answers `/`, `/stop/N` and `/start/N`.
    pub control: SocketAddr,
}

/// Binds and starts them all; they end with the process.
pub fn start() -> io::Result<Servers> {
    let sockets = [bind()?, bind()?, bind()?];
    let control = bind()?;
    let mut servers =
        Servers { addresses: [control.local_addr()?; COUNT], control: control.local_addr()? };
    for (address, socket) in servers.addresses.iter_mut().zip(&sockets) {
        *address = socket.local_addr()?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = thread::Builder::new().name("demo-servers".into());
    thread.spawn(move || {
        let ended = runtime.block_on(serve_all(sockets, control, servers));
        if let Err(error) = ended {
            tracing::error!(%error, "the demo's servers can't serve");
        }
    })?;
    Ok(servers)
}

fn bind() -> io::Result<StdListener> {
    let socket = StdListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

async fn serve_all(
    sockets: [StdListener; COUNT],
    control: StdListener,
    servers: Servers,
) -> io::Result<()> {
    let mut stands = Vec::new();
    for (index, socket) in sockets.into_iter().enumerate() {
        let mut stand =
            Stand { number: index + 1, address: servers.addresses[index], serving: None };
        stand.serve(TcpListener::from_std(socket)?);
        stands.push(stand);
    }
    let stands = Arc::new(Mutex::new(stands));
    let address = servers.control;
    let service = service_fn(move |request: Request<Incoming>| {
        let stands = Arc::clone(&stands);
        async move {
            let mut stands = stands.lock().await;
            let (status, text) = command(request.uri().path(), &mut stands, address).await;
            Ok::<_, Infallible>(text_response(status, text))
        }
    });
    serve(TcpListener::from_std(control)?, service).await;
    Ok(())
}

/// One upstream server: it may be stopped, and started again on its old port.
struct Stand {
    number: usize,
    address: SocketAddr,
    serving: Option<JoinHandle<()>>,
}

impl Stand {
    fn serve(&mut self, socket: TcpListener) {
        let number = self.number;
        let service = service_fn(move |request: Request<Incoming>| async move {
            Ok::<_, Infallible>(text_response(StatusCode::OK, answer(number, &request)))
        });
        self.serving = Some(task::spawn(serve(socket, service)));
    }

    async fn start(&mut self) -> Result<&'static str, String> {
        if self.serving.is_some() {
            return Ok("was running already");
        }
        let socket = TcpListener::bind(self.address).await;
        self.serve(socket.map_err(|error| format!("can't have its port back: {error}"))?);
        Ok("is running again")
    }

    async fn stop(&mut self) -> &'static str {
        let Some(serving) = self.serving.take() else { return "was stopped already" };
        serving.abort();
        // It ends because we asked for it: the result does not matter.
        let _ = serving.await;
        "is stopped, its port and all its connections are closed"
    }
}

/// Accepts until dropped; that closes the socket and every connection of it.
async fn serve<S>(socket: TcpListener, service: S)
where
    S: HttpService<Incoming, ResBody = Full<Bytes>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, _)) => {
                    let connection = http1::Builder::new();
                    connections.spawn(connection.serve_connection(TokioIo::new(stream), service.clone()));
                }
                Err(_) => sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// What an upstream server says.
fn answer(number: usize, request: &Request<Incoming>) -> String {
    let mut text = format!("server {number}: {} {}\n", request.method(), request.uri());
    for name in TOLD {
        for value in request.headers().get_all(name) {
            let value = String::from_utf8_lossy(value.as_bytes());
            // Writing to a string can't fail.
            let _ = writeln!(text, "  {name:<18}{value}");
        }
    }
    text
}

/// Does what the control server's path says.
async fn command(path: &str, stands: &mut [Stand], control: SocketAddr) -> (StatusCode, String) {
    let (verb, number) = path.trim_matches('/').split_once('/').unwrap_or((path, ""));
    let stand = stands.iter_mut().find(|stand| stand.number.to_string() == number);
    let told = match (verb, stand) {
        ("/", None) => return (StatusCode::OK, listing(stands, control)),
        ("stop", Some(stand)) => Ok((stand.number, stand.stop().await)),
        ("start", Some(stand)) => {
            let number = stand.number;
            stand.start().await.map(|told| (number, told)).map_err(|it| (number, it))
        }
        _ => return (StatusCode::NOT_FOUND, listing(stands, control)),
    };
    match told {
        Ok((number, told)) => (StatusCode::OK, format!("server {number} {told}\n")),
        Err((number, told)) => (StatusCode::CONFLICT, format!("server {number} {told}\n")),
    }
}

fn listing(stands: &[Stand], control: SocketAddr) -> String {
    let mut text = String::new();
    for Stand { number, address, serving } in stands {
        let (state, verb) =
            if serving.is_some() { ("running", "stop") } else { ("stopped", "start") };
        let _ = writeln!(
            text,
            "server {number} on {address}: {state}  http://{control}/{verb}/{number}"
        );
    }
    text
}

fn text_response(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
