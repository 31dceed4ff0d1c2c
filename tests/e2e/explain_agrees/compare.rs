//! What was told against what was done.

use super::cases::CaseRequest;
use crate::rig::{Response, wire::Head};
use serde_json::Value;
use std::collections::BTreeMap;

/// What came of a request.
pub struct Done {
    pub response: Response,
    /// Its line in the access log.
    pub line: Value,
    /// The server that is dead.
    pub dead: String,
}

/// The first thing that is not as it was told.
pub fn disagreement(told: &Value, done: &Done, request: &CaseRequest) -> Option<String> {
    let answer = &told["answer"];
    let by_log = by_log(told, done);
    let is_forwarded = answer.is_null();
    by_log.or_else(|| {
        if is_forwarded { sent(told, done, request) } else { answered(told, done, request) }
    })
}

/// Listener, route and reason.
fn by_log(told: &Value, Done { line, response, .. }: &Done) -> Option<String> {
    if line.is_null() {
        return None;
    }
    let route = told["route"]["name"].as_str().unwrap_or_default();
    differs("route", route, line["route"].as_str().unwrap_or_default())
        .or_else(|| differs("listener", text(&told["listener"]["name"]), text(&line["listener"])))
        .or_else(|| {
            let cache = told["cache"]["outcome"].as_str()?;
            let done = text(&line["cache"]);
            let same = match cache {
                // What is stored may be the answer if its server has failed.
                "miss" if line["reason"] == "connect_failed" => true,
                "miss" => matches!(done, "miss" | "validated" | "coalesced" | "pass"),
                "only_if_cached" => done.is_empty(),
                other => done == other,
            };
            // A body that is too large is refused before the cache is asked.
            let refused = response.status == 413;
            (!same && !refused).then(|| format!("cache: told {cache}, done {done}"))
        })
}

fn differs(what: &str, told: &str, done: &str) -> Option<String> {
    (told != done).then(|| format!("{what}: told `{told}`, done `{done}`"))
}

/// The answer that is ours.
fn answered(told: &Value, done: &Done, request: &CaseRequest) -> Option<String> {
    let (answer, response) = (&told["answer"], &done.response);
    let status = answer["status"].as_u64().unwrap_or(0);
    if status != u64::from(response.status) {
        return Some(format!("status: told {status}, done {}", response.status));
    }
    let reason = text(&answer["reason"]);
    if !done.line.is_null() && reason != text(&done.line["reason"]) {
        return Some(format!("reason: told {reason}, done {}", done.line["reason"]));
    }
    for (name, values) in fields_of(answer) {
        let are = response.head.fields(name);
        // The time may have gone on since.
        let is_timed = matches!(name, "age" | "cache-status");
        if are != values && !is_timed {
            return Some(format!("{name}: told {values:?}, done {are:?}"));
        }
    }
    let codings = response.head.fields("content-encoding");
    if !codings.is_empty() && !fields_of(answer).contains_key("content-encoding") {
        return Some(format!("content-encoding: told none, done {codings:?}"));
    }
    let body = answer["body"].as_str();
    let other = body.is_some_and(|it| it != response.text()) && request.method != "HEAD";
    other.then(|| format!("body: told {body:?}, done {:?}", response.text()))
}

fn fields_of(answer: &Value) -> BTreeMap<&str, Vec<&str>> {
    let mut fields: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for field in answer["fields"].as_array().into_iter().flatten() {
        fields.entry(text(&field[0])).or_default().push(text(&field[1]));
    }
    fields
}

/// The server that was asked, and what it got.
fn sent(told: &Value, done: &Done, request: &CaseRequest) -> Option<String> {
    let picked: Vec<_> = told["upstream"]["servers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|it| it["picked"] != "no")
        .map(|it| text(&it["address"]))
        .collect();
    let server = text(&done.line["server"]);
    if done.line["reason"] == "connect_failed" {
        // The last server has nobody, and there was no other.
        return (!picked.contains(&done.dead.as_str()))
            .then(|| format!("the dead server was asked, told {picked:?}"));
    }
    if done.line["attempts"] != 1 {
        // The first was dead, and another was asked.
        return (picked.len() == 1 && picked[0] == server)
            .then(|| format!("{} attempts, told {picked:?}", done.line["attempts"]));
    }
    if !picked.contains(&server) {
        return Some(format!("server: told {picked:?}, done {server}"));
    }
    if request.method == "HEAD" || done.response.status != 200 {
        return (done.response.status != 200
            && done.response.status != 304
            && done.response.status != 206)
            .then(|| format!("status: told a server's, done {}", done.response.status));
    }
    if let Some(coding) = done.response.field("content-encoding") {
        // What the server got is in there.
        return differs("coding", text(&told["coding"]["compress"]), coding);
    }
    let got = Head { raw: done.response.text() };
    let told = Head { raw: text(&told["sent"]["head"]).to_owned() };
    if got.start() != told.start() {
        return Some(format!("sent: told `{}`, done `{}`", told.start(), got.start()));
    }
    let (told, got) = (by_name(&told), by_name(&got));
    (told != got).then(|| format!("fields: told {told:#?}, done {got:#?}"))
}

fn by_name(head: &Head) -> BTreeMap<String, Vec<String>> {
    let mut fields: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let head = head.raw.split("\r\n\r\n").next().unwrap_or_default();
    for (name, value) in head.split("\r\n").skip(1).filter_map(|line| line.split_once(':')) {
        fields.entry(name.to_ascii_lowercase()).or_default().push(value.trim().to_owned());
    }
    fields
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
