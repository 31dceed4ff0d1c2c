//! Workers and requests that panic. Everything that users can cause is tested from outside, in
//! `tests/e2e`. No user should be able to cause a panic, so the tests here do it from within.

use super::{
    control::Control,
    signals::Signals,
    worker::{self, Orders},
};
use crate::{
    client::listener::{Listener, OwnSockets},
    config::{self, ListenAddress},
    filter::{Chain, Filter, FilterPlace, Stopped, Verdict},
    http1::fields::FieldText,
    message::{
        answer::Answer,
        body::Body,
        context::{Context, Scope},
    },
    observe::logging,
    route::{Action, PathMatcher, Respond, Route, RouteMatcher, Router, Wording},
    snapshot::{Live, build::build, live::Resources},
};
use http::{HeaderMap, StatusCode};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, watch};

const CONFIG: &str = r#"
    workers = 1
    admin.enabled = false
    [listener.http]
    address = "127.0.0.1:0"
    [[site]]
    [[site.route]]
    respond = { body = "fine" }
"#;

fn loaded() -> config::Loaded {
    config::parse(CONFIG, Path::new("test.toml"), &|_| None).expect("a valid config")
}

/// Sends one request on a new connection; returns what came until the end.
fn ask(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sends");
    let mut answer = String::new();
    // A reset is an end as well.
    let _ = stream.read_to_string(&mut answer);
    answer
}

/// One after the other, because the panic hook is shared by the process.
#[test]
fn panics_stay_where_they_happen() {
    let own = thread::current().id();
    let usual = std::panic::take_hook();
    // Workers panic on purpose here, so their panics are not printed.
    std::panic::set_hook(Box::new(move |panic| {
        if thread::current().id() == own {
            usual(panic);
        }
    }));
    a_worker_that_dies_is_replaced_and_what_is_queued_is_served();
    a_request_that_panics_ends_its_connection_alone();
}

fn a_worker_that_dies_is_replaced_and_what_is_queued_is_served() {
    let (tell, told) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let level = logging::start("off", false);
            let control = Control::start(Path::new("test.toml"), loaded(), level).await.unwrap();
            tell.send((control.live(), control.listeners())).unwrap();
            control.serve(Signals::new().unwrap()).await;
        });
    });
    let (live, listeners) = told.recv().unwrap();
    let serving = listeners.borrow().clone();
    let wanted = &serving[0].address;
    let ListenAddress::Ip(address) = *wanted else { panic!("an IP address") };
    assert!(ask(address, "/").ends_with("fine"));

    // A listener without sockets: accepting on it panics and ends the worker, again and again,
    // until the listener is gone.
    let broken = Listener::new(7, "broken", wanted, wanted, OwnSockets::default(), &live.metrics);
    listeners.send_replace(vec![Arc::clone(&serving[0]), broken]);
    let begun = Instant::now();
    while live.metrics.worker_restarts.get() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "no worker was replaced");
        thread::yield_now();
    }
    let queued = thread::spawn(move || ask(address, "/"));
    listeners.send_replace(serving);
    assert!(queued.join().unwrap().ends_with("fine"));
    assert!(live.metrics.panics.get() > 0);
}

/// Panics on request.
struct Bomb;

impl Filter for Bomb {
    fn name(&self) -> &'static str {
        "bomb"
    }

    fn request<'a>(&'a self, context: &'a mut Context, place: FilterPlace<'a>) -> Verdict<'a> {
        let path = context.head.target.path();
        assert_ne!(path, "/bomb", "as asked");
        let answer = |status, words: &'static str| {
            let answer = Answer::new(status, Body::Full(words.into()));
            Box::new(Stopped { answer, reason: "as_asked" })
        };
        match path {
            "/stop" => Verdict::Answer(answer(StatusCode::IM_A_TEAPOT, "it stops")),
            "/wait" | "/wait-and-stop" => Verdict::Wait(Box::pin(async move {
                let before = place.clock.now();
                tokio::time::sleep(Duration::from_millis(5)).await;
                assert!(place.clock.now() >= before + 4, "it has waited");
                let stops = context.head.target.path() == "/wait-and-stop";
                stops.then(|| answer(StatusCode::CONFLICT, "it waited"))
            })),
            _ => Verdict::Pass,
        }
    }

    fn response(&self, fields: &mut HeaderMap, succeeded: bool, _: &Scope<'_>) {
        let words = if succeeded { "yes" } else { "no" };
        fields.insert("x-succeeded", words.parse().unwrap());
    }
}

/// Besides letting a request pass, a filter may answer it or wait.
fn a_filter_may_answer_and_wait(address: SocketAddr, live: &Live) {
    let begins = |path: &str, status: &str, words: &str, succeeded: &str| {
        let answer = ask(address, path);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(answer.ends_with(words), "{answer}");
        assert!(answer.contains(&format!("x-succeeded: {succeeded}\r\n")), "{answer}");
    };
    begins("/stop", "418", "it stops", "no");
    begins("/wait", "200", "fine", "yes");
    begins("/wait-and-stop", "409", "it waited", "no");
    assert_eq!(live.metrics.rejected.with_label_values(&["as_asked"]).get(), 2);
}

fn a_request_that_panics_ends_its_connection_alone() {
    let resources = Resources::new(1).unwrap();
    logging::count_panics(&resources.metrics);
    let loaded = loaded();
    let wanted = loaded.config.listeners[0].address.clone();
    let mut snapshot = build(loaded.config, None, &resources).unwrap();
    let body = Wording::Fixed("fine".into());
    snapshot.router = Router::default();
    snapshot.router.add(vec![Route {
        name: "bomb".into(),
        matcher: RouteMatcher { path: PathMatcher::Any, methods: Vec::new() },
        filters: Chain::new(vec![Box::new(Bomb)]),
        action: Action::Respond(Box::new(Respond {
            status: StatusCode::OK,
            body,
            fields: FieldText::default(),
        })),
        pages: None,
        caching: None,
        codings: None,
        server_timing: false,
        max_body: 0,
        metrics: resources.metrics.route(&"bomb".into()),
    }]);
    let listener = Listener::bind(0, "http", &wanted, 1, &[], &resources.metrics).unwrap();
    listener.listen().unwrap();
    let ListenAddress::Ip(address) = listener.address else { panic!("an IP address") };
    let (listeners, see_listeners) = watch::channel(vec![listener]);
    let (stop, see_stop) = watch::channel(false);
    let (ended, mut hear) = mpsc::unbounded_channel();
    let orders = Orders { listeners: see_listeners, stop: see_stop };
    let live = Live::new(snapshot, &resources);
    worker::start(0, Arc::clone(&live), orders, ended).unwrap();

    let mut other = TcpStream::connect(address).unwrap();
    assert!(ask(address, "/").ends_with("fine"));
    a_filter_may_answer_and_wait(address, &live);
    assert_eq!(ask(address, "/bomb"), "");
    other.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("fine"));
    ends_a_stream_alone(address);
    assert_eq!(live.metrics.in_flight.get(), 0);
    assert!(live.metrics.panics.get() > 1);

    for listener in listeners.send_replace(Vec::new()) {
        listener.drain();
    }
    stop.send_replace(true);
    assert_eq!(hear.blocking_recv(), Some(worker::WorkerEnd::Stopped(0)));
}

/// In HTTP/2, a panic ends its own stream and no other.
fn ends_a_stream_alone(address: SocketAddr) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
        let asking = async {
            let get = |path| http::Request::get(format!("http://a{path}")).body(()).unwrap();
            for _ in 0..2 {
                let (answer, _) = client.send_request(get("/bomb"), true).unwrap();
                assert!(answer.await.is_err_and(|error| error.is_reset()));
                let (answer, _) = client.send_request(get("/"), true).unwrap();
                assert_eq!(answer.await.unwrap().status(), StatusCode::OK);
            }
        };
        tokio::select! {
            ended = connection => panic!("the connection has ended: {ended:?}"),
            () = asking => {}
        }
    });
}
