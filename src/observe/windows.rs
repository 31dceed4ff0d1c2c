//! What happened in the last second, minute and five minutes.
//!
//! Owns: the steps that windows are made of. May touch: nothing outside this room. Counts only
//! grow; once a second [`super::sampler`] tells a [`Series`] what they are now. It keeps the
//! difference, for ten seconds by itself and then as one step among thirty. A step holds only the
//! buckets that something fell into, so a busy series takes some 4 KiB. All series have the same
//! steps, whose lengths [`Steps`] has.

use super::tally::{Summary, WindowTally};
use std::{collections::VecDeque, time::Duration};

/// A step ends when it has this length.
const STEP: Duration = Duration::from_secs(10);
/// How many steps are kept.
const KEPT: usize = 30;

/// A window into the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatsWindow {
    /// The last second: from the sample before the last to the last.
    Second,
    /// The last minute, and the step that is not complete.
    Minute,
    /// The same with five minutes.
    FiveMinutes,
}

impl StatsWindow {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Second, Self::Minute, Self::FiveMinutes];

    /// Its name in `/stats`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Second => "1s",
            Self::Minute => "1m",
            Self::FiveMinutes => "5m",
        }
    }

    /// How many complete steps it has; `None`: only the last second.
    fn steps(self) -> Option<usize> {
        match self {
            Self::Second => None,
            Self::Minute => Some(6),
            Self::FiveMinutes => Some(KEPT),
        }
    }
}

/// A tally without the buckets that are 0: each entry is a bucket and its count.
#[derive(Debug, Default)]
struct SparseStep {
    requests: u64,
    errors: u64,
    times: Box<[u32]>,
}

/// An entry's bits for the count. A larger count has several entries.
const COUNT_BITS: u32 = 25;
const MOST: u64 = (1 << COUNT_BITS) - 1;

impl SparseStep {
    fn of(tally: &WindowTally) -> Self {
        let mut times = Vec::new();
        for (bucket, mut count) in tally.times.into_iter().enumerate() {
            while count > 0 {
                let part = count.min(MOST);
                times.push((bucket as u32) << COUNT_BITS | part as u32);
                count -= part;
            }
        }
        let WindowTally { requests, errors, .. } = *tally;
        Self { requests, errors, times: times.into() }
    }

    fn add_to(&self, sum: &mut WindowTally) {
        sum.requests += self.requests;
        sum.errors += self.errors;
        for entry in &self.times {
            sum.times[(entry >> COUNT_BITS) as usize] += u64::from(*entry) & MOST;
        }
    }
}

/// The lengths of the steps.
#[derive(Debug, Default)]
pub struct Steps {
    second: Duration,
    open: Duration,
    complete: VecDeque<Duration>,
}

impl Steps {
    /// Another sample was taken, so long after the previous one. Returns whether a step is complete
    /// with it.
    pub fn advance(&mut self, elapsed: Duration) -> bool {
        self.second = elapsed;
        self.open += elapsed;
        let complete = self.open >= STEP;
        if complete {
            push(&mut self.complete, std::mem::take(&mut self.open));
        }
        complete
    }

    /// How long a window is.
    pub fn length(&self, window: StatsWindow) -> Duration {
        match window.steps() {
            None => self.second,
            Some(steps) => self.open + self.complete.iter().rev().take(steps).sum::<Duration>(),
        }
    }
}

/// What happened to one thing that is counted.
#[derive(Debug, Default)]
pub struct Series {
    last: Box<WindowTally>,
    second: SparseStep,
    open: Box<WindowTally>,
    complete: VecDeque<SparseStep>,
}

impl Series {
    /// What is counted `now`; returns what was added. `complete` as [`Steps::advance`] says.
    pub fn sample(&mut self, now: &WindowTally, complete: bool) -> WindowTally {
        let added = now.since(&self.last);
        *self.last = now.clone();
        self.note(&added, complete);
        added
    }

    /// So much was added. `complete` as [`Steps::advance`] says.
    pub fn note(&mut self, added: &WindowTally, complete: bool) {
        self.second = SparseStep::of(added);
        self.open.add(added);
        self.end_step(complete);
    }

    /// Nothing was added.
    pub fn pass(&mut self, complete: bool) {
        self.second = SparseStep::default();
        self.end_step(complete);
    }

    /// What is counted begins at 0 again.
    pub fn restart(&mut self) {
        *self.last = WindowTally::default();
    }

    fn end_step(&mut self, complete: bool) {
        if complete {
            push(&mut self.complete, SparseStep::of(&self.open));
            *self.open = WindowTally::default();
        }
    }

    /// All that happened in a window.
    pub fn within(&self, window: StatsWindow) -> WindowTally {
        let mut sum = WindowTally::default();
        match window.steps() {
            None => self.second.add_to(&mut sum),
            Some(steps) => {
                sum = WindowTally::clone(&self.open);
                self.complete.iter().rev().take(steps).for_each(|step| step.add_to(&mut sum));
            }
        }
        sum
    }

    /// The same, with its length.
    pub fn summary(&self, window: StatsWindow, steps: &Steps) -> Summary {
        Summary { tally: self.within(window), over: steps.length(window) }
    }
}

/// A plain count, in the same steps.
#[derive(Debug, Default)]
pub struct CountSeries {
    last: u64,
    open: u64,
    complete: VecDeque<u64>,
}

impl CountSeries {
    /// What is counted `now`.
    pub fn sample(&mut self, now: u64, complete: bool) {
        self.open += now.saturating_sub(std::mem::replace(&mut self.last, now));
        if complete {
            push(&mut self.complete, std::mem::take(&mut self.open));
        }
    }

    /// How many in a window of a minute or more.
    pub fn within(&self, window: StatsWindow) -> u64 {
        self.open + self.complete.iter().rev().take(window.steps().unwrap_or(0)).sum::<u64>()
    }
}

fn push<T>(complete: &mut VecDeque<T>, step: T) {
    if complete.len() == KEPT {
        complete.pop_front();
    }
    complete.push_back(step);
}

#[cfg(test)]
mod tests {
    use super::{super::durations::BUCKETS, *};

    const SECOND: Duration = Duration::from_secs(1);

    fn tally(requests: u64, errors: u64) -> WindowTally {
        let mut tally = WindowTally { requests, errors, ..WindowTally::default() };
        tally.times[7] = requests;
        tally
    }

    #[test]
    fn a_window_has_what_happened_in_it_and_nothing_older() {
        let (mut steps, mut series) = (Steps::default(), Series::default());
        let mut all = 0;
        // In second n there are n requests.
        for second in 1..=400 {
            all += second;
            let complete = steps.advance(SECOND);
            series.sample(&tally(all, all / 2), complete);
            assert_eq!(series.within(StatsWindow::Second).requests, second);
            for (window, least) in [(StatsWindow::Minute, 60), (StatsWindow::FiveMinutes, 300)] {
                let length = steps.length(window).as_secs();
                assert!(length == second.min(length) && length >= second.min(least));
                assert!(length < least + 10);
                let expected = (second + 1 - length..=second).sum::<u64>();
                let found = series.within(window);
                assert_eq!((found.requests, found.times[7]), (expected, expected));
            }
        }
    }

    #[test]
    fn counts_that_begin_again_are_no_negative_ones() {
        let mut series = Series::default();
        series.sample(&tally(100, 10), false);
        series.restart();
        assert_eq!(series.sample(&tally(5, 1), false).requests, 5);
        assert_eq!(series.within(StatsWindow::Minute).requests, 105);
        assert_eq!(series.sample(&tally(0, 0), false).requests, 0);
    }

    #[test]
    fn a_step_forgets_no_request_however_many_there_are() {
        let mut many = tally(3 * MOST + 5, 0);
        many.times[BUCKETS - 1] = MOST;
        let mut found = WindowTally::default();
        SparseStep::of(&many).add_to(&mut found);
        assert_eq!(found, many);
    }

    #[test]
    fn a_plain_count_has_the_same_windows() {
        let (mut steps, mut series) = (Steps::default(), CountSeries::default());
        for second in 1..=100 {
            series.sample(second, steps.advance(SECOND));
        }
        assert_eq!(series.within(StatsWindow::Minute), steps.length(StatsWindow::Minute).as_secs());
        assert_eq!(series.within(StatsWindow::FiveMinutes), 100);
    }
}
