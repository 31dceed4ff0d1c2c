//! What a pick costs: every strategy at 3, 64 and 1,000 servers, with the lease taken and dropped.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

use sheave::{
    cidr::PeerAddress,
    settings::ServerTerms,
    upstream::{Member, Server, StrategyKind, Tried, Upstream, strategy},
};
use std::{hint::black_box, sync::Arc};

fn upstream(kind: StrategyKind, count: usize) -> Upstream {
    let member = |i: usize| Member {
        server: Server::new("app", &format!("10.0.{}.{}:8080", i / 256, i % 256)),
        reach: Arc::default(),
        terms: ServerTerms { weight: 1 + (i % 3) as u32, ..ServerTerms::default() },
    };
    Upstream::new("app", kind, (0..count).map(member).collect(), true, None)
}

fn pick(criterion: &mut Criterion) {
    let address = strategy::ip_hash::key(PeerAddress::Ip([192, 0, 2, 7].into()));
    let text = strategy::consistent_hash::key(b"/index.html");
    let kinds = [
        ("round_robin", StrategyKind::RoundRobin, 0),
        ("least_connections", StrategyKind::LeastConnections, 0),
        ("ip_hash", StrategyKind::IpHash, address),
        ("random_two", StrategyKind::RandomTwo, 0),
        ("consistent_hash", StrategyKind::ConsistentHash, text),
    ];
    let mut group = criterion.benchmark_group("pick");
    for (name, kind, key) in kinds {
        for count in [3, 64, 1_000] {
            let upstream = upstream(kind, count);
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                bencher.iter(|| black_box(upstream.pick(&Tried::default(), black_box(key), 0)));
            });
        }
    }
    // The dearest: every server is busy, so that all of them are looked at.
    let upstream = upstream(StrategyKind::LeastConnections, 1_000);
    let one = || upstream.pick(&Tried::default(), 0, 0);
    let _held: Vec<_> = (0..2_000).map(|_| one()).collect();
    group.bench_function("least_connections/1000, all busy", |bencher| {
        bencher.iter(|| black_box(one()));
    });
    group.finish();
}

criterion_group!(benches, pick);
criterion_main!(benches);
