//! What finding a route costs: one site, and 10,000 sites of 10 routes each, built from a config as
//! the daemon builds it. Also reading a path, and building that config.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::Method;
use sheave::{
    config,
    message::path::normalise,
    snapshot::{Snapshot, build::build, live::Resources},
};
use std::{fmt::Write, hint::black_box, path::Path};

/// A config of `sites` sites with 10 routes each; the last one takes every path.
fn text(sites: usize) -> String {
    let mut text = String::from(
        "[listener.http]\naddress = \"127.0.0.1:0\"\n\
         [upstream.app]\nservers = [{ address = \"127.0.0.1:3001\" }]\n",
    );
    for site in 0..sites {
        let _ = writeln!(text, "[[site]]\nhosts = [\"www.site{site}.example.com\"]");
        for route in 0..9 {
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

fn find(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("find");
    for sites in [1, 10_000] {
        let snapshot = snapshot(&text(sites));
        let listener = snapshot.listener(0).expect("the first listener");
        let host = format!("www.site{}.example.com", sites / 2);
        for (name, path) in [("first_route", "/part0/index.html"), ("last_route", "/index.html")] {
            group.bench_function(BenchmarkId::new(name, sites), |bencher| {
                bencher.iter(|| {
                    let site = listener.sites.find(black_box(&host))?;
                    snapshot.router.find(site, &Method::GET, black_box(path))
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

fn build_many(criterion: &mut Criterion) {
    let text = text(10_000);
    let mut group = criterion.benchmark_group("config");
    group.sample_size(10);
    group.bench_function("read_and_build/10000", |bencher| bencher.iter(|| snapshot(&text)));
    group.finish();
}

criterion_group!(benches, find, paths, build_many);
criterion_main!(benches);
