//! Whole answers from a real directory.
use super::*;
use crate::message::body::pulled::Pulled;
use crate::path::normalise;
use http::Response;
use http::{HeaderName, StatusCode, Uri, header};
use http_body::Body as _;
use std::{fs, future::poll_fn, os::unix::fs::symlink, path::Path, pin::Pin};

const CACHE: CacheSettings =
    CacheSettings { max_size: 1 << 20, max_file: 64 << 10, check_interval: Duration::from_secs(1) };

fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().expect("a place");
    let root = place.path().join("root");
    fs::create_dir_all(root.join("docs/api")).expect("a directory");
    fs::write(root.join("index.html"), "<h1>home</h1>").expect("written");
    fs::write(root.join("docs/index.html"), "docs").expect("written");
    fs::write(root.join("a b.txt"), "0123456789").expect("written");
    fs::write(root.join("large.bin"), vec![7; 700_000]).expect("written");
    fs::write(root.join(".env"), "secret").expect("written");
    fs::write(place.path().join("secret.txt"), "secret").expect("written");
    symlink("../secret.txt", root.join("leak")).expect("a link");
    place
}

fn files(place: &Path, cache: Option<CacheSettings>) -> Files {
    let settings = FilesSettings {
        root: place.join("root"),
        index: vec!["index.html".into()],
        dotfiles: false,
        listing: None,
        precompressed: false,
        labels: FileLabels::default(),
        cache,
    };
    Files::new(settings)
}

async fn ask(files: &Files, method: &str, raw: &str, lines: &[(&str, &str)]) -> Response<Body> {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        headers.append(name, value.parse().expect("a value"));
    }
    let uri: Uri = raw.parse().expect("a uri");
    let path = normalise(uri.path()).expect("a path");
    let (method, target) = (method.parse().expect("a method"), target(&uri));
    let asked = FileRequest { method: &method, conditions: Some(&headers), ..plain(&target) };
    told(files.serve(&asked, &path).await)
}

/// As the proxy answers, but for the words.
fn told(answer: Result<Answer<Body>, Refused>) -> Response<Body> {
    let mut answer = answer.unwrap_or_else(|refused| {
        let answer = Answer::new(refused.status, Body::Empty);
        match refused.field.map(|it| *it) {
            Some((name, value)) => answer.with(name, value),
            None => answer,
        }
    });
    let headers = std::mem::take(answer.fields.map());
    let mut response = Response::new(answer.body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = headers;
    response
}

fn target(uri: &Uri) -> RequestTarget {
    RequestTarget::new(uri.clone(), "")
}

/// A GET without conditions.
fn plain(target: &RequestTarget) -> FileRequest<'_> {
    FileRequest { method: &Method::GET, target, conditions: None, codings: None, tried: false }
}

async fn text(response: Response<Body>) -> String {
    let (mut body, mut all) = (Pulled(response.into_body()), Vec::new());
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        all.extend_from_slice(&frame.expect("sent").into_data().expect("data"));
    }
    String::from_utf8(all).expect("text")
}

fn header(response: &Response<Body>, name: HeaderName) -> &str {
    response.headers().get(name).map_or("", |value| value.to_str().expect("ascii"))
}

#[tokio::test]
async fn a_file_is_served_with_all_it_needs() {
    let place = place();
    for files in [files(place.path(), None), files(place.path(), Some(CACHE))] {
        // Twice: from the disk, then from memory.
        for _ in 0..2 {
            let response = ask(&files, "GET", "/a%20b.txt?v=1", &[]).await;
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(header(&response, header::CONTENT_TYPE), "text/plain; charset=utf-8");
            assert_eq!(header(&response, header::CONTENT_LENGTH), "10");
            assert_eq!(header(&response, header::ACCEPT_RANGES), "bytes");
            let etag = header(&response, header::ETAG).to_owned();
            let date = header(&response, header::LAST_MODIFIED).to_owned();
            assert!(etag.starts_with('"') && etag.ends_with("-a\""), "{etag}");
            assert_eq!(text(response).await, "0123456789");

            let head = ask(&files, "HEAD", "/a%20b.txt", &[("range", "bytes=0-1")]).await;
            assert_eq!(head.status(), StatusCode::OK);
            assert_eq!(header(&head, header::CONTENT_LENGTH), "10");
            assert!(matches!(head.body(), Body::Empty));

            for lines in [[("if-none-match", etag.as_str())], [("if-modified-since", &date)]] {
                let unchanged = ask(&files, "GET", "/a%20b.txt", &lines).await;
                assert_eq!(unchanged.status(), StatusCode::NOT_MODIFIED);
                assert_eq!(header(&unchanged, header::ETAG), etag);
                assert!(matches!(unchanged.body(), Body::Empty));
            }
            let other = ask(&files, "GET", "/a%20b.txt", &[("if-match", "\"x\"")]).await;
            assert_eq!(other.status(), StatusCode::PRECONDITION_FAILED);
        }
    }
}

#[tokio::test]
async fn ranges_are_cut_from_memory_and_from_disk() {
    let place = place();
    let kept = files(place.path(), Some(CACHE));
    let response = ask(&kept, "GET", "/a%20b.txt", &[("range", "bytes=2-4")]).await;
    assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(header(&response, header::CONTENT_RANGE), "bytes 2-4/10");
    assert_eq!(header(&response, header::CONTENT_LENGTH), "3");
    assert_eq!(text(response).await, "234");

    let large = ask(&kept, "GET", "/large.bin", &[("range", "bytes=-300000")]).await;
    assert_eq!(header(&large, header::CONTENT_RANGE), "bytes 400000-699999/700000");
    assert!(matches!(large.body(), Body::Stream(_)));
    assert_eq!(text(large).await.len(), 300_000);

    let beyond = ask(&kept, "GET", "/a%20b.txt", &[("range", "bytes=10-")]).await;
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(header(&beyond, header::CONTENT_RANGE), "bytes */10");

    for lines in [
        &[("range", "bytes=0-1,3-4")][..],
        &[("range", "bytes=0-1"), ("range", "bytes=3-4")],
        &[("range", "bytes=0-1"), ("if-range", "\"x\"")],
    ] {
        let whole = ask(&kept, "GET", "/a%20b.txt", lines).await;
        assert_eq!(whole.status(), StatusCode::OK);
        assert_eq!(text(whole).await, "0123456789");
    }
}

#[tokio::test]
async fn directories() {
    let place = place();
    let files = files(place.path(), Some(CACHE));
    assert_eq!(text(ask(&files, "GET", "/", &[]).await).await, "<h1>home</h1>");
    assert_eq!(text(ask(&files, "GET", "/docs/", &[]).await).await, "docs");
    assert_eq!(ask(&files, "GET", "/docs/api/", &[]).await.status(), StatusCode::NOT_FOUND);
    for (raw, location) in [
        ("/docs", "/docs/"),
        ("/docs?a=b&c", "/docs/?a=b&c"),
        ("/d%6Fcs/api", "/d%6Fcs/api/"),
        ("//docs", "/docs/"),
        ("//evil.example/..//docs", "/evil.example/..//docs/"),
    ] {
        let response = ask(&files, "GET", raw, &[]).await;
        assert_eq!(response.status(), StatusCode::MOVED_PERMANENTLY, "{raw}");
        assert_eq!(header(&response, header::LOCATION), location);
    }
    // Behind a stripped prefix.
    let uri = Uri::from_static("/static/docs?x");
    let response = told(files.serve(&plain(&target(&uri)), "/docs").await);
    assert_eq!(header(&response, header::LOCATION), "/static/docs/?x");
    let uri = Uri::from_static("/static");
    let response = told(files.serve(&plain(&target(&uri)), "").await);
    assert_eq!(header(&response, header::LOCATION), "/static/");
    // Behind a prefix that takes the slash along.
    for (uri, path, content) in [("/static/", "", "<h1>home</h1>"), ("/s/docs/", "/docs", "docs")] {
        let uri = Uri::from_static(uri);
        let response = told(files.serve(&plain(&target(&uri)), path).await);
        assert_eq!(text(response).await, content);
    }
}

#[tokio::test]
async fn only_get_and_head() {
    let place = place();
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        let response = ask(&files(place.path(), None), method, "/", &[]).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(header(&response, header::ALLOW), "GET, HEAD");
    }
    let unknown = ask(&files(place.path(), None), "PURGE", "/", &[]).await;
    assert_eq!(unknown.status(), StatusCode::NOT_IMPLEMENTED);
}

#[tokio::test]
async fn no_way_leads_outside() {
    let place = place();
    let secret = place.path().join("secret.txt");
    for files in [files(place.path(), None), files(place.path(), Some(CACHE))] {
        for raw in [
            "/../secret.txt",
            "/..%2fsecret.txt",
            "/%2e%2e/secret.txt",
            "/%252e%252e/secret.txt",
            "/%252e%252e%252fsecret.txt",
            "/docs/../../secret.txt",
            "/docs/..%2f..%2fsecret.txt",
            "/..%5csecret.txt",
            "/%c0%ae%c0%ae/secret.txt",
            "/secret.txt%00.html",
            "/leak",
            "/.env",
            "/%2eenv",
            "/docs/..;/..;/secret.txt",
            "/....//secret.txt",
            &format!("/{}", secret.display()),
            &format!("/{}", secret.display()).replace('/', "%2f"),
        ] {
            if let Ok(path) = normalise(raw) {
                let uri = Uri::try_from(raw).expect("a uri");
                let response = told(files.serve(&plain(&target(&uri)), &path).await);
                assert_eq!(response.status(), StatusCode::NOT_FOUND, "{raw}");
            }
            // Nor without the normalising.
            let uri = Uri::from_static("/");
            let response = told(files.serve(&plain(&target(&uri)), raw).await);
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{raw}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_kept_file_is_checked_once_an_interval() {
    let place = place();
    let files = files(place.path(), Some(CACHE));
    let path = place.path().join("root/docs/index.html");
    assert_eq!(text(ask(&files, "GET", "/docs/", &[]).await).await, "docs");
    fs::write(&path, "changed").expect("written");
    assert_eq!(text(ask(&files, "GET", "/docs/", &[]).await).await, "docs");
    assert_eq!((files.hits(), files.misses()), (1, 1));
    tokio::time::advance(CACHE.check_interval).await;
    assert_eq!(text(ask(&files, "GET", "/docs/", &[]).await).await, "changed");
    assert_eq!((files.hits(), files.misses()), (1, 2));
    tokio::time::advance(CACHE.check_interval).await;
    fs::remove_file(&path).expect("gone");
    assert_eq!(ask(&files, "GET", "/docs/", &[]).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(files.kept_size(), 0);
    fs::write(&path, "back").expect("written");
    assert_eq!(text(ask(&files, "GET", "/docs/", &[]).await).await, "back");
}

#[tokio::test]
async fn every_change_is_noticed() {
    let place = place();
    let now = CacheSettings { check_interval: Duration::ZERO, ..CACHE };
    let files = files(place.path(), Some(now));
    let root = place.path().join("root");
    for content in ["one", "two", "three", "four", "five"] {
        fs::write(root.join("docs/index.html"), content).expect("written");
        assert_eq!(text(ask(&files, "GET", "/docs/", &[]).await).await, content);
    }
    fs::write(root.join("docs/index.html"), vec![b'x'; 100_000]).expect("written");
    assert_eq!(text(ask(&files, "GET", "/docs/", &[]).await).await.len(), 100_000);
    assert_eq!(files.kept_size(), 0, "too large to keep now");
    fs::remove_dir_all(root.join("docs")).expect("gone");
    symlink("..", root.join("docs")).expect("a link");
    assert_eq!(ask(&files, "GET", "/docs/", &[]).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_settled_file_is_not_read_again() {
    let place = place();
    let now = CacheSettings { check_interval: Duration::ZERO, ..CACHE };
    let files = files(place.path(), Some(now));
    tokio::time::sleep(Duration::from_millis(250)).await;
    for _ in 0..3 {
        assert_eq!(text(ask(&files, "GET", "/docs/", &[]).await).await, "docs");
    }
    assert_eq!((files.hits(), files.misses()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn others_are_served_while_one_checks() {
    let place = place();
    let files = files(place.path(), Some(CACHE));
    ask(&files, "GET", "/docs/", &[]).await;
    tokio::time::advance(CACHE.check_interval).await;
    let memory = files.memory.as_ref().expect("a memory");
    let KeptLookup::Due(check) = memory.look_up("/docs/") else { panic!("not due") };
    assert!(matches!(memory.look_up("/docs/"), KeptLookup::Fresh(_)));
    // The request that had the check was dropped, so the next one gets it.
    drop(check);
    assert!(matches!(memory.look_up("/docs/"), KeptLookup::Due(_)));
}

#[tokio::test]
async fn the_memory_is_bounded() {
    let place = place();
    let root = place.path().join("root");
    let small = CacheSettings { max_size: 100_000, max_file: 20_000, ..CACHE };
    let files = files(place.path(), Some(small.clone()));
    let mut kept = 0;
    for at in 0..200 {
        fs::write(root.join(format!("{at}.txt")), vec![b'x'; at * 150]).expect("written");
        let response = ask(&files, "GET", &format!("/{at}.txt"), &[]).await;
        assert_eq!(text(response).await.len(), at * 150);
        assert!(files.kept_size() <= small.max_size, "{}", files.kept_size());
        kept = kept.max(files.kept_size());
    }
    assert!(kept > small.max_size / 2, "{kept}");
}

/// What hyper writes for one request, while `meanwhile` is called as soon as the head is out.
async fn on_the_wire(files: &Files, request: &str, meanwhile: impl FnOnce()) -> Vec<u8> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let service = hyper::service::service_fn(async |request: http::Request<_>| {
        let _: &hyper::body::Incoming = request.body();
        let (method, uri) = (request.method(), request.uri());
        Ok::<_, io::Error>(
            {
                let target = target(uri);
                let conditions = Some(request.headers());
                let asked = FileRequest { method, conditions, ..plain(&target) };
                told(files.serve(&asked, uri.path()).await)
            }
            .map(Pulled),
        )
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .serve_connection(hyper_util::rt::TokioIo::new(server), service);
    let asking = async {
        client.write_all(request.as_bytes()).await.expect("asked");
        let mut answer = vec![client.read_u8().await.expect("a first byte")];
        meanwhile();
        client.read_to_end(&mut answer).await.expect("answered");
        answer
    };
    let (_, answer) = tokio::join!(serving, asking);
    answer
}

#[tokio::test]
async fn hyper_writes_what_is_meant() {
    let place = place();
    let files = files(place.path(), Some(CACHE));
    let nothing = || {};
    for (request, first, length, end) in [
        ("GET /index.html", "HTTP/1.1 200 ", "content-length: 13\r\n", "\r\n\r\n<h1>home</h1>"),
        ("HEAD /index.html", "HTTP/1.1 200 ", "content-length: 13\r\n", "\r\n\r\n"),
        ("GET /none", "HTTP/1.1 404 ", "content-length: 0\r\n", "\r\n\r\n"),
        ("PUT /index.html", "HTTP/1.1 405 ", "content-length: 0\r\n", "\r\n\r\n"),
    ] {
        let request = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = String::from_utf8(on_the_wire(&files, &request, nothing).await).expect("text");
        assert!(answer.starts_with(first) && answer.contains(length), "{answer}");
        assert!(answer.ends_with(end), "{answer}");
    }
}

#[tokio::test]
async fn a_file_that_shrinks_on_its_way_breaks_the_connection() {
    let place = place();
    let path = place.path().join("root/huge.bin");
    fs::write(&path, vec![7; 8 << 20]).expect("written");
    let files = files(place.path(), Some(CACHE));
    let request = "GET /huge.bin HTTP/1.1\r\nhost: x\r\n\r\n";
    let answer = on_the_wire(&files, request, || fs::write(&path, "short").expect("written")).await;
    // It is not closed by request, so that it ended at all is the break.
    assert!(answer.len() < 8 << 20);
}

#[test]
fn the_future_may_move() {
    fn is_send<T: Send>(_: T) {}
    let files = files(Path::new("/nowhere"), None);
    let target = target(&Uri::from_static("/"));
    is_send(files.serve(&plain(&target), "/"));
    is_send(Body::Empty);
}
