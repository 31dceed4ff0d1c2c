//! What is wrong with a config, shown where it is wrong.
//!
//! Owns: one finding ([`Diagnostic`]), all of them ([`ConfigError`]) and how they are rendered. May
//! touch: nothing outside this room. Next: the command line prints them, the admin address sends
//! them.

use super::concealed::concealed;
use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The config is refused.
    Error,
    /// The config is accepted.
    Warning,
}

/// One finding at one place; it carries its source line, so it renders by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Refused or accepted.
    pub severity: Severity,
    /// The config file, as it was named.
    pub file: PathBuf,
    /// From 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// In characters, from 1; 0 where the file as a whole is meant.
    pub column: usize,
    /// Bytes of the source.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// The text of `line`; of a long line only the part around the place.
    pub source_line: String,
    /// The place within that text, in characters from 0.
    offset: usize,
}

/// How many characters of a line are shown: before the place, and in all.
const BEFORE: usize = 60;
const SHOWN: usize = 160;

/// The part of a line that is shown for a place `at` characters into it, and the place in that
/// part.
fn window(line: &str, at: usize) -> (String, usize) {
    let mut rest = line.chars();
    let begin = if at > SHOWN - BEFORE { at - BEFORE } else { 0 };
    let mut shown = if begin == 0 { String::new() } else { "…".to_owned() };
    shown.extend(rest.by_ref().skip(begin).take(SHOWN));
    if rest.next().is_some() {
        shown.push('…');
    }
    (shown, at - begin + usize::from(begin > 0))
}

impl Diagnostic {
    /// The whole text but for its first word: the log has its own.
    pub fn without_severity(&self) -> String {
        let text = self.to_string();
        text.split_once(": ").map_or(text.clone(), |(_, rest)| rest.to_owned())
    }

    /// A finding at `span` of `source`.
    pub(super) fn new(
        severity: Severity,
        file: &Path,
        source: &str,
        span: Range<usize>,
        message: String,
        hint: Option<String>,
    ) -> Self {
        let mut start = span.start.min(source.len());
        while !source.is_char_boundary(start) {
            start -= 1;
        }
        let line_start = source[..start].rfind('\n').map_or(0, |at| at + 1);
        let line = &concealed(source[line_start..].lines().next().unwrap_or(""));
        let before = source[line_start..start].chars().count();
        let (source_line, offset) = window(line, before);
        Self {
            severity,
            file: file.to_owned(),
            line: source[..start].matches('\n').count() + 1,
            column: before + 1,
            span,
            message,
            hint,
            source_line,
            offset,
        }
    }

    /// How many characters of the line the carets mark, at least one.
    fn width(&self) -> usize {
        let mut left = self.span.len();
        let marked = self.source_line.chars().skip(self.offset).take_while(|c| {
            let within = left >= c.len_utf8();
            left = left.saturating_sub(c.len_utf8());
            within
        });
        marked.count().max(1)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(out, "{severity}: {}", self.message)?;
        let gutter = if self.line == 0 {
            writeln!(out, " --> {}", self.file.display())?;
            String::new()
        } else {
            let gutter = " ".repeat(self.line.to_string().len());
            writeln!(out, "{gutter}--> {}:{}:{}", self.file.display(), self.line, self.column)?;
            writeln!(out, "{gutter} |")?;
            writeln!(out, "{} | {}", self.line, self.source_line)?;
            // Tabs stay tabs, so that the caret is below its character.
            let indent: String = (self.source_line.chars().take(self.offset))
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            let indent = format!("{indent:width$}", width = self.offset);
            writeln!(out, "{gutter} | {indent}{}", "^".repeat(self.width()))?;
            gutter
        };
        if let Some(hint) = &self.hint {
            writeln!(out, "{gutter} = hint: {hint}")?;
        }
        Ok(())
    }
}

/// Why a config is refused: everything found, warnings too, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The config file, as it was named.
    pub file: PathBuf,
    /// At least one error.
    pub diagnostics: Vec<Diagnostic>,
    /// Whether the file could not be read: then the system refused, and the config may be right.
    pub unreadable: bool,
}

impl ConfigError {
    /// The file could not be read.
    pub(super) fn unreadable(file: &Path, cause: &std::io::Error) -> Self {
        let hint = match cause.kind() {
            std::io::ErrorKind::NotFound => Some("name another with `--config FILE`".into()),
            std::io::ErrorKind::InvalidData => Some("save it as UTF-8".into()),
            _ => None,
        };
        let diagnostic = Diagnostic {
            severity: Severity::Error,
            file: file.to_owned(),
            line: 0,
            column: 0,
            span: 0..0,
            message: format!("the config cannot be read: {cause}"),
            hint,
            source_line: String::new(),
            offset: 0,
        };
        Self {
            file: file.to_owned(),
            diagnostics: vec![diagnostic],
            unreadable: cause.kind() != std::io::ErrorKind::InvalidData,
        }
    }

    /// The errors among the diagnostics.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|it| it.severity == Severity::Error)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in &self.diagnostics {
            writeln!(out, "{diagnostic}")?;
        }
        let errors = self.errors().count();
        let warnings = self.diagnostics.len() - errors;
        write!(out, "{}", counted(errors, "error"))?;
        if warnings > 0 {
            write!(out, " and {}", counted(warnings, "warning"))?;
        }
        write!(out, " in {}", self.file.display())
    }
}

impl std::error::Error for ConfigError {}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(source: &str, needle: &str) -> Diagnostic {
        let start = source.find(needle).expect("needle");
        let span = start..start + needle.len();
        Diagnostic::new(Severity::Error, Path::new("a.toml"), source, span, "wrong".into(), None)
    }

    #[test]
    fn columns_and_carets_count_characters() {
        let found = at("x = 1\nname = \"Zürich\" # überall\n", "überall");
        assert_eq!((found.line, found.column), (2, 19));
        assert_eq!(
            found.to_string(),
            "error: wrong\n --> a.toml:2:19\n  |\n2 | name = \"Zürich\" # überall\n  |                   ^^^^^^^\n"
        );
    }

    #[test]
    fn of_a_long_line_the_place_is_shown() {
        let source = format!("servers = [{}wrong, {}]", "x, ".repeat(1000), "y, ".repeat(1000));
        let found = at(&source, "wrong");
        assert_eq!(found.column, 3012);
        let text = found.to_string();
        let lines: Vec<_> = text.lines().collect();
        assert!(text.len() < 600 && lines[3].starts_with("1 | …") && lines[3].ends_with('…'));
        let place = lines[4].chars().position(|it| it == '^').unwrap();
        let marked: String = lines[3].chars().skip(place).take(5).collect();
        assert_eq!((&*marked, lines[4].matches('^').count()), ("wrong", 5));
    }

    #[test]
    fn tabs_line_ends_and_long_spans() {
        let found = at("a = [\r\n\tb,\r\n]\r\n", "b,\r\n]");
        assert_eq!(found.to_string(), "error: wrong\n --> a.toml:2:2\n  |\n2 | \tb,\n  | \t^^\n");
    }

    #[test]
    fn the_end_of_the_file_is_a_place() {
        let found =
            Diagnostic::new(Severity::Error, Path::new("a"), "x = ", 4..4, "end".into(), None);
        assert_eq!((found.line, found.column, found.width()), (1, 5, 1));
        let empty = Diagnostic::new(Severity::Error, Path::new("a"), "", 0..0, "end".into(), None);
        assert_eq!((empty.line, empty.column), (1, 1));
    }
}
