//! Static files: what is served, how it is validated and cut, and what is never served.

use crate::rig::{
    Client, Config, Daemon, Response,
    client::{ask, get, request},
    until,
};
use std::{fs, os::unix::fs::symlink, path::Path};
use tempfile::TempDir;

/// A root with a bit of everything, and a secret beside it.
fn tree() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("secret.txt", "secret");
    put("public-secret/x.txt", "secret");
    put("public/index.html", "<h1>home</h1>");
    put("public/hello.txt", "0123456789");
    put("public/a b.txt", "space");
    put("public/sub/index.html", "<h1>sub</h1>");
    put("public/empty.txt", "");
    put("public/bare/file.txt", "no index here");
    put("public/.hidden", "hidden");
    put("public/.git/config", "hidden");
    symlink("../secret.txt", dir.path().join("public/out.txt")).unwrap();
    symlink("..", dir.path().join("public/up")).unwrap();
    symlink("hello.txt", dir.path().join("public/within.txt")).unwrap();
    dir
}

fn site(files: &str) -> String {
    Config::bare()
        .rest(&format!(
            "[[site]]\n[[site.route]]\nname = \"files\"\nfiles = {{ root = \"public\"{files} }}"
        ))
        .text()
}

fn serving(files: &str) -> Daemon {
    Daemon::start_in(tree(), &site(files))
}

fn with(daemon: &Daemon, fields: &str) -> Response {
    ask(daemon.http(), &request("GET", "/hello.txt", fields, ""))
}

#[test]
fn files_have_their_type_length_and_validators() {
    let daemon = serving("");
    let answer = get(daemon.http(), "/hello.txt");
    assert_eq!((answer.status, &*answer.text()), (200, "0123456789"));
    assert!(answer.field("content-type").unwrap().starts_with("text/plain"));
    assert_eq!(answer.field("content-length"), Some("10"));
    assert_eq!(answer.field("accept-ranges"), Some("bytes"));
    assert!(answer.field("etag").unwrap().ends_with('"'));
    assert!(answer.field("last-modified").unwrap().ends_with(" GMT"));
    for (path, text) in [
        ("/", "<h1>home</h1>"),
        ("/sub/", "<h1>sub</h1>"),
        ("/a%20b.txt", "space"),
        ("/empty.txt", ""),
        ("/within.txt", "0123456789"),
        ("/sub/../hello.txt", "0123456789"),
        ("/hello.txt?v=2", "0123456789"),
    ] {
        let answer = get(daemon.http(), path);
        assert_eq!((answer.status, &*answer.text()), (200, text), "{path}");
    }
    assert!(get(daemon.http(), "/").field("content-type").unwrap().starts_with("text/html"));
}

#[test]
fn a_directory_is_redirected_to_its_slash_and_not_listed() {
    let daemon = serving("");
    let answer = get(daemon.http(), "/sub");
    assert!(matches!(answer.status, 301 | 302 | 307 | 308), "{answer:?}");
    assert!(answer.field("location").unwrap().ends_with("/sub/"));
    let bare = get(daemon.http(), "/bare/");
    assert!(matches!(bare.status, 403 | 404), "{bare:?}");
    assert!(!bare.text().contains("file.txt"));
}

#[test]
fn what_is_not_there_is_404_and_what_is_not_get_is_405() {
    let daemon = serving("");
    for path in ["/nothing", "/hello.txt/", "/hello.txt/x", "/sub/nothing"] {
        assert_eq!(get(daemon.http(), path).status, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        let answer = ask(daemon.http(), &request(method, "/hello.txt", "", ""));
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.field("allow").unwrap().contains("GET"));
    }
}

#[test]
fn head_is_get_without_the_body() {
    let daemon = serving("");
    let full = get(daemon.http(), "/hello.txt");
    let head = ask(daemon.http(), &request("HEAD", "/hello.txt", "", ""));
    assert_eq!(head.status, 200);
    for name in ["content-length", "content-type", "etag", "last-modified", "accept-ranges"] {
        assert_eq!(head.field(name), full.field(name), "{name}");
    }
}

#[test]
fn a_range_that_the_config_sets_is_one() {
    let edits = "request_headers.set = { range = \"bytes=2-3\" }\nfiles =";
    let daemon = Daemon::start_in(tree(), &site("").replace("files =", edits));
    let answer = get(daemon.http(), "/hello.txt");
    assert_eq!((answer.status, &*answer.text()), (206, "23"));
}

#[test]
fn single_ranges_are_cut_exactly() {
    let daemon = serving("");
    for (range, part, content_range) in [
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=0-4", "01234", "bytes 0-4/10"),
        ("bytes=5-", "56789", "bytes 5-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=-99", "0123456789", "bytes 0-9/10"),
        ("bytes=8-99", "89", "bytes 8-9/10"),
        ("bytes=9-9", "9", "bytes 9-9/10"),
    ] {
        let answer = with(&daemon, &format!("Range: {range}\r\n"));
        assert_eq!((answer.status, &*answer.text()), (206, part), "{range}");
        assert_eq!(answer.field("content-range"), Some(content_range), "{range}");
    }
    for range in ["bytes=10-", "bytes=99-100", "bytes=-0"] {
        let answer = with(&daemon, &format!("Range: {range}\r\n"));
        assert_eq!(
            (answer.status, answer.field("content-range")),
            (416, Some("bytes */10")),
            "{range}"
        );
    }
    for range in ["bytes=4-2", "bytes=a-b", "bytes=", "lines=1-2", "bytes=--1", "bytes=1-2x"] {
        let answer = with(&daemon, &format!("Range: {range}\r\n"));
        assert_eq!((answer.status, &*answer.text()), (200, "0123456789"), "{range} is ignored");
    }
    let several = with(&daemon, "Range: bytes=0-1,4-5\r\n");
    assert!(matches!(several.status, 200 | 206), "{several:?}");
}

#[test]
fn if_range_gives_the_part_only_of_what_has_not_changed() {
    let daemon = serving("");
    let full = get(daemon.http(), "/hello.txt");
    let (etag, modified) = (full.field("etag").unwrap(), full.field("last-modified").unwrap());
    let part = |condition: &str| {
        with(&daemon, &format!("Range: bytes=0-1\r\nIf-Range: {condition}\r\n")).status
    };
    if !etag.starts_with("W/") {
        assert_eq!(part(etag), 206);
    }
    assert_eq!(part("\"other\""), 200);
    assert_eq!(part(&format!("W/{}", etag.trim_start_matches("W/"))), 200, "weak tags do not do");
    assert_eq!(part("Thu, 01 Jan 1970 00:00:00 GMT"), 200);
    // A date is strong only once it is old enough; either answer is right for a file made just now.
    assert!(matches!(part(modified), 200 | 206));
}

#[test]
fn conditional_requests_are_answered_as_rfc_9110_says() {
    let daemon = serving("");
    let full = get(daemon.http(), "/hello.txt");
    let (etag, modified) = (full.field("etag").unwrap(), full.field("last-modified").unwrap());
    let old = "Thu, 01 Jan 1970 00:00:00 GMT";
    for (fields, status) in [
        (format!("If-None-Match: {etag}\r\n"), 304),
        (format!("If-None-Match: W/{}\r\n", etag.trim_start_matches("W/")), 304),
        (format!("If-None-Match: \"x\", {etag}\r\n"), 304),
        ("If-None-Match: *\r\n".into(), 304),
        ("If-None-Match: \"x\"\r\n".into(), 200),
        (format!("If-Modified-Since: {modified}\r\n"), 304),
        (format!("If-Modified-Since: {old}\r\n"), 200),
        ("If-Modified-Since: yesterday\r\n".into(), 200),
        (format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {modified}\r\n"), 200),
        ("If-Match: \"x\"\r\n".into(), 412),
        ("If-Match: *\r\n".into(), 200),
        (format!("If-Unmodified-Since: {old}\r\n"), 412),
        (format!("If-Unmodified-Since: {modified}\r\n"), 200),
    ] {
        let answer = with(&daemon, &fields);
        assert_eq!(answer.status, status, "{fields}");
        if status == 304 {
            assert_eq!(answer.field("etag"), Some(etag));
        }
    }
    if !etag.starts_with("W/") {
        assert_eq!(with(&daemon, &format!("If-Match: {etag}\r\n")).status, 200);
    }
}

#[test]
fn nothing_outside_the_root_is_served_however_it_is_spelt() {
    let daemon = serving("");
    let attempts = [
        "/../secret.txt",
        "/sub/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/%2e%2e%2fsecret.txt",
        "/..%2fsecret.txt",
        "/.%2e/secret.txt",
        "/sub/%2e%2e/%2e%2e/secret.txt",
        "/%252e%252e/secret.txt",
        "/%252e%252e%252fsecret.txt",
        "/..%252fsecret.txt",
        "/..%c0%afsecret.txt",
        "/%c0%ae%c0%ae/secret.txt",
        "/..\\secret.txt",
        "/..%5csecret.txt",
        "/%5c..%5csecret.txt",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
        "/%2Fetc/passwd",
        "/hello.txt%00",
        "/hello.txt%00.html",
        "/%00/../secret.txt",
        "/../public-secret/x.txt",
        "/..;/secret.txt",
        "/out.txt",
        "/up/secret.txt",
        "/sub/../up/secret.txt",
        "/.hidden",
        "/.git/config",
        "/%2ehidden",
        "/%2egit/config",
        "/sub/../.hidden",
        "http://localhost/../secret.txt",
    ];
    for target in attempts {
        let mut client = Client::connect(daemon.http());
        let answer = client.ask(&request("GET", target, "", ""));
        assert!(
            matches!(answer.status, 400 | 403 | 404),
            "{target}: {} {}",
            answer.status,
            answer.text()
        );
        assert!(!answer.text().contains("secret") && !answer.text().contains("root:"), "{target}");
    }
    let raw = ask(daemon.http(), "GET \0/../secret.txt HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(raw.status, 400);
}

#[test]
fn dotfiles_are_served_only_where_allowed() {
    let daemon = serving(", dotfiles = true");
    assert_eq!(get(daemon.http(), "/.hidden").text(), "hidden");
    assert_eq!(get(daemon.http(), "/../secret.txt").status / 100, 4);
}

#[test]
fn a_changed_file_is_noticed_with_and_without_the_cache() {
    for files in ["", ", cache = false", ", cache = { check_interval = \"10ms\" }"] {
        let daemon = serving(files);
        let before = get(daemon.http(), "/hello.txt");
        get(daemon.http(), "/hello.txt");
        let path = daemon.path("public/hello.txt");
        fs::write(&path, "something else, and longer").unwrap();
        until("the new text", || {
            get(daemon.http(), "/hello.txt").text() == "something else, and longer"
        });
        assert_ne!(get(daemon.http(), "/hello.txt").field("etag"), before.field("etag"));
        let condition = format!("If-None-Match: {}\r\n", before.field("etag").unwrap());
        assert_eq!(with(&daemon, &condition).status, 200);
        fs::remove_file(&path).unwrap();
        until("the file to be gone", || get(daemon.http(), "/hello.txt").status == 404);
    }
}

#[test]
fn the_cache_counts_its_hits() {
    let daemon = serving("");
    for _ in 0..5 {
        get(daemon.http(), "/hello.txt");
    }
    let count = |name: &str| daemon.count(name, &[]);
    assert!(count("sheave_files_cache_misses_total") >= 1);
    assert!(count("sheave_files_cache_hits_total") >= 3);
}

#[test]
fn a_large_file_streams_and_survives_being_replaced() {
    let dir = tree();
    let large: Vec<u8> = (0..8 << 20).map(|n: u32| (n % 251) as u8).collect();
    fs::write(dir.path().join("public/large.bin"), &large).unwrap();
    let daemon = Daemon::start_in(dir, &site(""));
    let mut client = Client::connect(daemon.http());
    client.send(request("GET", "/large.bin", "", ""));
    assert!(client.first_byte().unwrap());
    replace(&daemon.path("public/large.bin"), b"small");
    assert!(client.response().body == large, "the file as it was opened");
    let range = ask(daemon.http(), &request("GET", "/hello.txt", "Range: bytes=2-3\r\n", ""));
    assert_eq!(range.text(), "23");
}

fn replace(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, bytes).unwrap();
    fs::rename(new, path).unwrap();
}

#[test]
fn strip_prefix_applies_to_files_and_response_headers_too() {
    let text = Config::bare()
        .rest(
            "[[site]]\n[[site.route]]\npath = \"/static/*\"\nstrip_prefix = \"/static\"\n\
             files = { root = \"public\" }\nresponse_headers.set = { \"Cache-Control\" = \"public, immutable\" }",
        )
        .text();
    let daemon = Daemon::start_in(tree(), &text);
    let answer = get(daemon.http(), "/static/hello.txt");
    assert_eq!((answer.status, answer.field("cache-control")), (200, Some("public, immutable")));
    for target in [
        "/static/../secret.txt",
        "/static/../../secret.txt",
        "/static..//secret.txt",
        "/static/%2e%2e/secret.txt",
    ] {
        let answer = ask(daemon.http(), &request("GET", target, "", ""));
        assert!(matches!(answer.status, 400 | 403 | 404), "{target}: {answer:?}");
    }
}

#[test]
fn a_stripped_prefix_without_its_slash_is_redirected_and_a_link_keeps_its_names_type() {
    let text = Config::bare()
        .rest(
            "[[site]]\n[[site.route]]\npath = \"/static/*\"\nstrip_prefix = \"/static\"\n\
             files = { root = \"public\" }",
        )
        .text();
    let dir = tree();
    symlink("hello.txt", dir.path().join("public/style.css")).unwrap();
    let daemon = Daemon::start_in(dir, &text);
    let answer = get(daemon.http(), "/static?a=b");
    assert_eq!((answer.status, answer.field("location")), (301, Some("/static/?a=b")));
    assert_eq!(get(daemon.http(), "/static/").text(), "<h1>home</h1>");
    let answer = get(daemon.http(), "/static/style.css");
    assert_eq!(answer.field("content-type"), Some("text/css; charset=utf-8"));
}

#[test]
fn a_question_mark_in_a_name_does_not_end_a_rewritten_path() {
    let text = Config::bare()
        .rest(
            "[[site]]\n[[site.route]]\npath = \"*.css\"\nrewrite = \"/public{path}\"\n\
             files = { root = \".\" }",
        )
        .text();
    let dir = tree();
    fs::write(dir.path().join("public/a?b.css"), "odd").unwrap();
    let daemon = Daemon::start_in(dir, &text);
    assert_eq!(get(daemon.http(), "/hello.txt%3F.css").status, 404);
    assert_eq!(get(daemon.http(), "/a%3fb.css?c=d").text(), "odd");
}

#[test]
fn kept_files_leave_descriptors_for_connections() {
    let dir = tree();
    let name = |n: usize| format!("public/{n}.bin");
    (0..200).for_each(|n| fs::write(dir.path().join(name(n)), vec![b'x'; 128 << 10]).unwrap());
    let daemon = Daemon::start_in(dir, &site(""));
    // Of this process alone, before it has opened a file.
    daemon.shell("prlimit --pid $0 --nofile=160:160");
    let last = daemon.path(&name(199));
    until("older files", || {
        fs::metadata(&last).unwrap().modified().unwrap().elapsed().unwrap().as_millis() > 300
    });
    let mut client = Client::connect(daemon.http());
    for n in 0..200 {
        assert_eq!(client.get(&format!("/{n}.bin")).status, 200, "{n}");
    }
    for _ in 0..40 {
        assert_eq!(get(daemon.http(), "/hello.txt").status, 200);
    }
}

#[test]
fn a_file_that_is_cut_while_it_is_sent_breaks_the_response_and_the_log_says_so() {
    let dir = tree();
    let path = dir.path().join("public/large.bin");
    fs::write(&path, vec![b'x'; 64 << 20]).unwrap();
    let daemon = Daemon::start_in(dir, &site(""));
    let mut client = Client::connect(daemon.http());
    client.send(request("GET", "/large.bin", "", ""));
    assert!(client.first_byte().unwrap());
    fs::File::options()
        .write(true)
        .open(daemon.path("public/large.bin"))
        .unwrap()
        .set_len(9)
        .unwrap();
    assert!(client.try_response("GET").is_err(), "a part must not pass for the whole");
    daemon.wait_for_reason("file_error");
}

#[test]
fn a_kept_file_is_sent_as_it_was_read_even_if_it_is_written_over() {
    let dir = tree();
    let path = dir.path().join("public/kept.bin");
    let old: Vec<u8> = (0..1 << 20).map(|n: u32| (n % 251) as u8).collect();
    fs::write(&path, &old).unwrap();
    let daemon = Daemon::start_in(dir, &site(", cache.check_interval = \"1h\""));
    let path = daemon.path("public/kept.bin");
    // Only a file that has settled is kept open.
    until("an older file", || {
        fs::metadata(&path).unwrap().modified().unwrap().elapsed().unwrap().as_millis() > 300
    });
    let ranged = || ask(daemon.http(), &request("GET", "/kept.bin", "Range: bytes=7-\r\n", ""));
    assert!(get(daemon.http(), "/kept.bin").body == old);
    assert!(ranged().body == old[7..]);
    fs::write(&path, vec![b'y'; 1 << 20]).unwrap();
    assert!(get(daemon.http(), "/kept.bin").body == old, "with the validators of what was read");
    assert!(ranged().body == old[7..]);
}
