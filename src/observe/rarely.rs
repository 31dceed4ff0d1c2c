//! Log lines that clients can cause in any number: one a minute is written, and the others are
//! counted.
//!
//! Owns: when the next line may be written. May touch: nothing outside this room.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The time between two lines about one thing.
const PAUSE: Duration = Duration::from_secs(60);

/// When each kind of line was last written. There must be few kinds, or this map would grow.
#[derive(Debug)]
pub struct Rarely<K>(Mutex<HashMap<K, Said>>);

#[derive(Debug)]
struct Said {
    last: Instant,
    since: u64,
}

impl<K> Default for Rarely<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Rarely<K> {
    /// How many lines were kept back since the last one, if another may be written `now`.
    pub fn may_say(&self, thing: K, now: Instant) -> Option<u64> {
        let mut things = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(said) = things.get_mut(&thing) else {
            things.insert(thing, Said { last: now, since: 0 });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_minute_is_said_and_the_others_are_counted() {
        let rarely = Rarely::default();
        let now = Instant::now();
        assert_eq!(rarely.may_say("a", now), Some(0));
        for _ in 0..1000 {
            assert_eq!(rarely.may_say("a", now + PAUSE / 2), None);
        }
        assert_eq!(rarely.may_say("b", now), Some(0));
        assert_eq!(rarely.may_say("a", now + PAUSE), Some(1000));
        assert_eq!(rarely.may_say("a", now + PAUSE), None);
        assert_eq!(rarely.may_say("a", now + 3 * PAUSE), Some(1));
    }
}
