//! What a connection's requests have in common.
//!
//! Owns: how many requests a connection carries, and whether it is to end after the next answer.
//! May touch: [`crate::cidr`], [`crate::http1`], [`crate::message`], [`crate::observe`],
//! [`crate::proxy`].

use super::listener::{Listener, OpenConnection};
use crate::{
    cidr::PeerAddress,
    http1::request::Head,
    message::{answer::Answer, context::Peer},
    observe::metrics::Metrics,
    proxy::{Arrival, Proxy, begin, record::Record, refusal::Refusal},
};
use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, Version};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

/// One connection's requests.
pub struct Service {
    proxy: Arc<Proxy>,
    open: OpenConnection,
    peer: Arc<Peer>,
    limit: u64,
    closing: AtomicBool,
}

impl Service {
    /// For one connection, which carries `limit` requests (0 = any number).
    pub fn new(proxy: Arc<Proxy>, open: OpenConnection, peer: Peer, limit: u64) -> Self {
        Self { proxy, open, peer: Arc::new(peer), limit, closing: AtomicBool::new(false) }
    }

    /// Lets the next answer end the connection.
    pub fn close(&self) {
        self.closing.store(true, Relaxed);
    }

    /// Whether the next answer ends the connection.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Relaxed)
    }

    /// The listener.
    pub fn listener(&self) -> &Arc<Listener> {
        self.open.listener()
    }

    /// The client's address.
    pub fn client(&self) -> PeerAddress {
        self.peer.address
    }

    /// The client's connection.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Whether the connection is TLS.
    pub fn is_tls(&self) -> bool {
        self.peer.is_tls()
    }

    /// Every counter.
    pub fn metrics(&self) -> &Metrics {
        &self.proxy.live.metrics
    }

    /// Records a request without a usable head, which was waited for, and returns the answer to it.
    pub fn refuse_unread(
        &self,
        version: Version,
        (status, reason): (StatusCode, &'static str),
        waited: Duration,
    ) -> Answer<Bytes> {
        self.metrics().reject(reason);
        let (mut head, ()) = Request::new(()).into_parts();
        // As in nginx's log: the method and target are not known.
        head.method = Method::from_bytes(b"-").unwrap_or_default();
        head.version = version;
        head.uri = Uri::from_static("*");
        let head = Head::from(head);
        let mut record = begin(&self.proxy, &self.arrival(0, false), head);
        let context = &mut record.facts.context;
        context.started = context.started.checked_sub(waited).unwrap_or(context.started);
        record.facts.status = Some(status);
        record.facts.reason = Some(reason);
        Refusal::new(status, reason).answer(record.facts.context.id.as_str())
    }

    /// The worker's part.
    pub fn proxy(&self) -> &Arc<Proxy> {
        &self.proxy
    }

    /// Begins the `count`th request of the connection, which may be its last.
    pub fn begin(&self, count: u64, framed_twice: bool, head: Head) -> Box<Record> {
        if count == self.limit {
            self.close();
        }
        begin(&self.proxy, &self.arrival(count, framed_twice), head)
    }

    fn arrival(&self, count: u64, framed_twice: bool) -> Arrival<'_> {
        let listener = self.open.listener();
        Arrival {
            peer: &self.peer,
            listener: listener.id,
            number: count as u32,
            framed_twice,
            last: &listener.last,
        }
    }
}
