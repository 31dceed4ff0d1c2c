//! One address in an upstream: what outlives a reload.
//!
//! Owns: the counts, the resolved addresses and the health of one server, as atomics. May touch:
//! nothing outside this room. Next: `Member` adds what the config says of it; `Lease` holds its
//! slots.

use super::{
    Member,
    health::{
        ActiveHealth,
        passive::{Passive, Standing},
    },
    overruled::{Overruled, OverruledCell},
};
use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use std::{
    borrow::Cow,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU8, AtomicU32, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

/// One address in an upstream. The fields that a request touches come first and together: with a
/// thousand servers, no server is in the processor's cache.
#[repr(C)]
pub struct Server {
    id: u64,
    /// Whether `addresses` is not empty. Every pick reads it; loading the `ArcSwap` would cost
    /// more.
    resolved: AtomicBool,
    active: AtomicU8,
    overruled: OverruledCell,
    in_flight: AtomicU32,
    /// Tunnels. They count in `in_flight`, too.
    pub(super) tunnels: AtomicU32,
    requests: AtomicU64,
    latency_us: AtomicU64,
    passive: Passive,
    failures: AtomicU64,
    upstream: Arc<str>,
    address: Arc<str>,
    addresses: ArcSwap<Vec<SocketAddr>>,
    moves: AtomicU32,
    lost: AtomicU32,
    /// Why the last active check failed, if it did.
    check_failed: ArcSwapOption<String>,
}

impl Server {
    /// A new server of `upstream`. An `address` that is an IP address and port or a Unix socket is
    /// resolved at once. Any other waits for [`Self::set_addresses`].
    pub fn new(upstream: &str, address: &str) -> Arc<Self> {
        // This only needs to make numbers that are unique in the process.
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let addresses: Vec<SocketAddr> = address.parse().into_iter().collect();
        let resolved = !addresses.is_empty() || is_unix(address);
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Relaxed),
            upstream: upstream.into(),
            address: address.into(),
            resolved: AtomicBool::new(resolved),
            addresses: ArcSwap::from_pointee(addresses),
            moves: AtomicU32::new(0),
            lost: AtomicU32::new(0),
            check_failed: ArcSwapOption::empty(),
            active: AtomicU8::new(ActiveHealth::Unchecked as u8),
            overruled: OverruledCell::default(),
            passive: Passive::default(),
            in_flight: AtomicU32::new(0),
            tunnels: AtomicU32::new(0),
            requests: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            latency_us: AtomicU64::new(0),
        })
    }

    /// Unique in the process, also over time. It tells the background tasks of servers apart; pools
    /// use `Reach::key`.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The name of its upstream.
    pub fn upstream(&self) -> &str {
        &self.upstream
    }

    /// The address as written in the config.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether it is a Unix socket, which has no IP address.
    pub fn is_unix(&self) -> bool {
        is_unix(&self.address)
    }

    /// The host for a request that names none.
    pub fn host(&self) -> &str {
        if self.is_unix() { "localhost" } else { &self.address }
    }

    /// What the address resolves to. It may have become empty since the server was picked.
    pub fn addresses(&self) -> Guard<Arc<Vec<SocketAddr>>> {
        self.addresses.load()
    }

    /// Sets what the address resolves to. An empty list makes the server unresolved.
    pub fn set_addresses(&self, addresses: Vec<SocketAddr>) {
        let resolved = !addresses.is_empty();
        self.addresses.store(Arc::new(addresses));
        self.moves.fetch_add(1, Release);
        self.resolved.store(resolved, Relaxed);
    }

    /// How often its addresses have been set.
    pub fn moves(&self) -> u32 {
        self.moves.load(Acquire)
    }

    /// Counts another look-up that found nothing. Returns how many in a row did.
    pub(super) fn count_lost(&self) -> u32 {
        self.lost.fetch_add(1, Relaxed).saturating_add(1)
    }

    /// Notes that a look-up found something. Returns whether the previous one had found nothing.
    pub(super) fn is_found_again(&self) -> bool {
        self.lost.swap(0, Relaxed) > 0
    }

    /// Whether the address resolves to anything.
    #[inline]
    pub fn is_resolved(&self) -> bool {
        self.resolved.load(Relaxed)
    }

    /// Attempts in progress.
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Tunnels (WebSocket and the like) that are open through it.
    pub fn tunnels(&self) -> u32 {
        self.tunnels.load(Relaxed)
    }

    /// Attempts since the server was added.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Failed attempts since the server was added.
    pub fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// A moving average of the latency of successes, in microseconds; 0 before the first.
    pub fn latency_us(&self) -> u64 {
        self.latency_us.load(Relaxed)
    }

    /// What the active checks last said.
    #[inline]
    pub fn active(&self) -> ActiveHealth {
        ActiveHealth::from_u8(self.active.load(Relaxed))
    }

    /// Sets what the active checks say. A server that passes again is in at once: earlier failures
    /// of its traffic no longer count.
    pub fn set_active(&self, health: ActiveHealth) {
        let before = self.active.swap(health as u8, Relaxed);
        if ActiveHealth::from_u8(before) == ActiveHealth::Down && health == ActiveHealth::Up {
            self.passive.readmit(self.requests());
        }
    }

    /// Notes the result of an active check: `None`, or why it failed.
    pub fn note_check(&self, failed: Option<String>) {
        self.check_failed.store(failed.map(Arc::new));
    }

    /// Whether an operator has taken it out.
    #[inline]
    pub fn is_drained(&self) -> bool {
        self.overruled.is_drained()
    }

    /// What an operator has set, if anything.
    pub fn overruled(&self) -> Option<Arc<Overruled>> {
        self.overruled.load()
    }

    /// Sets what an operator wants. A drain holds at once; a weight is taken up when the next
    /// snapshot is built.
    pub fn overrule(&self, wanted: Overruled) {
        self.overruled.store(wanted);
    }

    /// What the traffic says.
    #[inline]
    pub(super) fn passive(&self) -> &Passive {
        &self.passive
    }

    /// Takes a slot, strictly below `max_conns` (0 = unlimited).
    pub(super) fn reserve(&self, max_conns: u32) -> bool {
        if max_conns == 0 {
            self.in_flight.fetch_add(1, Relaxed);
            return true;
        }
        self.in_flight
            .fetch_update(Relaxed, Relaxed, |used| (used < max_conns).then_some(used + 1))
            .is_ok()
    }

    /// Gives a slot back.
    pub(super) fn release(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    pub(super) fn count_request(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    pub(super) fn count_failure(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    /// Moves the average towards the sample by an eighth. Two threads at once may lose a sample,
    /// which does not matter for an average.
    pub(super) fn note_latency(&self, sample_us: u64) {
        let old = self.latency_us.load(Relaxed);
        let new = if old == 0 { sample_us } else { old - old / 8 + sample_us / 8 };
        self.latency_us.store(new, Relaxed);
    }

    /// The state of the server as `member` of a snapshot, for people and metrics.
    pub fn status(&self, member: &Member, now: u64) -> ServerStatus {
        let failures = self.passive.failures(member.limits(), now);
        let ejected_for_ms = match member.standing(now) {
            Standing::Ejected(until) => until.saturating_sub(now),
            _ => 0,
        };
        let state = ServerState::of(self, member, now);
        ServerStatus {
            state,
            reason: self.reason(state, member, failures.reason),
            last_failure: failures.reason,
            fails: failures.recent,
            ejected_for_ms,
        }
    }
}

impl Server {
    /// Why the server is in a state. `last` says why an attempt failed last.
    fn reason(
        &self,
        state: ServerState,
        member: &Member,
        last: Option<&'static str>,
    ) -> Option<Cow<'static, str>> {
        match state {
            ServerState::Up | ServerState::Full => None,
            ServerState::Probing | ServerState::Ejected => last.map(Cow::Borrowed),
            ServerState::Checking | ServerState::Failed => {
                let failed = self.check_failed.load();
                Some(
                    failed
                        .as_deref()
                        .map_or("no check has passed yet".into(), |it| it.clone().into()),
                )
            }
            ServerState::Unresolved => Some("its name does not resolve".into()),
            ServerState::Drained => self
                .overruled()
                .map(|it| format!("drained at the admin address by {}", it.by).into()),
            ServerState::Down if member.terms.down => Some("the config has it `down`".into()),
            ServerState::Down => Some(match self.overruled().filter(|it| it.weight == Some(0)) {
                Some(it) => {
                    format!("its weight was set to 0 at the admin address by {}", it.by).into()
                }
                None => "its weight is 0".into(),
            }),
        }
    }
}

fn is_unix(address: &str) -> bool {
    address.starts_with("unix:")
}

/// A server's state, with details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerStatus {
    /// The state in one word.
    pub state: ServerState,
    /// Why it is in this state, unless it gets requests.
    pub reason: Option<Cow<'static, str>>,
    /// Why the last failed attempt failed, if any ever did.
    pub last_failure: Option<&'static str>,
    /// Failures within `fail_timeout`; at most `max_fails`.
    pub fails: usize,
    /// Until the ejection ends, in milliseconds; 0 when not ejected.
    pub ejected_for_ms: u64,
}

/// A server's state in one word. If several apply, the last one in this list counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// Gets requests.
    Up,
    /// Has `max_conns` requests in flight.
    Full,
    /// The ejection is over, and one request decides.
    Probing,
    /// Failed too often.
    Ejected,
    /// New, and the active checks have not passed yet.
    Checking,
    /// The active checks failed.
    Failed,
    /// The address resolves to nothing.
    Unresolved,
    /// By config: `down`, or a weight of 0.
    Down,
    /// An operator has taken it out.
    Drained,
}

impl ServerState {
    fn of(server: &Server, member: &Member, now: u64) -> Self {
        if server.is_drained() {
            return Self::Drained;
        }
        if member.terms.down || member.terms.weight == 0 {
            return Self::Down;
        }
        if !server.is_resolved() {
            return Self::Unresolved;
        }
        match (server.active(), member.standing(now)) {
            (ActiveHealth::Down, _) => Self::Failed,
            (ActiveHealth::Checking, _) => Self::Checking,
            (_, Standing::Ejected(_)) => Self::Ejected,
            (_, Standing::Due | Standing::Probing) => Self::Probing,
            (_, Standing::In) if member.is_full() => Self::Full,
            (_, Standing::In) => Self::Up,
        }
    }

    /// Whether it gets requests, or would get them if it were not full.
    pub fn is_up(self) -> bool {
        matches!(self, Self::Up | Self::Full)
    }

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Full => "full",
            Self::Probing => "probing",
            Self::Ejected => "ejected",
            Self::Checking => "checking",
            Self::Failed => "failed",
            Self::Unresolved => "unresolved",
            Self::Down => "down",
            Self::Drained => "drained",
        }
    }
}
