//! From text to a condition.
//!
//! Owns: the grammar and its errors. May touch: [`crate::units`]. `||` of `&&` of comparisons,
//! `!( … )` and parentheses. A comparison is a name, an operator and a value.

use super::terms::{
    AMOUNTS, Amount, Condition, ORDERS, Order, RELATIONS, Relation, TEXTS, Term, TextFact,
};
use crate::units;
use http::HeaderName;

/// Deeper parentheses are refused, so that no config can exhaust the stack.
const DEEPEST: usize = 32;

/// Why a text is not a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionError {
    /// Byte offset in the text.
    pub offset: usize,
    /// Bytes that are wrong.
    pub length: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Condition {
    /// Parses `text`.
    pub fn parse(text: &str) -> Result<Self, ConditionError> {
        let mut parser = Parser { text, at: 0, depth: 0 };
        let term = parser.any()?;
        parser.end()?;
        Ok(Self(term))
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

/// The left side of a comparison.
enum Subject {
    Amount(Amount),
    Text(TextFact),
}

type Parsed<T> = Result<T, ConditionError>;

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_spaces(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// Takes `sign` if it comes next.
    fn eat(&mut self, sign: &str) -> bool {
        self.skip_spaces();
        let is_next = self.rest().starts_with(sign);
        self.at += if is_next { sign.len() } else { 0 };
        is_next
    }

    /// An error at the next sign, or word.
    fn refuse<T>(&self, message: impl Into<String>, hint: impl Into<String>) -> Parsed<T> {
        let word = self.rest().find(is_no_word).unwrap_or(self.rest().len());
        let sign = self.rest().chars().next().map_or(0, char::len_utf8);
        refuse_at((self.at, word.max(sign)), message, hint)
    }

    fn any(&mut self) -> Parsed<Term> {
        let mut terms = vec![self.all()?];
        while self.eat("||") {
            terms.push(self.all()?);
        }
        Ok(one_or(terms, Term::Any))
    }

    fn all(&mut self) -> Parsed<Term> {
        let mut terms = vec![self.one()?];
        while self.eat("&&") {
            terms.push(self.one()?);
        }
        Ok(one_or(terms, Term::All))
    }

    fn one(&mut self) -> Parsed<Term> {
        self.skip_spaces();
        let is_not = self.eat("!");
        if self.eat("(") {
            if self.depth == DEEPEST {
                self.at -= 1;
                return self.refuse("too many parentheses", "write it with fewer levels");
            }
            self.depth += 1;
            let term = self.any()?;
            if !self.eat(")") {
                return self.after("`)`, `&&` or `||`");
            }
            self.depth -= 1;
            return Ok(if is_not { Term::Not(Box::new(term)) } else { term });
        }
        if is_not {
            return self.refuse(
                "`!` needs parentheses",
                "write `!(path ^= '/api/')`, or `!=` between name and value",
            );
        }
        self.comparison()
    }

    fn end(&mut self) -> Parsed<()> {
        self.skip_spaces();
        if self.rest().is_empty() { Ok(()) } else { self.after("`&&` or `||`") }
    }

    /// What follows a comparison is wrong.
    fn after<T>(&self, wanted: &str) -> Parsed<T> {
        let rest = self.rest();
        let word = rest.split(is_no_word).next().unwrap_or_default().to_ascii_lowercase();
        let (message, hint) = match word.as_str() {
            "and" => ("`and` is not known here", "write `&&`".into()),
            "or" => ("`or` is not known here", "write `||`".into()),
            _ if rest.starts_with('&') => ("a single `&`", "write `&&`".into()),
            _ if rest.starts_with('|') => ("a single `|`", "write `||`".into()),
            _ if rest.starts_with(')') => {
                ("nothing was opened here", "remove the `)`, or add a `(`".into())
            }
            _ if rest.is_empty() => ("the condition ends too early", format!("add {wanted}")),
            _ => ("the condition goes on", format!("write {wanted} before it")),
        };
        self.refuse(message, hint)
    }

    fn comparison(&mut self) -> Parsed<Term> {
        let start = self.at;
        let name = self.word();
        if name.is_empty() {
            let hint = "write a comparison, as `status >= 500`; the name stands on its left";
            let message =
                if self.rest().is_empty() { "a comparison is missing" } else { "this is no name" };
            return self.refuse(message, hint);
        }
        let subject = match subject(name) {
            Ok(subject) => subject,
            Err((message, hint)) => return refuse_at((start, name.len()), message, hint),
        };
        self.skip_spaces();
        let sign = self.sign(&subject)?;
        self.skip_spaces();
        let begin = self.at;
        let value = self.value()?;
        let place = (begin, self.at - begin);
        match (subject, sign) {
            (Subject::Amount(of), Sign::Order(order)) => match amount(of, &value) {
                Ok(than) => Ok(Term::Amount(of, order, than)),
                Err((message, hint)) => refuse_at(place, message, hint),
            },
            (Subject::Text(of), Sign::Relation(relation)) => match text(&of, value) {
                Ok(with) => Ok(Term::Text(of, relation, with)),
                Err((message, hint)) => refuse_at(place, message, hint),
            },
            _ => unreachable!("a sign is one of its subject's"),
        }
    }

    fn sign(&mut self, subject: &Subject) -> Parsed<Sign> {
        let rest = self.rest();
        let order = ORDERS.iter().find(|(sign, _)| rest.starts_with(sign));
        let relation = RELATIONS.iter().find(|(sign, _)| rest.starts_with(sign));
        let known = "write `==`, `!=`, `^=` (begins with), `$=` (ends with) or `*=` (contains)";
        let (length, sign) = match (subject, order, relation) {
            _ if rest.starts_with("=~") || rest.starts_with('~') => {
                return self.refuse("there are no regular expressions", known);
            }
            (Subject::Amount(_), Some((sign, order)), _) => (sign.len(), Sign::Order(*order)),
            (Subject::Text(_), _, Some((sign, it))) => (sign.len(), Sign::Relation(*it)),
            (Subject::Amount(_), None, Some((sign, _))) => {
                let message = format!("`{sign}` compares texts, and this is a number");
                return self.refuse(message, "write `==`, `!=`, `<`, `<=`, `>` or `>=`");
            }
            (Subject::Text(_), Some((sign, _)), None) => {
                return self
                    .refuse(format!("`{sign}` compares numbers, and this is a text"), known);
            }
            _ if rest.starts_with("=>") => return self.refuse("`=>` is no operator", "write `>=`"),
            _ if rest.starts_with("=<") => return self.refuse("`=<` is no operator", "write `<=`"),
            _ if rest.starts_with('=') => return self.refuse("a single `=`", "write `==`"),
            (Subject::Amount(_), ..) => {
                return self
                    .refuse("an operator is missing", "write `==`, `!=`, `<`, `<=`, `>` or `>=`");
            }
            (Subject::Text(_), ..) => return self.refuse("an operator is missing", known),
        };
        self.at += length;
        Ok(sign)
    }

    /// A name, a number, or a text without quotes.
    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let word = &rest[..rest.find(is_no_word).unwrap_or(rest.len())];
        self.at += word.len();
        word
    }

    /// The right side of a comparison.
    fn value(&mut self) -> Parsed<String> {
        let rest = self.rest();
        let Some(quote) = rest.chars().next().filter(|it| matches!(it, '\'' | '"')) else {
            let word = self.word();
            if word.is_empty() {
                return self
                    .refuse("a value is missing", "write a number, a word or a text in quotes");
            }
            return Ok(word.to_owned());
        };
        let mut value = String::new();
        let mut characters = rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => {
                    let Some((_, it @ ('\\' | '\'' | '"'))) = characters.next() else {
                        let place = (self.at + at, 1);
                        return refuse_at(place, "a lone `\\`", "write `\\\\` for a backslash");
                    };
                    value.push(it);
                }
                it if it == quote => {
                    self.at += at + 1;
                    return Ok(value);
                }
                it => value.push(it),
            }
        }
        refuse_at((self.at, rest.len()), "this text has no end", format!("add `{quote}`"))
    }
}

/// An operator of the kind that its subject takes.
enum Sign {
    Order(Order),
    Relation(Relation),
}

fn refuse_at<T>(
    (offset, length): (usize, usize),
    message: impl Into<String>,
    hint: impl Into<String>,
) -> Parsed<T> {
    Err(ConditionError { offset, length, message: message.into(), hint: hint.into() })
}

fn is_no_word(it: char) -> bool {
    it.is_whitespace() || "()&|!<>=~^$*'\"\\,".contains(it)
}

fn one_or(mut terms: Vec<Term>, several: fn(Vec<Term>) -> Term) -> Term {
    match terms.pop() {
        Some(only) if terms.is_empty() => only,
        last => {
            terms.extend(last);
            several(terms)
        }
    }
}

/// A message and a hint.
type Fault = (String, String);

fn subject(name: &str) -> Result<Subject, Fault> {
    if let Some((_, amount)) = AMOUNTS.iter().find(|(known, _)| *known == name) {
        return Ok(Subject::Amount(*amount));
    }
    if let Some((_, text)) = TEXTS.iter().find(|(known, _)| *known == name) {
        return Ok(Subject::Text(text.clone()));
    }
    if let Some(header) = name.strip_prefix("header.") {
        return header_name("header.", header).map(|it| Subject::Text(TextFact::Header(it)));
    }
    if let Some(header) = name.strip_prefix("response.header.") {
        let name = header_name("response.header.", header);
        return name.map(|it| Subject::Text(TextFact::ResponseHeader(it)));
    }
    if let Some(cookie) = name.strip_prefix("cookie.").filter(|it| !it.is_empty()) {
        return Ok(Subject::Text(TextFact::Cookie(cookie.to_owned())));
    }
    let known = || AMOUNTS.iter().map(|it| it.0).chain(TEXTS.iter().map(|it| it.0));
    let nearest = known()
        .map(|known| (strsim::damerau_levenshtein(known, name), known))
        .min()
        .filter(|(distance, known)| *distance <= (known.len() / 3).max(1));
    let hint = match (nearest, name) {
        (Some((_, known)), _) => format!("did you mean `{known}`?"),
        (_, "client" | "ip" | "remote_addr") => "did you mean `client_ip`?".into(),
        (_, "geo.country") => "did you mean `country`?".into(),
        (_, "duration_ms" | "time" | "took") => "write `duration > 1s`".into(),
        (_, "code" | "status_code") => "did you mean `status`?".into(),
        _ if name.starts_with(|it: char| it.is_ascii_digit()) => {
            "the name stands on the left: `status >= 500`".into()
        }
        _ => format!(
            "known are {}, header.NAME, cookie.NAME, response.header.NAME",
            known().collect::<Vec<_>>().join(", ")
        ),
    };
    Err((format!("unknown name `{name}`"), hint))
}

fn header_name(prefix: &str, written: &str) -> Result<HeaderName, Fault> {
    HeaderName::from_bytes(written.as_bytes())
        .map_err(|_| (format!("`{written}` is not a header name"), format!("write `{prefix}NAME`")))
}

fn amount(of: Amount, value: &str) -> Result<u64, Fault> {
    let unit = |error: units::UnitError| (error.message, error.hint);
    match of {
        Amount::Duration => Ok(units::duration(value).map_err(unit)?.as_nanos() as u64),
        Amount::BytesSent | Amount::BytesReceived => units::size(value).map_err(unit),
        Amount::Status => {
            let number = value.parse::<u16>().ok().filter(|it| (100..1000).contains(it));
            number.map(u64::from).ok_or_else(|| {
                let hint = match value.strip_suffix("xx").and_then(|it| it.parse::<u64>().ok()) {
                    Some(class) => {
                        format!("write `status >= {class}00 && status < {}00`", class + 1)
                    }
                    None => "write a number of three digits, as `500`".into(),
                };
                (format!("`{value}` is not a status"), hint)
            })
        }
        Amount::Attempts => value
            .parse()
            .map_err(|_| (format!("`{value}` is not a number"), "write a whole number".into())),
    }
}

/// What a text is compared with, in the form in which requests have it.
fn text(of: &TextFact, value: String) -> Result<String, Fault> {
    match of {
        TextFact::Host => Ok(value.to_ascii_lowercase()),
        TextFact::Method if value.bytes().any(|it| it.is_ascii_lowercase()) => {
            let hint = format!("write `{}`", value.to_ascii_uppercase());
            Err(("methods are case-sensitive".into(), hint))
        }
        _ => Ok(value),
    }
}
