//! What a reload would change, against the running daemon and between two files.

use crate::rig::{
    Behaviour, Client, Config, Daemon, Gate, Server,
    client::{ask, get, request},
    daemon::run_to_end,
    until,
};
use serde_json::Value;
use std::fs;

/// The exit code, and what is printed.
fn run(daemon: &Daemon, arguments: &[&str]) -> (Option<i32>, String) {
    let output = run_to_end(&daemon.path(""), &[&["plan"], arguments].concat());
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text.into_owned())
}

/// A plan by the daemon for this text.
fn planned(daemon: &Daemon, text: &str) -> Value {
    fs::write(daemon.path("new.toml"), text).unwrap();
    let admin = daemon.admin().to_string();
    let path = daemon.path("new.toml").display().to_string();
    let (code, told) = run(daemon, &["--config", &path, "--admin", &admin, "--json"]);
    assert_eq!(code, Some(0), "{told}");
    serde_json::from_str(&told).expect("JSON")
}

/// `change kind of name`, and what follows.
fn changes(plan: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let told = plan["changes"].as_array().expect("changes").iter().map(|it| {
        let words = ["change", "kind", "of", "name", "effect"].map(|key| text(&it[key]));
        words.into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join(" ")
    });
    told.collect()
}

#[test]
fn what_runs_is_compared_with_a_new_file() {
    let (one, two) = (Server::start("1"), Server::start("2"));
    let gate = Gate::default();
    let config = Config::to([&one])
        .server(&two, "weight = 2")
        .route("cache = \"main\"")
        .rest("[cache.main]\n[listener.other]\naddress = \"127.0.0.1:0\"\n")
        .route_before("name = \"held\"\npath = \"/held\"\nupstream = \"app\"");
    let daemon = Daemon::start(&config);
    assert_eq!(changes(&planned(&daemon, &config.text())), [""; 0]);
    let admin = daemon.admin().to_string();
    let same = daemon.path("sheave.toml").display().to_string();
    let (code, told) = run(&daemon, &["-c", &same, "--admin", &admin, "--exit-code"]);
    assert!(code == Some(0) && told.contains("Nothing would change."), "{told}");

    // Something to lose: a response in the cache, an open connection, a request under way.
    let stored = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncache-control: max-age=600\r\n\r\n1";
    one.set(Behaviour::raw(stored));
    two.set(Behaviour::raw(stored));
    assert_eq!(get(daemon.http(), "/stored").status, 200);
    let mut idle = Client::connect(daemon.address("other"));
    assert_eq!(idle.get("/stored").status, 200);
    two.set(Behaviour::gated(&gate));
    one.set(Behaviour::gated(&gate));
    let mut held: Vec<_> = (0..3).map(|_| Client::connect(daemon.http())).collect();
    for client in &mut held {
        client.send("GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    until("three requests under way", || one.request_count() + two.request_count() >= 4);
    let in_flight = daemon.server_state(&two.to_string())["in_flight"].as_u64().unwrap();

    let new = config
        .text()
        .replace("[cache.main]\n", "")
        .replace("cache = \"main\"\n", "")
        .replace("[listener.other]\naddress = \"127.0.0.1:0\"\n", "")
        .replace(&format!("  {{ address = \"{two}\", weight = 2 }},\n"), "")
        .replace("workers = 2", "workers = 3");
    let plan = planned(&daemon, &new);
    let requests =
        if in_flight == 1 { "1 request".into() } else { format!("{in_flight} requests") };
    let told = changes(&plan);
    let has = |line: &str| assert!(told.iter().any(|it| it.starts_with(line)), "{line}: {told:#?}");
    has(&format!("removed server app {two} {requests} in flight end where they are"));
    has("removed listener other 1 open connection drain");
    has("removed cache main 1 response, ");
    has("changed route main all");
    has("changed at the next start");
    assert_eq!(plan["only_at_restart"][0], "workers");
    let path = daemon.path("new.toml").display().to_string();
    let (code, told) = run(&daemon, &["-c", &path, "--admin", &admin, "--exit-code"]);
    assert!(code == Some(4) && told.contains("- cache"), "{code:?} {told}");
    // Nothing has changed by that.
    assert_eq!(daemon.count("sheave_config_generation", &[]), 1);
    gate.open();
    for client in &mut held {
        assert_eq!(client.response().status, 200);
    }
}

#[test]
fn a_wrong_file_is_told_as_by_check_and_changes_nothing() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]));
    let text = Config::to([&server]).upstream("strategi = \"random_two\"").text();
    fs::write(daemon.path("new.toml"), text).unwrap();
    let admin = daemon.admin().to_string();
    let path = daemon.path("new.toml").display().to_string();
    let (code, told) = run(&daemon, &["-c", &path, "--admin", &admin]);
    assert!(code == Some(1) && told.contains("did you mean `strategy`?"), "{told}");
    let (code, told) = run(&daemon, &["-c", "absent.toml", "--admin", &admin]);
    assert!(code == Some(3) && told.contains("absent.toml"), "{told}");
    let nobody = Server::dead("nobody").to_string();
    assert_eq!(run(&daemon, &["-c", &path, "--admin", &nobody]).0, Some(3));
    assert_eq!(run(&daemon, &["--nonsense"]).0, Some(2));
    assert_eq!(run(&daemon, &["--against", &path, "--admin", &nobody]).0, Some(2));
    let answer =
        ask(daemon.admin(), &request("POST", "/plan", "Content-Type: application/json\r\n", "{}"));
    assert_eq!(answer.status, 400, "{}", answer.text());
}

#[test]
fn two_files_are_compared_without_a_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let old = "[listener.http]\naddress = \"127.0.0.1:8080\"\n\
        [upstream.app]\nservers = [{ address = \"127.0.0.1:3001\" }, { address = \"127.0.0.1:3002\" }]\n\
        [[site]]\nname = \"shop\"\n\
        [[site.route]]\nname = \"img\"\npath = \"/img/*\"\nupstream = \"app\"\n\
        [[site.route]]\nname = \"old\"\npath = \"/old\"\nrespond = { status = 410 }\n\
        [[site.route]]\nname = \"all\"\nupstream = \"app\"\n";
    let new = old
        .replace(
            "[[site.route]]\nname = \"old\"\npath = \"/old\"\nrespond = { status = 410 }\n",
            "",
        )
        .replace("\"127.0.0.1:3002\"", "\"127.0.0.1:3002\", weight = 3")
        .replace(
            "[[site.route]]\nname = \"img\"",
            "[[site.route]]\nname = \"pictures\"\npath = \"*.png\"\nupstream = \"app\"\n\
             request_headers = { set = { authorization = \"Bearer abc\" } }\n\
             [[site.route]]\nname = \"img\"",
        )
        .replace("127.0.0.1:8080", "127.0.0.1:8081");
    fs::write(dir.path().join("old.toml"), old).unwrap();
    fs::write(dir.path().join("new.toml"), new).unwrap();
    let arguments = ["plan", "-c", "new.toml", "--against", "old.toml", "--exit-code"];
    let output = run_to_end(dir.path(), &arguments);
    assert_eq!(output.status.code(), Some(4));
    insta::assert_snapshot!("plan", String::from_utf8(output.stdout).unwrap());
}
