//! Three hundred configs in a row, under load.

use crate::rig::{Client, Config, Daemon, Load, Server, client::request, until};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Generation `n`: its own weights, servers, routes and header, and every other one a listener.
fn generation(n: u64, servers: &[Server]) -> Config {
    let mut config = Config::bare().quiet();
    for (index, server) in servers.iter().enumerate() {
        if !(n as usize + index).is_multiple_of(servers.len()) {
            config = config.server(server, &format!("weight = {}", (n as usize + index) % 5 + 1));
        }
    }
    config = config.route(&format!("response_headers.set = {{ \"X-Generation\" = \"{n}\" }}"));
    for route in 0..n % 4 {
        config = config.route_before(&format!(
            "path = \"/extra-{n}-{route}/*\"\nrespond = {{ status = 204 }}"
        ));
    }
    if n % 2 == 1 {
        config = config.rest("[listener.odd]\naddress = \"127.0.0.1:0\"");
    }
    config
}

fn answers(address: SocketAddr) -> bool {
    Client::try_connect(address).is_ok_and(|mut client| {
        let asked = client.try_send(request("GET", "/", "", ""));
        asked.is_ok() && client.try_response("GET").is_ok_and(|answer| answer.status == 200)
    })
}

#[test]
fn three_hundred_reloads_under_load_fail_nobody_and_leak_nothing() {
    let servers = Server::start_several(4);
    let dir = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::start_frugal(dir, &generation(0, &servers).text());
    // Written is what may be in force, confirmed what must be, or something later.
    let (written, confirmed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (at_most, at_least) = (Arc::clone(&written), Arc::clone(&confirmed));
    let load = Load::on(daemon.http()).connections(16).inspecting(
        move || at_least.load(Ordering::SeqCst),
        move |_, at_least, response| {
            let seen: u64 = response
                .field("x-generation")
                .and_then(|g| g.parse().ok())
                .ok_or("no generation")?;
            let at_most = at_most.load(Ordering::SeqCst);
            if (at_least..=at_most).contains(&seen) {
                return Ok(());
            }
            Err(format!("generation {seen} where {at_least} to {at_most} were current"))
        },
    );
    let load = load.start();
    load.wait_for(500);
    let memory = |daemon: &Daemon| daemon.metric("process_resident_memory_bytes", &[]);
    let mut early = 0.0;
    for n in 1..=300 {
        written.store(n, Ordering::SeqCst);
        daemon.reconfigure(&generation(n, &servers));
        confirmed.store(n, Ordering::SeqCst);
        if n % 2 == 1 && n % 20 < 2 {
            until(&format!("the listener of {n}"), || answers(daemon.address("odd")));
        }
        if n == 100 {
            load.wait_for(load.done() + 500);
            early = memory(&daemon);
        }
    }
    // What a leak holds stays. Snapshots that no request uses any more go within a second, in which
    // all these reloads can happen.
    let most = early * 1.1;
    until(&format!("the memory is below {most} bytes again"), || memory(&daemon) < most);
    let outcome = load.stop();
    outcome.expect_no_failure();
    assert!(early > 0.0, "the memory is measured");
    assert!(daemon.count("sheave_reloads_total", &[("result", "success")]) >= 300);
    assert_eq!(daemon.count("sheave_panics_total", &[]), 0);
}
