//! Countries: who may pass, what templates and the log know of it, and databases that change.

use crate::rig::{
    Config, Daemon, Server,
    client::{ask, request},
    until,
};
use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

const BRITISH: &str = "2.125.160.216";
const SWEDISH: &str = "89.160.20.112";
const NOWHERE: &str = "127.0.0.1";

fn database() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/geo.mmdb")
}

/// A daemon with the database beside its config, which believes what this machine says of clients.
fn start(site: &str) -> Daemon {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(database(), dir.path().join("geo.mmdb")).unwrap();
    let config = Config::bare().top("trusted_proxies = [\"127.0.0.1\"]").rest(site);
    Daemon::start_in(dir, &config.text())
}

/// Status and text for a client of this address.
fn asked(daemon: &Daemon, client: &str, path: &str) -> (u16, String) {
    let fields = format!("X-Forwarded-For: {client}\r\n");
    let answer = ask(daemon.http(), &request("GET", path, &fields, ""));
    (answer.status, answer.text())
}

#[test]
fn a_route_is_for_the_countries_that_it_allows() {
    let daemon = start(
        "[[site]]\n[[site.route]]\nrespond.body = \"hello {geo.country}\"\n\
         geo = { database = \"geo.mmdb\", allow = [\"GB\", \"US\"] }",
    );
    assert_eq!(asked(&daemon, BRITISH, "/"), (200, "hello GB".into()));
    assert_eq!(asked(&daemon, "::ffff:2.125.160.216", "/"), (200, "hello GB".into()));
    for stranger in [SWEDISH, NOWHERE] {
        let (status, text) = asked(&daemon, stranger, "/");
        assert!(status == 403 && text.contains("reason: country_denied"), "{stranger}: {text}");
    }
    assert_eq!(daemon.rejected("country_denied"), 2);
    let line = daemon.wait_for_access("swedish", |it| it["client"] == SWEDISH);
    assert_eq!((&line["country"], &line["reason"]), (&"SE".into(), &"country_denied".into()));
    let line = daemon.wait_for_access("nowhere", |it| it["client"] == NOWHERE);
    assert_eq!(line["country"], "");
    let line = daemon.wait_for_access("british", |it| it["client"] == BRITISH);
    assert_eq!(line["country"], "GB");
}

#[test]
fn a_site_speaks_for_its_routes_unless_they_do() {
    let daemon = start(
        "[[site]]\ngeo = { database = \"geo.mmdb\", deny = [\"SE\"] }\n\
         [[site.route]]\npath = \"/open\"\ngeo = false\nrespond.body = \"open {geo.country}\"\n\
         [[site.route]]\npath = \"/strict\"\nrespond.body = \"strict\"\n\
         geo = { database = \"geo.mmdb\", deny = [\"GB\"], unknown = \"deny\" }\n\
         [[site.route]]\nredirect = { to = \"/{geo.country}/\", status = 302 }",
    );
    let statuses = |path: &str| [BRITISH, SWEDISH, NOWHERE].map(|it| asked(&daemon, it, path).0);
    assert_eq!(statuses("/"), [302, 403, 302]);
    assert_eq!(statuses("/strict"), [403, 200, 403]);
    assert_eq!(statuses("/open"), [200, 200, 200]);
    assert_eq!(asked(&daemon, SWEDISH, "/open").1, "open ");
    let fields = format!("X-Forwarded-For: {BRITISH}\r\n");
    let answer = ask(daemon.http(), &request("GET", "/", &fields, ""));
    assert_eq!(answer.field("location"), Some("/GB/"));
    let line = daemon.wait_for_access("open", |it| it["uri"] == "/open");
    assert!(line.get("country").is_none(), "{line}");
}

#[test]
fn servers_are_told_the_country_and_a_stranger_cant_claim_one() {
    let server = Server::start("app");
    let dir = tempfile::tempdir().unwrap();
    fs::copy(database(), dir.path().join("geo.mmdb")).unwrap();
    let config = Config::to([&server])
        .route("geo.database = \"geo.mmdb\"")
        .route("request_headers.set = { X-Country = \"{geo.country}\" }");
    let daemon = Daemon::start_in(dir, &config.text());
    // Nobody is trusted here, so the client is the peer.
    let fields = format!("X-Forwarded-For: {BRITISH}\r\nX-Country: GB\r\n");
    assert_eq!(ask(daemon.http(), &request("GET", "/", &fields, "")).status, 200);
    assert_eq!(server.last_request().head.field("x-country"), Some(""));
}

#[test]
fn a_changed_database_is_taken_up_and_a_broken_one_is_not() {
    let daemon = start(
        "[[site]]\n[[site.route]]\nrespond.body = \"{geo.country}\"\ngeo.database = \"geo.mmdb\"",
    );
    assert_eq!(asked(&daemon, BRITISH, "/").1, "GB");
    let replace = |bytes: &[u8]| {
        fs::write(daemon.path("new.mmdb"), bytes).unwrap();
        fs::rename(daemon.path("new.mmdb"), daemon.path("geo.mmdb")).unwrap();
    };
    let original = fs::read(database()).unwrap();
    replace(&original[..original.len() / 2]);
    let told = daemon.log.wait_for("why", |line| line.contains("is no MaxMind database"));
    assert!(told.contains("geo.mmdb") && told.contains("stays in use"), "{told}");
    assert_eq!(asked(&daemon, BRITISH, "/").1, "GB", "the old one is kept");
    // Another country by a changed letter: the code stands in the file once, as two letters.
    let at = original.windows(3).position(|it| it == b"\x42GB").unwrap();
    let mut changed = original.clone();
    changed[at + 2] = b'X';
    replace(&changed);
    until("the new one to be used", || asked(&daemon, BRITISH, "/").1 == "GX");
    // Nothing is lost meanwhile.
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            (0..300).all(|_| {
                thread::sleep(Duration::from_millis(2));
                matches!(&*asked(&daemon, BRITISH, "/").1, "GB" | "GX")
            })
        });
        replace(&original);
        assert!(asking.join().unwrap());
    });
    until("the first one again", || asked(&daemon, BRITISH, "/").1 == "GB");
}

#[test]
fn a_broken_database_does_not_hold_up_the_rest_of_the_config() {
    let config = |text: &str, database: &str| {
        let site = format!(
            "[[site]]\n[[site.route]]\nrespond.body = \"{{geo.country}} {text}\"\n\
             geo.database = \"{database}\""
        );
        Config::bare().top("trusted_proxies = [\"127.0.0.1\"]").rest(&site)
    };
    let dir = tempfile::tempdir().unwrap();
    fs::copy(database(), dir.path().join("geo.mmdb")).unwrap();
    let daemon = Daemon::start_in(dir, &config("old", "geo.mmdb").text());
    assert_eq!(asked(&daemon, BRITISH, "/").1, "GB old");
    fs::write(daemon.path("new.mmdb"), "broken").unwrap();
    fs::rename(daemon.path("new.mmdb"), daemon.path("geo.mmdb")).unwrap();
    daemon.reconfigure(&config("broken", "geo.mmdb"));
    assert_eq!(asked(&daemon, BRITISH, "/").1, "GB broken");
    fs::remove_file(daemon.path("geo.mmdb")).unwrap();
    daemon.reconfigure(&config("gone", "geo.mmdb"));
    assert_eq!(asked(&daemon, BRITISH, "/").1, "GB gone");
    // Of another file nothing is known.
    fs::write(daemon.path("other.mmdb"), "broken").unwrap();
    daemon.rewrite_config(&config("other", "other.mmdb").text());
    assert_eq!(daemon.reload().status, 422);
    assert_eq!(asked(&daemon, BRITISH, "/").1, "GB gone");
}
