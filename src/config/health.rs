//! `[health]`: from when on `/health` warns.
//!
//! Owns: the levels. May touch: nothing outside this room.

use super::table::Table;
use std::time::Duration;

/// From when on `/health` warns; 0 is never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthLevels {
    /// `memory`: per cent of what the container or the machine has, default 90.
    pub memory: u32,
    /// `cpu`: per cent of the cores that the process may use, default 95.
    pub cpu: u32,
    /// `descriptors`: per cent of those that the process may have, default 90.
    pub descriptors: u32,
    /// `worker_lag`: what is ready to be done waits so long, default 250 ms.
    pub worker_lag: Duration,
    /// `leak_watch`: whether it is looked for what grows at equal load, default true.
    pub leak_watch: bool,
}

impl HealthLevels {
    /// Reads `[health]`, which may be empty.
    pub(super) fn read(table: &Table<'_>) -> Self {
        Self {
            memory: table.percent("memory", 90),
            cpu: table.percent("cpu", 95),
            descriptors: table.percent("descriptors", 90),
            worker_lag: table.duration("worker_lag", Duration::from_millis(250)),
            leak_watch: table.boolean("leak_watch", true),
        }
    }
}
