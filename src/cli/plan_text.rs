//! What `plan` tells, as a page for people.
//!
//! Owns: the columns. May touch: nothing outside this room. The facts are those of `--json`.

use super::table::Columns;
use serde_json::Value;
use std::fmt::Write;

/// How many keys of a table that is added are shown.
const MOST_KEYS: usize = 6;

/// The page.
pub(super) fn page(told: &Value) -> String {
    let mut out = String::new();
    let old = match told["generation"].as_u64() {
        Some(generation) => format!("what runs ({}, generation {generation})", text(&told["old"])),
        None => text(&told["old"]).to_owned(),
    };
    let _ = writeln!(out, "{} in place of {old}\n", text(&told["new"]));
    let changes = list(&told["changes"]);
    if changes.is_empty() {
        out.push_str("Nothing would change.\n");
    }
    let mut columns = Columns::default();
    for change in changes {
        row(&mut columns, change);
    }
    columns.write(&mut out);
    for taken in list(&told["takes_over"]) {
        let _ = writeln!(
            out,
            "\nroute `{}` ({}, {}) takes requests that went to `{}` ({}, {})",
            text(&taken["route"]),
            text(&taken["path"]),
            text(&taken["place"]),
            text(&taken["from"]),
            text(&taken["from_path"]),
            text(&taken["from_place"]),
        );
    }
    for key in list(&told["only_at_restart"]) {
        let _ = writeln!(out, "\n`{}` takes effect at the next start, not by a reload", text(key));
    }
    for warning in list(&told["warnings"]) {
        let _ = write!(out, "\n{}", text(warning));
    }
    if !changes.is_empty() {
        let count = |key: &str| format!("{} {key}", told["counts"][key]);
        let all = ["added", "removed", "changed", "moved"].map(count);
        let _ = writeln!(out, "\n{}", all.join(", "));
    }
    out
}

fn row(columns: &mut Columns, change: &Value) {
    let sign = match text(&change["change"]) {
        "added" => "+",
        "removed" => "-",
        "moved" => ">",
        _ => "~",
    };
    let kind = match text(&change["kind"]) {
        "" => "top",
        kind => kind,
    };
    let name = match text(&change["of"]) {
        "" => text(&change["name"]).to_owned(),
        of => format!("{of} {}", text(&change["name"])),
    };
    let is_added = sign == "+";
    let mut says: Vec<String> = list(&change["keys"]).iter().map(|it| key(it, is_added)).collect();
    if is_added && says.len() > MOST_KEYS {
        let more = says.len() - MOST_KEYS;
        says.truncate(MOST_KEYS);
        says.push(format!("and {more} keys more"));
    }
    if sign == ">" {
        says.push("has another place among the routes".into());
    }
    if sign == "~" && says.is_empty() {
        says.push("by what it inherits".into());
    }
    says.extend(change["effect"].as_str().map(str::to_owned));
    let mut says = says.into_iter();
    let first = says.next().unwrap_or_default();
    columns.row([format!("{sign} {kind}"), name, text(&change["place"]).to_owned(), first]);
    for more in says {
        columns.row([String::new(), String::new(), String::new(), more]);
    }
}

fn key(key: &Value, is_added: bool) -> String {
    let name = text(&key["key"]);
    let value = |side: &str| key[side].as_str().unwrap_or("default").to_owned();
    if is_added {
        return format!("{name} = {}", value("to"));
    }
    format!("{name}: {} → {}", value("from"), value("to"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
