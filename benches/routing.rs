//! What finding a route costs: at one site, and at 10,000 sites of 10 routes each. Also reading a
//! path, and building what runs from a config of many sites.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{Method, StatusCode};
use sheave::{
    config,
    filter::Chain,
    http1::fields::FieldText,
    observe::metrics::Metrics,
    path::normalise,
    route::{Action, PathMatcher, Respond, Route, RouteMatcher, Router, Sites, Wording},
    snapshot::{Snapshot, build::build, live::Resources},
};
use std::{fmt::Write, hint::black_box, path::Path, sync::Arc};

/// Routes of a site; the last one takes every path.
const ROUTES: usize = 10;

fn path(route: usize) -> PathMatcher {
    match route {
        last if last == ROUTES - 1 => PathMatcher::Any,
        _ => PathMatcher::Prefix(format!("/part{route}/")),
    }
}

fn route(metrics: &Metrics, path: PathMatcher) -> Route {
    let name: Arc<str> = "bench".into();
    Route {
        metrics: metrics.route(&name),
        name,
        matcher: RouteMatcher { path, methods: Vec::new() },
        filters: Chain::default(),
        action: Action::Respond(Box::new(Respond {
            status: StatusCode::OK,
            body: Wording::Fixed(Bytes::new()),
            fields: FieldText::default(),
        })),
        caching: None,
        pages: None,
        codings: None,
        server_timing: false,
        max_body: 0,
    }
}

fn routing(sites: usize) -> (Sites, Router) {
    let metrics = Metrics::new();
    let (mut by_host, mut router): (Sites, Router) = Default::default();
    for site in 0..sites {
        let index = router.add((0..ROUTES).map(|it| route(&metrics, path(it))).collect());
        by_host.add_exact(&format!("www.site{site}.example.com"), index);
    }
    (by_host, router)
}

fn find(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("find");
    for sites in [1, 10_000] {
        let (by_host, router) = routing(sites);
        let host = format!("www.site{}.example.com", sites / 2);
        for (name, path) in [("first_route", "/part0/index.html"), ("last_route", "/index.html")] {
            group.bench_function(BenchmarkId::new(name, sites), |bencher| {
                bencher.iter(|| {
                    let site = by_host.find(black_box(&host))?;
                    router.find(site, &Method::GET, black_box(path))
                });
            });
        }
    }
    group.finish();
}

fn paths(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("normalise");
    for (name, path) in [
        ("clean", "/assets/js/application.8f3a1c.min.js"),
        ("escaped", "/assets//js/../caf%C3%A9%20au%20lait/./menu.html"),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| normalise(black_box(path)).is_ok()));
    }
    group.finish();
}

/// A config of `sites` sites, as a user would write it.
fn text(sites: usize) -> String {
    let mut text = String::from(
        "[listener.http]\naddress = \"127.0.0.1:0\"\n\
         [upstream.app]\nservers = [{ address = \"127.0.0.1:3001\" }]\n",
    );
    for site in 0..sites {
        let _ = writeln!(text, "[[site]]\nhosts = [\"www.site{site}.example.com\"]");
        for route in 1..ROUTES {
            let _ = writeln!(text, "[[site.route]]\npath = \"/part{route}/*\"\nupstream = \"app\"");
        }
        text.push_str("[[site.route]]\nupstream = \"app\"\n");
    }
    text
}

fn snapshot(text: &str) -> Snapshot {
    let loaded = config::parse(text, Path::new("bench.toml"), &|_| None).expect("a valid config");
    let resources = Resources::new(1).expect("a random ticket key");
    build(loaded.config, None, &resources).expect("nothing to open")
}

fn build_many(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("config");
    group.sample_size(10);
    for sites in [100, 10_000] {
        let text = text(sites);
        group.bench_function(BenchmarkId::new("read_and_build", sites), |bencher| {
            bencher.iter(|| snapshot(&text));
        });
    }
    group.finish();
}

criterion_group!(benches, find, paths, build_many);
criterion_main!(benches);
