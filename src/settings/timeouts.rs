//! How long a server, and the client's body that goes to it, may take.
//!
//! Owns: a route's timeouts on the server's side. May touch: nothing outside this room. Read by
//! every file of [`crate::origin`].

use std::time::Duration;

/// `timeouts` of a route. Zero is refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timeouts {
    /// `connect`, default 3 s.
    pub connect: Duration,
    /// `send`: between two successful writes to the server, default 60 s.
    pub send: Duration,
    /// `response_head`: from the request's last byte to the head, default `read`.
    pub response_head: Duration,
    /// `read`: between two reads of the response, default 60 s.
    pub read: Duration,
    /// `body_idle`: between two parts of the client's body, default 30 s; 408.
    pub body_idle: Duration,
    /// `tunnel`: while nothing passes a tunnel in either direction, default 1 h.
    pub tunnel: Duration,
    /// `min_body_rate` of the route: the least bytes a second of a request's body, on average; default
    /// 500, 0 = any; 408.
    pub min_body_rate: u64,
}

/// For so long a client's body may come at any rate.
const GRACE: Duration = Duration::from_secs(10);

impl Timeouts {
    /// So long for each of them.
    pub fn all(wait: Duration) -> Self {
        Self {
            connect: wait,
            send: wait,
            response_head: wait,
            read: wait,
            body_idle: wait,
            tunnel: wait,
            min_body_rate: 0,
        }
    }

    /// How long to wait for the client's next part, after `waited` in all and `received` bytes of
    /// its body. Only waits for the client count: it is not the client's fault if the server takes
    /// the body slowly.
    pub fn client(&self, waited: Duration, received: u64) -> Duration {
        if self.min_body_rate == 0 {
            return self.body_idle;
        }
        let earned = Duration::from_millis(received.saturating_mul(1000) / self.min_body_rate);
        let all = GRACE.min(self.body_idle).saturating_add(earned);
        all.saturating_sub(waited).min(self.body_idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeouts(body_idle: u64, min_body_rate: u64) -> Timeouts {
        let long = Duration::from_secs(60);
        let body_idle = Duration::from_secs(body_idle);
        Timeouts {
            connect: long,
            send: long,
            response_head: long,
            read: long,
            body_idle,
            tunnel: long,
            min_body_rate,
        }
    }

    #[test]
    fn a_client_is_waited_for_as_long_as_it_has_earned() {
        let of = |timeouts: Timeouts, waited, received| {
            timeouts.client(Duration::from_secs(waited), received).as_secs()
        };
        // Ten seconds at first, one more for each 500 bytes, and never more than thirty at once.
        assert_eq!(of(timeouts(30, 500), 0, 0), 10);
        assert_eq!(of(timeouts(30, 500), 9, 0), 1);
        assert_eq!(of(timeouts(30, 500), 11, 499), 0);
        assert_eq!(of(timeouts(30, 500), 11, 1000), 1);
        assert_eq!(of(timeouts(30, 500), 0, 1 << 20), 30);
        assert_eq!(of(timeouts(30, 500), 100_000, u64::MAX), 30);
        // With `body_idle` of a second there are no ten seconds at first.
        assert_eq!(of(timeouts(1, 500), 0, 0), 1);
        assert_eq!(of(timeouts(1, 500), 2, 0), 0);
        // No rate.
        assert_eq!(of(timeouts(30, 0), 100_000, 0), 30);
    }
}
