//! Health learnt from the traffic: a sliding window of failures, ejection, and the one probe.
//!
//! Owns: the window, the end of an ejection and the right to probe, for one server, process-wide.
//! May touch: nothing outside this room. Next: `eligible` reads [`Passive::standing`],
//! `Upstream::report` writes.
//!
//! The state is one word, so that a request decides with one relaxed load. It is zero while the
//! server is in. Otherwise it is the end of the ejection, or the end of the time that its probe
//! has: without that limit, a slow client's request could keep a server out. A probe remembers the
//! word that it has written. If its verdict comes too late, it finds another word. No other memory
//! depends on this word, so relaxed ordering is enough; what must agree with it is behind the
//! window's lock.

use super::tally::Tally;
use std::{
    collections::VecDeque,
    num::NonZeroU64,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

const IN: u64 = 0;
const PROBING: u64 = 1;
/// The ejection is over.
const DUE: u64 = 1 << 1;

/// When failures eject, and for how long; from the config.
#[derive(Clone, Copy, Debug)]
pub struct EjectionLimits {
    /// Failures within `fail_timeout` that eject; 0 = never.
    pub max_fails: u32,
    /// The window and the length of an ejection.
    pub fail_timeout: Duration,
    /// Failures that did not come in a row eject only if they are at least this percentage of the
    /// attempts in the window.
    pub fail_share: u32,
}

impl EjectionLimits {
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

/// The last failures of a server.
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
    tally: Tally,
    reason: Option<&'static str>,
}

impl Window {
    /// Forgets failures that are `window_ms` old. Threads read the clock before they lock, so a
    /// time may be a little later than `now`; that failure counts.
    fn expire(&mut self, now: u64, window_ms: u64) {
        self.times.retain(|time| now.saturating_sub(*time) < window_ms);
    }
}

/// A claimed probe: the word that marks it.
pub type Claim = NonZeroU64;

/// The passive health of one server. The word, which every pick reads, comes first.
#[derive(Default)]
#[repr(C)]
pub struct Passive {
    /// [`IN`], or the end of the ejection in milliseconds `<< 1`, or the end of the probe's time in
    /// the same form `| PROBING`.
    word: AtomicU64,
    /// When a success takes the next sample of the attempts.
    next_sample: AtomicU64,
    /// Failures in a row, since the last success.
    in_a_row: AtomicU32,
    window: Mutex<Window>,
}

impl Passive {
    /// Where the server stands.
    #[inline]
    pub fn standing(&self, now: u64) -> Standing {
        match self.word.load(Relaxed) {
            IN => Standing::In,
            word if word >> 1 <= now => Standing::Due,
            word if word & PROBING == 0 => Standing::Ejected(word >> 1),
            _ => Standing::Probing,
        }
    }

    /// Claims the probe that is due, for `fail_timeout`; `None` when another request was faster.
    pub fn claim(&self, limits: EjectionLimits, now: u64) -> Option<Claim> {
        let word = self.word.load(Relaxed);
        if word == IN || word >> 1 > now {
            return None;
        }
        let claim = (now + limits.window_ms().max(1)) << 1 | PROBING;
        let claimed = self.word.compare_exchange(word, claim, Relaxed, Relaxed);
        claimed.is_ok().then(|| NonZeroU64::new(claim)).flatten()
    }

    /// Gives back a claimed probe without a verdict. The next request probes.
    pub fn give_back(&self, claim: Claim) {
        self.settle(claim, DUE);
    }

    /// Brings the server in, with a clean window, after `attempts` in all.
    pub fn readmit(&self, attempts: u64) {
        let mut window = self.lock();
        self.clean(&mut window, attempts);
        self.word.store(IN, Relaxed);
    }

    /// Notes that an attempt succeeded, of `attempts` in all. Most calls only read memory that the
    /// pick has read, too.
    #[inline]
    pub fn succeeded(&self, limits: EjectionLimits, now: u64, attempts: u64) {
        if self.in_a_row.load(Relaxed) != 0 {
            self.in_a_row.store(0, Relaxed);
        }
        if now >= self.next_sample.load(Relaxed) && limits.max_fails != 0 {
            self.sample(&mut self.lock(), limits, now, attempts);
        }
    }

    /// Notes that the claimed probe succeeded: the server is in, with a clean window. Returns
    /// whether the server was out before.
    pub fn succeed(&self, claim: Claim, attempts: u64) -> bool {
        let mut window = self.lock();
        let settled = self.settle(claim, IN);
        if settled {
            self.clean(&mut window, attempts);
        }
        settled
    }

    fn clean(&self, window: &mut Window, attempts: u64) {
        window.times.clear();
        window.tally.restart(attempts);
        self.in_a_row.store(0, Relaxed);
    }

    fn sample(&self, window: &mut Window, limits: EjectionLimits, now: u64, attempts: u64) {
        let next = window.tally.sample(now, attempts, limits.window_ms());
        self.next_sample.store(next, Relaxed);
    }

    /// Notes that the claimed probe failed: the server is out again. Returns for how many
    /// milliseconds, if the probe's verdict still counts.
    pub fn eject_again(
        &self,
        claim: Claim,
        limits: EjectionLimits,
        now: u64,
        reason: &'static str,
    ) -> Option<u64> {
        let mut window = self.lock();
        window.reason = Some(reason);
        let for_ms = limits.window_ms();
        self.settle(claim, (now + for_ms).max(1) << 1).then_some(for_ms)
    }

    fn settle(&self, claim: Claim, word: u64) -> bool {
        self.word.compare_exchange(claim.get(), word, Relaxed, Relaxed).is_ok()
    }

    /// Counts a failure, at a moment and after so many attempts in all. Returns for how many
    /// milliseconds it ejected the server, if it did.
    ///
    /// `others_in` says whether the upstream has another server that is in. It is asked under
    /// `ejections`, and so is the ejection done, so that two threads cannot eject the last two
    /// servers.
    pub fn fail(
        &self,
        limits: EjectionLimits,
        (now, attempts): (u64, u64),
        reason: &'static str,
        ejections: &Mutex<()>,
        others_in: impl FnOnce() -> bool,
    ) -> Option<u64> {
        let mut window = self.lock();
        window.reason = Some(reason);
        // The server is out already. A failure from before the ejection, or from fail-open, says
        // nothing new.
        if limits.max_fails == 0 || self.word.load(Relaxed) != IN {
            return None;
        }
        window.expire(now, limits.window_ms());
        window.tally.count_failure();
        let in_a_row = self.in_a_row.fetch_add(1, Relaxed) + 1;
        if now >= self.next_sample.load(Relaxed) {
            self.sample(&mut window, limits, now, attempts);
        }
        window.times.push_back(now);
        while window.times.len() > limits.max_fails as usize {
            window.times.pop_front();
        }
        if window.times.len() < limits.max_fails as usize {
            return None;
        }
        if in_a_row < limits.max_fails
            && !window.tally.fails_often(now, attempts, limits.window_ms(), limits.fail_share)
        {
            return None;
        }
        let _ejecting = ejections.lock().unwrap_or_else(PoisonError::into_inner);
        others_in().then(|| self.eject(limits, now))
    }

    /// The failures that count at `now`.
    pub fn failures(&self, limits: EjectionLimits, now: u64) -> Failures {
        let mut window = self.lock();
        window.expire(now, limits.window_ms());
        Failures { recent: window.times.len(), reason: window.reason }
    }

    fn eject(&self, limits: EjectionLimits, now: u64) -> u64 {
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

    fn limits(max_fails: u32, millis: u64) -> EjectionLimits {
        EjectionLimits { max_fails, fail_timeout: Duration::from_millis(millis), fail_share: 5 }
    }

    #[test]
    fn ejects_for_fail_timeout_then_one_probe() {
        let (passive, lock, limits) = (Passive::default(), Mutex::new(()), limits(2, 100));
        assert_eq!(passive.fail(limits, (0, 0), "refused", &lock, || true), None);
        assert_eq!(passive.fail(limits, (99, 0), "timeout", &lock, || true), Some(100));
        assert_eq!(passive.standing(198), Standing::Ejected(199));
        assert_eq!(passive.claim(limits, 198), None);
        assert_eq!(passive.standing(199), Standing::Due);
        let claim = passive.claim(limits, 199).unwrap();
        assert_eq!(passive.claim(limits, 199), None);
        assert_eq!(passive.standing(199), Standing::Probing);
        passive.give_back(claim);
        let claim = passive.claim(limits, 200).unwrap();
        assert_eq!(passive.eject_again(claim, limits, 210, "refused"), Some(100));
        assert_eq!(passive.standing(309), Standing::Ejected(310));
        let claim = passive.claim(limits, 310).unwrap();
        assert!(passive.succeed(claim, 0));
        assert_eq!(passive.standing(310), Standing::In);
        let failures = passive.failures(limits, 310);
        assert_eq!(failures, Failures { recent: 0, reason: Some("refused") });
    }

    #[test]
    fn a_probe_that_takes_too_long_makes_room_for_another_and_decides_no_more() {
        let (passive, lock, limits) = (Passive::default(), Mutex::new(()), limits(1, 100));
        passive.fail(limits, (0, 0), "refused", &lock, || true);
        let slow = passive.claim(limits, 100).unwrap();
        assert_eq!(passive.standing(199), Standing::Probing);
        assert_eq!(passive.standing(200), Standing::Due);
        let other = passive.claim(limits, 200).unwrap();
        passive.give_back(slow);
        assert_eq!(passive.standing(201), Standing::Probing);
        assert_eq!(passive.eject_again(slow, limits, 201, "late"), None);
        assert!(!passive.succeed(slow, 0) && passive.succeed(other, 0));
        assert_eq!(passive.standing(201), Standing::In);
        assert!(!passive.succeed(other, 0));
    }

    #[test]
    fn a_few_failures_among_many_successes_eject_nobody() {
        let (passive, lock, limits) = (Passive::default(), Mutex::new(()), limits(3, 10_000));
        let fail = |now, attempts| passive.fail(limits, (now, attempts), "reset", &lock, || true);
        // 10,000 attempts a second, of which a few fail.
        for attempts in 1..300_000 {
            let now = attempts / 10;
            if attempts % 25_000 == 0 {
                assert_eq!(fail(now, attempts), None);
            } else {
                passive.succeeded(limits, now, attempts);
            }
        }
        assert_eq!(passive.failures(limits, 30_000).recent, 3);
        // Then the server dies.
        assert_eq!(fail(30_001, 300_001), None);
        assert_eq!(fail(30_001, 300_002), None);
        assert_eq!(fail(30_002, 300_003), Some(10_000));
    }

    #[test]
    fn a_share_of_failures_ejects_and_so_do_few_where_there_is_little() {
        let lock = Mutex::new(());
        // Every nth of some requests in ten seconds fails.
        let ejects = |requests: u64, nth: u64| {
            let (passive, limits) = (Passive::default(), limits(3, 10_000));
            (1..=requests).any(|attempts| {
                let now = attempts * 9_999 / requests;
                if attempts % nth == 0 {
                    return passive.fail(limits, (now, attempts), "x", &lock, || true).is_some();
                }
                passive.succeeded(limits, now, attempts);
                false
            })
        };
        assert!(ejects(60, 20) && ejects(100_000, 20) && ejects(9, 3));
        assert!(!ejects(90, 30) && !ejects(100_000, 21));
    }

    #[test]
    fn exactly_one_probe_among_threads() {
        let (passive, lock) = (Passive::default(), Mutex::new(()));
        for round in 0..200 {
            passive.fail(limits(1, 1), (round * 2, 0), "refused", &lock, || true);
            let claims: usize = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4)
                    .map(|_| scope.spawn(|| passive.claim(limits(1, 9), round * 2 + 1)))
                    .collect();
                threads.into_iter().filter_map(|thread| thread.join().expect("ran")).count()
            });
            assert_eq!(claims, 1);
            passive.readmit(0);
        }
    }

    proptest! {
        /// Compares with a model that keeps every failure for ever and counts anew each time.
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
                        prop_assert_eq!(passive.fail(limits, (now, 0), "late", &lock, || true), None);
                    }
                    Some(_) => {
                        prop_assert_eq!(passive.standing(now), Standing::Due);
                        let claim = passive.claim(limits, now).unwrap();
                        if probe_fails == 0 {
                            passive.eject_again(claim, limits, now, "refused");
                            out_until = Some(now + timeout);
                        } else {
                            passive.succeed(claim, 0);
                            (out_until, failed) = (None, Vec::new());
                        }
                    }
                    None => {
                        prop_assert_eq!(passive.standing(now), Standing::In);
                        failed.push(now);
                        let recent = failed.iter().filter(|time| now - **time < timeout).count();
                        let ejects = recent >= max_fails as usize;
                        let ejected = passive.fail(limits, (now, 0), "refused", &lock, || true);
                        prop_assert_eq!(ejected.is_some(), ejects);
                        out_until = ejects.then_some(now + timeout);
                    }
                }
            }
        }
    }
}
