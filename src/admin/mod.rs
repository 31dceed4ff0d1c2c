//! The admin address: metrics, health, reload.
//!
//! Owns: its HTTP server, on the control thread. May touch: [`crate::cache`], [`crate::config`], [`crate::explain`],
//! [`crate::message`], [`crate::observe`], [`crate::route`], [`crate::snapshot`], [`crate::task`], [`crate::upstream`]. It is
//! never on a listener for clients.

mod answer;
mod ask;
mod cache;
mod cache_tiers;
mod certificates;
mod dashboard;
mod events;
mod explain;
mod health;
mod listening;
mod past;
mod patient;
mod process;
mod resources;
mod rows;
mod servers;
mod stats;
mod topology;
mod upstreams;

pub use process::gather;

use crate::{snapshot::Live, task};
use answer::AdminAnswer;
use ask::{Ask, Caller, Role};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use listening::{EndsEvents, Listeners};
use patient::Patient;
use serde_json::Value;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::{mpsc, oneshot},
    time::sleep,
};

/// After a failure to accept.
const PAUSE: Duration = Duration::from_millis(50);

/// The longest body of a request.
const LONGEST_BODY: usize = 64 * 1024;

/// Somebody asks for a reload.
pub struct Reload {
    /// The config is the running one: only what an operator has set is new.
    pub unchanged: bool,
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
    let seen = Arc::clone(&live);
    let ends = EndsEvents(Arc::new(Listeners::new(move || events::look(&seen))));
    loop {
        let shared = Shared {
            live: Arc::clone(&live),
            reloads: reloads.clone(),
            listeners: Arc::clone(&ends.0),
        };
        let accepted = match &socket {
            Acceptor::Tcp(socket) => socket.accept().await.map(|(stream, _)| {
                task::spawn(converse(stream, shared));
            }),
            Acceptor::Unix(socket) => socket.accept().await.map(|(stream, _)| {
                task::spawn(converse(stream, shared));
            }),
        };
        if let Err(error) = accepted {
            tracing::warn!(%error, "the admin address can't accept a connection");
            sleep(PAUSE).await;
        }
    }
}

/// What all connections of an admin address have.
struct Shared {
    live: Arc<Live>,
    reloads: mpsc::Sender<Reload>,
    listeners: Arc<Listeners>,
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Shared) {
    let service = service_fn(|request| answer(request, &shared));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
    if let Err(error) = http.serve_connection(TokioIo::new(Patient::new(stream)), service).await {
        tracing::debug!(%error, "an admin connection ended with an error");
    }
}

async fn answer(request: Request<Incoming>, shared: &Shared) -> Result<AdminAnswer, Infallible> {
    let path = request.uri().path();
    let Some(resource) = resources::find(request.method(), path) else {
        return Ok(resources::none(path));
    };
    let caller = Caller { role: Role::Write, name: None, peer: "the admin address".into() };
    if caller.role < resource.role {
        let error = format!("this needs the role `{}`", resource.role.name());
        return Ok(answer::refusal(StatusCode::FORBIDDEN, &error));
    }
    let (head, body) = request.into_parts();
    let body = if resource.method == Method::POST {
        match Limited::new(body, LONGEST_BODY).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => {
                let error = format!("the body can't be read: {error}");
                return Ok(answer::refusal(StatusCode::BAD_REQUEST, &error));
            }
        }
    } else {
        Bytes::new()
    };
    let ask = Ask {
        live: Arc::clone(&shared.live),
        reloads: shared.reloads.clone(),
        listeners: Arc::clone(&shared.listeners),
        caller,
        head,
        body,
    };
    Ok(resource.handler.answer(&ask).await)
}
