//! A new config while everything runs: how it is noticed, that it is whole or not at all, and that
//! nobody who is being served finds out.

use crate::rig::{
    Behaviour, Client, Config, Daemon, Gate, Load, Server, Step,
    client::{get, request},
    until,
};
use std::{
    fs,
    io::Write as _,
    net::Ipv4Addr,
    os::unix::fs::symlink,
    time::{Duration, Instant},
};

/// A config whose answers name it.
fn saying(word: &str) -> String {
    Config::bare()
        .rest(&format!("[[site]]\n[[site.route]]\nrespond = {{ body = \"{word}\" }}"))
        .text()
}

fn until_it_says(daemon: &Daemon, word: &str) {
    until(&format!("the config that says {word}"), || get(daemon.http(), "/").text() == word);
}

#[test]
fn a_config_written_in_place_is_noticed() {
    let daemon = Daemon::start_text(&saying("one"));
    assert_eq!(get(daemon.http(), "/").text(), "one");
    fs::write(daemon.path("sheave.toml"), saying("two")).unwrap();
    until_it_says(&daemon, "two");
    // In pieces, as a slow editor does: what is not whole is not valid, and changes nothing.
    let text = saying("three");
    let mut file = fs::File::create(daemon.path("sheave.toml")).unwrap();
    for piece in text.as_bytes().chunks(text.len() / 3) {
        file.write_all(piece).unwrap();
        file.sync_all().unwrap();
        assert!(["two", "three"].contains(&&*get(daemon.http(), "/").text()));
    }
    until_it_says(&daemon, "three");
}

#[test]
fn an_editors_rename_is_noticed_again_and_again() {
    let daemon = Daemon::start_text(&saying("zero"));
    for word in ["one", "two", "three"] {
        daemon.rewrite_config(&saying(word));
        until_it_says(&daemon, word);
    }
}

#[test]
fn a_symlink_swap_is_noticed() {
    // As Kubernetes mounts a ConfigMap: sheave.toml → ..data/sheave.toml, ..data → ..version.
    let dir = tempfile::tempdir().unwrap();
    let version = |name: &str| {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(name).join("sheave.toml"), saying(name.trim_start_matches('.')))
            .unwrap();
    };
    version("..one");
    symlink("..one", dir.path().join("..data")).unwrap();
    symlink("..data/sheave.toml", dir.path().join("linked.toml")).unwrap();
    let path = dir.path().join("linked.toml").display().to_string();
    // The rig writes its own sheave.toml; it is a link of the same name that is watched here.
    symlink(&path, dir.path().join("sheave.toml")).unwrap();
    let first = fs::read_to_string(&path).unwrap();
    let daemon = Daemon::start_in(dir, &first);
    assert_eq!(get(daemon.http(), "/").text(), "one");
    let two = daemon.path("..two");
    fs::create_dir(&two).unwrap();
    fs::write(two.join("sheave.toml"), saying("two")).unwrap();
    symlink("..two", daemon.path("..data.new")).unwrap();
    fs::rename(daemon.path("..data.new"), daemon.path("..data")).unwrap();
    until_it_says(&daemon, "two");
}

#[test]
fn sighup_reloads_and_does_not_end_the_process() {
    let mut daemon = Daemon::start_text(&saying("one"));
    let before = daemon.count("sheave_config_generation", &[]);
    daemon.signal("HUP");
    until("the generation to move", || daemon.count("sheave_config_generation", &[]) > before);
    daemon.rewrite_config(&saying("two"));
    daemon.signal("HUP");
    until_it_says(&daemon, "two");
    assert!(daemon.is_running());
}

#[test]
fn post_reload_answers_when_the_new_config_is_in_force() {
    let daemon = Daemon::start_text(&saying("zero"));
    for n in 1..=20 {
        let word = format!("number {n}");
        daemon.rewrite_config(&saying(&word));
        assert_eq!(daemon.reload().status, 200);
        assert_eq!(get(daemon.http(), "/").text(), word);
    }
    assert!(daemon.count("sheave_reloads_total", &[("result", "success")]) >= 20);
    assert_eq!(daemon.count("sheave_config_last_reload_successful", &[]), 1);
    assert_eq!(get(daemon.admin(), "/reload").status, 405, "a GET does nothing");
}

#[test]
fn an_invalid_config_is_422_with_all_its_errors_and_changes_nothing() {
    let daemon = Daemon::start_text(&saying("one"));
    let generation = daemon.count("sheave_config_generation", &[]);
    let bad = saying("two").replace("workers", "workerz").replace("level", "levle");
    daemon.rewrite_config(&bad);
    let refused = daemon.reload();
    assert_eq!(refused.status, 422);
    assert!(
        refused.text().contains("workerz") && refused.text().contains("levle"),
        "{}",
        refused.text()
    );
    daemon.log.wait_for("the errors", |line| line.contains("workerz"));
    assert_eq!(get(daemon.http(), "/").text(), "one");
    assert_eq!(daemon.count("sheave_config_generation", &[]), generation);
    assert_eq!(daemon.count("sheave_config_last_reload_successful", &[]), 0);
    assert!(daemon.count("sheave_reloads_total", &[("result", "failure")]) >= 1);
    let (_, health) = daemon.admin_json("/health");
    assert_eq!(health["status"], "degraded", "{health}");

    daemon.rewrite_config(&saying("three"));
    assert_eq!(daemon.reload().status, 200);
    assert_eq!(get(daemon.http(), "/").text(), "three");
    assert_eq!(daemon.count("sheave_config_last_reload_successful", &[]), 1);
}

#[test]
fn a_missing_config_file_changes_nothing() {
    let daemon = Daemon::start_text(&saying("one"));
    fs::remove_file(daemon.path("sheave.toml")).unwrap();
    assert_ne!(daemon.reload().status, 200);
    assert_eq!(get(daemon.http(), "/").text(), "one");
}

#[test]
fn a_listener_that_cannot_be_bound_changes_nothing() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let daemon = Daemon::start_text(&saying("one"));
    let wants = format!("[listener.second]\naddress = \"{}\"\n", taken.local_addr().unwrap());
    daemon.rewrite_config(&saying("two").replace("[[site]]", &format!("{wants}[[site]]")));
    let refused = daemon.reload();
    assert_ne!(refused.status, 200, "{}", refused.text());
    assert_eq!(get(daemon.http(), "/").text(), "one");
}

#[test]
fn listeners_come_and_go_and_an_unchanged_one_is_never_rebound() {
    let second = "[listener.second]\naddress = \"127.0.0.1:0\"\n[[site]]\n";
    let daemon = Daemon::start_text(&saying("one"));
    let http = daemon.http();
    let mut kept = Client::connect(http);
    kept.get("/");
    daemon.rewrite_config(&saying("two").replace("[[site]]\n", second));
    assert_eq!(daemon.reload().status, 200);
    let added = daemon.address("second");
    let mut on_added = Client::connect(added);
    assert_eq!(on_added.get("/").text(), "two");
    daemon.rewrite_config(&saying("three"));
    assert_eq!(daemon.reload().status, 200);
    until("the removed listener to refuse", || Client::try_connect(added).is_err());
    assert_eq!(daemon.http(), http);
    assert_eq!(
        kept.get("/").text(),
        "three",
        "a connection outlives reloads and sees the new config"
    );
}

#[test]
fn a_change_during_a_reload_is_not_missed() {
    let daemon = Daemon::start_text(&saying("start"));
    for round in 0..20 {
        daemon.rewrite_config(&saying(&format!("early {round}")));
        let word = format!("late {round}");
        std::thread::scope(|scope| {
            scope.spawn(|| daemon.reload());
            // Each round hits another moment of the reload.
            let since = Instant::now();
            while since.elapsed() < Duration::from_micros(200 * round) {
                std::hint::spin_loop();
            }
            daemon.rewrite_config(&saying(&word));
        });
        until_it_says(&daemon, &word);
    }
}

#[test]
fn a_removed_listener_refuses_at_once_though_it_is_still_serving_someone() {
    let (server, gate) = (Server::start("1"), Gate::default());
    server.set_for("/held", Behaviour::gated(&gate));
    let config = Config::to([&server]);
    let daemon =
        Daemon::start(&config.clone().rest("[listener.second]\naddress = \"127.0.0.1:0\""));
    let second = daemon.address("second");
    let mut held = Client::connect(second);
    held.send(request("GET", "/held", "", ""));
    server.wait_for_requests(1);
    daemon.reconfigure(&config);
    until("the removed listener to refuse", || Client::try_connect(second).is_err());
    gate.open();
    let answer = held.response();
    assert_eq!(answer.text(), "1");
    assert!(answer.head.closes(), "and then it is over: {}", answer.head.raw);
}

#[test]
fn a_listener_that_gets_another_name_loses_no_connection() {
    let daemon = Daemon::start_text(&saying("same"));
    let http = daemon.http();
    // A name has to be one address's for the sockets to be taken over.
    let named = |name: &str| {
        saying("same").replace("[listener.http]", &format!("[listener.{name}]")).replacen(
            "127.0.0.1:0",
            &http.to_string(),
            1,
        )
    };
    daemon.rewrite_config(&named("http"));
    assert_eq!(daemon.reload().status, 200);
    let close = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let load = Load::on(http).connections(8).asking(|_| close.into()).start();
    for round in 0..30 {
        load.wait_for(100 * round);
        daemon.rewrite_config(&named(&format!("round{round}")));
        assert_eq!(daemon.reload().status, 200);
    }
    load.stop().expect_no_failure();
}

#[test]
fn listeners_move_to_addresses_that_the_daemon_has_itself() {
    // Another program may have a port of ours at another address of loopback, and that for long.
    assert!((0..4).any(|_| listeners_move()), "every time somebody else had the port");
}

/// Whether they could: not if another program has the port somewhere.
fn listeners_move() -> bool {
    let listener =
        |name: &str, address: &str| format!("[listener.{name}]\naddress = \"{address}\"\n");
    let text = |one: &str, two: &str| {
        let site = |name: &str| {
            format!(
                "[[site]]\nname = \"{name}\"\nlisteners = [\"{name}\"]\n[[site.route]]\n\
                 respond = {{ body = \"{name}\" }}\n"
            )
        };
        let both = listener("one", one) + &listener("two", two) + &site("one") + &site("two");
        let rest = Config::bare().text();
        both + &rest.replace(&listener("http", "127.0.0.1:0"), "").replace("workers = 2", "")
    };
    let daemon = Daemon::start_text(&text("127.0.0.1:0", "127.0.0.1:0"));
    let (one, two) = (daemon.address("one"), daemon.address("two"));
    let to = |one: &str, two: &str| {
        daemon.rewrite_config(&text(one, two));
        let answer = daemon.reload();
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    let close = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let load = Load::on(one).connections(4).asking(|_| close.into()).start();
    for round in 0..10 {
        load.wait_for(100 * round);
        to(&one.to_string(), &two.to_string());
        to(&two.to_string(), &one.to_string());
    }
    load.stop().expect_no_failure();
    until("them to have changed places", || {
        get(one, "/").text() == "two" && get(two, "/").text() == "one"
    });
    daemon.rewrite_config(&text(&format!("0.0.0.0:{}", two.port()), &one.to_string()));
    let answer = daemon.reload();
    if answer.text().contains("Address already in use") {
        return false;
    }
    assert_eq!(answer.status, 200, "{}", answer.text());
    until("it to be everywhere", || {
        Client::try_connect((Ipv4Addr::new(127, 0, 0, 9), two.port()).into())
            .is_ok_and(|mut client| client.get("/").text() == "one")
    });
    assert_eq!(get(two, "/").text(), "one");
    true
}

#[test]
fn servers_that_replace_all_others_are_asked_before_their_first_check() {
    let servers = Server::start_several(2);
    let config = |n: usize| {
        let check = "health_check = { path = \"/check\", interval = \"10s\" }";
        Config::to([&servers[n]]).upstream(check).quiet()
    };
    let daemon = Daemon::start(&config(0));
    let load = Load::on(daemon.http()).connections(4).start();
    for round in 1..=6 {
        load.wait_for(round * 200);
        daemon.reconfigure(&config(round % 2));
    }
    load.stop().expect_no_failure();
}

#[test]
fn a_server_that_waits_for_its_first_check_is_asked_once_it_is_alone() {
    let servers = Server::start_several(2);
    let check = "health_check = { path = \"/check\", interval = \"10m\" }";
    let daemon = Daemon::start(&Config::to([&servers[0]]).upstream(check));
    daemon.reconfigure(&Config::to(&servers).upstream(check));
    daemon.reconfigure(&Config::to([&servers[1]]).upstream(check));
    assert_eq!(get(daemon.http(), "/").text(), "2");
}

#[test]
fn a_reload_that_fails_lets_nobody_in_where_nobody_accepts() {
    let daemon = Daemon::start_text(&saying("one"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (http, taken) = (daemon.http().to_string(), taken.local_addr().unwrap());
    let close = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let load = Load::on(daemon.http()).connections(8).asking(|_| close.into()).start();
    // To an address that is ours, and another that is not to be had.
    let wants = format!("[listener.second]\naddress = \"{taken}\"\n[[site]]");
    let bad = saying("two").replacen("127.0.0.1:0", &http, 1).replace("[[site]]", &wants);
    daemon.rewrite_config(&bad);
    for round in 0..20 {
        load.wait_for(100 * round);
        assert_ne!(daemon.reload().status, 200);
    }
    load.stop().expect_no_failure();
}

#[test]
fn idle_connections_to_a_removed_server_are_closed_soon() {
    let servers = Server::start_several(2);
    let daemon = Daemon::start(&Config::to(&servers));
    let outcome = Load::on(daemon.http()).connections(8).requests(100).run();
    outcome.expect_no_failure();
    assert!(servers[0].open_connections() > 0);
    daemon.reconfigure(&Config::to(&servers[1..]));
    // Its idle time is 30 s; nobody can use these connections any more.
    let since = Instant::now();
    until("the connections to be closed", || servers[0].open_connections() == 0);
    assert!(since.elapsed() < Duration::from_secs(15), "not when their idle time is over");
}

#[test]
fn an_upload_and_a_download_in_flight_survive_a_reload_that_removes_their_server() {
    let (old, new, gate) = (Server::start("old"), Server::start("new"), Gate::default());
    old.set_for(
        "/download",
        Behaviour::new([
            Step::Body,
            Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234".to_vec()),
            Step::Wait(gate.clone()),
            Step::Send(b"56789".to_vec()),
        ]),
    );
    let daemon = Daemon::start(&Config::to([&old]));
    let mut download = Client::connect(daemon.http());
    download.send(request("GET", "/download", "", ""));
    assert!(download.first_byte().unwrap());
    let mut upload = Client::connect(daemon.http());
    upload.send("PUT /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
    old.wait_for_requests(2);
    daemon.reconfigure(&Config::to([&new]));
    assert_eq!(get(daemon.http(), "/").text(), "new");
    gate.open();
    upload.send("56789");
    assert_eq!(download.response().text(), "0123456789");
    assert_eq!(upload.response().text(), "old");
    assert_eq!(download.get("/").text(), "new", "the connections go on");
    assert_eq!(upload.get("/").text(), "new");
}

#[test]
fn health_pools_and_counts_survive_a_reload() {
    let servers = Server::start_several(2);
    let config = |extra: &str| {
        Config::bare()
            .workers(1)
            .server(&servers[0], "max_fails = 1, fail_timeout = \"60s\"")
            .server(&servers[1], "")
            .route(extra)
    };
    let daemon = Daemon::start(&config(""));
    let mut client = Client::connect(daemon.http());
    servers[0].kill();
    until("the ejection", || {
        client.get("/");
        daemon.state_name(&servers[0].to_string()) != "up"
    });
    let connections = servers[1].accepted();
    let attempts =
        |d: &Daemon| d.count("sheave_upstream_attempts_total", &[("outcome", "success")]);
    daemon.wait_for_metric("sheave_requests_in_flight", &[], 0);
    let before = attempts(&daemon);
    daemon.reconfigure(&config("response_headers.set = { \"X-New\" = \"1\" }"));
    assert_ne!(daemon.state_name(&servers[0].to_string()), "up", "still ejected");
    assert_eq!(client.get("/").field("x-new"), Some("1"));
    assert_eq!(servers[1].accepted(), connections, "the pooled connection is used");
    // Counted once its answer is out, so it may be a moment late.
    until("the attempt to be counted", || attempts(&daemon) == before + 1);
}

#[test]
fn a_reload_that_fails_leaves_no_series_of_what_never_was() {
    let server = Server::start("1");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let daemon = Daemon::start(&Config::to([&server]));
    let wants = format!(
        "[upstream.ghost]\nservers = [{{ address = \"127.0.0.1:1\" }}]\n\
         [admin]\naddress = \"{}\"",
        taken.local_addr().unwrap()
    );
    daemon.rewrite_config(&Config::to([&server]).rest(&wants).text());
    let refused = daemon.reload();
    assert_ne!(refused.status, 200, "{}", refused.text());
    assert!(!daemon.metrics().text().contains("ghost"));
    assert_eq!(get(daemon.http(), "/").text(), "1");
}

#[test]
fn the_series_of_a_listener_go_with_its_last_connection() {
    let more = Config::bare()
        .rest("[listener.more]\naddress = \"127.0.0.1:0\"")
        .rest("[[site]]\n[[site.route]]\npath = \"/*\"\nrespond = { body = \"x\" }");
    let daemon = Daemon::start(&more);
    let mut client = Client::connect(daemon.address("more"));
    assert_eq!(client.get("/").status, 200);
    let series = || daemon.metrics().sum("sheave_connections_total", &[("listener", "more")]);
    assert_eq!(series(), Some(1.0));
    let less = more.text().replace("[listener.more]\naddress = \"127.0.0.1:0\"", "");
    daemon.rewrite_config(&less);
    assert_eq!(daemon.reload().status, 200);
    drop(client);
    until("the series to go", || series().is_none());
    assert_eq!(daemon.metrics().sum("sheave_connections_open", &[("listener", "more")]), None);
    assert!(daemon.metrics().sum("sheave_connections_open", &[("listener", "http")]).is_some());
}

#[test]
fn what_is_wrong_with_a_config_is_the_last_that_its_log_entry_says() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]));
    daemon.rewrite_config("colour = \"blue\"\n[listener.http]\naddress = \"127.0.0.1:0\"\n");
    daemon.signal("HUP");
    let line = daemon.log.wait_for("the failure", |line| line.contains("not reloaded"));
    let entry: serde_json::Value = serde_json::from_str(&line).unwrap();
    let fields = entry["fields"].as_object().unwrap();
    // In a log of text, further fields would stand behind the last hint.
    assert_eq!(fields.keys().collect::<Vec<_>>(), ["message"], "{line}");
    let message = fields["message"].as_str().unwrap();
    assert!(message.starts_with("not reloaded (") && message.contains("= hint:"), "{line}");
}
