//! What an HTTP/2 connection is doing, and for how long it may.
//!
//! Owns: the moments that the client's timeouts count from. May touch: [`crate::clock`],
//! [`crate::http1`]. Written by [`super::io`] and the service, read by the one alarm of
//! [`super::http2`], so that no request starts or stops a timer.

use super::{frames::Shown, settings::Waits};
use crate::{clock::Clock, http1::buffers::Parts};
use std::{
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// The rapid reset of CVE-2023-44487: a client that gives up more requests than this in [`WINDOW`]
/// milliseconds, and more than it may have under way at once, and more than half of all.
const GIVEN_UP: u32 = 100;
const WINDOW: u64 = 10_000;
/// A client that has waited this long may have a good reason to give up: not counted.
const AT_ONCE: Duration = Duration::from_secs(1);

/// A connection makes progress if so many bytes are taken.
const PROGRESS: u32 = 32 * 1024;

/// What the alarm finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Nothing before this moment.
    Fine(u64),
    /// There was no request for too long.
    Idle,
    /// The client takes nothing.
    Stalled,
    /// A head has begun and does not end, for so many milliseconds now.
    Late(u64),
}

/// What a connection is doing. Moments are in the clock's milliseconds; 0 means "not now".
#[derive(Debug)]
pub struct Activity {
    /// The process's time.
    pub clock: Clock,
    in_flight: AtomicU32,
    requests: AtomicU64,
    idle_since: AtomicU64,
    /// Since when a head, or another frame that is not DATA, has been incomplete.
    head_since: AtomicU64,
    resets: AtomicU32,
    blocked_since: AtomicU64,
    /// When the socket last took nothing.
    blocked_last: AtomicU64,
    /// Bytes written since the last [`PROGRESS`], and when that was.
    written: AtomicU32,
    progress: AtomicU64,
    /// Bytes written in all, without those that are still counted in `written`.
    taken: AtomicU64,
    /// For requests that were given up: how many are allowed, since when they are counted, how many
    /// there were, and how many requests had ended before.
    may_give_up: u32,
    window_since: AtomicU64,
    given_up: AtomicU32,
    before_window: AtomicU64,
    /// Whether too many were given up.
    floods: AtomicBool,
}

impl Activity {
    /// A connection that has just been accepted, for so many streams at once.
    pub fn new(clock: Clock, streams: u32) -> Self {
        Self {
            clock,
            may_give_up: streams.max(GIVEN_UP),
            in_flight: AtomicU32::new(0),
            requests: AtomicU64::new(0),
            idle_since: AtomicU64::new(clock.now()),
            head_since: AtomicU64::new(0),
            resets: AtomicU32::new(0),
            blocked_since: AtomicU64::new(0),
            blocked_last: AtomicU64::new(0),
            written: AtomicU32::new(0),
            progress: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            window_since: AtomicU64::new(0),
            given_up: AtomicU32::new(0),
            before_window: AtomicU64::new(0),
            floods: AtomicBool::new(false),
        }
    }

    /// Notes that a request has begun. Returns how many have begun, with this one.
    pub fn begin(&self) -> u64 {
        self.in_flight.fetch_add(1, Relaxed);
        self.requests.fetch_add(1, Relaxed) + 1
    }

    /// How many requests have begun.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Notes that a request that began at `begun` has ended: with its answer, or because the client
    /// gave it up.
    pub fn end(&self, answered: bool, begun: Instant) {
        if self.in_flight.fetch_sub(1, Relaxed) == 1 {
            self.idle_since.store(self.clock.now(), Relaxed);
        }
        if !answered && begun.elapsed() < AT_ONCE {
            self.count_given_up();
        }
    }

    /// How many requests are under way.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Since when nothing has been under way, while nothing is.
    pub fn idle_since(&self) -> u64 {
        self.idle_since.load(Relaxed)
    }

    /// How many streams the client has reset.
    pub fn resets(&self) -> u32 {
        self.resets.load(Relaxed)
    }

    /// Notes what the client's newest bytes have shown.
    pub fn came(&self, shown: Shown) {
        if shown.resets != 0 {
            self.resets.fetch_add(shown.resets, Relaxed);
        }
        let before = self.head_since.load(Relaxed);
        if !shown.is_within {
            if before != 0 {
                self.head_since.store(0, Relaxed);
            }
        } else if before == 0 || shown.was_whole {
            self.head_since.store(self.clock.now(), Relaxed);
        }
    }

    fn count_given_up(&self) {
        let (now, requests) = (self.clock.now(), self.requests());
        if now >= self.window_since.load(Relaxed) + WINDOW {
            self.window_since.store(now, Relaxed);
            self.given_up.store(0, Relaxed);
            let under_way = u64::from(self.in_flight.load(Relaxed)) + 1;
            self.before_window.store(requests - under_way, Relaxed);
        }
        let given_up = self.given_up.fetch_add(1, Relaxed) + 1;
        let of = requests - self.before_window.load(Relaxed);
        if given_up > self.may_give_up && u64::from(given_up) * 2 > of {
            self.floods.store(true, Relaxed);
        }
    }

    /// Whether the client gives up too many of its requests.
    pub fn floods(&self) -> bool {
        self.floods.load(Relaxed)
    }

    /// Notes that so many bytes were written.
    pub fn progress(&self, bytes: usize) {
        let written = self.written.load(Relaxed).saturating_add(bytes as u32);
        let enough = written >= PROGRESS;
        self.written.store(if enough { 0 } else { written }, Relaxed);
        if enough {
            self.progress.store(self.clock.now(), Relaxed);
            self.taken.store(self.taken.load(Relaxed) + u64::from(written), Relaxed);
        }
    }

    /// How many bytes of a body are taken at a time for a stream.
    pub fn part(&self) -> usize {
        Parts::HTTP2.after(self.taken.load(Relaxed))
    }

    /// Notes that a write succeeded, or could not proceed.
    pub fn wrote(&self, blocked: bool) {
        let before = self.blocked_since.load(Relaxed);
        if blocked && before == 0 {
            self.blocked_since.store(self.clock.now(), Relaxed);
        } else if !blocked && before != 0 {
            self.blocked_since.store(0, Relaxed);
            self.blocked_last.store(self.clock.now(), Relaxed);
        }
    }

    /// Whether the socket takes nothing now.
    pub fn is_blocked(&self) -> bool {
        self.blocked_since.load(Relaxed) != 0
    }

    /// Whether the socket has at some time after `moment` taken nothing: bytes written then may not
    /// have reached the client yet.
    pub fn was_slow_since(&self, moment: u64) -> bool {
        self.blocked_since.load(Relaxed) != 0 || self.blocked_last.load(Relaxed) > moment
    }

    /// How long each of `waiting` streams may wait for its client, in milliseconds. `None` while
    /// the socket is slow: then all streams wait, even if their clients would take something. While
    /// bytes are written, the streams take turns, so each may wait longer.
    pub fn patience(&self, waits: &Waits, waiting: u64) -> Option<u64> {
        let moment = self.clock.now().saturating_sub(waits.send);
        if self.was_slow_since(moment) {
            return None;
        }
        let takes_turns = self.progress.load(Relaxed) > moment;
        Some(waits.send.saturating_mul(if takes_turns { waiting } else { 1 }))
    }

    /// Whether anything is under way that may become overdue.
    pub fn is_busy(&self) -> bool {
        let moments = [&self.head_since, &self.blocked_since];
        self.in_flight() != 0 || moments.iter().any(|it| it.load(Relaxed) != 0)
    }

    /// Which timeout is over, or when to check again if nothing begins.
    pub fn look(&self, waits: &Waits) -> Finding {
        let now = self.clock.now();
        let due = |since: u64, wait: u64, finding| {
            if now >= since + wait { finding } else { Finding::Fine(since + wait) }
        };
        let blocked = self.blocked_since.load(Relaxed);
        if blocked != 0 {
            return due(blocked, waits.send, Finding::Stalled);
        }
        let head = self.head_since.load(Relaxed);
        // While the socket takes nothing, h2 may read nothing, either.
        let since = head.max(self.blocked_last.load(Relaxed));
        if head != 0 && now >= since + waits.request_head {
            return Finding::Late(now - head);
        }
        if !self.is_busy() {
            return due(self.idle_since.load(Relaxed), waits.idle, Finding::Idle);
        }
        // Anything that begins from now on has at least the shortest timeout.
        let mut soonest = now + waits.shortest();
        if head != 0 {
            soonest = soonest.min(since + waits.request_head);
        }
        if self.in_flight.load(Relaxed) != 0 {
            return Finding::Fine(soonest);
        }
        match due(self.idle_since.load(Relaxed), waits.idle, Finding::Idle) {
            Finding::Fine(at) => Finding::Fine(at.min(soonest)),
            found => found,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it is a flood if, in each of so many rounds, so many requests are answered and so
    /// many are given up.
    fn floods(rounds: usize, answered: usize, given_up: usize, streams: u32) -> bool {
        let activity = Activity::new(Clock::start(), streams);
        for number in 0..rounds * (answered + given_up) {
            activity.begin();
            activity.end(number % (answered + given_up) < answered, Instant::now());
        }
        activity.floods()
    }

    #[test]
    fn a_client_may_give_up_a_hundred_requests_or_all_at_once_or_half() {
        assert!(!floods(100, 0, 1, 100));
        assert!(floods(101, 0, 1, 100));
        assert!(!floods(250, 0, 1, 250));
        assert!(floods(251, 0, 1, 250));
        assert!(!floods(1000, 2, 1, 100));
        assert!(floods(1000, 1, 2, 100));
    }

    #[test]
    fn those_under_way_count_among_all() {
        let activity = Activity::new(Clock::start(), 100);
        for _ in 0..400 {
            activity.begin();
        }
        (0..200).for_each(|_| activity.end(false, Instant::now()));
        assert!(!activity.floods());
        activity.end(false, Instant::now());
        assert!(activity.floods());
    }

    #[test]
    fn who_has_waited_gives_up_for_a_reason() {
        let activity = Activity::new(Clock::start(), 100);
        let Some(begun) = Instant::now().checked_sub(AT_ONCE) else { return };
        for _ in 0..1000 {
            activity.begin();
            activity.end(false, begun);
        }
        assert!(!activity.floods());
    }

    #[test]
    fn a_head_is_late_once_it_has_had_its_time_from_its_own_first_byte() {
        let activity = Activity::new(Clock::start(), 100);
        let now = activity.clock.now();
        let waits = |request_head| Waits { request_head, idle: 3_600_000, send: 3_600_000 };
        assert!(matches!(activity.look(&waits(0)), Finding::Fine(_)));
        activity.came(Shown { is_within: true, was_whole: false, resets: 0 });
        assert!(matches!(activity.look(&waits(0)), Finding::Late(..60_000)));
        let Finding::Fine(at) = activity.look(&waits(3_000_000)) else { panic!("late") };
        assert!(at >= now + 3_000_000);
        activity.head_since.store(1, Relaxed);
        activity.came(Shown { is_within: true, was_whole: false, resets: 0 });
        let same = activity.look(&waits(now - 1));
        assert!(matches!(same, Finding::Late(waited) if waited >= now - 1), "it is the same head");
        activity.came(Shown { is_within: true, was_whole: true, resets: 0 });
        assert!(matches!(activity.look(&waits(now - 1)), Finding::Fine(_)), "it is another");
        activity.came(Shown { is_within: false, was_whole: true, resets: 0 });
        assert!(matches!(activity.look(&waits(0)), Finding::Fine(_)));
    }

    #[test]
    fn streams_wait_longer_while_others_are_taken_and_at_leisure_while_the_socket_is_slow() {
        let activity = Activity::new(Clock::start(), 100);
        let waits = Waits { request_head: 1, idle: 1, send: 1000 };
        activity.progress(PROGRESS as usize - 1);
        assert_eq!(activity.patience(&waits, 5), Some(1000));
        activity.progress(1);
        assert_eq!(activity.patience(&waits, 5), Some(5000));
        activity.wrote(true);
        assert_eq!(activity.patience(&waits, 5), None);
        activity.wrote(false);
        assert_eq!(activity.patience(&waits, 5), None, "it was slow a moment ago");
    }
}
