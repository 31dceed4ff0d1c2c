//! `/profile`: what a build without the feature `profile` says, and what one with it answers.

use crate::rig::{Config, Daemon, Server};

#[cfg(not(feature = "profile"))]
#[test]
fn a_build_without_the_profiler_says_what_to_do_instead() {
    let daemon = Daemon::start(&Config::to([&Server::start("1")]));
    let (status, told) = daemon.admin_json("/profile?seconds=1");
    assert_eq!(status, 501, "{told}");
    let error = told["error"].as_str().expect("an error");
    assert!(error.contains("perf record") && error.contains("--features profile"), "{error}");
}

#[cfg(feature = "profile")]
#[test]
fn a_profile_is_a_flame_graph_or_pprof_of_what_the_workers_did() {
    use crate::rig::{Load, client::get};
    use std::net::SocketAddr;

    // A load without an end, so that there is always something to see.
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]).quiet());
    let load = Load::on(daemon.http()).connections(4).start();
    load.wait_for(100);
    let asked = |admin: SocketAddr, query: &str| get(admin, &format!("/profile?{query}"));

    let graph = asked(daemon.admin(), "seconds=2");
    assert_eq!((graph.status, graph.field("content-type")), (200, Some("image/svg+xml")));
    assert!(graph.text().contains("sheave::proxy::"), "no function of ours is in it");
    let policy = graph.field("content-security-policy").expect("a policy");
    assert!(policy.starts_with("sandbox allow-scripts; default-src 'none'"), "{policy}");

    let profile = asked(daemon.admin(), "seconds=2&format=pprof");
    assert_eq!(profile.status, 200);
    let strings = String::from_utf8_lossy(&profile.body);
    assert!(strings.contains("sheave::proxy::"), "no function of ours is in it");

    for (query, error) in [
        ("seconds=0", "`seconds` is 1 to 60"),
        ("seconds=61", "`seconds` is 1 to 60"),
        ("format=png", "`format` is `svg` or `pprof`"),
        ("for=2", "`for=2` is not known: write ?seconds=10&format=svg"),
    ] {
        let (status, told) = daemon.admin_json(&format!("/profile?{query}"));
        assert_eq!((status, told["error"].as_str()), (422, Some(error)));
    }

    // One at a time.
    let admin = daemon.admin();
    let answers = std::thread::scope(|scope| {
        [0; 2]
            .map(|_| scope.spawn(|| asked(admin, "seconds=2").status))
            .map(|it| it.join().expect("an answer"))
    });
    assert!(answers.contains(&200) && answers.contains(&409), "{answers:?}");
    load.stop().expect_no_failure();
}
