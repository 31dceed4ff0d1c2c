//! What an operator has set for a server while the daemon runs.
//!
//! Owns: drain and weight from the admin address. May touch: nothing outside this room. It is part
//! of the [`Server`](super::Server), so it holds as long as the server is in the config, and a
//! restart forgets it.

use arc_swap::ArcSwapOption;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// What an operator has set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overruled {
    /// It gets no new requests.
    pub drained: bool,
    /// It has this weight in place of the config's.
    pub weight: Option<u32>,
    /// Who set it, for people.
    pub by: Arc<str>,
}

/// The place for it in a server.
#[derive(Default)]
pub(super) struct OverruledCell {
    /// Every pick reads it; loading the `ArcSwap` would cost more.
    drained: AtomicBool,
    whole: ArcSwapOption<Overruled>,
}

impl OverruledCell {
    #[inline]
    pub(super) fn is_drained(&self) -> bool {
        self.drained.load(Relaxed)
    }

    pub(super) fn load(&self) -> Option<Arc<Overruled>> {
        self.whole.load_full()
    }

    /// One that sets nothing is forgotten.
    pub(super) fn store(&self, wanted: Overruled) {
        let drained = wanted.drained;
        let whole = (drained || wanted.weight.is_some()).then(|| Arc::new(wanted));
        self.whole.store(whole);
        self.drained.store(drained, Relaxed);
    }
}
