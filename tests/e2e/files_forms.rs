//! Static files: compressed files beside others, lists of directories, and several ranges at once.

use crate::rig::{
    Config, Daemon, Response,
    client::{ask, get, request},
    until,
};
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    time::{Duration, Instant, SystemTime},
};
use tempfile::TempDir;

fn put(path: &Path, text: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A daemon that serves `public` below `dir`, with more keys.
fn serving(dir: TempDir, keys: &str) -> Daemon {
    let rest = format!("[[site]]\n[[site.route]]\nfiles.root = \"public\"\n{keys}");
    Daemon::start_in(dir, &Config::bare().rest(&rest).text())
}

fn with(daemon: &Daemon, path: &str, fields: &str) -> Response {
    ask(daemon.http(), &request("GET", path, fields, ""))
}

/// `app.js` in four forms. What is in them does not matter to who sends them.
fn forms() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let public = dir.path().join("public");
    put(&public.join("app.js"), "the script as it is");
    put(&public.join("app.js.br"), "as brotli");
    put(&public.join("app.js.zst"), "as zstd");
    put(&public.join("app.js.gz"), "as gzip");
    put(&public.join("index.html"), "a page");
    put(&public.join("index.html.gz"), "a page as gzip");
    put(&public.join("alone.css"), "alone");
    put(&dir.path().join("secret"), "secret");
    symlink("../secret", public.join("alone.css.br")).unwrap();
    dir
}

#[test]
fn who_takes_it_gets_the_compressed_file_beside() {
    for cache in ["", "\nfiles.cache = false"] {
        let daemon = serving(forms(), &format!("files.precompressed = true{cache}"));
        let mut tags = Vec::new();
        for (accepted, coding, text) in [
            ("gzip, deflate, br, zstd", Some("br"), "as brotli"),
            ("gzip, zstd", Some("zstd"), "as zstd"),
            ("br;q=0.1, gzip;q=0.9", Some("gzip"), "as gzip"),
            ("br;q=0, zstd;q=0, *", Some("gzip"), "as gzip"),
            ("identity, br;q=0.5", None, "the script as it is"),
            ("deflate", None, "the script as it is"),
            ("", None, "the script as it is"),
        ] {
            let fields = format!("Accept-Encoding: {accepted}\r\n");
            let answer = with(&daemon, "/app.js", &fields);
            assert_eq!((answer.status, &*answer.text()), (200, text), "{accepted}");
            assert_eq!(answer.field("content-encoding"), coding, "{accepted}");
            assert_eq!(answer.field("content-type"), Some("text/javascript; charset=utf-8"));
            assert_eq!(answer.field("vary"), Some("accept-encoding"));
            let tag = answer.field("etag").unwrap().to_owned();
            let same = with(&daemon, "/app.js", &format!("{fields}If-None-Match: {tag}\r\n"));
            assert_eq!((same.status, same.field("vary")), (304, Some("accept-encoding")));
            assert_eq!(same.field("etag"), Some(&*tag));
            let part = format!("{fields}Range: bytes=3-5\r\nIf-Range: {tag}\r\n");
            let part = with(&daemon, "/app.js", &part);
            assert_eq!((part.status, &*part.text()), (206, &text[3..6]), "{accepted}");
            let head = ask(daemon.http(), &request("HEAD", "/app.js", &fields, ""));
            assert_eq!(head.field("content-length"), Some(&*text.len().to_string()));
            tags.push(tag);
        }
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), 4, "a tag for each form");
        let plain = get(daemon.http(), "/app.js");
        assert_eq!(
            (plain.field("content-encoding"), &*plain.text()),
            (None, "the script as it is")
        );
        let index = with(&daemon, "/", "Accept-Encoding: gzip\r\n");
        assert_eq!(
            (&*index.text(), index.field("content-encoding")),
            ("a page as gzip", Some("gzip"))
        );
        assert!(index.field("content-type").unwrap().starts_with("text/html"));
        let alone = with(&daemon, "/alone.css", "Accept-Encoding: br\r\n");
        assert_eq!(
            (&*alone.text(), alone.field("vary")),
            ("alone", None),
            "no link out of the root"
        );
    }
}

#[test]
fn a_compressed_file_that_is_older_or_gone_is_not_sent() {
    let keys = "files.precompressed = true\nfiles.cache.check_interval = \"10ms\"";
    let daemon = serving(forms(), keys);
    let text = || with(&daemon, "/app.js", "Accept-Encoding: br, zstd\r\n").text();
    assert_eq!(text(), "as brotli");
    fs::remove_file(daemon.path("public/app.js.br")).unwrap();
    until("the next best", || text() == "as zstd");
    put(&daemon.path("public/app.js"), "new");
    let old = SystemTime::now() - Duration::from_secs(60);
    for ending in ["zst", "gz"] {
        let path = daemon.path(&format!("public/app.js.{ending}"));
        fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
    }
    until("the new file as it is", || text() == "new");
    put(&daemon.path("public/app.js.br"), "new as brotli");
    until("its new form", || text() == "new as brotli");
}

#[test]
fn nobody_gets_them_unasked() {
    let daemon = serving(forms(), "");
    let answer = with(&daemon, "/app.js", "Accept-Encoding: br\r\n");
    assert_eq!((&*answer.text(), answer.field("vary")), ("the script as it is", None));
}

/// A directory with names of all kinds.
fn odd_names() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let public = dir.path().join("public");
    for name in
        ["b.txt", "a.txt", "<script>&\"'.txt", "a b?#%.txt", "javascript:x", "é.txt", ".hidden"]
    {
        put(&public.join("list").join(name), "12345");
    }
    put(&public.join("list/sub/x.txt"), "x");
    put(&public.join("list/dir with index/index.html"), "index");
    put(&dir.path().join("secret"), "secret");
    symlink("../../secret", public.join("list/out")).unwrap();
    symlink("a.txt", public.join("list/within")).unwrap();
    dir
}

const NAMES: [&str; 9] = [
    "dir with index",
    "sub",
    "<script>&\"'.txt",
    "a b?#%.txt",
    "a.txt",
    "b.txt",
    "javascript:x",
    "within",
    "é.txt",
];

#[test]
fn a_directory_is_listed_for_people() {
    let daemon = serving(odd_names(), "files.listing = \"html\"");
    let answer = get(daemon.http(), "/list/");
    let text = answer.text();
    assert_eq!(answer.field("content-type"), Some("text/html; charset=utf-8"));
    assert!(answer.field("content-security-policy").unwrap().contains("default-src 'none'"));
    assert!(!text.contains("<script>") && !text.contains("hidden") && !text.contains(">out<"));
    assert!(text.contains("&lt;script&gt;&amp;&quot;&#39;.txt"), "{text}");
    let links: Vec<_> =
        text.split("<a href=\"./").skip(1).map(|it| it.split('"').next().unwrap()).collect();
    assert_eq!(links.len(), NAMES.len(), "{links:?}");
    assert!(links.contains(&"javascript%3Ax"), "{links:?}");
    for link in links {
        assert_eq!(get(daemon.http(), &format!("/list/{link}")).status, 200, "{link}");
    }
    assert_eq!(get(daemon.http(), "/list").field("location"), Some("/list/"));
    assert_eq!(get(daemon.http(), "/list/dir%20with%20index/").text(), "index");
    let head = ask(daemon.http(), &request("HEAD", "/list/", "", ""));
    assert_eq!(head.field("content-length"), Some(&*text.len().to_string()));
    assert_eq!(get(daemon.http(), "/none/").status, 404);
}

#[test]
fn a_directory_is_listed_for_programs_and_stays_current() {
    let keys = "files.listing = \"json\"\nfiles.cache.check_interval = \"10ms\"";
    let daemon = serving(odd_names(), keys);
    let listed =
        || -> Value { serde_json::from_slice(&get(daemon.http(), "/list/").body).unwrap() };
    let names = |list: &Value| -> Vec<String> {
        let entries = list["entries"].as_array().unwrap().iter();
        entries.map(|it| it["name"].as_str().unwrap().to_owned()).collect()
    };
    let list = listed();
    assert_eq!(names(&list), NAMES);
    assert_eq!((&list["path"], &list["complete"]), (&"/list/".into(), &true.into()));
    assert_eq!(
        (&list["entries"][0]["type"], &list["entries"][4]["size"]),
        (&"directory".into(), &5.into())
    );
    fs::remove_file(daemon.path("public/list/b.txt")).unwrap();
    until("the file to be gone from the list", || !names(&listed()).contains(&"b.txt".to_owned()));
}

#[test]
fn a_hundred_thousand_files_are_served_and_listed_in_part() {
    let dir = tempfile::tempdir().unwrap();
    let public = dir.path().join("public");
    fs::create_dir(&public).unwrap();
    for n in 0..100_000 {
        fs::write(public.join(format!("{n}.txt")), "").unwrap();
    }
    let daemon = serving(dir, "files.listing = \"json\"\nfiles.cache.max_size = \"4MiB\"");
    let started = Instant::now();
    let answer = get(daemon.http(), "/");
    let list: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(list["entries"].as_array().unwrap().len(), 10_000);
    assert_eq!(list["complete"], false);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    for n in (0..100_000).step_by(997) {
        assert_eq!(get(daemon.http(), &format!("/{n}.txt")).status, 200, "{n}");
    }
}

/// The parts of a multipart body: their `Content-Range` and their bytes.
fn parts(answer: &Response) -> Vec<(String, Vec<u8>)> {
    let kind = answer.field("content-type").unwrap();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").expect(kind);
    let body = &answer.body;
    let find = |from: usize, text: &str| {
        let found = body[from..].windows(text.len()).position(|it| it == text.as_bytes());
        found.map(|at| from + at)
    };
    let delimiter = format!("\r\n--{boundary}");
    let (mut parts, mut at) = (Vec::new(), find(0, &delimiter).unwrap());
    loop {
        let begin = at + delimiter.len();
        if body[begin..].starts_with(b"--\r\n") {
            assert_eq!(body.len(), begin + 4);
            return parts;
        }
        let content = find(begin, "\r\n\r\n").unwrap() + 4;
        let end = find(content, &delimiter).unwrap();
        let head = String::from_utf8(body[begin..content].to_vec()).unwrap();
        assert!(head.contains("Content-Type: application/octet-stream"), "{head}");
        let range = head.lines().find_map(|it| it.strip_prefix("Content-Range: ")).unwrap();
        parts.push((range.to_owned(), body[content..end].to_vec()));
        at = end;
    }
}

#[test]
fn several_ranges_are_several_parts_and_no_way_to_work_hard() {
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    // From memory, and from the disk.
    for name in ["small", "large"] {
        let length = if name == "small" { 300_000 } else { bytes.len() };
        let whole = &bytes[..length];
        let dir = tempfile::tempdir().unwrap();
        put(&dir.path().join("public/x"), whole);
        let daemon = serving(dir, "");
        let asked = |range: &str| with(&daemon, "/x", &format!("Range: bytes={range}\r\n"));
        let answer = asked("0-9, 100-299,-5");
        assert_eq!(answer.status, 206);
        assert_eq!(answer.field("content-length"), Some(&*answer.body.len().to_string()));
        let found = parts(&answer);
        let wanted = [(0, 9), (100, 299), (length - 5, length - 1)].map(|(first, last)| {
            (format!("bytes {first}-{last}/{length}"), whole[first..=last].to_vec())
        });
        assert_eq!(found, wanted);
        let far = asked("200000-,0-99999");
        assert_eq!(parts(&far).len(), 2);
        assert!(parts(&far)[0].1 == whole[200_000..]);
        let one = asked("0-9,9999999-");
        assert_eq!((one.status, one.body.len()), (206, 10), "what does not exist is left out");
        assert!(one.field("content-range").unwrap().starts_with("bytes 0-9/"));
        let many =
            (0..17).map(|n| format!("{}-{}", n * 10, n * 10 + 1)).collect::<Vec<_>>().join(",");
        for odd in ["0-9,5-14", "0-,-1", "0-99,50-60", "3-4,x", &many, "9999999-,9999998-"] {
            let answer = asked(odd);
            assert_eq!((answer.status, answer.body.len()), (200, length), "{odd}");
        }
        let head = ask(daemon.http(), &request("HEAD", "/x", "Range: bytes=0-1,5-6\r\n", ""));
        assert_eq!(head.status, 200);
    }
}
