//! Requests, right and wrong, to hyper's server and to ours: whatever ours sends on has the
//! boundaries that hyper saw, and whatever it refuses that hyper takes is listed here with why.

mod listed;

use crate::rig::{
    Client, Config, Daemon,
    recorder::{Recorder, Seen},
    reference::{self, Fields, HOP_BY_HOP, Message, Served, late},
    request_cases::{Case, case},
};
use listed::STRICTER;
use std::{
    collections::BTreeSet,
    net::{Shutdown, SocketAddr},
    sync::Mutex,
    thread,
    time::Duration,
};

/// Connections; more by `SHEAVE_CASES`, for an afternoon.
const CASES: usize = 10_000;
const THREADS: usize = 4;
/// How long an answer may take; so many cases can't each have the rig's patience.
const PATIENCE: Duration = Duration::from_secs(4);
/// So many failures are enough to look at.
const ENOUGH: usize = 12;

/// What ours answered.
#[derive(Debug)]
struct Answer {
    status: u16,
    /// Which of the recorder's requests it is the answer to, unless it is our own.
    seen: Option<usize>,
}

/// Everything that ours answered, until it closed; an error when it did not.
fn ask(address: SocketAddr, case: &Case, served: &Served) -> Result<Vec<Answer>, String> {
    let mut client = Client::connect(address);
    client.stream().set_read_timeout(Some(PATIENCE)).expect("an open socket");
    for piece in &case.pieces {
        if client.try_send(piece).is_err() {
            break;
        }
        thread::yield_now();
    }
    let expected = served.whole().count();
    let mut answers = Vec::new();
    loop {
        if answers.len() == expected {
            // It has seen everything, and has nothing to wait for.
            let _ = client.stream().shutdown(Shutdown::Write);
        }
        match client.first_byte() {
            Ok(true) => {}
            Err(error) if is_timeout(&error) => return Err("it does not answer".into()),
            Ok(false) | Err(_) => return Ok(answers),
        }
        let method = served.requests.get(answers.len()).map_or("GET", |it| &*it.method);
        let answer = match client.try_response(method) {
            Ok(answer) => answer,
            Err(error) => return Err(format!("no response: {error}")),
        };
        let seen = answer.field("x-seen").map(|it| it.parse().expect("the recorder's number"));
        answers.push(Answer { status: answer.status, seen });
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

/// What a run has found.
#[derive(Default)]
struct Found {
    wrong: Vec<String>,
    listed: BTreeSet<&'static str>,
    claimed: BTreeSet<usize>,
    forwarded: usize,
    refused: usize,
}

impl Found {
    /// One case, and what is wrong with it.
    fn judge(
        &mut self,
        raw: &str,
        served: &Served,
        answers: &[Answer],
        recorder: &Recorder,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        let whole: Vec<_> = served.whole().collect();
        for (n, answer) in answers.iter().enumerate() {
            self.claimed.extend(answer.seen);
            match (whole.get(n), answer.seen) {
                (Some(expected), Some(index)) => {
                    self.forwarded += 1;
                    wrong.extend(compare(expected, &recorder.get(index), recorder.address));
                }
                (Some(expected), None) => {
                    let listed = STRICTER.iter().find(|it| it.2(expected, answer.status, raw));
                    match listed {
                        Some(listed) => drop(self.listed.insert(listed.0)),
                        None => wrong.push(format!("{n} refused with {}", answer.status)),
                    }
                }
                (None, Some(index)) => {
                    wrong.push(format!("LAXER: {n} sent on: {:?}", recorder.get(index).raw));
                }
                (None, None) => {
                    self.refused += 1;
                    // A last hop is answered without its body, which may be broken, being read.
                    let last_hop = answer.status == 204 && raw.contains("max-forwards: 0");
                    if !last_hop && !matches!(answer.status, 400..=499 | 501 | 505) {
                        wrong.push(format!("{n} answered with {}", answer.status));
                    }
                }
            }
        }
        if answers.len() < whole.len() {
            // A refusal may be the last, and none persists with an HTTP/1.0 client (RFC 9112 §9.3).
            let refused = answers.last().is_some_and(|it| it.seen.is_none());
            let old = answers.len().checked_sub(1).is_some_and(|last| whole[last].http10);
            if !refused && !old {
                wrong.push(format!("{} of {} answered", answers.len(), whole.len()));
            }
        }
        wrong
    }
}

/// What is ours to say.
const OURS: &[&str] = &[
    "http2-settings",
    "expect",
    "content-length",
    "host",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "via",
    "x-request-id",
];

/// What a client can't have removed by naming it in `Connection`.
const PROTECTED: &[&str] = &["authorization", "cookie", "forwarded"];

/// The fields that go from end to end.
fn end_to_end(fields: &Fields) -> Fields {
    let named = fields.get("connection").map_or(&[][..], Vec::as_slice).join(",");
    let named: Vec<_> = named.split(',').map(|name| name.trim().to_ascii_lowercase()).collect();
    let mut fields = fields.clone();
    fields.retain(|name, _| {
        // Servers that see variables can't tell `_` from `-`: those fields stay behind.
        !HOP_BY_HOP.contains(&&**name)
            && !OURS.contains(&&**name)
            && !name.contains('_')
            && (!named.contains(name) || PROTECTED.contains(&&**name))
    });
    fields
}

/// Where what the server got differs from what hyper saw.
fn compare(expected: &Message, seen: &Seen, server: SocketAddr) -> Vec<String> {
    let mut wrong = Vec::new();
    let got = &seen.message;
    let mut same = |what: &str, expected: &dyn std::fmt::Debug, got: &dyn std::fmt::Debug| {
        let (expected, got) = (format!("{expected:?}"), format!("{got:?}"));
        if expected != got {
            wrong.push(format!("{what}: {got} and not {expected}"));
        }
    };
    same("form", &None::<&str>, &seen.unclean);
    same("method", &expected.method, &got.method);
    same("target", &expected.target, &got.target);
    same("body", &String::from_utf8_lossy(&expected.body), &String::from_utf8_lossy(&got.body));
    let mut fields = end_to_end(&expected.fields);
    if let ("OPTIONS" | "TRACE", Some(hops)) = (&*expected.method, fields.get_mut("max-forwards")) {
        // RFC 9110 §7.6.2: one hop less.
        hops[0] = hops[0].parse::<u32>().map_or(hops[0].clone(), |hops| (hops - 1).to_string());
    }
    same("fields", &fields, &end_to_end(&got.fields));
    same("trailers", &late(&expected.trailers), &got.trailers);
    let host = expected.authority.as_ref().or_else(|| expected.values("host").first());
    // Without one, which HTTP/1.0 allows, it is the server's.
    let host = host.map_or(server.to_string(), Clone::clone);
    same("host", &host, &got.values("host")[0]);
    wrong
}

fn daemon(recorder: &Recorder) -> Daemon {
    let config = format!(
        "[upstream.app]\nservers = [{{ address = \"{}\", max_fails = 0 }}]\nretry.tries = 0\n\
         [[site]]\n[[site.route]]\nupstream = \"app\"\n",
        recorder.address
    );
    Daemon::start(&Config::bare().quiet().rest(&config))
}

#[test]
fn requests_have_the_ends_that_hyper_sees_or_are_refused() {
    let recorder = Recorder::start();
    let daemon = daemon(&recorder);
    let address = daemon.http();
    let cases = std::env::var("SHEAVE_CASES").ok().and_then(|it| it.parse().ok()).unwrap_or(CASES);
    let found = Mutex::new(Found::default());
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (recorder, found) = (&recorder, &found);
            scope.spawn(move || {
                for n in (thread..cases).step_by(THREADS) {
                    one(n, address, recorder, found);
                }
            });
        }
    });
    let found = found.into_inner().unwrap();
    assert!(found.wrong.is_empty(), "{}", found.wrong.join("\n"));
    for (index, seen) in recorder.all().iter().enumerate() {
        if !found.claimed.contains(&index) {
            let n = seen.message.target.rsplit('/').next().and_then(|it| it.parse().ok());
            let bytes = n.map(|n| String::from_utf8_lossy(&case(n).bytes).into_owned());
            panic!("LAXER: nobody's request: {:?} among {bytes:?}", seen.raw);
        }
    }
    for listed in STRICTER {
        assert!(found.listed.contains(listed.0), "never: {} ({})", listed.0, listed.1);
    }
    let (forwarded, refused) = (found.forwarded, found.refused);
    eprintln!("{cases} connections: {forwarded} requests sent on, {refused} refused by both");
    assert!(forwarded > cases / 3 && refused > cases / 10, "{forwarded} and {refused}");
}

fn one(n: usize, address: SocketAddr, recorder: &Recorder, found: &Mutex<Found>) {
    if found.lock().unwrap().wrong.len() >= ENOUGH {
        return;
    }
    let case = case(n);
    let served = reference::requests(&case.pieces);
    let asked = ask(address, &case, &served);
    let raw = String::from_utf8_lossy(&case.bytes).to_ascii_lowercase();
    let mut found = found.lock().unwrap();
    let wrong = match &asked {
        Ok(answers) => found.judge(&raw, &served, answers, recorder),
        Err(error) => vec![error.clone()],
    };
    if !wrong.is_empty() {
        let text = String::from_utf8_lossy(&case.bytes).into_owned();
        found.wrong.push(format!(
            "case {n}: {wrong:#?}\n  bytes {text:?}\n  ours {asked:?}\n  hyper {served:?}\n"
        ));
    }
}

#[test]
fn an_empty_chunked_body_that_comes_with_its_head_is_answered() {
    let recorder = Recorder::start();
    let daemon = daemon(&recorder);
    let mut client = Client::connect(daemon.http());
    client.stream().set_read_timeout(Some(PATIENCE)).expect("an open socket");
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_eq!(client.response().status, 200);
}

#[test]
fn chunks_and_trailers_are_read_strictly_and_an_empty_path_is_a_slash() {
    let recorder = Recorder::start();
    let daemon = daemon(&recorder);
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for chunks in [
        "1\u{c}\r\na\r\n0\r\n\r\n",
        "1\r\na\r\n0\r\n\n",
        "1\r\na\r\n0\r\nX: y\n\r\n",
        "1\r\na\r\n0\r\nX: y\r\n\n",
    ] {
        let mut client = Client::connect(daemon.http());
        client.stream().set_read_timeout(Some(PATIENCE)).expect("an open socket");
        client.send(format!("{chunked}{chunks}"));
        let _ = client.stream().shutdown(Shutdown::Write);
        let answer = client.try_response("POST");
        assert!(!answer.is_ok_and(|it| it.status == 200), "{chunks:?} passes");
    }
    Client::connect(daemon.http()).ask("GET http://a?x HTTP/1.1\r\nHost: a\r\n\r\n");
    let targets: Vec<_> = recorder.all().into_iter().map(|seen| seen.message.target).collect();
    assert_eq!(targets, ["/?x"]);
}
