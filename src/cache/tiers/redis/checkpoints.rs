//! Which of this process's purges had been applied at a generation of Redis.
//!
//! Owns: a bounded list. May touch: nothing outside this room.

/// More are thinned out.
const MOST: usize = 8192;

/// Generations, rising, and what was known at each. The first is the base: what is older can't be
/// judged. The last is what is applied.
#[derive(Debug)]
pub(super) struct Checkpoints<T> {
    list: Vec<(u64, T)>,
}

impl<T: Copy> Checkpoints<T> {
    /// With a base.
    pub(super) fn new(base: u64, at: T) -> Self {
        Self { list: vec![(base, at)] }
    }

    /// The last generation.
    pub(super) fn last(&self) -> u64 {
        self.list.last().map_or(0, |it| it.0)
    }

    /// The first generation.
    pub(super) fn base(&self) -> u64 {
        self.list.first().map_or(0, |it| it.0)
    }

    /// Adds one. One that is not above the last is nothing new.
    pub(super) fn push(&mut self, generation: u64, at: T) {
        if generation <= self.last() {
            return;
        }
        self.list.push((generation, at));
        if self.list.len() > MOST {
            // Of the older half every second one goes, but the first. So old ones get rare, and new
            // ones are exact.
            let mut index = 0;
            self.list.retain(|_| {
                index += 1;
                index % 2 == 1 || index > MOST / 2
            });
        }
    }

    /// What was known at this generation, or before it. None below the base and above the last.
    pub(super) fn at(&self, generation: u64) -> Option<T> {
        if generation > self.last() {
            return None;
        }
        let above = self.list.partition_point(|it| it.0 <= generation);
        above.checked_sub(1).map(|index| self.list[index].1)
    }

    /// Redis has lost all above this generation.
    pub(super) fn rewind(&mut self, generation: u64) {
        let at = self.at(generation);
        self.list.retain(|it| it.0 < generation);
        if let Some(at) = at {
            self.list.push((generation, at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_never_later_than_what_is_exact(
            steps in prop::collection::vec(1_u64..4, 0..20_000),
            asked in prop::collection::vec(any::<prop::sample::Index>(), 100),
        ) {
            let mut all = vec![(1000, 0)];
            let mut checkpoints = Checkpoints::new(1000, 0);
            for (number, step) in steps.iter().enumerate() {
                let next = (all[number].0 + step, number + 1);
                checkpoints.push(next.0, next.1);
                all.push(next);
                prop_assert!(checkpoints.list.len() <= MOST);
            }
            let last = all[all.len() - 1];
            prop_assert_eq!((checkpoints.base(), checkpoints.last()), (1000, last.0));
            prop_assert_eq!(checkpoints.at(last.0), Some(last.1));
            prop_assert_eq!(checkpoints.at(last.0 + 1), None);
            prop_assert_eq!(checkpoints.at(999), None);
            for index in asked {
                let generation = 1000 + index.index((last.0 - 999) as usize) as u64;
                let exact = all.iter().rev().find(|it| it.0 <= generation).unwrap().1;
                let found = checkpoints.at(generation).unwrap();
                prop_assert!(found <= exact);
                // The newest are exact.
                if exact + MOST / 4 > last.1 {
                    prop_assert_eq!(found, exact);
                }
            }
        }
    }

    #[test]
    fn what_redis_lost_is_judged_by_what_was_before() {
        let mut checkpoints = Checkpoints::new(10, 'a');
        checkpoints.push(20, 'b');
        checkpoints.push(30, 'c');
        checkpoints.rewind(25);
        checkpoints.push(40, 'd');
        let at = [9, 19, 24, 39, 40, 41].map(|it| checkpoints.at(it));
        assert_eq!(at, [None, Some('a'), Some('b'), Some('b'), Some('d'), None]);
        checkpoints.rewind(5);
        assert_eq!((checkpoints.at(5), checkpoints.last()), (None, 0));
    }
}
