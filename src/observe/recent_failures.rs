//! The last requests that failed, for people who look for one.
//!
//! Owns: a bounded ring of them, which outlives every config. May touch: nothing outside this room.
//! Filled where a request's record ends; read by the admin address. A worker never waits for it.

use super::{line_facts::LineFacts, outcome::AttemptOutcome};
use jiff::Timestamp;
use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError, TryLockError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

/// So many are kept.
pub const KEPT: usize = 200;

/// Longer texts of clients and servers are cut, in bytes.
const LONGEST: usize = 256;

/// A request that failed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FailedRequest {
    /// Its number, counted from the start of the process.
    pub number: u64,
    /// When its head came.
    pub came: Timestamp,
    /// `X-Request-Id`.
    pub request_id: String,
    /// The trace that it belongs to, or empty.
    pub trace_id: String,
    /// Its method.
    pub method: String,
    /// Its host, as sent.
    pub host: String,
    /// Its path, as sent, without the query: that may hold secrets.
    pub path: String,
    /// The answer's status.
    pub status: u16,
    /// Its route, or empty.
    pub route: String,
    /// The upstream, or empty.
    pub upstream: String,
    /// The server that was asked last, or empty.
    pub server: String,
    /// Servers that were asked.
    pub attempts: u32,
    /// What went wrong, in one word; `None` for an error that the server answered itself.
    pub reason: Option<&'static str>,
    /// The same in more words, or empty.
    pub detail: String,
    /// From the request's head to the answer's end.
    pub took: Duration,
}

/// The last requests that failed.
#[derive(Debug, Default)]
pub struct RecentFailures {
    kept: Mutex<VecDeque<FailedRequest>>,
    /// How many there were, for numbers and for readers who want to know whether there are new ones.
    count: AtomicU64,
    missed: AtomicU64,
}

impl RecentFailures {
    /// Notes a request that has ended, if it or a server failed.
    pub fn note(&self, line: &LineFacts<'_>) {
        if !line.status.is_server_error() && !line.reason.is_some_and(is_failure_of_server) {
            return;
        }
        let mut kept = match self.kept.try_lock() {
            Ok(kept) => kept,
            Err(TryLockError::Poisoned(kept)) => kept.into_inner(),
            Err(TryLockError::WouldBlock) => {
                self.missed.fetch_add(1, Relaxed);
                return;
            }
        };
        let number = self.count.load(Relaxed) + 1;
        self.count.store(number, Relaxed);
        // The oldest gives its memory to the new one: a storm of failures allocates nothing.
        let oldest = if kept.len() < KEPT { None } else { kept.pop_front() };
        let mut request = oldest.unwrap_or_default();
        request.fill(number, line);
        kept.push_back(request);
    }

    /// How many were noted since the start.
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// How many were not noted, because others were being noted or read.
    pub fn missed(&self) -> u64 {
        self.missed.load(Relaxed)
    }

    /// Those with a number above `number`, the newest first.
    pub fn after(&self, number: u64) -> Vec<FailedRequest> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().rev().take_while(|it| it.number > number).cloned().collect()
    }
}

/// Whether the word tells of a server, and not of a client: clients are slow and go away, too.
fn is_failure_of_server(reason: &str) -> bool {
    use AttemptOutcome::{
        BadResponse, ConnectFailed, ConnectTimeout, ReadTimeout, Reset, ResponseTimeout,
        ResponseTruncated, TlsFailed,
    };
    let failures = [
        ConnectFailed,
        ConnectTimeout,
        TlsFailed,
        Reset,
        ResponseTimeout,
        BadResponse,
        ReadTimeout,
        ResponseTruncated,
    ];
    failures.iter().any(|it| it.name() == reason)
}

impl FailedRequest {
    fn fill(&mut self, number: u64, line: &LineFacts<'_>) {
        let head = &line.context.head;
        self.number = number;
        self.came = Timestamp::try_from(SystemTime::now() - line.took).unwrap_or_default();
        for (text, value) in [
            (&mut self.request_id, line.context.id.as_str()),
            (&mut self.trace_id, line.trace_id.unwrap_or_default()),
            (&mut self.method, head.method.as_str()),
            (&mut self.host, &String::from_utf8_lossy(line.host)),
            (&mut self.path, head.target.path()),
            (&mut self.route, line.route),
            (&mut self.upstream, line.upstream),
            (&mut self.server, line.server),
            (&mut self.detail, line.detail.unwrap_or_default()),
        ] {
            text.clear();
            text.push_str(&value[..value.floor_char_boundary(LONGEST)]);
        }
        (self.status, self.attempts) = (line.status.as_u16(), line.attempts);
        (self.reason, self.took) = (line.reason, line.took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{message::context::tests::context, observe::phase_times::PhaseTimes};
    use http::StatusCode;

    fn note(failures: &RecentFailures, status: u16, reason: Option<&'static str>, detail: &str) {
        let context = context();
        failures.note(&LineFacts {
            context: &context,
            host: b"example.com",
            route: "r",
            upstream: "u",
            server: "s",
            attempts: 2,
            upstream_time: None,
            status: StatusCode::from_u16(status).unwrap(),
            response_fields: &[],
            sent: 0,
            received: 0,
            took: Duration::from_millis(3),
            times: PhaseTimes::default(),
            trace_id: None,
            cache: None,
            reason,
            detail: Some(detail),
        });
    }

    #[test]
    fn the_last_ones_are_kept_and_the_newest_comes_first() {
        let failures = RecentFailures::default();
        for _ in 0..KEPT + 5 {
            note(&failures, 502, Some("reset"), "d");
        }
        let told = failures.after(0);
        assert_eq!((told.len(), failures.count()), (KEPT, KEPT as u64 + 5));
        assert_eq!((told[0].number, told[KEPT - 1].number), (205, 6));
        assert_eq!((&*told[0].path, &*told[0].request_id), ("/a%20b", "id-1"));
        assert_eq!(failures.after(203).iter().map(|it| it.number).collect::<Vec<_>>(), [205, 204]);
        assert_eq!(failures.after(205), []);
    }

    #[test]
    fn what_only_the_client_did_is_no_failure() {
        let failures = RecentFailures::default();
        note(&failures, 499, Some("client_aborted"), "");
        note(&failures, 404, Some("no_route"), "");
        note(&failures, 404, None, "");
        assert_eq!(failures.count(), 0);
        note(&failures, 200, Some("connect_failed"), "another server answered");
        note(&failures, 503, Some("no_live_upstream"), "");
        note(&failures, 500, None, "the server's own error");
        assert_eq!(failures.count(), 3);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let failures = RecentFailures::default();
        note(&failures, 502, Some("bad_response"), &"é".repeat(LONGEST));
        assert_eq!(failures.after(0)[0].detail, "é".repeat(LONGEST / 2));
    }

    #[test]
    fn nobody_waits_for_a_reader() {
        let failures = RecentFailures::default();
        let reader = failures.kept.lock().unwrap();
        note(&failures, 502, Some("reset"), "");
        drop(reader);
        assert_eq!((failures.count(), failures.missed()), (0, 1));
    }
}
