//! `${NAME}` and `${NAME:-default}` in a string; `$${` is a literal `${`.
//!
//! Owns: the notation. May touch: the environment, only through the function that it is given.
//! Next: [`super::tree`] expands every string value with it.

/// The environment, as a function, so that tests need no real one.
pub(super) type ReadVariable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Why a `${…}` cannot be filled in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfilled {
    /// Byte offset in the text.
    pub(super) offset: usize,
    /// Bytes that are wrong.
    pub(super) length: usize,
    /// What is wrong.
    pub(super) message: String,
    /// What to do.
    pub(super) hint: String,
}

/// Fills in every `${…}`. One that cannot be filled in is left out and reported.
pub(super) fn expand(text: &str, lookup: ReadVariable<'_>) -> (String, Vec<Unfilled>) {
    let mut filled = String::with_capacity(text.len());
    let mut faults = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("${") {
        let start = at + found;
        if text[..start].ends_with('$') && start > at {
            filled.push_str(&text[at..start - 1]);
            filled.push_str("${");
            at = start + 2;
            continue;
        }
        filled.push_str(&text[at..start]);
        let Some(length) = text[start..].find('}') else {
            faults.push(Unfilled {
                offset: start,
                length: text.len() - start,
                message: "a `${` without its `}`".into(),
                hint: "write `$${` for a literal `${`".into(),
            });
            return (filled, faults);
        };
        match value(&text[start + 2..start + length], lookup) {
            Ok(value) => filled.push_str(&value),
            Err((message, hint)) => {
                faults.push(Unfilled { offset: start, length: length + 1, message, hint });
            }
        }
        at = start + length + 1;
    }
    filled.push_str(&text[at..]);
    (filled, faults)
}

/// As in a shell, the default is also taken if the variable is empty.
fn value(expression: &str, lookup: ReadVariable<'_>) -> Result<String, (String, String)> {
    let (name, default) = match expression.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (expression, None),
    };
    let first_ok = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !first_ok || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err((
            format!("`{name}` is not a name of an environment variable"),
            "write `${NAME}` or `${NAME:-default}`, and `$${` for a literal `${`".into(),
        ));
    }
    match (lookup(name), default) {
        (Some(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err((
            format!("the environment variable `{name}` is not set"),
            format!("set it, or write a default: `${{{name}:-…}}`"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> (String, Vec<Unfilled>) {
        expand(text, &|name| match name {
            "HOST" => Some("db".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        })
    }

    #[test]
    fn names_defaults_and_literals() {
        for (text, expected) in [
            ("plain {host}", "plain {host}"),
            ("${HOST}:${PORT:-80}", "db:80"),
            ("${EMPTY}|${EMPTY:-x}|${NONE:-}", "|x|"),
            ("a$${HOST}$", "a${HOST}$"),
            ("$${$${HOST}", "${${HOST}"),
            ("${NONE:-a:-b}", "a:-b"),
        ] {
            assert_eq!(filled(text), (expected.to_owned(), Vec::new()), "{text}");
        }
    }

    #[test]
    fn faults_name_the_variable_and_the_place() {
        let (_, faults) = filled("x${NONE}${1}${");
        let places: Vec<_> = faults.iter().map(|it| (it.offset, it.length)).collect();
        assert_eq!(places, [(1, 7), (8, 4), (12, 2)]);
        assert!(faults[0].message.contains("`NONE` is not set"));
    }
}
