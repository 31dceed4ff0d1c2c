//! What is sent of the lines of a log: as they are, or as messages of syslog.
//!
//! Owns: the head of a message (RFC 5424) and its length before it on a stream (RFC 6587 §3.4.1).
//! May touch: [`crate::settings`]. Used by [`super::log_socket`].

use crate::settings::Syslog;
use jiff::Timestamp;
use std::{fs, io::Write, sync::OnceLock};

/// `informational`, as nginx has it for requests.
const SEVERITY: u8 = 6;
/// A buffer that has grown beyond this is freed.
const KEPT: usize = 1 << 20;

/// Lines in the form in which they are sent.
#[derive(Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    /// Where each line's bytes end.
    ends: Vec<usize>,
}

impl Frames {
    /// Takes these lines, each with its end. In a datagram a line has no end of its own.
    pub(super) fn fill(&mut self, lines: &[u8], syslog: Option<&Syslog>, is_stream: bool) {
        self.clear();
        let head = syslog.map(|it| head(it, Timestamp::now())).unwrap_or_default();
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            if is_stream && syslog.is_some() {
                // Writing to a vector can't fail.
                let _ = write!(self.bytes, "{} ", head.len() + line.len());
            }
            self.bytes.extend_from_slice(&head);
            self.bytes.extend_from_slice(line);
            if is_stream && syslog.is_none() {
                self.bytes.push(b'\n');
            }
            self.ends.push(self.bytes.len());
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Where the line with this number ends in [`Self::bytes`].
    pub(super) fn end(&self, number: usize) -> usize {
        self.ends[number]
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.bytes.shrink_to(KEPT);
        self.ends.shrink_to(KEPT / 64);
    }
}

/// `<190>1 2026-11-28T19:08:00.000000Z host sheave 4711 access - `.
fn head(syslog: &Syslog, now: Timestamp) -> Vec<u8> {
    let Syslog { facility, tag } = syslog;
    let (priority, time) = (facility * 8 + SEVERITY, now.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"));
    let (host, process) = (host(), std::process::id());
    format!("<{priority}>1 {time} {host} {tag} {process} access - ").into_bytes()
}

/// The machine's name, or `-` as the RFC has it.
fn host() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = name.trim();
        let is_sound =
            (1..=255).contains(&name.len()) && name.bytes().all(|it| it.is_ascii_graphic());
        if is_sound { name.to_owned() } else { "-".to_owned() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(lines: &str, syslog: Option<&Syslog>, is_stream: bool) -> Vec<String> {
        let mut frames = Frames::default();
        frames.fill(lines.as_bytes(), syslog, is_stream);
        let mut from = 0;
        let ends: Vec<_> = (0..frames.len()).map(|it| frames.end(it)).collect();
        let text = |end: usize| {
            let text = String::from_utf8(frames.bytes()[from..end].to_vec()).unwrap();
            from = end;
            text
        };
        ends.into_iter().map(text).collect()
    }

    #[test]
    fn each_kind_of_socket_has_its_form() {
        assert_eq!(sent("a\nbc\n", None, true), ["a\n", "bc\n"]);
        assert_eq!(sent("a\nbc\n", None, false), ["a", "bc"]);
        let syslog = Syslog { facility: 16, tag: "edge".into() };
        let told = sent("a\nbc\n", Some(&syslog), false);
        assert!(told[0].starts_with("<134>1 20") && told[0].ends_with(" access - a"), "{told:?}");
        for (frame, line) in sent("a\nbc\n", Some(&syslog), true).iter().zip(["a", "bc"]) {
            let (length, message) = frame.split_once(' ').unwrap();
            assert_eq!(length.parse::<usize>().unwrap(), message.len());
            assert!(message.ends_with(&format!(" access - {line}")), "{message}");
        }
        let now = "2026-11-28T19:08:01.5Z".parse().unwrap();
        let head = String::from_utf8(head(&syslog, now)).unwrap();
        let fields: Vec<_> = head.split(' ').collect();
        assert_eq!(fields[..2], ["<134>1", "2026-11-28T19:08:01.500000Z"]);
        assert_eq!(fields[3..], ["edge", &*std::process::id().to_string(), "access", "-", ""]);
    }
}
