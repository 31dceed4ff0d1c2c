//! The short form of `/stats` that `/events` sends: rows of numbers, each under a key.
//!
//! Owns: the rows, and which of them differ from one second to the next. May touch: nothing outside
//! this room. `docs/dashboard.md` tells the form of each row.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, fmt::Write};

/// Rows by their keys, as JSON.
pub(super) type Rows = BTreeMap<String, String>;

/// The parts of `/stats` that have a row for each of their members.
const SPREAD: [&str; 7] =
    ["time", "uptime", "version", "generation", "total", "routes", "upstreams"];

/// The rows of `stats`.
pub(super) fn rows(stats: &Value) -> Rows {
    let mut rows = Rows::new();
    let total = ["1s", "1m", "5m"].map(|it| window(&stats["total"][it]));
    rows.insert("total".into(), json!(total).to_string());
    for route in array(&stats["routes"]) {
        rows.insert(format!("route {}", text(&route["name"])), json!(windows(route)).to_string());
    }
    for upstream in array(&stats["upstreams"]) {
        let name = text(&upstream["name"]);
        let [second, minute] = windows(upstream);
        let row = json!([upstream["in_flight"], upstream["retries"], second, minute]);
        rows.insert(format!("upstream {name}"), row.to_string());
        for server in array(&upstream["servers"]) {
            let key = format!("server {name} {}", text(&server["address"]));
            rows.insert(key, server_row(server).to_string());
        }
    }
    // The rest is short, and goes as it is.
    for (key, value) in stats.as_object().into_iter().flatten() {
        if !SPREAD.contains(&key.as_str()) {
            rows.insert(key.clone(), value.to_string());
        }
    }
    rows
}

fn server_row(server: &Value) -> Value {
    let [second, minute] = windows(server);
    let keys = ["state", "reason", "in_flight", "max_conns", "weight", "backup", "drained"];
    let mut row: Vec<Value> = keys.iter().map(|key| server[key].clone()).collect();
    row.extend([second, minute]);
    row.into()
}

fn windows(of: &Value) -> [Value; 2] {
    ["1s", "1m"].map(|it| window(&of[it]))
}

/// `[rate, error rate, p50, p90, p99]`; 0 without requests.
fn window(of: &Value) -> Value {
    if of["requests"].as_f64().unwrap_or_default() <= 0.0 {
        return 0.into();
    }
    let parts = ["rate", "error_rate", "p50_ms", "p90_ms", "p99_ms"];
    parts.iter().map(|part| short(&of[part])).collect::<Vec<_>>().into()
}

/// Three digits are enough for people.
fn short(number: &Value) -> Value {
    let Some(exact) = number.as_f64() else { return Value::Null };
    if exact == 0.0 || !exact.is_finite() {
        return 0.into();
    }
    let unit = 10f64.powf(exact.abs().log10().floor() - 2.0);
    let rounded = if unit >= 1.0 {
        (exact / unit).round() * unit
    } else {
        // A division by a whole number gives the shortest text.
        let parts = (1.0 / unit).round();
        (exact * parts).round() / parts
    };
    if rounded.fract() == 0.0 { (rounded as i64).into() } else { rounded.into() }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], |it| it)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What listeners know of one moment.
pub(super) struct Told {
    /// What every event tells.
    pub head: Map<String, Value>,
    /// What only those events tell in which it is different.
    pub rows: Rows,
}

impl Told {
    /// The event for those who know nothing.
    pub(super) fn whole(&self) -> Bytes {
        let mut head = self.head.clone();
        head.insert("whole".into(), true.into());
        event(&head, self.rows.iter(), &[])
    }

    /// The event for those who know `before`.
    pub(super) fn since(&self, before: &Self) -> Bytes {
        let (changed, gone) = difference(&before.rows, &self.rows);
        event(&self.head, changed, &gone)
    }
}

/// Rows that are new or changed `now`, and the keys of those that are gone.
fn difference<'a>(
    before: &'a Rows,
    now: &'a Rows,
) -> (impl Iterator<Item = (&'a String, &'a String)>, Vec<&'a String>) {
    let changed = now.iter().filter(|(key, row)| before.get(*key) != Some(*row));
    (changed, before.keys().filter(|key| !now.contains_key(*key)).collect())
}

fn event<'a>(
    head: &Map<String, Value>,
    rows: impl Iterator<Item = (&'a String, &'a String)>,
    gone: &[&String],
) -> Bytes {
    let mut text = String::from("event: stats\ndata: {");
    // Writing to a `String` can't fail.
    for (key, value) in head {
        let _ = write!(text, "{}:{value},", json!(key));
    }
    if !gone.is_empty() {
        let _ = write!(text, "\"gone\":{},", json!(gone));
    }
    text += "\"rows\":{";
    for (index, (key, row)) in rows.enumerate() {
        let comma = if index > 0 { "," } else { "" };
        let _ = write!(text, "{comma}{}:{row}", json!(key));
    }
    text += "}}\n\n";
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stats(rate: f64, state: &str) -> Value {
        let window = json!({
            "requests": 10, "rate": rate, "errors": 1, "error_rate": 0.1,
            "p50_ms": 1.23456, "p90_ms": 20.0, "p99_ms": 1234.5,
        });
        let none =
            json!({ "requests": 0, "rate": 0, "errors": 0, "error_rate": 0, "p50_ms": null });
        json!({
            "time": "2026-11-28T20:00:00Z",
            "total": { "1s": window, "1m": window, "5m": none },
            "routes": [{ "name": "all", "1s": window, "1m": none }],
            "upstreams": [{
                "name": "app", "in_flight": 3, "retries": 1, "1s": window, "1m": none,
                "servers": [{
                    "address": "127.0.0.1:1", "state": state, "reason": null, "in_flight": 3,
                    "max_conns": 0, "weight": 1, "backup": false, "drained": false,
                    "1s": window, "1m": none,
                }],
            }],
            "pools": { "idle": 1 },
        })
    }

    #[test]
    fn each_thing_has_a_row() {
        let told = rows(&stats(12345.6, "up"));
        assert_eq!(
            told["server app 127.0.0.1:1"],
            "[\"up\",null,3,0,1,false,false,[12300,0.1,1.23,20,1230],0]"
        );
        assert_eq!(told["upstream app"], "[3,1,[12300,0.1,1.23,20,1230],0]");
        assert_eq!(told["route all"], "[[12300,0.1,1.23,20,1230],0]");
        assert_eq!(told["pools"], "{\"idle\":1}");
        assert_eq!(told.len(), 5, "{told:?}");
    }

    fn data(event: &Bytes) -> Value {
        let text = std::str::from_utf8(event).unwrap();
        let data = text.strip_prefix("event: stats\ndata: ").unwrap();
        serde_json::from_str(data.strip_suffix("\n\n").unwrap()).unwrap()
    }

    #[test]
    fn only_what_changed_is_sent() {
        let head = Map::from_iter([("time".to_owned(), "now".into())]);
        let before = Told { head: head.clone(), rows: rows(&stats(1.0, "up")) };
        let mut now = Told { head, rows: rows(&stats(1.0, "ejected")) };
        now.rows.remove("pools");
        let whole = data(&before.whole());
        assert_eq!((&whole["whole"], &whole["rows"]["pools"]["idle"]), (&true.into(), &1.into()));
        let change = data(&now.since(&before));
        assert_eq!((&change["time"], &change["gone"]), (&"now".into(), &json!(["pools"])));
        let changed: Vec<_> = change["rows"].as_object().unwrap().iter().collect();
        assert_eq!((changed.len(), changed[0].0.as_str()), (1, "server app 127.0.0.1:1"));
        assert_eq!(changed[0].1[0], "ejected");
    }

    proptest! {
        #[test]
        fn short_numbers_are_near_and_short(exact in prop_oneof![0.0001..10.0f64, 0.0..1e12f64]) {
            let told = short(&Value::from(exact));
            let near = told.as_f64().unwrap();
            prop_assert!((near - exact).abs() <= exact * 0.0051, "{exact} as {near}");
            prop_assert!(told.to_string().len() <= 13, "{told}");
        }

        #[test]
        fn a_difference_leads_from_one_to_the_next(
            before in prop::collection::btree_map("[a-e]", "[0-2]", 0..5),
            now in prop::collection::btree_map("[a-e]", "[0-2]", 0..5),
        ) {
            let (changed, gone) = difference(&before, &now);
            let mut reached = before.clone();
            for key in gone {
                reached.remove(key);
            }
            reached.extend(changed.map(|(key, row)| (key.clone(), row.clone())));
            prop_assert_eq!(reached, now);
        }
    }
}
