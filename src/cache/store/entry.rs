//! What a store keeps under a key.
//!
//! Owns: the caller's value, with its label. May touch: nothing outside this room.

use super::label::Label;

/// What a value has on the heap beside itself, in bytes. It must never change.
pub trait Weighed {
    /// The bytes.
    fn weight(&self) -> u64;
}

/// A value and its names.
#[derive(Debug)]
pub struct StoredEntry<V> {
    label: Label,
    value: V,
}

/// What an entry costs beside itself and what it has on the heap: its place, its part of the
/// table, what is remembered when it is evicted.
const OVERHEAD: u64 = 80;

/// Allocators round up: by one byte in so many.
const ROUNDED: u64 = 16;

impl<V> StoredEntry<V> {
    /// A value with its names.
    pub fn new(label: Label, value: V) -> Self {
        Self { label, value }
    }

    /// Its names.
    pub fn label(&self) -> &Label {
        &self.label
    }

    /// The value.
    pub fn value(&self) -> &V {
        &self.value
    }
}

impl<V: Weighed> StoredEntry<V> {
    /// The bytes it costs in all.
    pub fn weight(&self) -> u64 {
        // An Arc has two counts.
        let own = 16 + size_of::<Self>() as u64;
        let all = own + self.label.weight() + self.value.weight();
        all + all / ROUNDED + OVERHEAD
    }
}
