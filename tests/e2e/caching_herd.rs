//! Many clients that wait for a server that fails: it is not asked again by each of them.

use crate::{
    caching::{Scene, asking, scene, told},
    rig::{Behaviour, Client, Gate, Response, Step},
};

const COUNT: usize = 20;

/// The answers to clients that all waited when the server gave this one.
fn failing(scene: &Scene, path: &str, asks: &str, status: u16, fields: &str) -> Vec<Response> {
    let gate = Gate::default();
    let mut steps = vec![Step::Wait(gate.clone())];
    steps.extend(Behaviour::fields(status, fields, "sick").answer);
    scene.server.set(Behaviour::new(steps));
    scene.server.forget_requests();
    let mut all: Vec<Client> = (0..COUNT).map(|_| scene.client()).collect();
    for client in &mut all {
        client.send(asking(path, asks));
    }
    scene.daemon.wait_for_metric("sheave_requests_in_flight", &[], COUNT as u64);
    gate.open();
    all.iter_mut().map(Client::response).collect()
}

#[test]
fn a_failure_is_the_answer_to_all_who_waited_for_it() {
    let scene = scene("");
    for (asks, status, fields) in [
        ("", 500, ""),
        ("", 502, ""),
        ("", 503, "Retry-After: 7\r\n"),
        ("", 504, ""),
        ("", 503, "Cache-Control: max-age=0\r\n"),
        ("Cookie: a=b\r\n", 503, ""),
        ("Accept-Encoding: gzip\r\n", 503, "Vary: Accept-Encoding\r\n"),
        ("Cookie: a=b\r\n", 500, "Vary: Cookie\r\n"),
    ] {
        let path = format!("/{status}-{}", asks.len() + fields.len());
        let answers = failing(&scene, &path, asks, status, fields);
        for answer in &answers {
            assert_eq!((answer.status, answer.text().as_str()), (status, "sick"), "{path}");
            assert!(
                !answer.head.has("age") && !told(answer).contains("stored"),
                "{}",
                told(answer)
            );
        }
        let collapsed = |it: &&Response| {
            told(it).starts_with(&format!("sheave; fwd=uri-miss; fwd-status={status}; collapsed"))
        };
        assert_eq!(answers.iter().filter(collapsed).count(), COUNT - 1, "{path}");
        assert_eq!(scene.server.request_count(), 1, "{path}");
        if status == 503 && asks.is_empty() && fields.starts_with("Retry") {
            assert!(answers.iter().all(|it| it.field("retry-after") == Some("7")));
        }
        // Who comes later begins a new fetch.
        scene.says("Cache-Control: max-age=60\r\n", "well");
        assert_eq!(scene.client().ask(&asking(&path, asks)).text(), "well");
    }
}

#[test]
fn a_failure_that_may_be_one_clients_is_for_nobody_else() {
    let scene = scene("");
    for (asks, status, fields) in [
        ("", 503, "Set-Cookie: a=b\r\n"),
        ("", 503, "Set-Cookie: a=b\r\nCache-Control: public\r\n"),
        ("", 503, "Cache-Control: private\r\n"),
        ("", 503, "Cache-Control: no-store\r\n"),
        ("", 503, "Vary: *\r\n"),
        ("", 503, "Vary: X-Forwarded-For\r\n"),
        ("Authorization: a\r\n", 503, ""),
        ("Authorization: a\r\n", 503, "Cache-Control: public\r\n"),
        ("Cookie: a=b\r\n", 500, ""),
        ("", 501, ""),
    ] {
        let path = format!("/{status}-{}", asks.len() + fields.len());
        for answer in failing(&scene, &path, asks, status, fields) {
            assert_eq!((answer.status, answer.text().as_str()), (status, "sick"), "{path}");
            assert!(!told(&answer).contains("collapsed"), "{path}: {}", told(&answer));
        }
        assert_eq!(scene.server.request_count(), COUNT, "{asks}{status} {fields}");
    }
}
