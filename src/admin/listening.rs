//! Who listens to `/events`, and the one task that renders for all of them.
//!
//! Owns: both. May touch: [`crate::task`]. Nothing is computed while nobody listens. A listener
//! gets everything first, and then what has changed; one that does not keep up is dropped, and may
//! come back.

use super::rows::Told;
use crate::task;
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

/// Events that may wait for one listener, beside those in its socket.
const WAITING: usize = 4;

/// Everybody who listens at one admin address.
pub(super) struct Listeners {
    /// What runs now.
    look: Box<dyn Fn() -> Told + Send + Sync>,
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
    pub(super) fn new(look: impl Fn() -> Told + Send + Sync + 'static) -> Self {
        Self { look: Box::new(look), listening: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, ListenersNow> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another listener; `None` if there are `most` already.
    pub(super) fn join(self: &Arc<Self>, most: usize) -> Option<mpsc::Receiver<Bytes>> {
        let (tell, events) = mpsc::channel(WAITING);
        let mut listening = self.lock();
        listening.listeners.retain(|it| !it.is_closed());
        if listening.listeners.len() >= most || listening.ended {
            return None;
        }
        if let Some(known) = &listening.known {
            // The channel is empty, so this can't fail.
            let _ = tell.try_send(known.whole());
        }
        if !mem::replace(&mut listening.rendered, true) {
            task::spawn(render(Arc::clone(self)));
        }
        listening.listeners.push(tell);
        Some(events)
    }
}

/// Renders once a second for as long as somebody listens.
async fn render(events: Arc<Listeners>) {
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
        let now = (events.look)();
        let known = listening.known.as_ref();
        let event = known.map_or_else(|| now.whole(), |known| now.since(known));
        listening.listeners.retain(|it| it.try_send(event.clone()).is_ok());
        listening.known = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Map;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use tokio::time::sleep;

    fn listeners() -> (Arc<Listeners>, Arc<AtomicUsize>) {
        let looked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&looked);
        let look = move || {
            let number = count.fetch_add(1, Relaxed);
            let rows = [("same".to_owned(), "0".to_owned()), ("n".to_owned(), number.to_string())];
            Told { head: Map::new(), rows: rows.into() }
        };
        (Arc::new(Listeners::new(look)), looked)
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_keep_up_is_dropped_and_the_others_are_not() {
        let (listeners, _) = listeners();
        let mut stuck = listeners.join(2).unwrap();
        let mut quick = listeners.join(2).unwrap();
        for _ in 0..WAITING + 3 {
            quick.recv().await.unwrap();
        }
        for _ in 0..WAITING {
            stuck.recv().await.unwrap();
        }
        assert_eq!(stuck.recv().await, None);
        assert!(quick.recv().await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_looked_at_while_nobody_listens() {
        let (listeners, looked) = listeners();
        sleep(PERIOD * 3).await;
        assert_eq!(looked.load(Relaxed), 0);
        let mut events = [listeners.join(2).unwrap(), listeners.join(2).unwrap()];
        for events in &mut events {
            let whole = events.recv().await.unwrap();
            assert!(whole.ends_with(b"\"rows\":{\"n\":0,\"same\":0}}\n\n"), "{whole:?}");
            assert!(events.recv().await.unwrap().ends_with(b"\"rows\":{\"n\":1}}\n\n"));
        }
        assert_eq!(looked.load(Relaxed), 2, "once for both");
        drop(events);
        sleep(PERIOD * 3).await;
        assert_eq!(looked.load(Relaxed), 2);
        // Who comes then begins anew.
        let whole = listeners.join(2).unwrap().recv().await.unwrap();
        assert!(whole.ends_with(b"\"rows\":{\"n\":2,\"same\":0}}\n\n"), "{whole:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn all_end_with_their_address() {
        let (listeners, _) = listeners();
        let ends = EndsEvents(Arc::clone(&listeners));
        let mut events = listeners.join(2).unwrap();
        events.recv().await.unwrap();
        drop(ends);
        assert_eq!(events.recv().await, None);
        assert!(listeners.join(2).is_none());
    }
}
