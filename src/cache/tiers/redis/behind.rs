//! What is to be written to Redis, behind those who wrote it.
//!
//! Owns: a queue that is bounded by the bytes in it. May touch: nothing outside this room.

use crate::cache::{store::StoredBody, tiers::record::TierRecord};
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// So many bytes of content wait.
const MOST: u64 = 64 * 1024 * 1024;

/// What an entry weighs beside its content, roughly.
const ENTRY: u64 = 512;

/// Something to be written.
#[derive(Debug)]
pub(super) struct Behind {
    /// The key in Redis.
    pub(super) key: String,
    /// None: what is there is removed.
    pub(super) object: Option<BehindObject>,
}

/// An object to be written.
#[derive(Debug)]
pub(super) struct BehindObject {
    pub(super) record: TierRecord,
    pub(super) content: StoredBody,
    /// Its time to live.
    pub(super) ttl: Duration,
}

impl Behind {
    /// The bytes it counts for.
    pub(super) fn weight(&self) -> u64 {
        ENTRY + self.object.as_ref().map_or(0, |it| it.content.len())
    }
}

/// The queue.
#[derive(Debug)]
pub(super) struct BehindQueue {
    sender: UnboundedSender<Behind>,
    receiver: Mutex<Option<UnboundedReceiver<Behind>>>,
    bytes: AtomicU64,
}

impl BehindQueue {
    /// Empty.
    pub(super) fn new() -> Self {
        let (sender, receiver) = unbounded_channel();
        Self { sender, receiver: Mutex::new(Some(receiver)), bytes: AtomicU64::new(0) }
    }

    /// Adds one. False if there is no room.
    pub(super) fn push(&self, behind: Behind) -> bool {
        let weight = behind.weight();
        if self.bytes.fetch_add(weight, Relaxed) + weight > MOST {
            self.bytes.fetch_sub(weight, Relaxed);
            return false;
        }
        self.sender.send(behind).is_ok()
    }

    /// Its end, once.
    pub(super) fn end(&self) -> Option<UnboundedReceiver<Behind>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// One of this weight is written, or never will be.
    pub(super) fn left(&self, weight: u64) {
        self.bytes.fetch_sub(weight, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::tiers::record::KeptRecord;
    use bytes::Bytes;

    fn behind(length: usize) -> Behind {
        let record = TierRecord {
            key: Vec::new(),
            url: String::new(),
            tags: Vec::new(),
            begun: 0,
            shared: 0,
            kept: KeptRecord::Variants(Vec::new()),
        };
        let content = StoredBody::shared(vec![Bytes::from(vec![0; length])]);
        let object = BehindObject { record, content, ttl: Duration::from_secs(1) };
        Behind { key: String::new(), object: Some(object) }
    }

    #[test]
    fn what_has_no_room_does_not_wait() {
        let queue = BehindQueue::new();
        let mut end = queue.end().unwrap();
        assert!(queue.end().is_none());
        assert!(queue.push(behind(40 * 1024 * 1024)));
        assert!(!queue.push(behind(30 * 1024 * 1024)));
        assert!(queue.push(behind(20 * 1024 * 1024)));
        queue.left(end.try_recv().unwrap().weight());
        assert!(queue.push(behind(30 * 1024 * 1024)));
        queue.left(end.try_recv().unwrap().weight());
        queue.left(end.try_recv().unwrap().weight());
        assert!(end.try_recv().is_err());
        assert_eq!(queue.bytes.load(Relaxed), 0);
    }
}
