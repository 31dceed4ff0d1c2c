//! Where an access log goes: `path`, `address` or `syslog`, and `rotate`.
//!
//! Owns: reading these keys, and the rule that two logs do not fight over one file. May touch:
//! [`crate::settings`], the file system. Next: [`super::access_log`].

use super::{Config, document::ConfigText, names::server_address, table::Table, tree::TextValue};
use crate::settings::{LogAddress, LogSink, LogTarget, Rotation, Syslog};
use std::{path::PathBuf, time::Duration};

/// A line is up to some KiB.
const LEAST_BUFFER: usize = 64 << 10;
/// Smaller files are a mistake.
const LEAST_FILE: u64 = 4 << 10;

/// By their numbers in RFC 5424.
const FACILITIES: [(&str, u8); 20] = [
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

/// Reads the keys of a log.
pub(super) fn read(table: &Table<'_>) -> LogSink {
    LogSink {
        target: read_target(table),
        buffer: read_buffer(table),
        waits: table.choice("when_full", false, &[("drop", false), ("wait", true)]),
    }
}

fn read_target(table: &Table<'_>) -> LogTarget {
    let path = table.text("path");
    let rotate = table.optional_table("rotate").map(|it| read_rotation(&it));
    let address = table.text("address");
    let syslog = table.text("syslog");
    let origin = Syslog {
        facility: table.choice("facility", 23, &FACILITIES),
        tag: read_tag(table).unwrap_or_else(|| "sheave".into()),
    };
    let several = [path.map(|_| "path"), address.map(|_| "address"), syslog.map(|_| "syslog")];
    let several: Vec<_> = several.into_iter().flatten().collect();
    if let [first, second, ..] = several[..] {
        let hint = "to write lines to both, write two `[[access_log]]`";
        let message = format!("`{first}` and `{second}` exclude each other");
        table.error(table.key_span(second), message, Some(hint.into()));
    }
    for key in ["facility", "tag"].into_iter().filter(|key| syslog.is_none() && table.has(key)) {
        let hint =
            Some("it is for `syslog`: remove it, or write `syslog = \"unix:/dev/log\"`".into());
        table.warning(table.key_span(key), format!("`{key}` has no effect here"), hint);
    }
    let target = match (syslog, address, path) {
        (Some(text), ..) => read_address(table, text).map(|it| LogTarget::Socket(it, Some(origin))),
        (_, Some(text), _) => read_address(table, text).map(|it| LogTarget::Socket(it, None)),
        (.., Some(text)) if text.value == "stderr" => Some(LogTarget::Stderr),
        (.., Some(text)) if text.value != "stdout" => {
            return LogTarget::File(read_path(table, text), rotate);
        }
        _ => None,
    };
    if rotate.is_some() {
        let hint = Some("it is for files: write `path = \"access.log\"` beside it".into());
        table.warning(table.key_span("rotate"), "`rotate` has no effect here", hint);
    }
    target.unwrap_or(LogTarget::Stdout)
}

fn read_rotation(table: &Table<'_>) -> Rotation {
    let size = table.has("size").then(|| table.size("size", LEAST_FILE));
    let every = table.has("every").then(|| table.positive_duration("every", Duration::MAX));
    // They are known keys, also if they are absent.
    for key in ["size", "every"] {
        table.value(key);
    }
    if size.is_some_and(|it| it < LEAST_FILE) {
        let hint = Some("write at least `\"4KiB\"`".into());
        table.error(table.value_span("size"), "`size` has no room for lines", hint);
    }
    if size.is_none() && every.is_none() {
        let hint = "write `rotate = { size = \"100MiB\" }`, or `{ every = \"1d\" }`, or both";
        table.absent(table.span.clone(), "`rotate` without a limit", Some(hint.into()));
    }
    Rotation { size, every, keep: table.number("keep", 7, 1..=1000) }
}

fn read_tag(table: &Table<'_>) -> Option<String> {
    let text = table.text("tag")?;
    let is_sound =
        (1..=48).contains(&text.value.len()) && text.value.bytes().all(|it| it.is_ascii_graphic());
    if !is_sound {
        let hint = "write up to 48 letters, digits and signs, without spaces";
        table.error(text.span.clone(), "this is no tag of syslog", Some(hint.into()));
    }
    Some(text.value.clone())
}

/// `tcp:HOST:PORT`, `udp:HOST:PORT` or `unix:PATH`.
fn read_address(table: &Table<'_>, text: &TextValue) -> Option<LogAddress> {
    let written = text.value.as_str();
    let refuse = |message: String, hint: String| {
        table.error(text.span.clone(), message, Some(hint));
        None
    };
    if let Some(path) = written.strip_prefix("unix:") {
        if path.is_empty() {
            return refuse(
                "a Unix socket without a path".into(),
                "write `\"unix:/dev/log\"`".into(),
            );
        }
        return Some(LogAddress::Unix(table.directory().join(path)));
    }
    let (kind, place) = written.split_once(':').unwrap_or_default();
    if !matches!(kind, "tcp" | "udp") {
        let hint = if server_address(written).is_ok() {
            format!("write `\"udp:{written}\"` or `\"tcp:{written}\"`")
        } else if written.starts_with('/') {
            format!("a Unix socket is `\"unix:{written}\"`")
        } else {
            "write `\"tcp:HOST:PORT\"`, `\"udp:HOST:PORT\"` or `\"unix:PATH\"`".into()
        };
        return refuse(format!("`{written}` is not an address for lines"), hint);
    }
    let place = place.strip_prefix("//").unwrap_or(place);
    match server_address(place) {
        Ok(()) if kind == "tcp" => Some(LogAddress::Tcp(place.to_owned())),
        Ok(()) => Some(LogAddress::Udp(place.to_owned())),
        Err((_, hint)) => {
            refuse(format!("`{written}` is not an address for lines"), hint.replace(":80", ":514"))
        }
    }
}

/// A path where a file can be. [`super::system`] checks whether this user can write it.
fn read_path(table: &Table<'_>, text: &TextValue) -> PathBuf {
    let path = table.path_in(text);
    let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
    let shown = path.display();
    if text.value.is_empty() {
        return path;
    }
    let (scheme, place) = text.value.split_once(':').unwrap_or_default();
    if matches!(scheme, "syslog" | "tcp" | "udp" | "unix") {
        let place = if scheme == "syslog" { format!("udp:{place}") } else { text.value.clone() };
        let key = if scheme == "syslog" { "syslog" } else { "address" };
        let message = format!("`{}` is no file", text.value);
        table.error(text.span.clone(), message, Some(format!("write `{key} = \"{place}\"`")));
    } else if path.is_dir() {
        let hint =
            format!("write a file in it: `\"{}/access.log\"`", text.value.trim_end_matches('/'));
        table.error(text.span.clone(), format!("`{shown}` is a directory"), Some(hint));
    } else if let Some(directory) = directory.filter(|it| !it.is_dir()) {
        let directory = directory.display();
        let hint = format!("make it with `mkdir -p {directory}`, or write another path");
        table.error(text.span.clone(), format!("there is no directory `{directory}`"), Some(hint));
    }
    path
}

fn read_buffer(table: &Table<'_>) -> usize {
    let buffer = table.size("buffer", 16 << 20);
    if buffer < LEAST_BUFFER {
        let hint = Some("write at least `\"64KiB\"`".into());
        table.error(table.value_span("buffer"), "`buffer` has no room for lines", hint);
    }
    buffer
}

/// Two logs may have one target if they agree on everything about it: then one writer has both.
pub(super) fn check(document: &ConfigText<'_>, config: &Config) {
    for (at, log) in config.access_logs.iter().enumerate() {
        let rival = config.access_logs[..at].iter().find(|other| {
            let same = match (&log.sink.target, &other.sink.target) {
                (LogTarget::File(one, _), LogTarget::File(other, _)) => one == other,
                (one, other) => one == other,
            };
            same && log.sink != other.sink
        });
        let Some(rival) = rival else { continue };
        let path = document.value_at(&format!("{}.path", log.place));
        let line = document.line(&document.value_at(&rival.place));
        let message = format!("the log on line {line} has the same target, and other keys for it");
        let hint = "give both the same `rotate`, `buffer` and `when_full`, or one another `path`";
        document.error(path, message, Some(hint.into()));
    }
}
