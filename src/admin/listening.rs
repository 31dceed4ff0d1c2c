//! Who listens to `/events`, and the one task that renders for all of them.
//!
//! Owns: both. May touch: [`crate::snapshot`], [`crate::task`]. Nothing is computed while nobody
//! listens. A listener gets everything first, and then what has changed; one that does not keep up is
//! dropped, and may come back.

use super::rows::Told;
use crate::{snapshot::Live, task};
use bytes::Bytes;
use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

/// Between two events. They are the heartbeat, too: one comes even if nothing has changed.
const PERIOD: Duration = Duration::from_secs(1);

/// Listeners at once.
pub(super) const MOST: usize = 32;

/// Events that may wait for one listener, beside those in its socket.
const WAITING: usize = 4;

/// Everybody who listens at one admin address.
pub(super) struct Listeners {
    /// What runs now.
    look: fn(&Live) -> Told,
    listening: Mutex<ListenersNow>,
}

#[derive(Default)]
struct ListenersNow {
    listeners: Vec<mpsc::Sender<Bytes>>,
    /// Whether there is a task that renders.
    rendered: bool,
    /// What the listeners know; `None` before the first rendering.
    known: Option<Told>,
    /// The admin address has ended.
    ended: bool,
}

/// Ends all of an admin address's events when it is dropped.
pub(super) struct EndsEvents(pub Arc<Listeners>);

impl Drop for EndsEvents {
    fn drop(&mut self) {
        let mut listening = self.0.lock();
        listening.ended = true;
        listening.listeners.clear();
    }
}

impl Listeners {
    /// Nobody yet. They will be told what `look` finds.
    pub(super) fn new(look: fn(&Live) -> Told) -> Self {
        Self { look, listening: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, ListenersNow> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another listener; `None` if there are too many.
    pub(super) fn join(self: &Arc<Self>, live: &Arc<Live>) -> Option<mpsc::Receiver<Bytes>> {
        let (tell, events) = mpsc::channel(WAITING);
        let mut listening = self.lock();
        listening.listeners.retain(|it| !it.is_closed());
        if listening.listeners.len() >= MOST || listening.ended {
            return None;
        }
        if let Some(known) = &listening.known {
            // The channel is empty, so this can't fail.
            let _ = tell.try_send(known.whole());
        }
        if !mem::replace(&mut listening.rendered, true) {
            task::spawn(render(Arc::clone(self), Arc::clone(live)));
        }
        listening.listeners.push(tell);
        Some(events)
    }
}

/// Renders once a second for as long as somebody listens.
async fn render(events: Arc<Listeners>, live: Arc<Live>) {
    let mut seconds = interval(PERIOD);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        seconds.tick().await;
        let mut listening = events.lock();
        listening.listeners.retain(|it| !it.is_closed());
        if listening.listeners.is_empty() {
            (listening.rendered, listening.known) = (false, None);
            return;
        }
        let now = (events.look)(&live);
        let known = listening.known.as_ref();
        let event = known.map_or_else(|| now.whole(), |known| now.since(known));
        listening.listeners.retain(|it| it.try_send(event.clone()).is_ok());
        listening.known = Some(now);
    }
}
