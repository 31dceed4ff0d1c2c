//! How the process is: `/health` with real figures and its levels, and the leak watch.

use crate::rig::{Client, Config, Daemon, Load, Server, eventually};

#[test]
fn health_tells_what_is_used_of_what_there_is() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]).quiet());
    Load::on(daemon.http()).connections(4).requests(3000).run().expect_no_failure();
    let used = |check: &str, part: &str| {
        let (status, health) = daemon.admin_json("/health");
        assert_eq!((status, &health["status"]), (200, &"ok".into()), "{health}");
        health["checks"][check][part].as_f64().unwrap_or_else(|| panic!("{check} in {health}"))
    };
    for check in ["memory", "descriptors"] {
        let percent = used(check, "percent");
        assert!((0.0..90.0).contains(&percent), "{check}: {percent} %");
    }
    assert!(used("memory", "resident_bytes") < used("memory", "limit_bytes"));
    assert!(used("cpu", "seconds") > 0.0);
    // It is of the last seconds, and so grows only with the next sample.
    eventually("some processor time", || (used("cpu", "percent") > 0.0).then_some(()));
    let cores = used("cpu", "cores");
    assert!(cores > 0.0 && cores <= used("cpu", "cores_limit") * 1.5, "{cores}");
    assert!((0.0..=1.0).contains(&used("workers", "busy")));
}

#[test]
fn a_level_that_is_reached_is_a_warning_and_the_daemon_is_served_as_before() {
    let levels = "[health]\ndescriptors = \"1%\"";
    let config = Config::to([&Server::start("1")]).rest(levels);
    let daemon = Daemon::start_limited(&config, "--nofile=500");
    let (status, health) = daemon.admin_json("/health");
    assert_eq!((status, &health["status"]), (200, &"warning".into()), "{health}");
    assert_eq!(health["checks"]["descriptors"]["status"], "warning", "{health}");
    assert_eq!(health["checks"]["descriptors"]["limit"], 500, "{health}");
    assert_eq!(health["checks"]["memory"]["status"], "ok", "{health}");
    // 0 is no level.
    daemon.reconfigure(&Config::to([&Server::start("2")]).rest("[health]\ndescriptors = \"0%\""));
    assert_eq!(daemon.admin_json("/health").1["status"], "ok");
}

#[test]
fn the_leak_watch_takes_samples_unless_it_is_off() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]));
    let (_, health) = daemon.admin_json("/health");
    let told = &health["checks"]["leak_watch"];
    assert_eq!((&told["status"], &told["suspects"]), (&"ok".into(), &serde_json::json!([])));
    daemon.reconfigure(&Config::to([&server]).rest("[health]\nleak_watch = false"));
    let (_, health) = daemon.admin_json("/health");
    assert_eq!(health["checks"]["leak_watch"]["enabled"], false, "{health}");
}

#[test]
fn stats_tell_of_the_process_and_its_heap() {
    let daemon = Daemon::start(&Config::to([&Server::start("1")]).workers(2));
    Client::connect(daemon.http()).get("/");
    let (_, stats) = daemon.admin_json("/stats");
    let process = &stats["process"];
    // The control thread, two workers, and the log's.
    assert!(process["threads"].as_u64().is_some_and(|it| it >= 4), "{process}");
    let bytes = |part: &str| process["heap"][part].as_u64().unwrap();
    assert!(bytes("committed_bytes") > 100_000, "{process}");
    assert!(bytes("committed_bytes") <= bytes("reserved_bytes"), "{process}");
    assert!(process["page_faults"]["minor"].as_u64().is_some_and(|it| it > 0), "{process}");
    assert!(daemon.metric("sheave_heap_committed_bytes", &[]) > 100_000.0);
    assert!(daemon.metric("sheave_page_faults_total", &[("kind", "minor")]) > 0.0);
}
