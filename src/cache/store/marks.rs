//! When the things that have a name were last purged: a table that doesn't grow.
//!
//! Owns: a fixed number of lines of 64 bytes. May touch: nothing outside this room. Many read, one
//! writes at a time (the caller sees to it).
//!
//! A name is known by its mark, a keyed hash of 32 bits: 13 choose the line, 19 are written down
//! with the number of the purge. A line has six such notes. When a seventh name is purged, the
//! oldest note is dropped, and the line remembers only that something was purged then: all that
//! has a mark in this line and is older counts as purged. So a purge hits too much
//! - of what was fetched or looked at within the last 8,192 purges of different names: one object
//!   in 12,000 for each of its marks (that is how rarely a line gets seven of them);
//! - of what is older by far: one object in 8,192 for each of its marks, with every purge.
//!
//! It never hits too little. A plain table of 65,536 numbers has the same size, but hits one object
//! in 65,536 per mark with every purge: too often where each write by a client purges a URL.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use super::seq::PurgeState;

/// As a power of two.
const LINES: u32 = 13;

/// Bits of a note for the number of the purge: enough for a million purges a second for 200 days.
const NUMBER: u32 = 44;

/// The number's part of a note.
const NUMBERS: u64 = (1 << NUMBER) - 1;

/// The bit of a note that says soft.
const SOFT: u64 = 1 << NUMBER;

/// The number up to which hard purges were forgotten, the same of soft ones, and six notes. A note
/// is what is left of the mark, then whether the purge was soft, then its number.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicU64; 8]);

/// Purges by mark.
#[derive(Debug)]
pub(super) struct Marks {
    lines: Box<[Line]>,
    /// The last purge. What was fetched since needn't look further.
    last: AtomicU64,
}

impl Marks {
    pub(super) fn new() -> Self {
        let lines = (0..1 << LINES).map(|_| Line::default()).collect();
        Self { lines, last: AtomicU64::new(0) }
    }

    /// What the purges mean for something with these marks that was fetched from `begun` on.
    pub(super) fn state(&self, marks: impl IntoIterator<Item = u32>, begun: u64) -> PurgeState {
        if self.last.load(Acquire) <= begun {
            return PurgeState::Alive;
        }
        marks.into_iter().map(|mark| self.state_of(mark, begun)).max().unwrap_or(PurgeState::Alive)
    }

    fn state_of(&self, mark: u32, begun: u64) -> PurgeState {
        let [hard, soft, notes @ ..] = &self.line(mark).0;
        let mut state = PurgeState::Alive;
        // Notes first, then what was forgotten: a note that is dropped meanwhile is in either.
        for note in notes {
            let note = note.load(Acquire);
            if note & NUMBERS > begun && (note & !SOFT) >> NUMBER == rest(mark) {
                state =
                    state.max(if note & SOFT == 0 { PurgeState::Dead } else { PurgeState::Stale });
            }
        }
        if hard.load(Acquire) > begun {
            return PurgeState::Dead;
        }
        if soft.load(Acquire) > begun { state.max(PurgeState::Stale) } else { state }
    }

    /// Notes a purge. Only one thread at a time may do so.
    pub(super) fn purge(&self, mark: u32, soft: bool, number: u64) {
        let [hard_floor, soft_floor, notes @ ..] = &self.line(mark).0;
        let kind = if soft { SOFT } else { 0 };
        let name = rest(mark) << NUMBER | kind;
        let same = |note: &&AtomicU64| {
            let note = note.load(Relaxed);
            note != 0 && note & !NUMBERS == name
        };
        let oldest = || notes.iter().min_by_key(|note| note.load(Relaxed) & NUMBERS);
        if let Some(note) = notes.iter().find(same).or_else(oldest) {
            let dropped = note.load(Relaxed);
            if dropped & !NUMBERS != name {
                let floor = if dropped & SOFT == 0 { hard_floor } else { soft_floor };
                floor.fetch_max(dropped & NUMBERS, Release);
            }
            note.store(name | number & NUMBERS, Release);
        }
        self.last.store(number, Release);
    }

    fn line(&self, mark: u32) -> &Line {
        &self.lines[mark as usize & (self.lines.len() - 1)]
    }
}

/// What of a mark isn't told by its line. Shifted by one, as the bit for soft stands below it.
fn rest(mark: u32) -> u64 {
    u64::from(mark >> LINES) << 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_hits_what_is_older() {
        let marks = Marks::new();
        marks.purge(77, false, 5);
        marks.purge(77, true, 9);
        let state = |begun| marks.state([1, 77], begun);
        assert_eq!(state(4), PurgeState::Dead);
        assert_eq!(state(5), PurgeState::Stale);
        assert_eq!(state(9), PurgeState::Alive);
        assert_eq!(marks.state([78, 77 + (1 << LINES)], 0), PurgeState::Alive);
    }

    #[test]
    fn a_full_line_hits_too_much_but_only_what_is_old() {
        let marks = Marks::new();
        for name in 1..=10 {
            marks.purge(name << LINES | 3, false, u64::from(name));
        }
        // The first four were forgotten.
        assert_eq!(marks.state([99 << LINES | 3], 3), PurgeState::Dead);
        assert_eq!(marks.state([99 << LINES | 3], 4), PurgeState::Alive);
        for name in 1..=10 {
            assert_eq!(marks.state([name << LINES | 3], u64::from(name) - 1), PurgeState::Dead);
        }
    }

    #[test]
    fn no_reader_misses_a_purge_when_lines_overflow() {
        let (marks, done) = (Marks::new(), AtomicU64::new(0));
        let mark = |number: u64| (number as u32).wrapping_mul(0x9E37_79B9);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 1..=300_000 {
                    marks.purge(mark(number), false, number);
                    done.store(number, Release);
                }
            });
            let mut random = 1_u64;
            loop {
                let last = done.load(Acquire);
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let number = last.saturating_sub((random >> 40) % 100_000).max(1).min(last);
                if number > 0 {
                    assert_eq!(marks.state([mark(number)], number - 1), PurgeState::Dead);
                }
                if last == 300_000 {
                    break;
                }
            }
        });
    }
}
