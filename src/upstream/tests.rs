//! The upstream as a whole, on simulated time and on real threads.

use super::*;
use crate::settings::ServerTerms;
use proptest::prelude::*;
use std::net::SocketAddr;

const KINDS: [StrategyKind; 5] = [
    StrategyKind::RoundRobin,
    StrategyKind::LeastConnections,
    StrategyKind::IpHash,
    StrategyKind::RandomTwo,
    StrategyKind::ConsistentHash,
];
const OK: Outcome = Outcome::Success { latency_us: 100 };
const FAILED: Outcome = Outcome::Failure("refused");

fn member(number: usize, weight: u32) -> Member {
    let address = format!("10.0.{}.{}:8080", number / 256, number % 256);
    let terms = ServerTerms { weight, max_fails: 1, ..ServerTerms::default() };
    Member { terms, ..Member::new(Server::new("app", &address)) }
}

fn members(weights: &[u32]) -> Vec<Member> {
    weights.iter().zip(1..).map(|(weight, number)| member(number, *weight)).collect()
}

fn upstream(kind: StrategyKind, members: Vec<Member>) -> Upstream {
    Upstream::new("app", kind, members, true, None)
}

fn tried(indices: &[usize]) -> Tried {
    let mut tried = Tried::default();
    for index in indices {
        tried.insert(*index);
    }
    tried
}

fn pick(upstream: &Upstream, indices: &[usize], now: u64) -> Lease {
    upstream.pick(&tried(indices), 0, now).expect("a server")
}

/// The indices that `count` requests get, one after the other.
fn sequence(upstream: &Upstream, count: usize) -> Vec<usize> {
    (0..count).map(|_| pick(upstream, &[], 0).index()).collect()
}

fn fail(upstream: &Upstream, index: usize, now: u64) -> Reported {
    let mut others: Vec<usize> = (0..upstream.members().len()).collect();
    others.retain(|other| *other != index);
    upstream.report(&mut pick(upstream, &others, now), FAILED, now)
}

#[test]
fn turns_in_order_and_weights_exactly() {
    for kind in [StrategyKind::RoundRobin, StrategyKind::LeastConnections] {
        assert_eq!(sequence(&upstream(kind, members(&[1; 3])), 9), [0, 1, 2, 0, 1, 2, 0, 1, 2]);
        let weighted = upstream(kind, members(&[3, 2, 1]));
        let picks = sequence(&weighted, 600);
        assert_eq!(picks[..6], [0, 1, 0, 2, 1, 0]);
        assert_eq!([0, 1, 2].map(|i| picks.iter().filter(|p| **p == i).count()), [300, 200, 100]);
    }
}

#[test]
fn turns_are_exact_over_threads() {
    let weighted = upstream(StrategyKind::RoundRobin, members(&[3, 2, 1]));
    let equal = upstream(StrategyKind::RoundRobin, members(&[1; 3]));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| drop((sequence(&equal, 9_000), sequence(&weighted, 9_000))));
        }
    });
    let requests = |upstream: &Upstream| -> Vec<u64> {
        upstream.members().iter().map(|member| member.server.requests()).collect()
    };
    assert_eq!(requests(&equal), [12_000; 3]);
    assert_eq!(requests(&weighted), [18_000, 12_000, 6_000]);
}

#[test]
fn turn_and_health_survive_a_reload() {
    let before = upstream(StrategyKind::RoundRobin, members(&[1; 4]));
    assert_eq!(sequence(&before, 2), [0, 1]);
    let kept = before.members().to_vec();
    let after = Upstream::new("app", StrategyKind::RoundRobin, kept, true, Some(&before));
    assert_eq!(sequence(&after, 3), [2, 3, 0]);
    assert_eq!(fail(&before, 2, 0), Reported::Ejected { for_ms: 10_000 });
    assert!(!sequence(&after, 20).contains(&2));
}

#[test]
fn a_down_server_takes_no_turn() {
    let mut members = members(&[3, 2, 1]);
    members[1].terms.down = true;
    let upstream = upstream(StrategyKind::RoundRobin, members);
    assert_eq!(sequence(&upstream, 8), [0, 0, 2, 0, 0, 0, 2, 0]);
}

#[test]
fn least_connections_by_weight() {
    let upstream = upstream(StrategyKind::LeastConnections, members(&[2, 1]));
    let held: Vec<Lease> = (0..9).map(|_| pick(&upstream, &[], 0)).collect();
    assert_eq!([0, 1].map(|i| held.iter().filter(|lease| lease.index() == i).count()), [6, 3]);
    assert_eq!(upstream.running(), 9);
    drop(held);
    assert_eq!(upstream.running(), 0);
}

proptest! {
    #[test]
    fn no_server_is_less_loaded_than_the_one_that_is_picked(
        servers in prop::collection::vec((0u32..5, 0u32..7, any::<bool>(), any::<bool>()), 1..40),
    ) {
        let weights: Vec<_> = servers.iter().map(|(weight, ..)| *weight).collect();
        let mut members = members(&weights);
        let mut tried = Tried::default();
        for (i, (_, load, down, was_tried)) in servers.iter().enumerate() {
            members[i].terms.down = *down;
            for _ in 0..*load {
                members[i].server.reserve(0);
            }
            if *was_tried {
                tried.insert(i);
            }
        }
        let eligible = |i: &usize| servers[*i].0 > 0 && !servers[*i].2 && !servers[*i].3;
        let least = (0..servers.len()).filter(eligible).min_by(|one, other| {
            let ((one, ours, ..), (other, theirs, ..)) = (servers[*one], servers[*other]);
            (ours * other).cmp(&(theirs * one))
        });
        let upstream = upstream(StrategyKind::LeastConnections, members);
        // Another rule says whose turn it is among equals. Here each choice must be one of them.
        for _ in 0..5 {
            let picked = upstream.pick(&tried, 0, 0).ok().map(|lease| lease.index());
            prop_assert_eq!(picked.is_some(), least.is_some());
            let (Some(picked), Some(least)) = (picked, least) else { break };
            prop_assert!(eligible(&picked));
            let ((one, ours, ..), (other, theirs, ..)) = (servers[picked], servers[least]);
            prop_assert_eq!(ours * other, theirs * one, "{} for {}", picked, least);
        }
    }
}

#[test]
fn random_two_takes_the_less_loaded() {
    let upstream = upstream(StrategyKind::RandomTwo, members(&[1, 1]));
    let held: Vec<Lease> = (0..100).map(|_| pick(&upstream, &[], 0)).collect();
    let first = held.iter().filter(|lease| lease.index() == 0).count();
    assert!((49..=51).contains(&first), "{first}");
}

#[test]
fn ip_hash_goes_through_its_choices() {
    let upstream = upstream(StrategyKind::IpHash, members(&[1; 3]));
    let key = strategy::ip_hash::key("192.168.1.10".parse().expect("address"));
    let choice = |indices: &[usize]| upstream.pick(&tried(indices), key, 0).expect("one").index();
    assert_eq!((choice(&[]), choice(&[1]), choice(&[1, 2])), (1, 2, 0));
}

#[test]
fn consistent_hash_sticks_and_an_empty_key_takes_turns() {
    let upstream = upstream(StrategyKind::ConsistentHash, members(&[1; 3]));
    let choice = |text: &[u8]| {
        let key = strategy::consistent_hash::key(text);
        upstream.pick(&Tried::default(), key, 0).expect("one").index()
    };
    assert_eq!([choice(b"/"), choice(b"/"), choice(b"/index.html")], [2, 2, 0]);
    assert_eq!([choice(b""), choice(b""), choice(b"")], [0, 1, 2]);
}

#[test]
fn backups_serve_only_without_primaries() {
    for kind in KINDS {
        let mut members = members(&[1; 3]);
        members[2].terms.backup = true;
        let upstream = upstream(kind, members);
        assert!((0..50).all(|_| !pick(&upstream, &[], 0).is_backup()));
        let lease = pick(&upstream, &[0, 1], 0);
        assert!(lease.is_backup() && lease.index() == 2);
    }
}

#[test]
fn one_probe_after_the_ejection() {
    let upstream = upstream(StrategyKind::RoundRobin, members(&[1; 2]));
    assert_eq!(fail(&upstream, 0, 0), Reported::Ejected { for_ms: 10_000 });
    assert!((0..10).all(|_| pick(&upstream, &[], 9_999).index() == 1));
    let state = |now| {
        let member = &upstream.members()[0];
        member.server.status(member, now).state
    };
    assert_eq!((state(9_999), state(10_000)), (ServerState::Ejected, ServerState::Probing));
    let mut probe = pick(&upstream, &[1], 10_000);
    assert!(probe.is_probe() && probe.index() == 0);
    assert!((0..10).all(|_| pick(&upstream, &[], 10_000).index() == 1));
    assert_eq!(state(10_000), ServerState::Probing);

    assert_eq!(upstream.report(&mut probe, Outcome::Neutral, 10_001), Reported::Noted);
    drop(pick(&upstream, &[1], 10_002)); // unreported: given back as well
    let mut probe = pick(&upstream, &[1], 10_003);
    assert!(probe.is_probe());
    assert_eq!(upstream.report(&mut probe, FAILED, 10_003), Reported::Ejected { for_ms: 10_000 });
    drop(probe);
    let mut probe = pick(&upstream, &[1], 20_003);
    assert_eq!(upstream.report(&mut probe, OK, 20_003), Reported::Readmitted);
    drop(probe);
    assert_eq!(state(20_003), ServerState::Up);
    assert!(!pick(&upstream, &[1], 20_003).is_probe());
}

#[test]
fn the_last_server_stays() {
    let mut members = members(&[1; 3]);
    members[1].terms.backup = true;
    members[2].server.set_active(ActiveHealth::Down);
    let upstream = upstream(StrategyKind::RoundRobin, members);
    assert!(matches!(fail(&upstream, 0, 0), Reported::Ejected { .. }));
    for now in 0..100 {
        assert_eq!(fail(&upstream, 1, now), Reported::Noted);
        assert_eq!(pick(&upstream, &[], now).index(), 1);
    }
}

#[test]
fn two_threads_never_eject_the_last_two() {
    for _ in 0..300 {
        let upstream = upstream(StrategyKind::RoundRobin, members(&[1; 2]));
        let mut leases = [pick(&upstream, &[], 0), pick(&upstream, &[], 0)];
        let upstream = &upstream;
        std::thread::scope(|scope| {
            for lease in &mut leases {
                scope.spawn(move || upstream.report(lease, FAILED, 0));
            }
        });
        let alive = upstream.members().iter().filter(|member| member.is_in(1)).count();
        assert_eq!(alive, 1);
    }
}

/// Two primaries and a backup, all ejected. The last one could be ejected only because the others
/// had returned.
fn all_ejected(fail_open: bool) -> Upstream {
    let mut members = members(&[1; 3]);
    members[2].terms.backup = true;
    let upstream = Upstream::new("app", StrategyKind::RoundRobin, members, fail_open, None);
    for (index, now) in [(2, 0), (1, 10)] {
        assert!(matches!(fail(&upstream, index, now), Reported::Ejected { .. }));
    }
    // The last server is never ejected, so the test ejects it directly.
    let member = &upstream.members()[0];
    let limits = member.limits();
    member.server.passive().fail(limits, (20, 0), "refused", &Mutex::default(), || true);
    upstream
}

#[test]
fn fail_open_takes_the_first_to_return() {
    let upstream = all_ejected(true);
    let lease = pick(&upstream, &[], 30);
    assert!(lease.is_fail_open() && !lease.is_probe() && lease.index() == 1);
    assert_eq!(pick(&upstream, &[1], 30).index(), 0);
    assert_eq!(pick(&upstream, &[0, 1], 30).index(), 2);
    upstream.members()[1].server.set_active(ActiveHealth::Down);
    assert_eq!(pick(&upstream, &[], 30).index(), 0);
    let none = upstream.pick(&tried(&[0, 1, 2]), 0, 30).err();
    assert_eq!(none, Some(Unavailable { retry_after_ms: 9_970, reason: "no_live_upstream" }));
    assert!(!upstream.has_live(30) && upstream.has_live(10_000));
}

#[test]
fn without_fail_open_there_is_a_time_to_ask_again() {
    let upstream = all_ejected(false);
    let none = upstream.pick(&Tried::default(), 0, 30).err();
    assert_eq!(none, Some(Unavailable { retry_after_ms: 9_970, reason: "no_live_upstream" }));
}

#[test]
fn max_conns_is_strict_over_threads() {
    for kind in KINDS {
        let mut members = members(&[1; 3]);
        for member in &mut members {
            member.terms.max_conns = 5;
        }
        let upstream = upstream(kind, members);
        let held: Vec<Lease> = std::thread::scope(|scope| {
            let grab = || (0..20).filter_map(|_| upstream.pick(&tried(&[]), 7, 0).ok()).collect();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(grab)).collect();
            threads.into_iter().flat_map(|t| -> Vec<Lease> { t.join().expect("ran") }).collect()
        });
        assert_eq!(held.len(), 15);
        let none = upstream.pick(&Tried::default(), 7, 0).err().map(|none| none.reason);
        assert_eq!(none, Some("max_conns"));
        assert!(upstream.members().iter().all(|member| member.server.in_flight() == 5));
    }
}

#[test]
fn unresolved_and_checking_servers_wait() {
    let mut members = members(&[1; 2]);
    members[0].server = Server::new("app", "app.internal:80");
    let upstream = upstream(StrategyKind::RoundRobin, members);
    let state = |index: usize| {
        let member = &upstream.members()[index];
        member.server.status(member, 0).state
    };
    assert_eq!(state(0), ServerState::Unresolved);
    assert_eq!(sequence(&upstream, 3), [1, 1, 1]);
    upstream.members()[0].server.set_addresses(vec![SocketAddr::from(([10, 0, 0, 9], 80))]);
    upstream.members()[1].server.set_active(ActiveHealth::Checking);
    assert_eq!(state(1), ServerState::Checking);
    assert_eq!(sequence(&upstream, 3), [0, 0, 0]);
    upstream.members()[0].server.set_active(ActiveHealth::Down);
    assert_eq!(
        upstream.pick(&Tried::default(), 0, 0).err().map(|none| none.retry_after_ms),
        Some(1000)
    );
}

#[test]
fn leases_and_permits_cross_threads() {
    fn crosses<T: Send + 'static>() {}
    crosses::<Lease>();
    crosses::<RetryPermit>();
    crosses::<Upstream>();
}

/// What a server may be, at random.
fn any_member() -> impl Strategy<Value = (u32, bool, bool, u8, bool, bool)> {
    (0_u32..5, any::<bool>(), prop::bool::weighted(0.2), 0_u8..4, any::<bool>(), any::<bool>())
}

proptest! {
    /// Every server that may serve is found, and no other; a request never gets a server twice.
    #[test]
    fn all_eligible_are_found_and_none_twice(
        plan in prop::collection::vec(any_member(), 1..80), key in any::<u64>(),
    ) {
        for kind in KINDS {
            let mut held = Vec::new();
            let mut members = Vec::new();
            for (number, (weight, backup, down, active, full, ejected)) in plan.iter().enumerate() {
                let mut member = member(number, *weight);
                member.terms.backup = *backup;
                member.terms.down = *down;
                member.server.set_active(ActiveHealth::from_u8(*active));
                if *full {
                    member.terms.max_conns = 1;
                    held.push(member.server.reserve(1));
                }
                if *ejected {
                    let limits = member.limits();
                    member.server.passive().fail(limits, (0, 0), "x", &Mutex::default(), || true);
                }
                members.push(member);
            }
            let may = |(weight, _, down, active, full, ejected): &(u32, bool, bool, u8, bool, bool)| {
                *weight > 0 && !down && matches!(active, 0 | 2) && !full && !ejected
            };
            let upstream = Upstream::new("app", kind, members, false, None);
            let mut seen = Tried::default();
            let mut met_backup = false;
            while let Ok(lease) = upstream.pick(&seen, key, 5) {
                prop_assert!(!seen.contains(lease.index()));
                prop_assert!(may(&plan[lease.index()]));
                prop_assert!(lease.is_backup() || !met_backup, "primaries come first");
                met_backup |= lease.is_backup();
                seen.insert(lease.index());
            }
            prop_assert_eq!(seen.len(), plan.iter().filter(|server| may(server)).count());
        }
    }

    /// If a server cannot be used, its turns go to the next ones, and no server loses a turn.
    #[test]
    fn turns_hold_without_the_tried(weights in prop::collection::vec(1_u32..9, 2..9), skip in 0_usize..2) {
        let upstream = upstream(StrategyKind::RoundRobin, members(&weights));
        let mut left = weights.clone();
        left[skip] = 0;
        for _ in 0..left.iter().sum() {
            let index = pick(&upstream, &[skip], 0).index();
            prop_assert!(left[index] > 0);
            left[index] -= 1;
        }
    }
}
