//! Static files: paths tried in turn, fields by type and name, and files that are none or change.

use crate::rig::{
    Client, Config, Daemon, Response,
    client::{ask, get, request},
    until,
};
use std::{fs, io::Write as _, path::Path, process::Command, thread, time::Duration};
use tempfile::TempDir;

fn tree(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        put(&dir.path().join("public").join(name), text);
    }
    dir
}

fn put(path: &Path, text: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A daemon that serves these files, with more keys of `files` and of the route.
fn serving(files: &[(&str, &str)], keys: &str) -> Daemon {
    let rest =
        format!("[[site]]\n[[site.route]]\nname = \"files\"\nfiles.root = \"public\"\n{keys}");
    Daemon::start_in(tree(files), &Config::bare().rest(&rest).text())
}

fn told(answer: &Response) -> (u16, String) {
    (answer.status, answer.text())
}

const APP: [(&str, &str); 6] = [
    ("index.html", "the app"),
    ("about.html", "about"),
    ("docs/index.html", "docs"),
    ("assets/app.3f9a1c2b.js", "script"),
    ("assets/logo.png", "logo"),
    ("assets/é.bin", "odd"),
];

#[test]
fn the_first_of_several_paths_is_served() {
    for cache in ["", "files.cache = false\n"] {
        let keys = "files.try_files = [\"{path}\", \"{path}.html\", \"/index.html\"]\n";
        let daemon = serving(&APP, &format!("{keys}{cache}"));
        for _ in 0..2 {
            for (path, text) in [
                ("/", "the app"),
                ("/about", "about"),
                ("/about.html", "about"),
                ("/docs/", "docs"),
                ("/deep/link?x=1", "the app"),
                ("/deep/link/", "the app"),
                ("/assets", "the app"),
                ("/assets/", "the app"),
                ("/assets/logo.png", "logo"),
                ("/.git/config", "the app"),
            ] {
                let answer = get(daemon.http(), path);
                assert_eq!(told(&answer), (200, text.into()), "{path}");
            }
        }
        let docs = get(daemon.http(), "/docs");
        assert_eq!((docs.status, docs.field("location")), (301, Some("/docs/")));
        assert_eq!(ask(daemon.http(), &request("POST", "/about", "", "")).status, 405);
        assert!(get(daemon.http(), "/a").field("content-type").unwrap().starts_with("text/html"));
        let ranged = ask(daemon.http(), &request("GET", "/a", "Range: bytes=4-\r\n", ""));
        assert_eq!(told(&ranged), (206, "app".into()));
    }
}

#[test]
fn the_last_may_be_a_status_and_templates_may_not_leave_the_root() {
    let keys = "files.try_files = [\"/{header.x-lang}{path}\", 410]";
    let dir = tree(&[("de/a.html", "hallo"), ("en/a.html", "hello")]);
    put(&dir.path().join("secret/a.html"), "secret");
    let rest = format!("[[site]]\n[[site.route]]\nfiles.root = \"public\"\n{keys}");
    let daemon = Daemon::start_in(dir, &Config::bare().rest(&rest).text());
    let asked = |language: &str| {
        told(&ask(
            daemon.http(),
            &request("GET", "/a.html", &format!("X-Lang: {language}\r\n"), ""),
        ))
    };
    assert_eq!(asked("de"), (200, "hallo".into()));
    assert_eq!(asked("en"), (200, "hello".into()));
    for language in ["fr", "../secret", "..%2fsecret", "de/../../secret", "/secret", "."] {
        let (status, text) = asked(language);
        assert!(status == 410 && text.contains("file_not_found"), "{language}: {text}");
    }
}

#[test]
fn caching_fields_come_by_type_and_name_and_never_on_errors() {
    let keys = "files.cache_control = { \"text/html\" = \"no-cache\", \"image/*\" = \"max-age=60\", \
                \"*\" = \"max-age=3600\" }\nfiles.immutable = true";
    for cache in ["", "\nfiles.cache = false"] {
        let daemon = serving(&APP, &format!("{keys}{cache}"));
        for (path, value) in [
            ("/", "no-cache"),
            ("/about.html", "no-cache"),
            ("/assets/app.3f9a1c2b.js", "public, max-age=31536000, immutable"),
            ("/assets/logo.png", "max-age=60"),
            ("/assets/%C3%A9.bin", "max-age=3600"),
        ] {
            let answer = get(daemon.http(), path);
            assert_eq!(
                (answer.status, answer.field("cache-control")),
                (200, Some(value)),
                "{path}"
            );
            let condition = format!("If-None-Match: {}\r\n", answer.field("etag").unwrap());
            let same = ask(daemon.http(), &request("GET", path, &condition, ""));
            assert_eq!((same.status, same.field("cache-control")), (304, Some(value)), "{path}");
            let part = ask(daemon.http(), &request("GET", path, "Range: bytes=0-1\r\n", ""));
            assert_eq!((part.status, part.field("cache-control")), (206, Some(value)), "{path}");
        }
        let gone = get(daemon.http(), "/assets/gone.3f9a1c2b.js");
        assert_eq!((gone.status, gone.field("cache-control")), (404, None));
        let moved = get(daemon.http(), "/docs");
        assert_eq!((moved.status, moved.field("cache-control")), (301, None));
        let range = request("GET", "/assets/logo.png", "Range: bytes=99-\r\n", "");
        let range = ask(daemon.http(), &range);
        assert_eq!((range.status, range.field("cache-control")), (416, None));
    }
}

#[test]
fn downloads_have_their_names() {
    let daemon = serving(&APP, "files.download = true");
    let named =
        |path: &str| get(daemon.http(), path).field("content-disposition").map(str::to_owned);
    assert_eq!(named("/assets/logo.png").unwrap(), "attachment; filename=\"logo.png\"");
    let odd = "attachment; filename=\"_.bin\"; filename*=UTF-8''%C3%A9.bin";
    assert_eq!(named("/assets/%C3%A9.bin").unwrap(), odd);
    assert_eq!(named("/gone"), None);
}

#[test]
fn pipes_sockets_and_devices_are_refused_and_nobody_waits() {
    let daemon = serving(&APP, "files.cache.check_interval = \"10ms\"");
    let special = |name: &str| daemon.path("public").join(name);
    assert!(Command::new("mkfifo").arg(special("pipe")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(special("socket")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", special("zero")).unwrap();
    std::os::unix::fs::symlink("pipe", special("to-pipe")).unwrap();
    for _ in 0..3 {
        for name in ["pipe", "socket", "zero", "to-pipe"] {
            assert_eq!(get(daemon.http(), &format!("/{name}")).status, 404, "{name}");
        }
    }
    // A file that turns into a pipe while it is kept.
    assert_eq!(get(daemon.http(), "/about.html").status, 200);
    fs::remove_file(special("about.html")).unwrap();
    fs::rename(special("pipe"), special("about.html")).unwrap();
    until("the pipe to be refused", || get(daemon.http(), "/about.html").status == 404);
}

/// 32 MiB of one letter: more than sockets hold.
fn large(letter: u8) -> Vec<u8> {
    vec![letter; 32 << 20]
}

/// A client that has the answer's first byte, and takes no more for now.
fn begun(daemon: &Daemon) -> Client {
    let mut client = Client::connect(daemon.http());
    client.send(request("GET", "/large.bin", "", ""));
    assert!(client.first_byte().unwrap());
    thread::sleep(Duration::from_millis(50));
    client
}

#[test]
fn a_file_that_is_written_over_while_it_is_sent_breaks_off() {
    let daemon = serving(&APP, "");
    let path = daemon.path("public/large.bin");
    fs::write(&path, large(b'a')).unwrap();
    let mut client = begun(&daemon);
    // In place, and of the same size.
    fs::File::options().write(true).open(&path).unwrap().write_all(&large(b'b')).unwrap();
    assert!(client.try_response("GET").is_err(), "old and new must not pass for one file");
    daemon.wait_for_reason("file_error");
    assert!(get(daemon.http(), "/large.bin").body == large(b'b'));
}

#[test]
fn a_file_that_grows_or_is_deleted_while_it_is_sent_is_sent_as_announced() {
    let daemon = serving(&APP, "");
    let path = daemon.path("public/large.bin");
    fs::write(&path, large(b'a')).unwrap();
    let mut client = begun(&daemon);
    fs::File::options().append(true).open(&path).unwrap().write_all(b"more").unwrap();
    assert!(client.response().body == large(b'a'));
    let mut client = begun(&daemon);
    fs::remove_file(&path).unwrap();
    let body = client.response().body;
    assert!(body.len() == (32 << 20) + 4 && body.ends_with(b"amore"));
    assert_eq!(get(daemon.http(), "/large.bin").status, 404);
}
