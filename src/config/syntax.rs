//! What is no TOML, told one line at a time, and the text without those lines.
//!
//! Owns: recovery. The parser gives up where a line is badly broken, so that line is blanked and the
//! text parsed again: one slip hides nothing that comes after it. May touch: `toml`. Next:
//! [`super::document`] reads what remains.

use super::tree::Span;
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
}

/// So many lines are told; past them the file is something else than TOML.
const MOST: usize = 12;

/// Takes out of `source` what is no TOML.
pub(super) fn sound(source: &str) -> Sound {
    let mut text = source.to_owned();
    let mut faults: Vec<Fault> = Vec::new();
    loop {
        let (_, errors) = DeTable::parse_recoverable(&text);
        let end = text.len();
        let place = |error: &toml::de::Error| error.span().unwrap_or(end..end);
        let Some(error) = errors.iter().min_by_key(|error| place(error).start) else { break };
        let span = place(error);
        let fault = explained(error.message(), source, span.clone());
        let line = line_of(source, span.start);
        // The same line again: blanking it did not help, the fault is elsewhere.
        let again = faults.iter().any(|it| line_of(source, it.span.start) == line);
        if !again {
            faults.push(fault);
        }
        if again || faults.len() == MOST {
            text = " ".repeat(source.len());
            break;
        }
        text.replace_range(line.clone(), &blank(&source[line]));
    }
    faults.sort_by_key(|it| it.span.start);
    Sound { text, faults }
}

/// The line around `at`, without its end.
fn line_of(source: &str, at: usize) -> Span {
    // A fault at the very end, after the last line's end, is that line's.
    let at = at.min(source.trim_end().len());
    let start = source[..at].rfind('\n').map_or(0, |before| before + 1);
    let end = source[at..].find('\n').map_or(source.len(), |length| at + length);
    start..end
}

/// Spaces for a line; a header becomes that of a table which nobody reads, so that the keys below
/// it do not fall to the table above.
fn blank(line: &str) -> String {
    let spaces = " ".repeat(line.len());
    let indent = line.len() - line.trim_start().len();
    let header = format!("[[{UNREAD}]]");
    if line.trim_start().starts_with('[') && indent + header.len() <= line.len() {
        let rest = line.len() - indent - header.len();
        return format!("{}{header}{}", " ".repeat(indent), " ".repeat(rest));
    }
    spaces
}

/// The name of the table that stands for broken headers; its line is garbled, so it is not told.
const UNREAD: &str = "_";

/// The parser's message in our words, with what to do about it.
fn explained(message: &str, source: &str, span: Span) -> Fault {
    let line = source[line_of(source, span.start)].trim();
    let written = source.get(span.clone()).unwrap_or_default();
    let fault =
        |span, message: String, hint: &str| Fault { span, message, hint: Some(hint.to_owned()) };
    if message.starts_with("duplicate key") {
        let hint = "join the two: only `[[site]]` and `[[site.route]]` may stand more than once";
        return fault(span, format!("`{written}` is written twice"), hint);
    }
    if line.ends_with(['{', '}', ';']) && !line.contains('=') {
        let hint = "write `key = value` below a `[table]`: no braces, no semicolons";
        return fault(span, "this is no TOML, though nginx would take it".into(), hint);
    }
    if (line.ends_with(':') || line.contains(": ")) && !line.contains('=') {
        let hint = "write `key = value` below a `[table]`, with `=` and not `:`";
        return fault(span, "this is no TOML, though YAML would take it".into(), hint);
    }
    if let Some(word) = bare_word(message, source, &span) {
        let text = &source[word.clone()];
        let hint = match text {
            "True" | "yes" | "on" => "write `true`".to_owned(),
            "False" | "no" | "off" => "write `false`".to_owned(),
            _ => format!("a string stands in quotes: `\"{text}\"`"),
        };
        return fault(word, format!("`{text}` is no value"), &hint);
    }
    let hint = if message.contains("basic string") || message.contains("literal string") {
        Some("close the string with the quote that opened it")
    } else if message.contains("expected `=`") {
        Some("write `key = value`")
    } else if message.contains("expected `]`") {
        Some("close it with `]`")
    } else if message.contains("expected `}`") || message.contains("inline table") {
        Some("an inline table is `{ key = value, key = value }`")
    } else if message.contains("value") {
        Some("write a value after the `=`: `\"text\"`, `10`, `true`, `[ … ]` or `{ … }`")
    } else {
        None
    };
    Fault { span, message: message.to_owned(), hint: hint.map(str::to_owned) }
}

/// The whole word where a value was expected that the parser saw only a part of.
fn bare_word(message: &str, source: &str, span: &Span) -> Option<Span> {
    let kinds =
        ["invalid float", "invalid integer", "invalid date", "string values must be quoted"];
    if !kinds.iter().any(|kind| message.starts_with(kind)) && !message.contains("invalid number") {
        return None;
    }
    let ends = |c: char| c.is_whitespace() || "=,[]{}#\"'".contains(c);
    let start = source[..span.start].rfind(ends).map_or(0, |at| at + 1);
    let end = source[span.start..].find(ends).map_or(source.len(), |length| span.start + length);
    (start < end && source.is_char_boundary(start)).then_some(start..end)
}
