//! The leak watch: remembers samples and suspects.
//!
//! Owns: for how long. May touch: nothing outside this room. The control thread gives it a sample
//! every five seconds. [`super::leak`] decides.

use super::leak::{Grower, LeakSample, Suspect, suspects};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// The time between two samples.
pub const EVERY: Duration = Duration::from_secs(5);

/// The first minute is a warm-up.
const WARM_UP: Duration = Duration::from_secs(60);

/// The samples of so long are kept, and looked at once they are of `SOON` at least: a fast leak.
const RECENT: usize = 60;
const SOON: Duration = Duration::from_secs(150);

/// One of so many samples is kept for longer: a slow leak.
const THINNED: usize = 12;
const LONG: usize = 120;
const LATER: Duration = Duration::from_secs(40 * 60);

/// A suspicion must come up so often in a row.
const CONFIRMED: u32 = 3;
/// It is dropped when it has not come up for so long.
const FORGOTTEN: Duration = Duration::from_secs(5 * 60);

/// What is suspected.
#[derive(Clone, Copy, Debug)]
pub struct Suspicion {
    /// How much more it becomes in a minute.
    pub per_minute: f64,
    /// What there is now.
    pub amount: u64,
    /// When it was first told, since the start.
    pub since: Duration,
    seen: Duration,
}

/// What has changed with a sample.
#[derive(Debug, PartialEq)]
pub enum LeakNews {
    /// This is suspected from now on.
    Suspected(Suspect),
    /// This no longer grows.
    Settled(Grower),
}

/// Samples and suspects.
#[derive(Debug, Default)]
pub struct LeakWatch {
    recent: VecDeque<LeakSample>,
    long: VecDeque<LeakSample>,
    taken: usize,
    /// How often in a row each came up.
    in_a_row: BTreeMap<Grower, u32>,
    suspected: BTreeMap<Grower, Suspicion>,
}

impl LeakWatch {
    /// Looks at one more sample.
    pub fn add(&mut self, sample: LeakSample) -> Vec<LeakNews> {
        if sample.at < WARM_UP {
            return Vec::new();
        }
        if self.taken.is_multiple_of(THINNED) {
            push(&mut self.long, sample.clone(), LONG);
        }
        self.taken += 1;
        let now = sample.at;
        let amounts = sample.amounts;
        push(&mut self.recent, sample, RECENT);
        let mut found = suspects(self.recent.make_contiguous(), SOON);
        if found.is_empty() {
            found = suspects(self.long.make_contiguous(), LATER);
        }
        self.in_a_row.retain(|what, _| found.iter().any(|it| it.what == *what));
        let mut news = Vec::new();
        for suspect in found {
            let Suspect { what, per_minute } = suspect;
            let row = self.in_a_row.entry(what).or_default();
            *row += 1;
            if *row < CONFIRMED {
                continue;
            }
            let amount = amounts[what as usize];
            let known = self.suspected.get(&what).map(|it| it.since);
            if known.is_none() {
                news.push(LeakNews::Suspected(suspect));
            }
            let since = known.unwrap_or(now);
            self.suspected.insert(what, Suspicion { per_minute, amount, since, seen: now });
        }
        self.suspected.retain(|what, it| {
            let stays = now.saturating_sub(it.seen) < FORGOTTEN;
            if !stays {
                news.push(LeakNews::Settled(*what));
            }
            stays
        });
        news
    }

    /// What is suspected now, and since when.
    pub fn suspicions(&self) -> impl Iterator<Item = (Grower, Suspicion)> {
        self.suspected.iter().map(|(what, it)| (*what, *it))
    }

    /// What is suspected now.
    pub fn suspected(&self) -> impl Iterator<Item = Suspect> {
        self.suspected.iter().map(|(what, it)| Suspect { what: *what, per_minute: it.per_minute })
    }

    /// How many samples it has, and of how long.
    pub fn seen(&self) -> (usize, Duration) {
        let first = self.long.front().or(self.recent.front());
        let (first, last) = (first.map(|it| it.at), self.recent.back().map(|it| it.at));
        (self.taken, last.zip(first).map_or(Duration::ZERO, |it| it.0.saturating_sub(it.1)))
    }
}

fn push(samples: &mut VecDeque<LeakSample>, sample: LeakSample, most: usize) {
    if samples.len() == most {
        samples.pop_front();
    }
    samples.push_back(sample);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: u64, heap: u64) -> LeakSample {
        let mut amounts = [100; Grower::ALL.len()];
        amounts[Grower::Heap as usize] = heap << 20;
        LeakSample { at: Duration::from_secs(at), rate: 300, amounts }
    }

    /// What is told of `seconds`, and when.
    fn run(
        watch: &mut LeakWatch,
        seconds: std::ops::Range<u64>,
        heap: impl Fn(u64) -> u64,
    ) -> Vec<(u64, LeakNews)> {
        let told = |at| watch.add(sample(at, heap(at))).into_iter().map(move |it| (at, it));
        seconds.step_by(5).flat_map(told).collect()
    }

    #[test]
    fn a_leak_is_told_once_and_within_five_minutes_and_forgotten_when_it_has_stopped() {
        let mut watch = LeakWatch::default();
        let news = run(&mut watch, 0..1200, |at| 100 + at / 2);
        let [(at, LeakNews::Suspected(suspect))] = &news[..] else { panic!("{news:?}") };
        assert!(*at <= 300, "{at}");
        assert_eq!(suspect.what, Grower::Heap);
        assert!((suspect.per_minute / f64::from(1 << 20) - 30.0).abs() < 3.0, "{suspect:?}");
        assert_eq!(watch.suspected().count(), 1);
        let news = run(&mut watch, 1200..2400, |_| 700);
        assert!(matches!(news[..], [(1500..1800, LeakNews::Settled(Grower::Heap))]), "{news:?}");
    }

    #[test]
    fn a_slow_leak_is_told_within_an_hour() {
        let mut watch = LeakWatch::default();
        // 1 MiB a minute: less than the floor in five minutes.
        let news = run(&mut watch, 0..4000, |at| 50 + at / 60);
        assert!(matches!(news[..], [(2400..3600, LeakNews::Suspected(_))]), "{news:?}");
    }

    #[test]
    fn a_start_that_needs_much_is_no_leak() {
        let mut watch = LeakWatch::default();
        let news = run(&mut watch, 0..7200, |at| 50 + at.min(59) * 20);
        assert!(news.is_empty(), "{news:?}");
    }
}
