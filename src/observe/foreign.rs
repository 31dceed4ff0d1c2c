//! Log lines of libraries, at a rate that no client can raise.
//!
//! Owns: which lines these are, and the address of the client that one is about. May touch:
//! [`crate::cidr`]. [`super::logging`] puts it in front of everything that writes.

use super::rarely::Rarely;
use crate::cidr::PeerAddress;
use std::{
    cell::Cell,
    fmt::{self, Write as _},
    time::Instant,
};
use tracing::{
    Event, Level, Subscriber,
    callsite::Identifier,
    field::{Field, Visit},
};
use tracing_subscriber::layer::{Context, Layer};

thread_local! {
    static CLIENT: Cell<Option<PeerAddress>> = const { Cell::new(None) };
}

/// Does `work` for this client: what a library logs meanwhile is about the client. A span would
/// cost every poll more than the poll itself.
pub fn about_client<T>(client: PeerAddress, work: impl FnOnce() -> T) -> T {
    CLIENT.set(Some(client));
    let done = work();
    CLIENT.set(None);
    done
}

/// Lets our own lines pass, and those of libraries only at a limited rate.
#[derive(Default)]
pub struct Foreign(Rarely<Identifier>);

impl<S: Subscriber> Layer<S> for Foreign {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let about = event.metadata();
        let library = about.target();
        if library.starts_with("sheave") {
            return true;
        }
        if let Some(kept_back) = self.0.may_say(about.callsite(), Instant::now()) {
            let mut text = EventText::default();
            event.record(&mut text);
            let text = text.0;
            let client = CLIENT.get().map(tracing::field::display);
            // The line below is our own, and passes this place again.
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
struct EventText(String);

impl Visit for EventText {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a `String` never fails.
        let _ = if field.name() == "message" {
            write!(self.0, "{value:?}")
        } else {
            write!(self.0, " {}={value:?}", field.name())
        };
    }
}
