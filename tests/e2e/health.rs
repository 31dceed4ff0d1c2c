//! When a server is taken out and when it comes back: passive ejection, active checks, and what
//! happens when nobody is left.

use crate::rig::{
    Behaviour, Client, Config, Daemon, Load, Server, Step,
    client::{get, request},
    until,
};
use std::time::{Duration, Instant};

fn label(server: &Server) -> String {
    server.to_string()
}

#[test]
fn a_failing_server_is_ejected_and_comes_back_and_both_show() {
    let servers = Server::start_several(2);
    let config = Config::bare()
        .server(&servers[0], "max_fails = 2, fail_timeout = \"1s\"")
        .server(&servers[1], "max_fails = 2, fail_timeout = \"1s\"");
    let daemon = Daemon::start(&config);
    let first = label(&servers[0]);
    let up = |server: &str| daemon.count("sheave_upstream_up", &[("server", server)]);
    assert_eq!((daemon.state_name(&first), up(&first)), ("up".into(), 1));

    servers[0].kill();
    let mut client = Client::connect(daemon.http());
    for _ in 0..6 {
        assert_eq!(client.get("/").text(), "2", "a retry hides the dead server");
    }
    assert_ne!(daemon.state_name(&first), "up");
    assert_eq!(daemon.state_name(&label(&servers[1])), "up");
    assert_eq!(up(&first), 0);
    assert_eq!(daemon.count("sheave_upstream_ejections_total", &[("server", &first)]), 1);
    let attempts = [("server", first.as_str()), ("outcome", "connect_failed")];
    assert_eq!(
        daemon.count("sheave_upstream_attempts_total", &attempts),
        2,
        "then it is left alone"
    );

    servers[0].come_back();
    until("the server to be back", || client.get("/").text() == "1");
    until("the server to be up", || daemon.state_name(&first) == "up");
    until("the gauge to say so", || up(&first) == 1);
}

#[test]
fn failures_spread_wider_than_the_window_do_not_eject() {
    let servers = Server::start_several(2);
    let config = Config::bare()
        .server(&servers[0], "max_fails = 2, fail_timeout = \"200ms\"")
        .server(&servers[1], "");
    let daemon = Daemon::start(&config);
    let mut client = Client::connect(daemon.http());
    let first = label(&servers[0]);
    let attempts = [("server", first.as_str()), ("outcome", "connect_failed")];
    for round in 1..=3 {
        servers[0].kill();
        until("one failure", || {
            client.get("/");
            daemon.count("sheave_upstream_attempts_total", &attempts) >= round
        });
        let since = Instant::now();
        servers[0].come_back();
        // The window has to pass; there is no event to wait for.
        until("the window to pass", || since.elapsed() > Duration::from_millis(600));
    }
    assert_eq!(daemon.count("sheave_upstream_ejections_total", &[("server", &first)]), 0);
}

#[test]
fn max_fails_zero_never_ejects() {
    let servers = Server::start_several(2);
    let config = Config::bare().server(&servers[0], "max_fails = 0").server(&servers[1], "");
    let daemon = Daemon::start(&config);
    servers[0].kill();
    let mut client = Client::connect(daemon.http());
    for _ in 0..20 {
        assert_eq!(client.get("/").text(), "2");
    }
    let first = label(&servers[0]);
    assert_eq!(daemon.state_name(&first), "up");
    let attempts = [("server", first.as_str()), ("outcome", "connect_failed")];
    let tried = daemon.count("sheave_upstream_attempts_total", &attempts);
    assert!(tried >= 6, "still tried in its turn: {tried}");
}

#[test]
fn statuses_in_fail_on_eject_and_others_do_not() {
    let servers = Server::start_several(2);
    for server in &servers {
        server.set_for("/500", Behaviour::status(500, "broken"));
        server.set_for("/503", Behaviour::status(503, "busy"));
    }
    let daemon = Daemon::start(
        &Config::bare()
            .server(&servers[0], "max_fails = 2, fail_timeout = \"60s\"")
            .server(&servers[1], "max_fails = 0")
            .upstream("fail_on = [503]"),
    );
    let ejections = || daemon.count("sheave_upstream_ejections_total", &[]);
    let mut client = Client::connect(daemon.http());
    for _ in 0..10 {
        assert_eq!(client.get("/500").status, 500);
    }
    assert_eq!(ejections(), 0);
    for _ in 0..10 {
        assert_eq!(client.get("/503").status, 503, "passed on all the same");
    }
    assert_eq!(ejections(), 1);
    let first = label(&servers[0]);
    let why = [("upstream", "app"), ("server", first.as_str()), ("reason", "http_status")];
    until("the log to say so", || daemon.log.find_message("server ejected", &why).is_some());
}

#[test]
fn all_servers_down_then_the_backup_then_back() {
    let servers = Server::start_several(3);
    let config = Config::bare()
        .server(&servers[0], "max_fails = 1, fail_timeout = \"1s\"")
        .server(&servers[1], "max_fails = 1, fail_timeout = \"1s\"")
        .server(&servers[2], "backup = true");
    let daemon = Daemon::start(&config);
    let mut client = Client::connect(daemon.http());
    servers[0].kill();
    servers[1].kill();
    for _ in 0..10 {
        assert_eq!(client.get("/").text(), "3");
    }
    servers[2].kill();
    let refused = client.get("/");
    assert!(matches!(refused.status, 502 | 503), "all dead: {refused:?}");
    servers[2].come_back();
    until("the backup to answer again", || client.get("/").text() == "3");
    servers[0].come_back();
    servers[1].come_back();
    until("both to be up", || {
        client.get("/");
        servers[..2].iter().all(|server| daemon.state_name(&label(server)) == "up")
    });
    let names: String = (0..4).map(|_| client.get("/").text()).collect();
    assert!(["1212", "2121"].contains(&names.as_str()), "{names}");
}

#[test]
fn with_every_server_dead_the_first_request_gets_to_the_backup() {
    let servers = Server::start_several(4);
    let config = Config::bare()
        .server(&servers[0], "")
        .server(&servers[1], "")
        .server(&servers[2], "")
        .server(&servers[3], "backup = true");
    let daemon = Daemon::start(&config);
    servers[..3].iter().for_each(Server::kill);
    for _ in 0..20 {
        assert_eq!(get(daemon.http(), "/").text(), "4");
    }
}

#[test]
fn a_server_that_active_checks_find_well_again_need_not_wait_for_its_ejection_to_end() {
    let servers = Server::start_several(2);
    let patient = "max_fails = 1, fail_timeout = \"1h\"";
    let config = Config::bare().server(&servers[0], patient).server(&servers[1], patient).upstream(
        "health_check = { interval = \"100ms\", timeout = \"50ms\", fall = 9, rise = 1 }",
    );
    let daemon = Daemon::start(&config);
    servers[0].kill();
    for _ in 0..4 {
        assert_eq!(get(daemon.http(), "/").status, 200);
    }
    assert_eq!(daemon.count("sheave_upstream_ejections_total", &[]), 1);
    until("the checks to fail", || daemon.state_name(&label(&servers[0])) == "failed");
    servers[0].come_back();
    until("the server to be in again", || daemon.state_name(&label(&servers[0])) == "up");
}

#[test]
fn a_single_server_is_never_ejected() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::bare().server(&server, "max_fails = 1"));
    server.set(Behaviour::reset());
    let mut client = Client::connect(daemon.http());
    for n in 1..=10 {
        assert_eq!(client.get("/").status, 502);
        assert!(server.request_count() >= n, "every request is tried");
    }
    server.set(Behaviour::normal());
    assert_eq!(client.get("/").text(), "1", "at once");
    assert_eq!(daemon.state_name(&label(&server)), "up");
    assert_eq!(daemon.count("sheave_upstream_ejections_total", &[]), 0);
}

#[test]
fn the_last_of_several_servers_is_never_ejected_by_passive_checks() {
    let servers = Server::start_several(3);
    for server in &servers {
        server.set(Behaviour::reset());
    }
    let config = Config::bare()
        .server(&servers[0], "max_fails = 1, fail_timeout = \"60s\"")
        .server(&servers[1], "max_fails = 1, fail_timeout = \"60s\"")
        .server(&servers[2], "max_fails = 1, fail_timeout = \"60s\"");
    let daemon = Daemon::start(&config);
    let mut client = Client::connect(daemon.http());
    for _ in 0..10 {
        assert_eq!(client.get("/").status, 502);
    }
    let up = servers.iter().filter(|s| daemon.state_name(&label(s)) == "up").count();
    assert_eq!(up, 1);
    for server in &servers {
        server.set(Behaviour::normal());
    }
    assert_eq!(client.get("/").status, 200, "the one that is left serves as soon as it can");
}

/// Probed often, so that a test need not be long.
const CHECK: &str = "health_check = { path = \"/health\", interval = \"100ms\", timeout = \"5s\", fall = 2, rise = 2 }";

#[test]
fn active_checks_take_a_server_down_and_bring_it_back() {
    let servers = Server::start_several(2);
    let daemon = Daemon::start(&Config::to(&servers).upstream(CHECK));
    let first = label(&servers[0]);
    let mut client = Client::connect(daemon.http());
    servers[0].set_for("/health", Behaviour::status(503, "ill"));
    until("the server to be down", || daemon.state_name(&first) != "up");
    for _ in 0..6 {
        assert_eq!(client.get("/").text(), "2");
    }
    servers[0].set_for("/health", Behaviour::normal());
    until("the server to be up", || daemon.state_name(&first) == "up");
    until("it to be used", || client.get("/").text() == "1");
}

#[test]
fn active_checks_notice_servers_that_are_dead_or_reset() {
    let servers = Server::start_several(3);
    let daemon = Daemon::start(&Config::to(&servers).upstream(CHECK));
    servers[0].kill();
    servers[1].set_for("/health", Behaviour::reset());
    until("both to be down", || {
        servers[..2].iter().all(|server| daemon.state_name(&label(server)) != "up")
    });
    let outcome = Load::on(daemon.http()).connections(2).requests(20).run();
    assert_eq!(outcome.of("3"), 20);
}

#[test]
fn with_every_server_failed_by_active_checks_it_is_503_with_retry_after() {
    for policy in ["fail_open", "error"] {
        let servers = Server::start_several(2);
        let config = Config::to(&servers).upstream(CHECK);
        let daemon = Daemon::start(&config.upstream(&format!("when_all_down = \"{policy}\"")));
        assert_eq!(daemon.admin_json("/ready").0, 200);
        for server in &servers {
            server.set_for("/health", Behaviour::status(500, ""));
        }
        until("all to be down", || {
            servers.iter().all(|server| daemon.state_name(&label(server)) != "up")
        });
        let refused = get(daemon.http(), "/");
        assert_eq!(refused.status, 503, "{policy}");
        let after = refused.field("retry-after").expect("Retry-After");
        assert!(after.parse::<u32>().is_ok(), "Retry-After: {after}");
        daemon.wait_for_reason("no_live_upstream");
        assert_eq!(daemon.admin_json("/ready").0, 503);
        assert_eq!(daemon.admin_json("/health").0, 503);
    }
}

#[test]
fn passive_ejection_fails_open_or_not_as_configured() {
    for (policy, status) in [("fail_open", 200), ("error", 503)] {
        let servers = Server::start_several(2);
        let config = Config::bare()
            .server(&servers[0], "max_fails = 1, fail_timeout = \"60s\"")
            .server(&servers[1], "max_fails = 1, fail_timeout = \"60s\"")
            .upstream(CHECK)
            .upstream(&format!("when_all_down = \"{policy}\""));
        let daemon = Daemon::start(&config);
        // Server 1 is ejected by what requests see of it, server 2 is failed by its checks.
        servers[0].set_for("/", Behaviour::reset());
        until("the ejection", || {
            get(daemon.http(), "/");
            daemon.count("sheave_upstream_ejections_total", &[("server", &label(&servers[0]))]) == 1
        });
        servers[1].set_for("/health", Behaviour::status(500, ""));
        until("the failed checks", || daemon.state_name(&label(&servers[1])) != "up");
        servers[0].set_for("/", Behaviour::normal());
        assert_eq!(get(daemon.http(), "/").status, status, "{policy}");
    }
}

#[test]
fn one_probe_a_server_however_many_workers() {
    let servers = Server::start_several(2);
    let since = Instant::now();
    let check = "health_check = { path = \"/health\", interval = \"100ms\", timeout = \"5s\" }";
    let _daemon = Daemon::start(&Config::to(&servers).workers(4).upstream(check));
    for server in &servers {
        server.wait_for_requests(20);
        // Noise makes probes rarer, never more frequent: an upper bound does not flake.
        let probes = server.request_count();
        let most = since.elapsed().as_millis() / 90 + 2;
        assert!(probes as u128 <= most, "{probes} probes where {most} are due at most");
    }
    assert!(servers[0].requests().iter().all(|probe| probe.head.path() == "/health"));
    assert_eq!(servers[0].last_request().head.field("host"), Some(&*servers[0].to_string()));
}

#[test]
fn a_stale_pooled_connection_is_not_a_failure() {
    let server = Server::start("1");
    let other = Server::start("2");
    let daemon = Daemon::start(
        &Config::bare().server(&server, "max_fails = 1").server(&other, "max_fails = 1").workers(1),
    );
    for server in [&server, &other] {
        server.set(Behaviour::close_idle(Duration::ZERO));
    }
    let mut client = Client::connect(daemon.http());
    for _ in 0..40 {
        assert_eq!(client.ask(&request("GET", "/", "", "")).status, 200);
    }
    assert_eq!(daemon.count("sheave_upstream_ejections_total", &[]), 0);
}

#[test]
fn a_reload_that_fails_leaves_what_the_checks_found_out() {
    let server = Server::start("1");
    server.set(Behaviour::status(500, ""));
    let config = Config::to([&server]);
    let checked = "health_check = { path = \"/\", interval = \"100ms\", fall = 1 }";
    let daemon = Daemon::start(&config.clone().upstream(checked));
    let server = label(&server);
    until("the checks to fail", || daemon.state_name(&server) == "failed");
    // Not checked any more, with an admin address that is not to be had.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = format!("[admin]\naddress = \"{}\"", taken.local_addr().unwrap());
    daemon.rewrite_config(&config.clone().rest(&admin).text());
    assert_ne!(daemon.reload().status, 200);
    assert_eq!(daemon.state_name(&server), "failed");
    daemon.reconfigure(&config);
    assert_eq!(daemon.state_name(&server), "up");
}

#[test]
fn a_want_of_descriptors_is_not_held_against_the_servers() {
    let servers = Server::start_several(2);
    let config = Config::bare()
        .workers(1)
        .server(&servers[0], "max_fails = 1")
        .server(&servers[1], "max_fails = 1")
        .upstream(
            "health_check = { path = \"/\", interval = \"100ms\", timeout = \"2s\", fall = 1 }",
        );
    let daemon = Daemon::start(&config);
    let mut client = Client::connect(daemon.http());
    assert_eq!(client.get("/").status, 200, "one server has a connection, the other has none");
    daemon.shell("prlimit --pid $0 --nofile=4:");
    let failed =
        || daemon.log.lines().iter().filter(|line| line.contains("health check failed")).count();
    let before = failed();
    for _ in 0..6 {
        assert_eq!(client.get("/").status, 200);
    }
    until("some checks without a descriptor", || failed() > before + 3);
    daemon.shell("prlimit --pid $0 --nofile=1024:");
    for server in &servers {
        assert_eq!(daemon.state_name(&label(server)), "up");
    }
    assert_eq!(daemon.count("sheave_upstream_ejections_total", &[]), 0);
}

#[test]
fn a_kept_connection_that_is_closed_is_not_held_against_its_server() {
    let servers = Server::start_several(2);
    let config = Config::bare()
        .workers(1)
        .server(&servers[0], "max_fails = 1")
        .server(&servers[1], "max_fails = 1");
    let daemon = Daemon::start(&config);
    let mut client = Client::connect(daemon.http());
    client.get("/");
    client.get("/");
    // Each server reads the next request on the connection that it kept, and closes it.
    for server in &servers {
        server.set(Behaviour::new([Step::Body, Step::Close]));
    }
    for _ in 0..2 {
        assert_eq!(client.ask(&request("POST", "/", "", "hello")).status, 502);
    }
    for server in &servers {
        assert_eq!(server.request_count(), 2, "it is not sure that it was not done");
        assert_eq!(daemon.state_name(&label(server)), "up");
    }
}

#[test]
fn a_server_that_was_down_by_config_comes_back_with_a_passed_check() {
    let servers = Server::start_several(2);
    let config = |keys: &str| {
        let config = Config::bare().server(&servers[0], "").server(&servers[1], keys);
        config.upstream("health_check = { path = \"/health\", interval = \"200ms\" }")
    };
    let daemon = Daemon::start(&config(""));
    let second = servers[1].address.to_string();
    until("both to be checked", || servers.iter().all(|it| it.request_count() > 0));
    daemon.reconfigure(&config("down = true"));
    assert_eq!(daemon.state_name(&second), "down");
    servers[1].set(Behaviour::status(500, "broken"));
    daemon.reconfigure(&config(""));
    for _ in 0..20 {
        assert_eq!(get(daemon.http(), "/").status, 200);
    }
    assert_ne!(daemon.state_name(&second), "up");
    servers[1].set(Behaviour::normal());
    until("it to be up", || daemon.state_name(&second) == "up");
}

#[test]
fn a_few_failures_among_many_answers_eject_nobody_and_a_death_does() {
    let servers = Server::start_several(2);
    servers[0].set_for("/reset", Behaviour::reset());
    let daemon = Daemon::start(&Config::to(&servers));
    let first = label(&servers[0]);
    let resets = [("server", &*first), ("outcome", "reset")];
    let mut client = Client::connect(daemon.http());
    for round in 1..=4 {
        until("a reset", || {
            for _ in 0..60 {
                assert_eq!(client.get("/").status, 200);
            }
            client.get("/reset");
            daemon.count("sheave_upstream_attempts_total", &resets) >= round
        });
    }
    assert_eq!(daemon.count("sheave_upstream_ejections_total", &[]), 0);
    assert_eq!(daemon.state_name(&first), "up");
    // One that succeeds begins the row anew.
    (0..2).for_each(|_| assert_eq!(client.get("/").status, 200));
    servers[0].kill();
    for _ in 0..8 {
        assert_eq!(client.get("/").text(), "2");
    }
    assert_ne!(daemon.state_name(&first), "up");
    let refused = [("server", &*first), ("outcome", "connect_failed")];
    assert_eq!(daemon.count("sheave_upstream_attempts_total", &refused), 3);
}

#[test]
fn upstreams_tell_why_a_server_is_in_its_state() {
    fn told(daemon: &Daemon, server: &str) -> (String, Option<String>, Option<String>) {
        let state = daemon.server_state(server);
        let text = |key: &str| state[key].as_str().map(str::to_owned);
        (text("state").unwrap(), text("reason"), text("last_failure"))
    }
    let some = |text: &str| Some(text.to_owned());
    let checked = Server::start("1");
    let check = "health_check = { path = \"/health\", interval = \"50ms\", timeout = \"5s\", fall = 1, rise = 1 }";
    let daemon = Daemon::start(&Config::to([&checked]).upstream(check));
    let first = label(&checked);
    checked.set_for("/health", Behaviour::status(500, "broken"));
    until("the check to fail", || daemon.state_name(&first) == "failed");
    assert_eq!(told(&daemon, &first), ("failed".into(), some("it answered 500"), None));
    checked.set_for("/health", Behaviour::normal());
    until("the check to pass", || daemon.state_name(&first) == "up");
    assert_eq!(told(&daemon, &first), ("up".into(), None, None));

    let servers = Server::start_several(3);
    let daemon = Daemon::start(
        &Config::bare()
            .server(&servers[0], "max_fails = 2, fail_timeout = \"60s\"")
            .server(&servers[1], "")
            .server(&servers[2], "down = true")
            .address("nowhere.invalid:80", ""),
    );
    // A failure that did not eject says nothing about the state.
    let (second, refused) = (label(&servers[0]), some("connect_failed"));
    servers[0].kill();
    let mut client = Client::connect(daemon.http());
    let mut fail = |count| {
        until("a failure", || {
            client.get("/");
            daemon.server_state(&second)["failures"] == count
        });
    };
    fail(1);
    assert_eq!(told(&daemon, &second), ("up".into(), None, refused.clone()));
    fail(2);
    assert_eq!(told(&daemon, &second), ("ejected".into(), refused.clone(), refused));
    let down = ("down".into(), some("the config has it `down`"), None);
    assert_eq!(told(&daemon, &label(&servers[2])), down);
    let lost = ("unresolved".into(), some("its name does not resolve"), None);
    assert_eq!(told(&daemon, "nowhere.invalid:80"), lost);
}
