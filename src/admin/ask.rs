//! A request at the admin address, and who may make it.
//!
//! Owns: what a handler is given. May touch: [`crate::settings`], [`crate::snapshot`].

use super::{
    Reload,
    answer::{AdminAnswer, document},
    listening::Listeners,
};
use crate::{settings::Role, snapshot::Live};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{StatusCode, request::Parts};
use serde_json::json;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Who asks.
#[derive(Debug)]
pub(super) struct Caller {
    /// What they may do.
    pub role: Role,
    /// Their name in the config; `None` for those who have none.
    pub name: Option<Arc<str>>,
    /// Where the connection comes from, for people.
    pub peer: Arc<str>,
    /// By their client certificate, if they have one.
    pub subject: Option<Arc<str>>,
}

impl Caller {
    /// Who it is, for people.
    pub(super) fn told(&self) -> Arc<str> {
        Arc::clone(self.name.as_ref().unwrap_or(&self.peer))
    }
}

/// A request, with its body read.
pub(super) struct Ask {
    /// What runs.
    pub live: Arc<Live>,
    /// Where a reload is asked for.
    pub reloads: mpsc::Sender<Reload>,
    /// Who listens to `/events`.
    pub listeners: Arc<Listeners>,
    /// Who asks.
    pub caller: Arc<Caller>,
    /// Method, path, query and fields.
    pub head: Parts,
    /// The body: empty unless the method is POST.
    pub body: Bytes,
}

impl Ask {
    /// What follows the `?`.
    pub(super) fn query(&self) -> Option<&str> {
        self.head.uri.query()
    }

    /// Has the config loaded again, or only what an operator has set taken up; the new generation,
    /// or the answer that says why not.
    pub(super) async fn reload(&self, unchanged: bool) -> Result<u64, Box<AdminAnswer>> {
        let (reply, outcome) = oneshot::channel();
        // A closed channel shows in the outcome.
        let _ = self.reloads.send(Reload { unchanged, reply }).await;
        let refused = |(status, told)| Box::new(document(status, &told));
        // The daemon is stopping and does not reload.
        let stopping = || (StatusCode::SERVICE_UNAVAILABLE, json!({ "status": "draining" }));
        let outcome = outcome.await.map_err(|_| refused(stopping()))?;
        outcome.map_err(|errors| refused((StatusCode::UNPROCESSABLE_ENTITY, errors)))
    }
}

/// What answers.
pub(super) enum Handler {
    /// It answers at once.
    Now(fn(&Ask) -> AdminAnswer),
    /// It waits for something: write `Later(|ask| Box::pin(purge(ask)))`.
    Later(for<'a> fn(&'a Ask) -> BoxFuture<'a, AdminAnswer>),
}

impl Handler {
    /// The answer.
    pub(super) async fn answer(&self, ask: &Ask) -> AdminAnswer {
        match self {
            Self::Now(answer) => answer(ask),
            Self::Later(answer) => answer(ask).await,
        }
    }
}
