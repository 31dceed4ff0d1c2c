//! What `explain` tells, as a page for people.
//!
//! Owns: the columns and the words between the facts. May touch: nothing outside this room. The
//! facts are those of `--json`.

use super::table::Columns;
use serde_json::Value;
use std::fmt::Write;

/// How many routes that do not match are shown.
const MOST_ROUTES: usize = 8;
/// How many servers are shown.
const MOST_SERVERS: usize = 20;

/// Rows of a step, its subject, its place, and what is said of it.
#[derive(Default)]
struct Page(Columns);

impl Page {
    fn row(&mut self, step: &str, subject: &str, place: &Value, says: impl Into<String>) {
        let place = place.as_str().unwrap_or_default().to_owned();
        self.0.row([step.to_owned(), subject.to_owned(), place, says.into()]);
    }
}

/// The page.
pub(super) fn page(told: &Value) -> String {
    let mut page = Page::default();
    steps(&mut page, told);
    upstream(&mut page, &told["upstream"]);
    let request = &told["request"];
    let mut out = format!("{} {}\n\n", text(&request["method"]), text(&request["url"]));
    page.0.write(&mut out);
    sent(&mut out, &told["sent"]);
    answer(&mut out, told);
    out
}

fn steps(page: &mut Page, told: &Value) {
    let listener = &told["listener"];
    let says = format!("{}, {}", text(&listener["address"]), text(&listener["why"]));
    page.row("listener", text(&listener["name"]), &listener["place"], says);
    let client = &told["client"];
    if !client.is_null() {
        let says = match (client["told_by"].as_str(), client["trusted"] == true) {
            (Some(by), _) => {
                format!("{} says so by {by}: it is one of `trusted_proxies`", text(&client["peer"]))
            }
            (None, true) => "one of `trusted_proxies`, and names no other client".into(),
            (None, false) => "it connects itself: its X-Forwarded-* are replaced".into(),
        };
        page.row("client", text(&client["address"]), &client["place"], says);
    }
    let site = &told["site"];
    if !site.is_null() {
        let says = match text(&site["by"]) {
            "host" => format!("by its host `{}`", text(&site["pattern"])),
            "wildcard" => {
                format!("`{}` is one of `{}`", text(&site["host"]), text(&site["pattern"]))
            }
            _ => format!("the default: no site has the host `{}`", text(&site["host"])),
        };
        page.row("site", text(&site["name"]), &site["place"], says);
    }
    let path = &told["path"];
    match (path["normalised"].as_str(), text(&path["received"])) {
        (Some(path), received) if received.split('?').next() == Some(path) => {}
        (Some(path), received) => {
            page.row("path", path, &Value::Null, format!("what `{received}` means"));
        }
        (None, received) if !received.is_empty() => {
            page.row("path", received, &Value::Null, "it is no path");
        }
        _ => {}
    }
    routes(page, told);
    for filter in list(&told["filters"]) {
        let does: Vec<_> = list(&filter["does"]).iter().map(text).collect();
        page.row("filter", text(&filter["name"]), &filter["place"], does.join("; "));
    }
    let cache = &told["cache"];
    if !cache.is_null() {
        let says = format!("{}: {}", text(&cache["outcome"]), text(&cache["why"]));
        page.row("cache", text(&cache["name"]), &cache["place"], says);
        if let Some(url) = cache["url"].as_str() {
            page.row("", "", &Value::Null, format!("under {url}"));
        }
    }
    if let Some(coding) = told["coding"]["compress"].as_str() {
        page.row("coding", coding, &Value::Null, "if its type and size are to be compressed");
    }
    for path in list(&told["files"]["paths"]) {
        page.row("file", text(path), &Value::Null, "");
    }
}

fn routes(page: &mut Page, told: &Value) {
    let asked = list(&told["routes"]);
    let missed: Vec<_> = asked.iter().filter(|it| it["matches"] != true).collect();
    let left_out = missed.len().saturating_sub(MOST_ROUTES);
    if left_out > 0 {
        page.row("", "", &Value::Null, format!("{left_out} routes before these do not match"));
    }
    for route in &missed[left_out..] {
        let says = format!("not this one: {}", text(&route["why_not"]));
        page.row("route", text(&route["name"]), &route["place"], says);
    }
    let route = &told["route"];
    if !route.is_null() {
        let methods: Vec<_> = list(&route["methods"]).iter().map(text).collect();
        let methods = if methods.is_empty() { String::new() } else { methods.join(", ") + " " };
        let says =
            format!("takes it: {methods}{}, {}", text(&route["path"]), text(&route["action"]));
        page.row("route", text(&route["name"]), &route["place"], says);
    }
}

fn upstream(page: &mut Page, upstream: &Value) {
    if upstream.is_null() {
        return;
    }
    let key = upstream["key"].as_str().map_or(String::new(), |key| format!(" of `{key}`"));
    let says = format!("{}{key}", text(&upstream["strategy"]));
    page.row("upstream", text(&upstream["name"]), &upstream["place"], says);
    let servers = list(&upstream["servers"]);
    let mut order: Vec<_> = servers.iter().collect();
    order.sort_by_key(|it| it["picked"] == "no");
    for server in order.iter().take(MOST_SERVERS) {
        let state = format!("{}, {} in flight", text(&server["state"]), server["in_flight"]);
        let (step, says) = match text(&server["picked"]) {
            "yes" => ("  asked", format!("{state}: {}", text(&upstream["why"]))),
            "maybe" => ("  maybe", format!("{state}: {}", text(&upstream["why"]))),
            _ => ("  not", format!("{state}: {}", text(&server["why_not"]))),
        };
        page.row(step, text(&server["address"]), &server["place"], says);
    }
    if servers.len() > MOST_SERVERS {
        let more = servers.len() - MOST_SERVERS;
        page.row("", &format!("and {more} more"), &Value::Null, "");
    }
    if servers.iter().all(|it| it["picked"] == "no") {
        page.row("  nobody", "", &Value::Null, text(&upstream["why"]));
    }
}

fn sent(out: &mut String, sent: &Value) {
    if sent.is_null() {
        return;
    }
    let protocol = match text(&sent["protocol"]) {
        "http2" => "HTTP/2, shown as HTTP/1.1",
        "auto" => "HTTP/2 or HTTP/1.1, as the TLS handshake agrees",
        _ => "HTTP/1.1",
    };
    let tls = if sent["tls"] == true { " over TLS" } else { "" };
    let _ = writeln!(out, "\nsent to {} by {protocol}{tls}", text(&sent["to"]));
    for line in text(&sent["head"]).trim_end().lines() {
        let _ = writeln!(out, "    {line}");
    }
}

fn answer(out: &mut String, told: &Value) {
    if told["waits"] == true {
        out.push_str("\nwhat follows depends on a filter that asks somebody else\n");
    }
    let answer = &told["answer"];
    if answer.is_null() {
        return;
    }
    let reason = answer["reason"].as_str().map_or(String::new(), |it| format!(", {it}"));
    let _ = writeln!(out, "\nanswered here with {}{reason}", answer["status"]);
    for field in list(&answer["fields"]) {
        let _ = writeln!(out, "    {}: {}", text(&field[0]), text(&field[1]));
    }
    if let Some(body) = answer["body"].as_str().filter(|it| !it.is_empty()) {
        out.push('\n');
        for line in body.lines() {
            let _ = writeln!(out, "    {line}");
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
