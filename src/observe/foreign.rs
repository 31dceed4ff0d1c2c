//! What libraries have to say, at a rate that no client can raise.
//!
//! Owns: how often a warning of another crate is logged, and the address of the client that it is
//! about. May touch: nothing of ours. [`super::logging`] puts it in front of everything that writes.

use std::{
    cell::Cell,
    collections::HashMap,
    fmt::{self, Write as _},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use tracing::{
    Event, Level, Subscriber,
    callsite::Identifier,
    field::{Field, Visit},
};
use tracing_subscriber::layer::{Context, Layer};

/// Between two lines from one place in a library's code.
const PAUSE: Duration = Duration::from_secs(60);

thread_local! {
    static CLIENT: Cell<Option<IpAddr>> = const { Cell::new(None) };
}

/// Does `work`, which is for this client: what a library says meanwhile is about it. A span would cost
/// every poll more than the poll itself.
pub fn about_client<T>(client: IpAddr, work: impl FnOnce() -> T) -> T {
    CLIENT.set(Some(client));
    let done = work();
    CLIENT.set(None);
    done
}

/// Lets what is our own pass, and says now and then what others say.
#[derive(Default)]
pub struct Foreign(Mutex<HashMap<Identifier, Said>>);

/// Of one place in a library's code.
struct Said {
    last: Instant,
    since: u64,
}

impl Foreign {
    /// How many were kept back since the last that was said, if another may be said now.
    fn may_say(&self, place: Identifier, now: Instant) -> Option<u64> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(said) = places.get_mut(&place) else {
            places.insert(place, Said { last: now, since: 0 });
            return Some(0);
        };
        if now < said.last + PAUSE {
            said.since += 1;
            return None;
        }
        let kept_back = said.since;
        *said = Said { last: now, since: 0 };
        Some(kept_back)
    }
}

impl<S: Subscriber> Layer<S> for Foreign {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let about = event.metadata();
        let library = about.target();
        if library.starts_with("sheave") {
            return true;
        }
        if let Some(kept_back) = self.may_say(about.callsite(), Instant::now()) {
            let mut text = Text::default();
            event.record(&mut text);
            let text = text.0;
            let client = CLIENT.get().map(tracing::field::display);
            // One of our own, which comes by here again.
            if *about.level() == Level::ERROR {
                tracing::error!(library, client, kept_back, "{text}");
            } else {
                tracing::warn!(library, client, kept_back, "{text}");
            }
        }
        false
    }
}

/// An event's message, and its fields behind it.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // A `String` takes whatever is written.
        let _ = if field.name() == "message" {
            write!(self.0, "{value:?}")
        } else {
            write!(self.0, " {}={value:?}", field.name())
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::callsite::Callsite as _;

    #[test]
    fn one_a_minute_is_said_and_the_others_are_counted() {
        let foreign = Foreign::default();
        let place = || {
            tracing::callsite! { name: "place", kind: tracing::metadata::Kind::EVENT, fields: message }
                .metadata()
                .callsite()
        };
        let other = tracing::callsite! {
            name: "other", kind: tracing::metadata::Kind::EVENT, fields: message
        };
        let now = Instant::now();
        assert_eq!(foreign.may_say(place(), now), Some(0));
        for _ in 0..1000 {
            assert_eq!(foreign.may_say(place(), now + PAUSE / 2), None);
        }
        assert_eq!(foreign.may_say(other.metadata().callsite(), now), Some(0));
        assert_eq!(foreign.may_say(place(), now + PAUSE), Some(1000));
        assert_eq!(foreign.may_say(place(), now + PAUSE), None);
        assert_eq!(foreign.may_say(place(), now + 3 * PAUSE), Some(1));
    }
}
