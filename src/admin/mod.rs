//! The admin address: metrics, health, reload.
//!
//! Owns: its HTTP server, on the control thread. May touch: [`crate::cache`], [`crate::message`],
//! [`crate::observe`], [`crate::snapshot`], [`crate::task`], [`crate::upstream`]. It is
//! never on a listener for clients.

mod cache;
mod cache_tiers;
mod certificates;
mod health;
mod upstreams;

use crate::{
    snapshot::{Live, live::Phase},
    task,
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::{mpsc, oneshot},
    time::sleep,
};

/// After a failure to accept.
const PAUSE: Duration = Duration::from_millis(50);

/// Somebody asks for a reload.
pub struct Reload {
    /// The new generation, or what is wrong as JSON.
    pub reply: oneshot::Sender<Result<u64, Value>>,
}

/// Where the admin address listens.
pub enum Acceptor {
    /// For TCP.
    Tcp(TcpListener),
    /// A file.
    Unix(UnixListener),
}

/// Answers on `socket` until dropped.
pub async fn serve(socket: Acceptor, live: Arc<Live>, reloads: mpsc::Sender<Reload>) {
    loop {
        let (live, reloads) = (Arc::clone(&live), reloads.clone());
        let accepted = match &socket {
            Acceptor::Tcp(socket) => socket.accept().await.map(|(stream, _)| {
                task::spawn(converse(stream, live, reloads));
            }),
            Acceptor::Unix(socket) => socket.accept().await.map(|(stream, _)| {
                task::spawn(converse(stream, live, reloads));
            }),
        };
        if let Err(error) = accepted {
            tracing::warn!(%error, "the admin address can't accept a connection");
            sleep(PAUSE).await;
        }
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    live: Arc<Live>,
    reloads: mpsc::Sender<Reload>,
) {
    let service = service_fn(|request| answer(request, &live, &reloads));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "an admin connection ended with an error");
    }
}

async fn answer(
    request: Request<Incoming>,
    live: &Live,
    reloads: &mpsc::Sender<Reload>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let reading = matches!(*request.method(), Method::GET | Method::HEAD);
    Ok(match (request.uri().path(), reading) {
        ("/metrics", true) => metrics(live),
        ("/health", true) => health::health(live),
        ("/ready", true) => ready(live),
        ("/live", true) => document(StatusCode::OK, &json!({ "status": "ok" })),
        ("/upstreams", true) => document(StatusCode::OK, &upstreams::upstreams(live)),
        ("/cache", true) => document(StatusCode::OK, &cache::caches(live)),
        ("/cache/explain", true) => cache::explain(live, request.uri().query()),
        ("/purge", _) if request.method() == Method::POST => purge(request, live).await,
        ("/reload", _) if request.method() == Method::POST => reload(reloads).await,
        ("/", true) => text(StatusCode::OK, CONTENTS),
        (
            "/metrics" | "/health" | "/ready" | "/live" | "/upstreams" | "/cache"
            | "/cache/explain" | "/",
            _,
        ) => not_allowed("GET, HEAD"),
        ("/reload" | "/purge", _) => not_allowed("POST"),
        _ => text(StatusCode::NOT_FOUND, CONTENTS),
    })
}

const CONTENTS: &str = "GET  /metrics    Prometheus\n\
                        GET  /health     what is well and what is not\n\
                        GET  /ready      whether to send requests here\n\
                        GET  /live       whether the process answers\n\
                        GET  /upstreams  every server and its state\n\
                        GET  /cache      every cache and its counts; /cache/explain?url=URL: one response\n\
                        POST /purge      take responses out of the caches\n\
                        POST /reload     load the config again\n";

fn metrics(live: &Live) -> Response<Full<Bytes>> {
    upstreams::set_gauges(live);
    cache::set_gauges(live);
    certificates::set_gauges(live);
    let mut response = Response::new(Full::from(live.metrics.text()));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn ready(live: &Live) -> Response<Full<Bytes>> {
    let status = match live.phase() {
        Phase::Starting => "starting",
        Phase::Draining => "draining",
        Phase::Running if !live.load().has_live_upstream(live.clock.now()) => "no_live_upstream",
        Phase::Running => return document(StatusCode::OK, &json!({ "status": "ready" })),
    };
    document(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": status }))
}

/// The longest body of a purge.
const LONGEST_PURGE: usize = 64 * 1024;

async fn purge(request: Request<Incoming>, live: &Live) -> Response<Full<Bytes>> {
    match Limited::new(request.into_body(), LONGEST_PURGE).collect().await {
        Ok(body) => cache::purge(live, &body.to_bytes()).await,
        Err(error) => {
            let error = format!("the body can't be read: {error}");
            document(StatusCode::BAD_REQUEST, &json!({ "error": error }))
        }
    }
}

async fn reload(reloads: &mpsc::Sender<Reload>) -> Response<Full<Bytes>> {
    let (reply, outcome) = oneshot::channel();
    // A closed channel shows in the outcome.
    let _ = reloads.send(Reload { reply }).await;
    match outcome.await {
        Ok(Ok(generation)) => {
            document(StatusCode::OK, &json!({ "status": "reloaded", "generation": generation }))
        }
        Ok(Err(errors)) => document(StatusCode::UNPROCESSABLE_ENTITY, &errors),
        // The daemon is stopping and does not reload.
        Err(_) => document(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "draining" })),
    }
}

/// A JSON answer, indented for people.
fn document(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{value:#}\n")));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn text(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn not_allowed(methods: &'static str) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, CONTENTS);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
    response
}
