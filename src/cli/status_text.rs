//! What `status` tells, on a screen of 80 columns and 40 rows.
//!
//! Owns: what is shown if there is more than fits, and the colours, which only terminals get. May
//! touch: nothing outside this room.

use serde_json::Value;
use std::fmt::Write;

/// Rows of each kind; the others are summed up.
const ROUTES: usize = 6;
const UPSTREAMS: usize = 4;
const OUT: usize = 4;
const WARNINGS: usize = 2;
/// The width of a name.
const NAME: usize = 28;
/// The width of a line.
const WIDTH: usize = 80;

/// The screen as it is written.
struct Screen {
    text: String,
    colours: bool,
}

impl Screen {
    /// A line, cut to the width.
    fn line(&mut self, line: &str) {
        let cut: String = line.trim_end().chars().take(WIDTH).collect();
        self.text.extend([&cut, "\n"]);
    }

    /// The same in a colour, if there are colours.
    fn bright(&mut self, colour: u8, line: &str) {
        if !self.colours {
            return self.line(line);
        }
        let cut: String = line.trim_end().chars().take(WIDTH).collect();
        // Writing to a string can't fail.
        let _ = writeln!(self.text, "\x1b[{colour}m{cut}\x1b[0m");
    }
}

const BOLD: u8 = 1;
const RED: u8 = 31;
const GREEN: u8 = 32;

/// The page.
pub(super) fn page(told: &Value, colours: bool) -> String {
    let mut screen = Screen { text: String::new(), colours };
    let (stats, health) = (&told["stats"], &told["health"]);
    let word = text(&health["status"]);
    let time = seconds(&stats["time"]);
    let head = format!(
        "{word:<9} sheave {}, up {}, generation {}, {time}",
        text(&stats["version"]),
        age(stats["uptime"].as_f64().unwrap_or(0.0)),
        stats["generation"],
    );
    screen.bright(if word == "ok" { GREEN } else { RED }, &head);
    screen.line("");
    screen.bright(BOLD, &titles("", "errors"));
    for (window, name) in [("1s", "last second"), ("1m", "last minute"), ("5m", "last 5 minutes")] {
        screen.line(&figures(name, &stats["total"][window]));
    }
    table(&mut screen, "routes, last minute", "errors", &stats["routes"], ROUTES);
    table(&mut screen, "upstreams, last minute", "failed", &stats["upstreams"], UPSTREAMS);
    out(&mut screen, &stats["upstreams"]);
    rest(&mut screen, stats);
    last(&mut screen, told);
    screen.text
}

fn titles(name: &str, errors: &str) -> String {
    format!("{name:<NAME$} {:>9} {errors:>8} {:>9} {:>9} {:>9}", "per s", "p50", "p90", "p99")
}

fn figures(name: &str, window: &Value) -> String {
    let name: String = name.chars().take(NAME).collect();
    let millis = |key: &str| window[key].as_f64().map_or("-".into(), |it| format!("{it:.1} ms"));
    let errors = match window["error_rate"].as_f64() {
        Some(rate) => format!("{:.1} %", rate * 100.0),
        None => "-".into(),
    };
    format!(
        "{name:<NAME$} {:>9.1} {errors:>8} {:>9} {:>9} {:>9}",
        window["rate"].as_f64().unwrap_or(0.0),
        millis("p50_ms"),
        millis("p90_ms"),
        millis("p99_ms"),
    )
}

/// The busiest of them.
fn table(screen: &mut Screen, title: &str, errors: &str, all: &Value, most: usize) {
    let mut all: Vec<_> = list(all).iter().collect();
    if all.is_empty() {
        return;
    }
    let requests = |it: &Value| it["1m"]["requests"].as_u64().unwrap_or(0);
    all.sort_by_key(|it| std::cmp::Reverse(requests(it)));
    screen.line("");
    screen.bright(BOLD, &titles(title, errors));
    for it in all.iter().take(most) {
        let line = figures(text(&it["name"]), &it["1m"]);
        if it["1m"]["errors"].as_u64().unwrap_or(0) > 0 {
            screen.bright(RED, &line);
        } else {
            screen.line(&line);
        }
    }
    if all.len() > most {
        let more = &all[most..];
        let sum: u64 = more.iter().map(|it| requests(it)).sum();
        screen.line(&format!("and {} more, with {sum} requests", more.len()));
    }
}

/// Servers that get no requests, and why.
fn out(screen: &mut Screen, upstreams: &Value) {
    let (mut up, mut out) = (0, Vec::new());
    for upstream in list(upstreams) {
        for server in list(&upstream["servers"]) {
            if matches!(text(&server["state"]), "up" | "full") {
                up += 1;
            } else {
                out.push((text(&upstream["name"]), server));
            }
        }
    }
    screen.line("");
    let all = up + out.len();
    if out.is_empty() {
        return screen.line(&format!("servers       all {all} are up"));
    }
    screen.bright(RED, &format!("servers       {up} of {all} are up"));
    for (upstream, server) in out.iter().take(OUT) {
        let reason = server["reason"].as_str().map_or(String::new(), |it| format!(": {it}"));
        let (address, state) = (text(&server["address"]), text(&server["state"]));
        screen.line(&format!("  {upstream} {address} {state}{reason}"));
    }
    if out.len() > OUT {
        screen.line(&format!("  and {} more", out.len() - OUT));
    }
}

fn rest(screen: &mut Screen, stats: &Value) {
    let mut errors: Vec<_> = (stats["errors"]["1m"].as_object().into_iter().flatten())
        .map(|(reason, count)| (count.as_u64().unwrap_or(0), reason))
        .filter(|it| it.0 > 0)
        .collect();
    errors.sort_by_key(|it| std::cmp::Reverse(it.0));
    if !errors.is_empty() {
        let told: Vec<_> = errors.iter().take(5).map(|it| format!("{} {}", it.1, it.0)).collect();
        screen.bright(RED, &format!("reasons       {}", told.join(", ")));
    }
    let workers = list(&stats["workers"]);
    let busy = |it: &Value| it["busy"].as_f64().unwrap_or(0.0);
    let most = workers.iter().map(busy).fold(0.0, f64::max);
    let lag = workers.iter().filter_map(|it| it["lag_p99_ms"].as_f64()).fold(0.0, f64::max);
    screen.line(&format!(
        "workers       {}, the busiest {:.0} %, late by {lag:.1} ms at most (p99)",
        workers.len(),
        most * 100.0
    ));
    let (open, pools) = (&stats["connections"], &stats["pools"]);
    let reused = pools["hit_ratio"]
        .as_f64()
        .map_or(String::new(), |it| format!(", {:.0} % reused", it * 100.0));
    screen.line(&format!(
        "connections   {} of {} from clients; to servers {} in use, {} idle{reused}",
        open["open"], open["max"], pools["in_use"], pools["idle"]
    ));
    for cache in list(&stats["caches"]).iter().take(2) {
        let count = |key: &str| cache[key].as_u64().unwrap_or(0);
        let hits = count("hits") + count("stale") + count("coalesced");
        let all = hits + count("misses") + count("validated");
        let share = if all == 0 { 0.0 } else { hits as f64 * 100.0 / all as f64 };
        screen.line(&format!(
            "cache         {}: {share:.0} % hits, {} objects, {} of {} MiB",
            text(&cache["name"]),
            count("objects"),
            count("bytes") >> 20,
            count("capacity") >> 20,
        ));
    }
}

/// What is not well, the last reload, certificates.
fn last(screen: &mut Screen, told: &Value) {
    let reload = &told["last_reload"];
    let (outcome, time) = (text(&reload["outcome"]), seconds(&reload["time"]));
    let line = format!("last load     {outcome}, {time} ({})", text(&reload["cause"]));
    if outcome == "failure" {
        screen.bright(RED, &line);
    } else if !outcome.is_empty() {
        screen.line(&line);
    }
    let checks = &told["health"]["checks"];
    let certificates = &checks["certificates"];
    if let Some(ends) = certificates["expires"].as_str() {
        let file = text(&certificates["first_to_expire"]);
        let day = ends.get(..10).unwrap_or(ends);
        screen.line(&format!("certificates  the first ends {day}: {file}"));
    }
    let unwell: Vec<_> = (checks.as_object().into_iter().flatten())
        .filter(|(_, check)| check["status"] != "ok")
        .map(|(name, check)| format!("warning       {name} is {}", text(&check["status"])))
        .collect();
    for line in unwell.iter().take(WARNINGS) {
        screen.bright(RED, line);
    }
    if unwell.len() > WARNINGS {
        screen.bright(RED, &format!("and {} warnings more: see /health", unwell.len() - WARNINGS));
    }
}

/// A time without the parts of a second.
fn seconds(time: &Value) -> String {
    let time = text(time);
    time.split_once('.').map_or(time.to_owned(), |(whole, _)| format!("{whole}Z"))
}

/// The two largest units.
fn age(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    let units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let first = units.iter().position(|(_, size)| seconds >= *size).unwrap_or(3);
    let mut left = seconds;
    let shown = units[first..].iter().take(2).map(|(unit, size)| {
        let count = left / size;
        left %= size;
        format!("{count} {unit}")
    });
    shown.collect::<Vec<_>>().join(" ")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ages() {
        for (seconds, told) in
            [(0.2, "0 s"), (61.0, "1 min 1 s"), (7_265.0, "2 h 1 min"), (90_000.0, "1 d 1 h")]
        {
            assert_eq!(age(seconds), told);
        }
    }

    /// Whatever there is fits on one screen.
    #[test]
    fn a_thousand_of_everything_fit() {
        let window = json!({ "requests": 5, "rate": 1.5, "errors": 1, "error_rate": 0.2,
            "p50_ms": 1.0, "p90_ms": 12_345.6, "p99_ms": null });
        let server =
            json!({ "address": "127.0.0.1:1", "state": "ejected", "reason": "x".repeat(200) });
        let named = |name: String| json!({ "name": name, "1m": window, "servers": [server] });
        let many: Vec<_> =
            (0..1000).map(|i| named(format!("name-{i}-{}", "y".repeat(90)))).collect();
        let reasons: serde_json::Map<_, _> =
            (0..1000).map(|i| (format!("reason-{i}"), 3.into())).collect();
        let checks: serde_json::Map<_, _> =
            (0..1000).map(|i| (format!("check-{i}"), json!({ "status": "degraded" }))).collect();
        let told = json!({
            "stats": { "time": "2026-11-28T20:00:00.1Z", "uptime": 1.0, "version": "1",
                "total": { "1s": window, "1m": window, "5m": window }, "routes": many,
                "upstreams": many, "errors": { "1m": reasons }, "caches": many },
            "health": { "status": "degraded", "checks": checks },
        });
        let page = page(&told, false);
        assert!(page.lines().count() <= 40, "{page}");
        assert!(page.lines().all(|it| it.chars().count() <= 80), "{page}");
        assert!(!page.contains('\x1b') && super::page(&told, true).contains('\x1b'));
    }
}
