//! Health learnt from the traffic: a sliding window of failures, ejection, and the one probe.
//!
//! Owns: the window, the end of an ejection and who probes, for one server, process-wide.
//! May touch: nothing of ours. Next: `eligible` reads [`Passive::standing`], `Upstream::report`
//! writes.
//!
//! One word says it all, so that a request decides with one relaxed load: zero while the server is
//! in, else the end of the ejection and whether its probe is under way. Nothing else hangs on that
//! word, so relaxed ordering is enough; what must agree with it is behind the window's lock.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

const IN: u64 = 0;
const PROBING: u64 = 1;

/// When failures eject, and for how long; from the config.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Failures within `fail_timeout` that eject; 0 = never.
    pub max_fails: u32,
    /// The window and the length of an ejection.
    pub fail_timeout: Duration,
}

impl Limits {
    fn window_ms(self) -> u64 {
        u64::try_from(self.fail_timeout.as_millis()).unwrap_or(u64::MAX >> 2).min(u64::MAX >> 2)
    }
}

/// Where a server stands with its traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// In use.
    In,
    /// Out until that time, in milliseconds since process start.
    Ejected(u64),
    /// The ejection is over: one request may probe.
    Due,
    /// The ejection is over and a request is probing.
    Probing,
}

/// What the last failures of a server were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// How many are in the window; at most `max_fails`.
    pub recent: usize,
    /// Why the last one failed, if any ever did.
    pub reason: Option<&'static str>,
}

#[derive(Default)]
struct Window {
    times: VecDeque<u64>,
    reason: Option<&'static str>,
}

impl Window {
    /// Forgets what is `window_ms` old. Threads read the clock before they lock, so a time may lie
    /// a little after `now`: it counts.
    fn expire(&mut self, now: u64, window_ms: u64) {
        self.times.retain(|time| now.saturating_sub(*time) < window_ms);
    }
}

/// The passive health of one server. The word, which every pick reads, comes first.
#[derive(Default)]
#[repr(C)]
pub struct Passive {
    /// [`IN`], or the end of the ejection in milliseconds `<< 1`, `| PROBING`.
    word: AtomicU64,
    window: Mutex<Window>,
}

impl Passive {
    /// Where the server stands.
    #[inline]
    pub fn standing(&self, now: u64) -> Standing {
        match self.word.load(Relaxed) {
            IN => Standing::In,
            word if word >> 1 > now => Standing::Ejected(word >> 1),
            word if word & PROBING == 0 => Standing::Due,
            _ => Standing::Probing,
        }
    }

    /// Claims the probe that is due; false when another request was faster.
    pub fn claim(&self, now: u64) -> bool {
        let word = self.word.load(Relaxed);
        word != IN
            && word & PROBING == 0
            && word >> 1 <= now
            && self.word.compare_exchange(word, word | PROBING, Relaxed, Relaxed).is_ok()
    }

    /// Gives back a claimed probe without a verdict: the next request probes.
    pub fn give_back(&self) {
        self.word.fetch_and(!PROBING, Relaxed);
    }

    /// The claimed probe succeeded: in, with a clean window.
    pub fn readmit(&self) {
        let mut window = self.lock();
        window.times.clear();
        self.word.store(IN, Relaxed);
    }

    /// The claimed probe failed: out again. Returns for how many milliseconds.
    pub fn eject_again(&self, limits: Limits, now: u64, reason: &'static str) -> u64 {
        let mut window = self.lock();
        window.reason = Some(reason);
        self.eject(limits, now)
    }

    /// Counts a failure. Returns for how many milliseconds it ejected the server, if it did.
    ///
    /// `others_in` says whether the upstream has another server that is in; it is asked, and the
    /// ejection done, under `ejections`, so that two threads cannot eject the last two.
    pub fn fail(
        &self,
        limits: Limits,
        now: u64,
        reason: &'static str,
        ejections: &Mutex<()>,
        others_in: impl FnOnce() -> bool,
    ) -> Option<u64> {
        let mut window = self.lock();
        window.reason = Some(reason);
        // Out already: an attempt from before the ejection, or fail-open, teaches nothing new.
        if limits.max_fails == 0 || self.word.load(Relaxed) != IN {
            return None;
        }
        window.expire(now, limits.window_ms());
        window.times.push_back(now);
        while window.times.len() > limits.max_fails as usize {
            window.times.pop_front();
        }
        if window.times.len() < limits.max_fails as usize {
            return None;
        }
        let _ejecting = ejections.lock().unwrap_or_else(PoisonError::into_inner);
        others_in().then(|| self.eject(limits, now))
    }

    /// The failures that count at `now`.
    pub fn failures(&self, limits: Limits, now: u64) -> Failures {
        let mut window = self.lock();
        window.expire(now, limits.window_ms());
        Failures { recent: window.times.len(), reason: window.reason }
    }

    fn eject(&self, limits: Limits, now: u64) -> u64 {
        let for_ms = limits.window_ms();
        self.word.store((now + for_ms).max(1) << 1, Relaxed);
        for_ms
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limits(max_fails: u32, millis: u64) -> Limits {
        Limits { max_fails, fail_timeout: Duration::from_millis(millis) }
    }

    #[test]
    fn ejects_for_fail_timeout_then_one_probe() {
        let (passive, lock, limits) = (Passive::default(), Mutex::new(()), limits(2, 100));
        assert_eq!(passive.fail(limits, 0, "refused", &lock, || true), None);
        assert_eq!(passive.fail(limits, 99, "timeout", &lock, || true), Some(100));
        assert_eq!(passive.standing(198), Standing::Ejected(199));
        assert!(!passive.claim(198));
        assert_eq!(passive.standing(199), Standing::Due);
        assert!(passive.claim(199));
        assert!(!passive.claim(199));
        assert_eq!(passive.standing(199), Standing::Probing);
        passive.give_back();
        assert!(passive.claim(200));
        assert_eq!(passive.eject_again(limits, 210, "refused"), 100);
        assert_eq!(passive.standing(309), Standing::Ejected(310));
        assert!(passive.claim(310));
        passive.readmit();
        assert_eq!(passive.standing(310), Standing::In);
        let failures = passive.failures(limits, 310);
        assert_eq!(failures, Failures { recent: 0, reason: Some("refused") });
    }

    #[test]
    fn exactly_one_probe_among_threads() {
        let (passive, lock) = (Passive::default(), Mutex::new(()));
        for round in 0..200 {
            passive.fail(limits(1, 1), round * 2, "refused", &lock, || true);
            let claims: usize = std::thread::scope(|scope| {
                let threads: Vec<_> =
                    (0..4).map(|_| scope.spawn(|| passive.claim(round * 2 + 1))).collect();
                threads.into_iter().map(|thread| usize::from(thread.join().expect("ran"))).sum()
            });
            assert_eq!(claims, 1);
            passive.readmit();
        }
    }

    proptest! {
        /// Against a model that keeps every failure for ever and counts anew each time.
        #[test]
        fn window_is_the_naive_one(
            max_fails in 1_u32..6,
            timeout in 1_u64..50,
            steps in prop::collection::vec((0_u64..30, 0_u8..4), 1..200),
        ) {
            let (passive, lock, limits) = (Passive::default(), Mutex::new(()), limits(max_fails, timeout));
            let (mut now, mut failed, mut out_until) = (0, Vec::new(), None);
            for (wait, probe_fails) in steps {
                now += wait;
                match out_until {
                    Some(until) if now < until => {
                        prop_assert_eq!(passive.standing(now), Standing::Ejected(until));
                        prop_assert_eq!(passive.fail(limits, now, "late", &lock, || true), None);
                    }
                    Some(_) => {
                        prop_assert_eq!(passive.standing(now), Standing::Due);
                        prop_assert!(passive.claim(now));
                        if probe_fails == 0 {
                            passive.eject_again(limits, now, "refused");
                            out_until = Some(now + timeout);
                        } else {
                            passive.readmit();
                            (out_until, failed) = (None, Vec::new());
                        }
                    }
                    None => {
                        prop_assert_eq!(passive.standing(now), Standing::In);
                        failed.push(now);
                        let recent = failed.iter().filter(|time| now - **time < timeout).count();
                        let ejects = recent >= max_fails as usize;
                        let ejected = passive.fail(limits, now, "refused", &lock, || true);
                        prop_assert_eq!(ejected.is_some(), ejects);
                        out_until = ejects.then_some(now + timeout);
                    }
                }
            }
        }
    }
}
