//! HTTP/2 connections to servers, those of one worker.
//!
//! Owns: which connection takes the next request, and when another one is opened. May touch:
//! nothing outside this room. Requests share a connection ([`super::http2`]). Where one is being
//! opened, others wait for it instead of opening their own.

use super::{
    dial::{LineKey, Unconnected},
    http2_settings::Http2Settings,
    session::{BeingOpened, Held, Opening, Session},
    wire::Wire,
};
use foldhash::fast::FixedState;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// What a request finds.
pub enum Offer {
    /// A connection with room for it.
    Session(Session, Held),
    /// Another request is opening one: wait for that.
    Wait(BeingOpened),
    /// This request has to open one.
    Open(Opening),
    /// The connection opened last speaks HTTP/1 only, so nothing can be shared.
    Http1,
}

/// A server's connections.
#[derive(Default)]
struct ServerLine {
    sessions: Vec<Session>,
    idle_timeout: u64,
    opening: Option<BeingOpened>,
    waiting: u32,
}

impl ServerLine {
    fn open(&mut self) -> Opening {
        let opening = Opening::default();
        (self.opening, self.waiting) = (Some(opening.wait()), 1);
        opening
    }
}

/// HTTP/2 connections to servers.
#[derive(Default)]
pub struct Sessions {
    lines: Mutex<HashMap<LineKey, ServerLine, FixedState>>,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Sessions").field(&self.lock().len()).finish()
    }
}

impl Sessions {
    /// A connection for a request, or what has to be done for one.
    pub fn take(&self, key: LineKey, now: u64, settings: &Http2Settings) -> Offer {
        let mut lines = self.lock();
        let line = lines.entry(key).or_default();
        line.idle_timeout = settings.idle_timeout;
        line.sessions.retain(|it| !it.is_closed());
        for session in &line.sessions {
            if let Some(held) = session.hold(now, settings) {
                return Offer::Session(session.clone(), held);
            }
        }
        // As many requests wait for a connection that is being opened as will fit on it.
        if let Some(opening) = &line.opening {
            if opening.is_under_way() && line.waiting < settings.streams {
                line.waiting += 1;
                return Offer::Wait(opening.clone());
            }
            if opening.was_http1() {
                return Offer::Http1;
            }
        }
        Offer::Open(line.open())
    }

    /// Has this request open a connection in any case.
    pub fn open(&self, key: LineKey) -> Opening {
        self.lock().entry(key).or_default().open()
    }

    /// Takes a connection on which a server has agreed to speak HTTP/2, and gives the first request
    /// its place on it.
    pub async fn begin(
        &self,
        key: LineKey,
        wire: Wire,
        opening: Opening,
        (begun, within): ((Instant, u64), Duration),
        settings: Http2Settings,
    ) -> Result<(Session, Held), Arc<Unconnected>> {
        let (session, held) = Session::begin(wire, opening, begun, within, settings).await?;
        self.lock().entry(key).or_default().sessions.push(session.clone());
        Ok((session, held))
    }

    /// Drops connections that have ended, are idle for too long, or lead to no current server.
    pub fn sweep(&self, now: u64, is_current: impl Fn(u64) -> bool) {
        self.lock().retain(|key, line| {
            if !is_current(key.0) {
                return false;
            }
            let idle_timeout = line.idle_timeout;
            line.sessions.retain(|it| !it.is_over(now, idle_timeout));
            let opens = line.opening.as_ref().is_some_and(BeingOpened::is_under_way);
            !line.sessions.is_empty() || opens
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LineKey, ServerLine, FixedState>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
