//! Finished spans on their way from the workers to the exporter.
//!
//! Owns: the bounded buffers between them. May touch: nothing outside this room. A worker never
//! waits: each has a buffer of its own, and the exporter takes a worker's lock only to exchange it.
//! Spans beyond the limit are dropped and counted. The queue outlives every snapshot.

use prometheus::IntCounter;
use std::{
    mem,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::sync::Notify;

/// A worker takes room from the shared limit in portions of this size, so that workers seldom touch
/// the shared count. Its first portion is its own.
const PORTION: usize = 16 << 10;
/// The exporter is woken once a worker has so much; else it looks every second.
const ENOUGH: usize = 256 << 10;
/// A buffer that has grown beyond this, for example while the collector was down, is freed.
const KEPT: usize = 1 << 20;

/// Finished spans, coded as field 2 (`spans`) of `opentelemetry.proto.trace.v1.ScopeSpans`.
#[derive(Debug)]
pub struct SpanQueue {
    /// One place per worker, so that workers never wait for each other.
    places: Box<[WorkerSpans]>,
    limit: AtomicUsize,
    /// How many bytes of the limit are used, also by what the exporter has taken.
    used: AtomicUsize,
    /// `sheave_otlp_dropped_spans_total`.
    dropped: IntCounter,
    hurry: Notify,
}

/// A worker's buffer, alone in its part of the processor's cache.
#[derive(Debug, Default)]
#[repr(align(128))]
struct WorkerSpans(Mutex<WaitingSpans>);

#[derive(Debug, Default)]
struct WaitingSpans {
    bytes: Vec<u8>,
    /// Its part of the shared room, in addition to its first portion.
    granted: usize,
}

/// What the exporter has taken and not yet delivered. It uses room of the queue until it is
/// released.
#[derive(Debug, Default)]
pub struct TakenSpans {
    /// As in the queue.
    pub bytes: Vec<u8>,
    granted: usize,
    /// An empty buffer, for the next worker.
    spare: Vec<u8>,
}

impl SpanQueue {
    /// An empty queue without room, for so many workers.
    pub fn new(workers: usize, dropped: IntCounter) -> Self {
        Self {
            places: (0..workers.max(1)).map(|_| WorkerSpans::default()).collect(),
            limit: AtomicUsize::new(0),
            used: AtomicUsize::new(0),
            dropped,
            hurry: Notify::new(),
        }
    }

    /// How many bytes may wait.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Relaxed);
    }

    /// How many bytes wait at most, and may.
    pub fn fill(&self) -> (usize, usize) {
        let own = self.places.iter().map(|place| place.lock().bytes.len().min(PORTION));
        let limit = self.limit.load(Relaxed);
        ((self.used.load(Relaxed) + own.sum::<usize>()).min(limit), limit)
    }

    /// Adds so many spans, which `write` appends; or drops them if there is no room. `worker` chooses
    /// the place.
    pub fn add(&self, worker: usize, spans: u32, write: impl FnOnce(&mut Vec<u8>)) {
        let mut waiting = self.places[worker % self.places.len()].lock();
        let before = waiting.bytes.len();
        if before >= PORTION + waiting.granted && !self.grant(&mut waiting) {
            drop(waiting);
            self.dropped.inc_by(spans.into());
            return;
        }
        write(&mut waiting.bytes);
        let after = waiting.bytes.len();
        drop(waiting);
        if before < ENOUGH && after >= ENOUGH || self.is_half_full(before, after) {
            self.hurry.notify_one();
        }
    }

    /// Takes as much of the shared room as the buffer's spans need, and a portion. Returns whether
    /// there was enough.
    fn grant(&self, waiting: &mut WaitingSpans) -> bool {
        let over = waiting.bytes.len() + 1 - PORTION - waiting.granted;
        let wanted = over.next_multiple_of(PORTION);
        let limit = self.limit.load(Relaxed);
        let take = |used: usize| (used + wanted <= limit).then_some(used + wanted);
        let taken = self.used.fetch_update(Relaxed, Relaxed, take).is_ok();
        waiting.granted += if taken { wanted } else { 0 };
        taken
    }

    /// Whether half of all room is used. Checked once per portion.
    fn is_half_full(&self, before: usize, after: usize) -> bool {
        before / PORTION != after / PORTION
            && self.used.load(Relaxed) >= self.limit.load(Relaxed) / 2
    }

    /// Moves everything that waits behind what was taken before.
    pub fn take_into(&self, taken: &mut TakenSpans) {
        for place in &self.places {
            {
                let mut waiting = place.lock();
                mem::swap(&mut waiting.bytes, &mut taken.spare);
                taken.granted += mem::take(&mut waiting.granted);
            }
            taken.bytes.extend_from_slice(&taken.spare);
            taken.spare.clear();
            taken.spare.shrink_to(KEPT);
        }
    }

    /// Frees the first `length` bytes of what was taken: they were delivered, or given up.
    pub fn release(&self, taken: &mut TakenSpans, length: usize) {
        taken.bytes.drain(..length.min(taken.bytes.len()));
        let room = if taken.bytes.is_empty() { taken.granted } else { length.min(taken.granted) };
        taken.granted -= room;
        self.used.fetch_sub(room, Relaxed);
        if taken.bytes.is_empty() {
            taken.bytes.shrink_to(KEPT);
        }
    }

    /// Returns once there is much to take.
    pub async fn hurried(&self) {
        self.hurry.notified().await;
    }
}

impl WorkerSpans {
    fn lock(&self) -> MutexGuard<'_, WaitingSpans> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(limit: usize) -> SpanQueue {
        let queue = SpanQueue::new(2, IntCounter::new("dropped", "of a test").expect("a counter"));
        queue.set_limit(limit);
        queue
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted_until_there_is_room() {
        let queue = queue(64 << 10);
        let span = [7; 1000];
        for turn in 0..400 {
            queue.add(turn, 2, |out| out.extend_from_slice(&span));
        }
        let mut taken = TakenSpans::default();
        queue.take_into(&mut taken);
        // Four portions are shared, and each worker has one of its own.
        assert!((90_000..=102_000).contains(&taken.bytes.len()), "{}", taken.bytes.len());
        assert_eq!(queue.dropped.get(), 2 * (400 - taken.bytes.len() as u64 / 1000));
        assert_eq!(queue.used.load(Relaxed), 64 << 10);
        // What was taken still uses the room.
        let dropped = queue.dropped.get();
        for _ in 0..20 {
            queue.add(0, 1, |out| out.extend_from_slice(&span));
        }
        assert_eq!(queue.dropped.get(), dropped + 3);
        let length = taken.bytes.len();
        queue.release(&mut taken, 40_000);
        assert_eq!(taken.bytes.len(), length - 40_000);
        queue.add(0, 1, |out| out.extend_from_slice(&span));
        assert_eq!(queue.dropped.get(), dropped + 3);
        queue.release(&mut taken, usize::MAX);
        assert_eq!((taken.bytes.len(), queue.used.load(Relaxed)), (0, PORTION));
        queue.take_into(&mut taken);
        assert_eq!(taken.bytes.len(), 18_000);
        queue.release(&mut taken, usize::MAX);
        assert_eq!(queue.fill(), (0, 64 << 10));
    }

    #[tokio::test]
    async fn the_exporter_is_woken_when_there_is_much() {
        let queue = queue(16 << 20);
        queue.add(0, 1, |out| out.resize(ENOUGH - 1, 0));
        let now = std::time::Duration::ZERO;
        assert!(tokio::time::timeout(now, queue.hurried()).await.is_err());
        queue.add(0, 1, |out| out.push(0));
        queue.hurried().await;
    }
}
