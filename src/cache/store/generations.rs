//! Purges: what is older than the last purge of one of its names is dead, or stale.
//!
//! Owns: the count of purges, and for each name when it was last purged. May touch: nothing outside
//! this room.
//!
//! A purge notes its number and is done, however many objects it hits. A fetch takes the number of
//! the last purge when it begins; its response is alive while none of its names was purged since.
//! So a purge hits responses that are still on their way, too.
//!
//! Numbers are this process's own. A purge that another instance tells of is a purge here, at the
//! time it is heard; what is read from a tier that is shared counts as fetched when the reading
//! began, and whether it was alive there the tier has to say.

use std::sync::{
    Mutex, PoisonError,
    atomic::{
        AtomicU64,
        Ordering::{Acquire, Release},
    },
};

use super::{
    key, kind,
    label::Label,
    marks::Marks,
    prefixes::Prefixes,
    seq::{PurgeState, Seq},
};

/// What to purge.
#[derive(Clone, Copy, Debug)]
pub enum PurgeTarget<'a> {
    /// All variants of a URL, written as its labels have it.
    Url(&'a [u8]),
    /// All URLs of a host.
    Host(&'a [u8]),
    /// All that has a tag.
    Tag(&'a [u8]),
    /// All URLs that begin so.
    Prefix(&'a [u8]),
    /// Everything.
    All,
}

/// When what was purged.
#[derive(Debug)]
pub struct Generations {
    last: AtomicU64,
    /// For one purge at a time.
    purging: Mutex<()>,
    /// Apart from the others, as clients' writes purge URLs: they can't wear out tags.
    urls: Marks,
    /// Hosts and tags.
    names: Marks,
    prefixes: Prefixes,
    /// The last purge of everything, hard and soft.
    all: [AtomicU64; 2],
}

impl Default for Generations {
    fn default() -> Self {
        Self {
            last: AtomicU64::new(0),
            purging: Mutex::new(()),
            urls: Marks::new(),
            names: Marks::new(),
            prefixes: Prefixes::default(),
            all: [AtomicU64::new(0), AtomicU64::new(0)],
        }
    }
}

impl Generations {
    /// None after this number yet: it and those before are another process's.
    pub(super) fn starting_at(last: Seq) -> Self {
        Self { last: AtomicU64::new(last.0), ..Self::default() }
    }

    /// To be taken when a fetch begins, before its request is sent.
    pub fn now(&self) -> Seq {
        Seq(self.last.load(Acquire))
    }

    /// What the purges mean for a response.
    pub fn state(&self, label: &Label) -> PurgeState {
        let known = if label.is_stale() { PurgeState::Stale } else { PurgeState::Alive };
        let alive_at = label.alive_at().0;
        if self.last.load(Acquire) <= alive_at {
            return known;
        }
        let [hard, soft] = &self.all;
        if hard.load(Acquire) > alive_at {
            return PurgeState::Dead;
        }
        let all = if soft.load(Acquire) > alive_at { PurgeState::Stale } else { known };
        let state = all.max(self.urls.state([label.url_mark()], alive_at));
        let state = state.max(self.names.state(label.name_marks(), alive_at));
        state.max(self.prefixes.state(label.url(), alive_at))
    }

    /// The same for one that is stored. The label remembers it, so that each purge is looked at
    /// once, and none is forgotten before as long as all that is stored is swept now and then.
    pub(super) fn check(&self, label: &Label) -> PurgeState {
        // Taken first: a purge that comes meanwhile is looked at the next time.
        let now = self.now();
        let state = self.state(label);
        if state != PurgeState::Dead && now > label.alive_at() {
            label.checked(now, state == PurgeState::Stale);
        }
        state
    }

    /// Whether a response may be stored now: whether it is alive or stale, and its fetch didn't
    /// begin too long ago to tell. The label remembers it: a sweep that has been at its place already
    /// may end, and forget a prefix that it was purged by, before anybody looks at it again.
    pub(super) fn admits(&self, label: &Label) -> bool {
        !self.prefixes.forgot(label.alive_at().0) && self.check(label) != PurgeState::Dead
    }

    /// The same for one that no sweep looks at, as it is stored elsewhere: dead as well if its fetch
    /// began too long ago to tell.
    pub fn verdict(&self, label: &Label) -> PurgeState {
        let state = self.state(label);
        if self.prefixes.forgot(label.alive_at().0) { PurgeState::Dead } else { state }
    }

    /// Forgets the older half of the purges by prefix once there are more than `most`: for what
    /// is stored elsewhere, and asked for by [`Generations::verdict`].
    pub fn bound_prefixes(&self, most: usize) {
        self.prefixes.bound(most);
    }

    /// Purges, hard or soft. When it has returned, all that was fetched before is purged.
    pub fn purge(&self, target: &PurgeTarget<'_>, soft: bool) -> Seq {
        let _one = self.purging.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.last.load(Acquire) + 1;
        // A fetch must not take this number before the purge is noted, so it is told last; but who
        // looks at labels looks at it first, and must not skip what is noted.
        match *target {
            PurgeTarget::Url(url) => self.urls.purge(key::mark(kind::URL, url), soft, number),
            PurgeTarget::Host(host) => self.names.purge(key::mark(kind::HOST, host), soft, number),
            PurgeTarget::Tag(tag) => self.names.purge(key::mark(kind::TAG, tag), soft, number),
            PurgeTarget::Prefix(prefix) => self.prefixes.purge(prefix, soft, number),
            PurgeTarget::All => self.all[usize::from(soft)].store(number, Release),
        }
        self.last.store(number, Release);
        Seq(number)
    }

    pub(super) fn prefixes(&self) -> &Prefixes {
        &self.prefixes
    }
}
