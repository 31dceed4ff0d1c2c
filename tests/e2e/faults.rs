//! 10,000 idempotent requests at 64 connections while one of three servers misbehaves: nobody
//! notices, and the log and the counters do.

use crate::rig::{Behaviour, Config, Daemon, Load, Server, Step, load::Outcome};
use std::{collections::BTreeMap, thread, time::Duration};

const REQUESTS: usize = 10_000;

struct Scene {
    daemon: Daemon,
    servers: Vec<Server>,
}

impl Scene {
    /// Three servers, all of which may fail three times in a second.
    fn new(route: &str) -> Self {
        let servers = Server::start_several(3);
        let mut config = Config::bare().quiet().route(route);
        for server in &servers {
            config = config.server(server, "max_fails = 3, fail_timeout = \"1s\"");
        }
        Self { daemon: Daemon::start(&config), servers }
    }

    /// The load, with `misdeed` done to server 1 when a fifth of it is done.
    fn run(&self, misdeed: impl Fn(&Server)) -> Outcome {
        let running = Load::on(self.daemon.http()).connections(64).requests(REQUESTS).start();
        running.wait_for(REQUESTS / 5);
        misdeed(&self.servers[0]);
        running.finish()
    }

    fn attempts(&self, outcome: &str) -> u64 {
        let labels = [("server", &*self.servers[0].to_string()), ("outcome", outcome)];
        self.daemon.count("sheave_upstream_attempts_total", &labels)
    }

    /// The misdeed has its counter, and the requests that met it say so in the access log.
    fn expect_recorded(&self, outcomes: &[&str]) {
        let counts: Vec<_> = outcomes.iter().map(|o| (*o, self.attempts(o))).collect();
        assert!(counts.iter().any(|(_, n)| *n > 0), "no attempt counted among {counts:?}");
        self.daemon.wait_for_access("a request that took two attempts", |line| {
            line["attempts"].as_u64().is_some_and(|n| n > 1)
        });
    }

    /// Every request was answered well; else the log's reasons are shown.
    fn all_answered(&self, outcome: &Outcome) {
        let mut reasons = BTreeMap::<String, usize>::new();
        for line in self.daemon.access_log().iter().filter(|line| line["status"] != 200) {
            *reasons.entry(line["reason"].to_string()).or_default() += 1;
        }
        let some: Vec<_> = outcome.failures.iter().take(3).collect();
        let count = outcome.failures.len();
        assert!(some.is_empty(), "{count} failed, such as {some:?}; the log says {reasons:?}");
        let answered: usize = outcome.bodies.values().sum();
        assert_eq!(answered, REQUESTS, "{:?}", outcome.bodies);
    }
}

#[test]
fn nobody_notices_a_killed_server() {
    let scene = Scene::new("");
    scene.all_answered(&scene.run(Server::kill));
    scene.expect_recorded(&["connect_failed", "reset"]);
    assert!(scene.daemon.count("sheave_upstream_ejections_total", &[]) > 0);
}

#[test]
fn nobody_notices_a_server_that_is_killed_and_comes_back_again_and_again() {
    let scene = Scene::new("");
    let running = Load::on(scene.daemon.http()).connections(64).requests(REQUESTS).start();
    for round in 1..8 {
        running.wait_for(REQUESTS / 8 * round);
        scene.servers[0].kill();
        thread::sleep(Duration::from_millis(20));
        scene.servers[0].come_back();
    }
    scene.all_answered(&running.finish());
    scene.expect_recorded(&["connect_failed", "reset"]);
}

#[test]
fn nobody_notices_a_server_that_resets_after_the_request() {
    let scene = Scene::new("");
    scene.all_answered(&scene.run(|server| server.set(Behaviour::reset())));
    scene.expect_recorded(&["reset"]);
}

#[test]
fn nobody_notices_a_server_that_resets_each_connection() {
    let scene = Scene::new("");
    scene.all_answered(&scene.run(|server| {
        server.set(Behaviour::reset_on_accept());
        server.kill();
        server.come_back();
    }));
    scene.expect_recorded(&["reset", "connect_failed"]);
}

#[test]
fn nobody_notices_a_hung_server() {
    let scene = Scene::new("timeouts = { response_head = \"1s\" }");
    scene.all_answered(&scene.run(|server| server.set(Behaviour::hang())));
    scene.expect_recorded(&["response_timeout"]);
}

#[test]
fn nobody_notices_a_server_that_answers_garbage() {
    let scene = Scene::new("");
    scene.all_answered(&scene.run(|server| server.set(Behaviour::garbage())));
    scene.expect_recorded(&["bad_response"]);
}

#[test]
fn half_a_body_is_passed_on_as_an_aborted_one_and_nothing_else_fails() {
    let scene = Scene::new("");
    let outcome = scene.run(|server| server.set(Behaviour::half_body()));
    let halves = scene.attempts("response_truncated");
    assert!(halves > 0, "a truncated response is counted");
    for (number, why) in &outcome.failures {
        // How much of it gets through is a matter of timing; that it is whole never.
        let aborted = ["truncated", "reset", "closed after"].iter().any(|word| why.contains(word));
        assert!(aborted, "request {number}: {why}");
    }
    assert_eq!(outcome.failures.len() as u64, halves, "one aborted response for each half body");
    scene.daemon.wait_for_reason("response_truncated");
}

#[test]
fn nobody_notices_idle_connections_closed_at_every_moment() {
    let scene = Scene::new("");
    let running = Load::on(scene.daemon.http()).connections(64).requests(REQUESTS).start();
    for (n, delay) in [0, 1, 2, 5].into_iter().cycle().take(16).enumerate() {
        running.wait_for(REQUESTS / 20 * n);
        for server in &scene.servers {
            server.set(Behaviour::close_idle(Duration::from_millis(delay)));
        }
    }
    scene.all_answered(&running.finish());
    assert_eq!(
        scene.daemon.count("sheave_upstream_ejections_total", &[]),
        0,
        "no failure of theirs"
    );
}

#[test]
fn nobody_notices_a_server_that_closes_after_each_response_saying_so() {
    let scene = Scene::new("");
    let closing = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n1";
    scene.all_answered(&scene.run(|server| server.set(Behaviour::raw_then_close(closing))));
    assert_eq!(scene.attempts("stale_connection"), 0, "what says it closes is not pooled");
}

#[test]
fn nobody_notices_a_server_that_ends_its_bodies_by_closing() {
    let scene = Scene::new("");
    let http10 = "HTTP/1.0 200 OK\r\n\r\nold";
    let outcome = scene.run(|server| server.set(Behaviour::raw_then_close(http10)));
    scene.all_answered(&outcome);
    assert!(outcome.of("old") > 0);
}

#[test]
fn a_server_that_trickles_is_slow_and_not_wrong() {
    let server = Server::start("1");
    let mut steps =
        vec![Step::Body, Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n".to_vec())];
    steps.push(Step::Send(b"\r\n".to_vec()));
    for _ in 0..10 {
        steps.extend([Step::Pause(Duration::from_millis(10)), Step::Send(b"x".to_vec())]);
    }
    server.set(Behaviour::new(steps));
    let daemon = Daemon::start(&Config::to([&server]));
    let outcome = Load::on(daemon.http()).connections(4).requests(20).run();
    outcome.expect_no_failure();
    assert_eq!(outcome.of("xxxxxxxxxx"), 20);
}
