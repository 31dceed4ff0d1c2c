//! A request at the admin address, and who may make it.
//!
//! Owns: what a handler is given. May touch: [`crate::snapshot`].

use super::{Reload, answer::AdminAnswer};
use crate::snapshot::Live;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::request::Parts;
use std::sync::Arc;
use tokio::sync::mpsc;

/// What somebody may do; each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Ask whether the process lives and is ready, as probes do.
    Probe,
    /// See everything.
    Read,
    /// Change what runs.
    Write,
}

impl Role {
    /// Its name, as the config and `/whoami` have it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Probe => "none",
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// Who asks.
#[derive(Debug)]
pub(super) struct Caller {
    /// What they may do.
    pub role: Role,
    /// Their name in the config; `None` for those who have none.
    pub name: Option<Arc<str>>,
}

/// A request, with its body read.
pub(super) struct Ask {
    /// What runs.
    pub live: Arc<Live>,
    /// Where a reload is asked for.
    pub reloads: mpsc::Sender<Reload>,
    /// Who asks.
    pub caller: Caller,
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
