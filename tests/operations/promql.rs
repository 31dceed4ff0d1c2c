//! What a PromQL expression names: metrics, their labels, and the labels that it groups by.
//!
//! It does not check the syntax: `promtool` and a real Prometheus do, in `tests/peers`.

/// What an expression names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Each metric, with the labels that it is selected by.
    pub metrics: Vec<(String, Vec<String>)>,
    /// Of `by (…)`, `on (…)` and the like.
    pub groups: Vec<String>,
}

/// What stands before a list of labels in parentheses.
const GROUPING: [&str; 6] = ["by", "group_left", "group_right", "ignoring", "on", "without"];

/// Words that are neither metrics nor functions with a parenthesis right after them.
const WORDS: [&str; 20] = [
    "and", "atan2", "avg", "bool", "bottomk", "count", "end", "group", "inf", "max", "min", "nan",
    "offset", "or", "quantile", "start", "stddev", "sum", "topk", "unless",
];

/// Reads an expression.
pub fn read(expression: &str) -> Named {
    let mut named = Named::default();
    let mut rest = expression;
    while let Some(next) = rest.chars().next() {
        let (word, after) = word(rest);
        if word.is_empty() {
            rest = match next {
                '"' | '\'' => past_string(rest, next),
                '[' => rest.split_once(']').map_or("", |(_, after)| after),
                // With its unit, as in `5m`.
                '0'..='9' => rest.trim_start_matches(|it: char| it.is_alphanumeric() || it == '.'),
                _ => &rest[next.len_utf8()..],
            };
            continue;
        }
        let follows = after.trim_start();
        rest = after;
        if GROUPING.contains(&word) {
            if let Some(list) = follows.strip_prefix('(') {
                let (labels, after) = list.split_once(')').expect("the end of a list of labels");
                named.groups.extend(labels.split(',').map(|it| it.trim().to_owned()));
                rest = after;
            }
        } else if !WORDS.contains(&word) && !follows.starts_with('(') {
            let (labels, after) = labels(follows).unwrap_or((Vec::new(), after));
            named.metrics.push((word.to_owned(), labels));
            rest = after;
        }
    }
    named.groups.retain(|it| !it.is_empty());
    named
}

fn word(text: &str) -> (&str, &str) {
    let begins = text.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_' || it == ':');
    let is_end = |it: char| !(it.is_ascii_alphanumeric() || it == '_' || it == ':');
    text.split_at(if begins { text.find(is_end).unwrap_or(text.len()) } else { 0 })
}

fn past_string(text: &str, quote: char) -> &str {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, it)| {
        let is_end = *it == quote && !escaped;
        escaped = *it == '\\' && !escaped;
        is_end
    });
    end.map_or("", |(at, _)| &text[at + 1..])
}

/// The names in `{name="value", …}`, and what comes after it.
fn labels(text: &str) -> Option<(Vec<String>, &str)> {
    let mut rest = text.strip_prefix('{')?;
    let mut found = Vec::new();
    loop {
        let next = rest.chars().next().expect("the end of a selector");
        let (name, after) = word(rest);
        if !name.is_empty() {
            found.push(name.to_owned());
            rest = after;
        } else if next == '}' {
            return Some((found, &rest[1..]));
        } else if next == '"' || next == '\'' {
            rest = past_string(rest, next);
        } else {
            rest = &rest[next.len_utf8()..];
        }
    }
}

#[test]
fn an_expression_is_read() {
    let read = |text| {
        let Named { metrics, groups } = read(text);
        let metrics: Vec<_> = metrics
            .into_iter()
            .map(|(name, labels)| format!("{name} {}", labels.join(" ")))
            .collect();
        (metrics.join(", "), groups.join(" "))
    };
    let told = |metrics: &str, groups: &str| (metrics.to_owned(), groups.to_owned());
    assert_eq!(read("up"), told("up ", ""));
    assert_eq!(
        read(
            "sum by (job, route) (rate(a_b{c=\"x, y=\\\"}\",d!~'z'}[5m] offset 1h)) / on(job) group_left () e:f > 0.5e3"
        ),
        told("a_b c d, e:f ", "job route job")
    );
    assert_eq!(
        read(
            "histogram_quantile(0.99, sum without (le) (m_bucket)) and time() - x{} >= bool 5m or vector(0)"
        ),
        told("m_bucket , x ", "le")
    );
}
