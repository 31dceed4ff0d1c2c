//! Finds the lines that are no TOML, and gives the text without them.
//!
//! Owns: recovery. The parser gives up at a badly broken line. That line is blanked and the text is
//! parsed again, so that one mistake hides no mistakes after it. May touch: nothing outside this
//! room. Next: [`super::document`] reads what remains.

use super::tree::Span;
use std::collections::BTreeSet;
use toml::de::DeTable;

/// A text that parses, and what had to be taken out of it.
pub(super) struct Sound {
    /// As long as the source, with every sound line where it was.
    pub(super) text: String,
    /// In the order of the file.
    pub(super) faults: Vec<Fault>,
}

/// One line that is no TOML.
pub(super) struct Fault {
    pub(super) span: Span,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// Whether it is the notation of another program.
    foreign: bool,
}

/// At most so many faults are reported; with more, the file is probably no TOML at all.
const MOST: usize = 12;

/// At most so often the text is parsed again.
const ROUNDS: usize = 200;

/// Blanks the lines of `source` that are no TOML.
pub(super) fn sound(source: &str) -> Sound {
    let mut text = source.to_owned();
    let mut faults: Vec<Fault> = Vec::new();
    let mut blanked = BTreeSet::new();
    loop {
        let (_, errors) = DeTable::parse_recoverable(&text);
        let end = text.len();
        let place = |error: &toml::de::Error| error.span().unwrap_or(end..end);
        let Some(error) = errors.iter().min_by_key(|error| place(error).start) else { break };
        let fault = explained(error.message(), source, place(error));
        let line = line_of(source, place(error).start);
        // The same line again: blanking it did not help, so the fault is elsewhere.
        let again = !blanked.insert(line.start);
        // Another program's notation is reported once, not at each line.
        let known = fault.foreign && faults.last().is_some_and(|it| it.message == fault.message);
        if !again && !known {
            faults.push(fault);
        }
        if again || faults.len() == MOST || blanked.len() == ROUNDS {
            text = " ".repeat(source.len());
            break;
        }
        text.replace_range(line.clone(), &blank(&source[line], blanked.len()));
    }
    faults.sort_by_key(|it| it.span.start);
    Sound { text, faults }
}

/// The line around `at`, without its end.
fn line_of(source: &str, at: usize) -> Span {
    // A fault after the end of the last line belongs to the last line.
    let at = at.min(source.trim_end().len());
    let start = source[..at].rfind('\n').map_or(0, |before| before + 1);
    let end = source[at..].find('\n').map_or(source.len(), |length| at + length);
    start..end
}

/// Spaces in place of a line. A broken header becomes the header of a table that is not read, so
/// that the keys below it do not land in the table above. It is not reported as unknown, because
/// its line is known to be broken.
fn blank(line: &str, number: usize) -> String {
    let header = format!("[_{number}]");
    if line.starts_with('[') && header.len() <= line.len() {
        return format!("{header}{}", " ".repeat(line.len() - header.len()));
    }
    " ".repeat(line.len())
}

/// The parser's message in our words, with what to do about it.
fn explained(message: &str, source: &str, span: Span) -> Fault {
    let line = source[line_of(source, span.start)].trim();
    let written = source.get(span.clone()).unwrap_or_default();
    let fault = |span, message: &str, hint: &str| Fault {
        span,
        message: message.to_owned(),
        hint: Some(hint.to_owned()),
        foreign: false,
    };
    if message.starts_with("duplicate key") {
        let hint = "join the two: only `[[site]]` and `[[site.route]]` may stand more than once";
        return fault(span, &format!("`{written}` is written twice"), hint);
    }
    if let Some((other, hint)) = foreign(line) {
        let message = format!("this is not TOML, though {other} would take it");
        return Fault { span, message, hint: Some(hint.to_owned()), foreign: true };
    }
    if line.starts_with('[') && message.contains("quoted") {
        let hint = "close it with `]` before this line";
        return fault(span, "an array above is not closed", hint);
    }
    if let Some(word) = bare_word(message, source, &span) {
        let text = &source[word.clone()];
        let hint = match text {
            "True" | "yes" | "on" => "write `true`".to_owned(),
            "False" | "no" | "off" => "write `false`".to_owned(),
            _ => format!("a string stands in quotes: `\"{text}\"`"),
        };
        return fault(word, &format!("`{text}` is no value"), &hint);
    }
    let known = REMEDIES.iter().find(|(start, _, _)| message.starts_with(start));
    match known {
        Some((_, "", hint)) => fault(span, message, hint),
        Some((_, ours, hint)) => fault(span, ours, hint),
        None => Fault { span, message: message.to_owned(), hint: None, foreign: false },
    }
}

/// How the parser's messages start, what we say instead where that is clearer, and what to do.
const REMEDIES: [(&str, &str, &str); 14] = [
    ("extra `=`", "", "write one `=`"),
    ("invalid basic string", "a string is not closed", "close it with `\"`"),
    ("invalid literal string", "a string is not closed", "close it with `'`"),
    ("invalid inline table element", "", "an inline table is `{ key = value, key = value }`"),
    ("invalid unquoted key", "", "a key is letters, digits, `-` and `_`, and then a `=`"),
    ("key with no value", "a key without a value", "write `key = value`"),
    ("missing comma", "a comma is missing", "separate the values by `,`"),
    ("missing key", "a key is missing", "an inline table is `{ key = value, key = value }`"),
    ("string values must be quoted", "a value is missing", "write a string, a number, `true`, …"),
    ("unclosed array table", "a header is not closed", "close it with `]]`"),
    ("unclosed array", "an array is not closed", "close it with `]`"),
    ("unclosed inline table", "an inline table is not closed", "close it with `}`"),
    ("unclosed table", "a header is not closed", "close it with `]`"),
    ("unexpected key or value", "nothing may follow here", "a line ends after its header or value"),
];

/// If a line is in another program's notation: which one, and what to write here.
fn foreign(line: &str) -> Option<(&'static str, &'static str)> {
    if line.contains('=') {
        return None;
    }
    if line.ends_with(['{', '}', ';']) {
        let hint = "write `key = value` below a `[table]`: no braces, no semicolons";
        return Some(("nginx", hint));
    }
    if line.ends_with(':') || line.contains(": ") {
        return Some(("YAML", "write `key = value` below a `[table]`, with `=` and not `:`"));
    }
    None
}

/// The whole word at a place where a value was expected; the parser reports only a part of it.
fn bare_word(message: &str, source: &str, span: &Span) -> Option<Span> {
    let kinds = ["boolean", "date", "float", "integer", "number", "string values must be quoted"];
    let message = message.trim_start_matches("invalid ");
    if !kinds.iter().any(|kind| message.starts_with(kind)) {
        return None;
    }
    let ends = |c: char| c.is_whitespace() || "=,[]{}#\"'".contains(c);
    let start = source[..span.start].rfind(ends).map_or(0, |at| at + 1);
    let end = source[span.start..].find(ends).map_or(source.len(), |length| span.start + length);
    (start < end && source.is_char_boundary(start)).then_some(start..end)
}
