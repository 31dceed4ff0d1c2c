//! A part of a response that h2 has been given to send.
//!
//! Owns: how much of it h2 still holds, which h2 itself does not tell. May touch: nothing outside
//! this room.

use bytes::{Buf, Bytes};
use futures_util::task::AtomicWaker;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::AcqRel, Ordering::Acquire},
    },
    task::{Context, Poll},
};

/// A part of a response that h2 has been given to send.
#[derive(Debug, Default)]
pub struct Given {
    bytes: Bytes,
    held: Option<Unsent>,
}

/// How many bytes h2 holds of a response.
#[derive(Clone, Debug, Default)]
pub struct Unsent(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    bytes: AtomicUsize,
    waiter: AtomicWaker,
}

impl Unsent {
    /// How many there are now.
    pub fn bytes(&self) -> usize {
        self.0.bytes.load(Acquire)
    }

    /// Ready when h2 holds none.
    pub fn poll_sent(&self, cx: &Context<'_>) -> Poll<()> {
        if self.bytes() == 0 {
            return Poll::Ready(());
        }
        self.0.waiter.register(cx.waker());
        if self.bytes() == 0 { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Given {
    /// The last part. Nobody needs to know how much of it has been sent.
    pub fn last(bytes: Bytes) -> Self {
        Self { bytes, held: None }
    }

    /// A part that counts as `held` until it has been sent, or dropped.
    pub fn counted(bytes: Bytes, held: &Unsent) -> Self {
        held.0.bytes.fetch_add(bytes.len(), AcqRel);
        Self { bytes, held: Some(held.clone()) }
    }

    fn sent(&self, bytes: usize) {
        if let Some(Unsent(held)) = &self.held
            && bytes > 0
            && held.bytes.fetch_sub(bytes, AcqRel) == bytes
        {
            held.waiter.wake();
        }
    }
}

impl Buf for Given {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, bytes: usize) {
        self.bytes.advance(bytes);
        self.sent(bytes);
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        self.sent(self.bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_what_has_neither_been_sent_nor_dropped() {
        let held = Unsent::default();
        let mut first = Given::counted("hello".into(), &held);
        let second = Given::counted("world!".into(), &held);
        assert_eq!(held.bytes(), 11);
        first.advance(2);
        assert_eq!((held.bytes(), first.chunk()), (9, &b"llo"[..]));
        drop(first);
        drop(Given::last("end".into()));
        assert_eq!(held.bytes(), 6);
        drop(second);
        assert_eq!(held.bytes(), 0);
    }
}
