//! The last reloads: when, why, how they ended, and what they changed.
//!
//! Owns: a bounded list of them, which outlives every config. May touch: nothing outside
//! this room. The control thread adds to it; the admin address reads it.

use jiff::Timestamp;
use serde_json::Value;
use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// So many reloads are kept.
const KEPT: usize = 50;

/// So many changes of one reload are told by name.
const NAMED: usize = 200;

/// One reload, or the start.
#[derive(Clone, Debug)]
pub struct PastReload {
    /// When it ended.
    pub time: Timestamp,
    /// Why it was asked for.
    pub cause: &'static str,
    /// The generation that it made, or what was wrong, as `POST /reload` tells it.
    pub outcome: Result<u64, Value>,
    /// What it changed, as `sheave plan` tells it: the first 200.
    pub changes: Vec<Value>,
    /// All changes, those that are not named too.
    pub total: usize,
}

impl PastReload {
    /// A reload that ends now.
    pub fn new(cause: &'static str, outcome: Result<u64, Value>, mut changes: Vec<Value>) -> Self {
        let total = changes.len();
        changes.truncate(NAMED);
        Self { time: Timestamp::now(), cause, outcome, changes, total }
    }
}

/// The last reloads.
#[derive(Debug, Default)]
pub struct ReloadHistory {
    kept: Mutex<VecDeque<PastReload>>,
    count: AtomicU64,
}

impl ReloadHistory {
    /// Adds one.
    pub fn add(&self, reload: PastReload) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(reload);
        self.count.fetch_add(1, Relaxed);
    }

    /// How many there were since the start, the start too.
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// The last ones, the newest first.
    pub fn newest_first(&self) -> Vec<PastReload> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().rev().cloned().collect()
    }
}
