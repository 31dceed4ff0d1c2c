//! The store of a cache: responses in memory, shared by all threads.
//!
//! Owns: the shelves and their locks, the purges, the counts. May touch: nothing outside this room.
//! See [`Shelf`] for what goes when it is full, [`Generations`] for purges, [`StoredHead`] and
//! [`StoredBody`] for how to keep a response small.
//!
//! A lookup takes a read lock for the time of one probe and one reference count, and looks at the
//! purges after it. Nothing runs by itself: what was purged goes when it is looked up, when it is
//! evicted, or by [`Store::sweep`].

mod body;
mod entry;
mod generations;
mod ghosts;
mod head;
mod key;
mod kind;
mod label;
mod marks;
mod names;
mod prefixes;
mod seq;
mod shards;
mod shelf;
mod slab;
mod stats;
mod sweep;
#[cfg(test)]
mod tests;

pub use self::{
    body::StoredBody,
    entry::{StoredEntry, Weighed},
    generations::{Generations, PurgeTarget},
    head::{StoredFields, StoredHead},
    key::StoreKey,
    label::{LONGEST_TAG, Label, MOST_TAGS},
    seq::{PurgeState, Seq},
    shards::{Store, StoreHit},
    shelf::{Inserted, Shelf},
    stats::StoreStats,
    sweep::{Sweep, Swept, Walk},
};
