//! Responses, right and wrong, to hyper's client and to ours: what hyper takes ours passes on
//! unchanged, and what hyper refuses ours refuses, unless it is listed here with why.

mod listed;

use crate::rig::{
    Behaviour, Client, Config, Daemon, Server, Step, recorder,
    reference::{self, Fields, HOP_BY_HOP, Message, Verdict, late},
    response_cases::{Case, case},
};
use listed::{LAXER, STRICTER};
use std::{
    collections::BTreeSet, io::ErrorKind, net::SocketAddr, sync::Mutex, thread, time::Duration,
};

/// Responses; more by `SHEAVE_CASES`, for an afternoon.
const CASES: usize = 6000;
const THREADS: usize = 4;
/// How long an answer may take; so many cases can't each have the rig's patience.
const PATIENCE: Duration = Duration::from_secs(4);
/// So many failures are enough to look at.
const ENOUGH: usize = 12;

/// A case as hyper saw it, and how the server is to behave.
struct Expected {
    message: Message,
    /// The server closes behind it.
    closes: bool,
    /// Nothing is left behind it, so that the connection may be used again.
    reused: bool,
}

fn expected(case: &Case) -> Expected {
    let hyper = |pieces: &[Vec<u8>], ends| reference::response(case.method, pieces, ends);
    let Some(message) = hyper(&case.pieces, false) else {
        let message = hyper(&case.pieces, true).expect("hyper comes to a verdict at the end");
        return Expected { message, closes: true, reused: false };
    };
    // Ours may see only at the end that it is broken.
    let closes = !case.keeps || message.verdict != Verdict::Whole;
    let short = &case.bytes[..case.bytes.len() - 1];
    let reused = !closes && hyper(&[short.to_vec()], false).is_none();
    Expected { message, closes, reused }
}

/// What comes through us.
fn ask(client: &mut Option<Client>, address: SocketAddr, path: &str, method: &str) -> Message {
    let asker = client.get_or_insert_with(|| {
        let client = Client::connect(address);
        client.stream().set_read_timeout(Some(PATIENCE)).expect("an open socket");
        client
    });
    let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n");
    asker.send(request);
    let mut message = Message { verdict: Verdict::NoHead, ..Message::default() };
    let mut head = asker.head();
    // What comes before the answer is passed on, and hyper does not show it.
    while let Ok(interim) = &head
        && interim.status().is_some_and(|it| it != 101 && (100..200).contains(&it))
    {
        head = asker.head();
    }
    let head = match head {
        Ok(head) => head,
        Err(error) => {
            message.error = format!("{error}");
            *client = None;
            return message;
        }
    };
    message.status = head.status().unwrap_or(0);
    message.fields = recorder::fields(&head);
    let (lengths, codings) = (head.fields("content-length"), head.fields("transfer-encoding"));
    if lengths.len() + codings.len() > 1 {
        message.error = format!("framed twice: {}", head.raw);
    }
    let body = if method == "HEAD" || matches!(message.status, 204 | 304) {
        Ok(Vec::new())
    } else if head.is_chunked() {
        asker.chunked().map(|(body, trailers)| {
            message.trailers = recorder::fields(&trailers);
            body
        })
    } else {
        asker.exactly(head.content_length().unwrap_or(0))
    };
    let is_whole = body.is_ok();
    match body {
        Ok(body) => (message.body, message.verdict) = (body, Verdict::Whole),
        Err(error) if is_timeout(&error) => message.error = "it does not end".into(),
        Err(_) => message.verdict = Verdict::Broken,
    }
    if !is_whole || head.closes() {
        *client = None;
    }
    message
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// The fields that go from end to end; a `Date` is ours where the server has none.
fn end_to_end(fields: &Fields, dated: bool) -> Fields {
    let named = fields.get("connection").map_or(&[][..], Vec::as_slice).join(",");
    let named: Vec<_> = named.split(',').map(|name| name.trim().to_ascii_lowercase()).collect();
    let mut fields = fields.clone();
    fields.retain(|name, _| {
        // The length is told by the body.
        name != "content-length"
            && !HOP_BY_HOP.contains(&&**name)
            && !named.contains(name)
            && (dated || name != "date")
    });
    fields
}

/// Where what comes through differs from what hyper saw.
fn compare(expected: &Message, got: &Message) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut same = |what: &str, expected: &dyn std::fmt::Debug, got: &dyn std::fmt::Debug| {
        let (expected, got) = (format!("{expected:?}"), format!("{got:?}"));
        if expected != got {
            wrong.push(format!("{what}: {got} and not {expected}"));
        }
    };
    same("error", &"", &got.error);
    same("verdict", &expected.verdict, &got.verdict);
    same("status", &expected.status, &got.status);
    let dated = end_to_end(&expected.fields, true).contains_key("date");
    same("fields", &end_to_end(&expected.fields, dated), &end_to_end(&got.fields, dated));
    if expected.verdict == Verdict::Whole {
        same("body", &String::from_utf8_lossy(&expected.body), &String::from_utf8_lossy(&got.body));
        same("trailers", &late(&expected.trailers), &got.trailers);
    }
    wrong
}

/// What a run has found.
#[derive(Default)]
struct Found {
    wrong: Vec<String>,
    listed: BTreeSet<&'static str>,
    verdicts: [usize; 3],
}

impl Found {
    fn judge(&mut self, raw: &str, expected: &Message, got: &Message) -> Vec<String> {
        self.verdicts[expected.verdict as usize] += 1;
        let ours = got.status == 502 && got.values("server") == ["sheave"];
        let refused = ours && got.verdict == Verdict::Whole;
        let broken = got.verdict == Verdict::Broken && got.error.is_empty();
        let wrong = match expected.verdict {
            // Whether the head was gone by then is a matter of time.
            Verdict::NoHead | Verdict::Broken if refused => Vec::new(),
            Verdict::NoHead => vec!["LAXER: hyper sees no head".into()],
            Verdict::Broken if broken => compare(expected, got),
            Verdict::Broken => vec!["LAXER: hyper sees a broken body".into()],
            Verdict::Whole => compare(expected, got),
        };
        if wrong.is_empty() {
            return wrong;
        }
        let list = if expected.verdict == Verdict::Whole && (refused || broken) {
            STRICTER
        } else {
            LAXER
        };
        let mut all = list.iter().map(|it| (it.0, it.2));
        match all.find(|it| (it.1)(expected, got, raw)) {
            Some(listed) => {
                self.listed.insert(listed.0);
                Vec::new()
            }
            None => wrong,
        }
    }
}

#[test]
fn responses_come_through_as_hyper_sees_them_or_are_refused() {
    let server = Server::start("scripted");
    let config = format!(
        "[upstream.keep]\nservers = [{{ address = \"{server}\", max_fails = 0 }}]\nretry.tries = 0\n\
         [upstream.drop]\nservers = [{{ address = \"{server}\", max_fails = 0 }}]\nretry.tries = 0\n\
         keepalive = 0\n\
         [[site]]\n[[site.route]]\npath = \"/keep/*\"\nupstream = \"keep\"\n\
         [[site.route]]\nupstream = \"drop\"\n"
    );
    let daemon = Daemon::start(&Config::bare().quiet().rest(&config));
    let address = daemon.http();
    let cases = std::env::var("SHEAVE_CASES").ok().and_then(|it| it.parse().ok()).unwrap_or(CASES);
    let found = Mutex::new(Found::default());
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (server, found) = (&server, &found);
            scope.spawn(move || {
                let mut client = None;
                for n in (thread..cases).step_by(THREADS) {
                    one(n, &mut client, address, server, found);
                }
            });
        }
    });
    let found = found.into_inner().unwrap();
    assert!(found.wrong.is_empty(), "{}", found.wrong.join("\n"));
    for listed in STRICTER.iter().chain(LAXER) {
        assert!(found.listed.contains(listed.0), "never: {} ({})", listed.0, listed.1);
    }
    eprintln!("{cases} responses: {:?} whole, broken and without a head", found.verdicts);
    assert!(found.verdicts.iter().all(|count| *count > cases / 20), "{:?}", found.verdicts);
}

fn one(
    n: usize,
    client: &mut Option<Client>,
    address: SocketAddr,
    server: &Server,
    found: &Mutex<Found>,
) {
    if found.lock().unwrap().wrong.len() >= ENOUGH {
        return;
    }
    let case = case(n);
    let expected = expected(&case);
    let path = if expected.reused { format!("/keep/{n}") } else { format!("/drop/{n}") };
    let mut steps: Vec<_> = case.pieces.iter().cloned().map(Step::Send).collect();
    if expected.closes {
        steps.push(Step::Close);
    }
    server.set_for(&path, Behaviour::new(steps));
    let got = ask(client, address, &path, case.method);
    let raw = String::from_utf8_lossy(&case.bytes).into_owned();
    let mut found = found.lock().unwrap();
    let wrong = found.judge(&raw.to_ascii_lowercase(), &expected.message, &got);
    if !wrong.is_empty() {
        let (method, expected) = (case.method, expected.message);
        found.wrong.push(format!(
            "case {n}: {wrong:#?}\n  {method} {path} bytes {raw:?}\n  ours {got:?}\n  hyper {expected:?}\n"
        ));
    }
}
