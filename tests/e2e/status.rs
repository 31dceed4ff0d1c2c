//! One screen about a running daemon.

use crate::rig::{
    Behaviour, Config, Daemon, Server,
    client::{Client, get},
    daemon::run_to_end,
    eventually,
};
use serde_json::Value;

#[test]
fn one_screen_tells_what_is_up_and_what_fails() {
    let (up, dead) = (Server::start("up"), Server::dead("dead"));
    up.set(Behaviour::normal());
    let config = Config::to([&up])
        .server(&dead, "max_fails = 1, fail_timeout = \"1h\"")
        .route_before("name = \"broken\"\npath = \"/broken\"\nrespond = { status = 503 }");
    let daemon = Daemon::start(&config);
    let admin = daemon.admin().to_string();
    let run = |more: &[&str]| {
        let output = run_to_end(&daemon.path(""), &[&["status", "--admin", &admin], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let mut client = Client::connect(daemon.http());
    for _ in 0..5 {
        assert_eq!(client.get("/").status, 200);
        assert_eq!(client.get("/broken").status, 503);
    }
    // Windows are made once a second.
    let page = eventually("the requests in the last minute", || {
        let page = run(&[]);
        let line = page.lines().find(|it| it.starts_with("broken"))?;
        line.contains("100.0 %").then_some(page)
    });
    assert!(page.starts_with("ok "), "{page}");
    assert!(page.contains("servers       1 of 2 are up"), "{page}");
    assert!(page.contains(&format!("  app {dead} ejected: connect_failed")), "{page}");
    assert!(page.contains("last load     success"), "{page}");
    assert!(
        page.lines().count() <= 40 && page.lines().all(|it| it.chars().count() <= 80),
        "{page}"
    );
    assert!(!page.contains('\x1b'), "colours are for terminals");
    let told: Value = serde_json::from_str(&run(&["--json"])).expect("JSON");
    assert_eq!(told["health"]["status"], "ok");
    assert_eq!(told["stats"]["upstreams"][0]["servers"][1]["state"], "ejected");

    // A reload that failed is seen.
    daemon.rewrite_config("nonsense");
    assert_eq!(daemon.reload().status, 422);
    let page = run(&[]);
    assert!(page.starts_with("degraded") && page.contains("last load     failure"), "{page}");
    assert!(page.contains("warning       config is degraded"), "{page}");
    assert_eq!(get(daemon.http(), "/").status, 200);
}

#[test]
fn a_daemon_that_is_not_there_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = Server::dead("nobody").to_string();
    let output = run_to_end(dir.path(), &["status", "--admin", &nobody]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(3) && text.contains(&nobody), "{text}");
    let output = run_to_end(dir.path(), &["status", "--config", "x"]);
    assert_eq!(output.status.code(), Some(2));
}
