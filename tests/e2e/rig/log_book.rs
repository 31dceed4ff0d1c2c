//! The lines that a process writes to a pipe, collected as they come.

use super::eventually;
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read},
    sync::{Arc, Mutex},
    thread,
};

/// Lines so far; clones share them.
#[derive(Clone, Default)]
pub struct LogBook(Arc<Mutex<Vec<String>>>);

impl LogBook {
    /// Collects until the pipe ends.
    pub fn reading(pipe: impl Read + Send + 'static) -> Self {
        let book = Self::default();
        let writer = book.clone();
        thread::spawn(move || {
            let mut lines = BufReader::new(pipe);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                writer.0.lock().unwrap().push(text);
                line.clear();
            }
        });
        book
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// The newest first, as JSON where it is.
    fn find<T>(&self, check: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let lines = self.lines();
        lines.iter().rev().find_map(|line| check(&serde_json::from_str(line).ok()?))
    }

    /// The newest line with this `message` and these fields; `None` if there is none yet.
    pub fn find_message(&self, message: &str, fields: &[(&str, &str)]) -> Option<Value> {
        self.find(|line| {
            let of = &line["fields"];
            let told = of["message"] == message && fields.iter().all(|(k, v)| of[*k] == **v);
            told.then(|| of.clone())
        })
    }

    /// Waits for a line.
    pub fn wait_for(&self, what: &str, check: impl Fn(&str) -> bool) -> String {
        eventually(&format!("log line: {what}"), || {
            self.lines().into_iter().find(|line| check(line))
        })
    }

    /// The last lines, for a failed test.
    pub fn tail(&self, count: usize) -> String {
        let lines = self.lines();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }
}
