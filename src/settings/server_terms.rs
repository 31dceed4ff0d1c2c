//! How much a server of an upstream gets, and when it is left out.

use std::time::Duration;

/// What the config says of a server beside its address.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServerTerms {
    /// `weight`: 0 to 1000, default 1; 0 gets no requests.
    pub weight: u32,
    /// `max_fails` within `fail_timeout` eject, default 3; 0 = never.
    pub max_fails: u32,
    /// `fail_timeout`: the window of `max_fails` and the length of an ejection, default 10 s.
    pub fail_timeout: Duration,
    /// `fail_share`: unless `max_fails` failures came in a row, they eject only if they are this
    /// percentage of the attempts within `fail_timeout`, default `"5%"`; `"0%"`: their share does
    /// not matter.
    pub fail_share: u32,
    /// `max_conns`: requests in flight, over all workers, default 0 = unlimited.
    pub max_conns: u32,
    /// `backup`: used only when no other server can be, default false.
    pub backup: bool,
    /// `down`: never used, default false.
    pub down: bool,
}

impl Default for ServerTerms {
    fn default() -> Self {
        Self {
            weight: 1,
            max_fails: 3,
            fail_timeout: Duration::from_secs(10),
            fail_share: 5,
            max_conns: 0,
            backup: false,
            down: false,
        }
    }
}
