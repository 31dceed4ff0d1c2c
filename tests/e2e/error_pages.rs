//! Pages of the site's own in place of errors' texts.

use crate::rig::{
    Behaviour, Config, Daemon, Server,
    client::{ask, get, request},
    until,
};
use std::fs;
use tempfile::TempDir;

fn pages() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in
        [("404.html", "nothing here"), ("500.html", "our fault"), ("4xx.txt", "your fault")]
    {
        fs::write(dir.path().join(name), text).unwrap();
    }
    fs::create_dir(dir.path().join("public")).unwrap();
    dir
}

#[test]
fn our_own_errors_have_the_sites_pages() {
    let rest = "[[site]]\nerror_pages = { 404 = \"404.html\", \"4xx\" = \"4xx.txt\", \"5xx\" = \"500.html\" }\n\
                [[site.route]]\npath = \"/files/*\"\nfiles.root = \"public\"\n\
                [[site.route]]\npath = \"/plain/*\"\nerror_pages = false\nfiles.root = \"public\"";
    let daemon = Daemon::start_in(pages(), &Config::bare().rest(rest).text());
    for path in ["/files/none", "/no/route"] {
        let answer = get(daemon.http(), path);
        assert_eq!((answer.status, &*answer.text()), (404, "nothing here"), "{path}");
        assert_eq!(answer.field("content-type"), Some("text/html; charset=utf-8"));
    }
    let post = ask(daemon.http(), &request("POST", "/files/a", "", ""));
    assert_eq!((post.status, &*post.text()), (405, "your fault"));
    assert!(post.field("allow").unwrap().contains("GET"));
    let head = ask(daemon.http(), &request("HEAD", "/files/none", "", ""));
    assert_eq!((head.status, head.body.len()), (404, 0));
    assert!(get(daemon.http(), "/plain/none").text().contains("file_not_found"));
    daemon.wait_for_reason("no_route");
    fs::write(daemon.path("404.html"), "changed").unwrap();
    until("the new page", || get(daemon.http(), "/files/none").text() == "changed");
}

#[test]
fn servers_errors_have_them_on_request() {
    for of_servers in [false, true] {
        let server = Server::start("app");
        server.set_for("/broken", Behaviour::status(503, "theirs"));
        let keys = format!("error_pages = {{ \"5xx\" = \"500.html\", of_servers = {of_servers} }}");
        let config = Config::to([&server]).route(&keys).text();
        let daemon = Daemon::start_in(pages(), &config);
        let answer = get(daemon.http(), "/broken");
        assert_eq!((answer.status, answer.text() == "our fault"), (503, of_servers));
        assert_eq!(get(daemon.http(), "/fine").status, 200);
        server.kill();
        let answer = get(daemon.http(), "/gone");
        assert_eq!((answer.status, &*answer.text()), (502, "our fault"));
    }
}
