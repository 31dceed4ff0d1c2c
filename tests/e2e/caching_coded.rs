//! Compressed responses in the cache.

use crate::rig::{
    Behaviour, Config, Daemon, Server,
    client::{ask, request},
};

fn coding(daemon: &Daemon, accepted: &str) -> (Option<String>, usize) {
    let fields = format!("Accept-Encoding: {accepted}\r\n");
    let answer = ask(daemon.http(), &request("GET", "/page", &fields, ""));
    assert_eq!(answer.status, 200);
    (answer.field("content-encoding").map(str::to_owned), answer.body.len())
}

#[test]
fn what_is_compressed_is_stored_so_and_made_once() {
    let server = Server::start("1");
    let page = "<p>all the same</p>".repeat(2000);
    server.set(Behaviour::raw(&format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\ncontent-type: text/html\r\netag: \"x\"\r\n\
         cache-control: max-age=600\r\n\r\n{page}",
        page.len()
    )));
    let config = Config::to([&server]).route("cache = \"main\"\ncompress = true");
    let daemon = Daemon::start(&config.rest("[cache.main]"));
    for (accepted, wanted) in [("gzip", Some("gzip")), ("br", Some("br")), ("identity", None)] {
        let before = server.request_count();
        let first = coding(&daemon, accepted);
        assert_eq!(first.0.as_deref(), wanted, "{accepted}");
        assert!(wanted.is_none() == (first.1 == page.len()), "{accepted}: {}", first.1);
        for same in
            [accepted.to_owned(), accepted.to_uppercase(), format!("{accepted}, x-odd;q=0.3")]
        {
            assert_eq!(coding(&daemon, &same), first, "{same}");
        }
        assert_eq!(server.request_count() - before, 1, "{accepted}: fetched once");
    }
    // Bytes that went into the encoders: two codings, each once.
    let taken: u64 = ["gzip", "br"]
        .iter()
        .map(|it| {
            daemon.count("sheave_compressed_bytes_total", &[("coding", it), ("direction", "in")])
        })
        .sum();
    assert_eq!(taken, 2 * page.len() as u64);
}
