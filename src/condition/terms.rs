//! A parsed condition: what it asks, how it is written again, and whether it holds.
//!
//! Owns: the names that a condition may use. May touch: nothing outside this room. Next:
//! [`super::parse`] makes them.

use http::HeaderName;
use std::{borrow::Cow, fmt};

/// A parsed condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition(pub(super) Term);

/// A part of a condition. `Any` and `All` have at least two parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Term {
    Any(Vec<Term>),
    All(Vec<Term>),
    Not(Box<Term>),
    Amount(Amount, Order, u64),
    Text(TextFact, Relation, String),
}

/// What is known of a request as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// `status` of the answer.
    Status,
    /// `duration` in nanoseconds; of a tunnel the time until it was open.
    Duration,
    /// `bytes_sent` of the answer's body.
    BytesSent,
    /// `bytes_received` of the request's body.
    BytesReceived,
    /// `attempts`: servers tried.
    Attempts,
}

/// What is known of a request as a text; empty if there is no such thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextFact {
    /// `method`.
    Method,
    /// `scheme`: `http` or `https`.
    Scheme,
    /// `host` in lower case, without its port.
    Host,
    /// `uri`: path and query as received.
    Uri,
    /// `path` as received.
    Path,
    /// `query` without `?`.
    Query,
    /// `client_ip`, as told by trusted proxies.
    ClientIp,
    /// `listener`: its name.
    Listener,
    /// `route`: its name.
    Route,
    /// `upstream`: its name.
    Upstream,
    /// `server`: the address tried last.
    Server,
    /// `cache`: what the cache did.
    Cache,
    /// `reason`: what went wrong.
    Reason,
    /// `country`: two letters.
    Country,
    /// `request_id`.
    RequestId,
    /// `header.NAME`: the first value of a request's field.
    Header(HeaderName),
    /// `cookie.NAME`.
    Cookie(String),
    /// `response.header.NAME`: the first value of the answer's field.
    ResponseHeader(HeaderName),
}

/// How two numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Same,
    Other,
    Less,
    AtMost,
    More,
    AtLeast,
}

/// How two texts are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Same,
    Other,
    Begins,
    Ends,
    Contains,
}

pub(super) const AMOUNTS: [(&str, Amount); 5] = [
    ("status", Amount::Status),
    ("duration", Amount::Duration),
    ("bytes_sent", Amount::BytesSent),
    ("bytes_received", Amount::BytesReceived),
    ("attempts", Amount::Attempts),
];

pub(super) const TEXTS: [(&str, TextFact); 15] = [
    ("method", TextFact::Method),
    ("scheme", TextFact::Scheme),
    ("host", TextFact::Host),
    ("uri", TextFact::Uri),
    ("path", TextFact::Path),
    ("query", TextFact::Query),
    ("client_ip", TextFact::ClientIp),
    ("listener", TextFact::Listener),
    ("route", TextFact::Route),
    ("upstream", TextFact::Upstream),
    ("server", TextFact::Server),
    ("cache", TextFact::Cache),
    ("reason", TextFact::Reason),
    ("country", TextFact::Country),
    ("request_id", TextFact::RequestId),
];

pub(super) const ORDERS: [(&str, Order); 6] = [
    ("==", Order::Same),
    ("!=", Order::Other),
    ("<=", Order::AtMost),
    (">=", Order::AtLeast),
    ("<", Order::Less),
    (">", Order::More),
];

pub(super) const RELATIONS: [(&str, Relation); 5] = [
    ("==", Relation::Same),
    ("!=", Relation::Other),
    ("^=", Relation::Begins),
    ("$=", Relation::Ends),
    ("*=", Relation::Contains),
];

/// A request that a condition is asked about.
pub trait Observed {
    /// A number of it.
    fn amount(&self, of: Amount) -> u64;
    /// A text of it, or an empty one.
    fn text(&self, of: &TextFact) -> Cow<'_, [u8]>;
}

impl Condition {
    /// Whether it holds for this request.
    pub fn holds(&self, request: &impl Observed) -> bool {
        self.0.holds(request)
    }

    /// `duration > limit` in nanoseconds, and `also` if there is such a condition.
    #[must_use]
    pub fn slower_than(limit: u64, also: Option<Self>) -> Self {
        let slow = Term::Amount(Amount::Duration, Order::More, limit);
        Self(match also {
            Some(Self(also)) => Term::All(vec![slow, also]),
            None => slow,
        })
    }

    /// The answer's fields that it asks about.
    pub fn response_headers(&self) -> Vec<&HeaderName> {
        let mut names = Vec::new();
        self.0.add_response_headers(&mut names);
        names
    }
}

impl Term {
    fn holds(&self, request: &impl Observed) -> bool {
        match self {
            Self::Any(terms) => terms.iter().any(|it| it.holds(request)),
            Self::All(terms) => terms.iter().all(|it| it.holds(request)),
            Self::Not(term) => !term.holds(request),
            Self::Amount(of, order, than) => order.holds(request.amount(*of), *than),
            Self::Text(of, relation, with) => relation.holds(&request.text(of), with.as_bytes()),
        }
    }

    fn add_response_headers<'a>(&'a self, names: &mut Vec<&'a HeaderName>) {
        match self {
            Self::Any(terms) | Self::All(terms) => {
                for term in terms {
                    term.add_response_headers(names);
                }
            }
            Self::Not(term) => term.add_response_headers(names),
            Self::Text(TextFact::ResponseHeader(name), ..) => names.push(name),
            Self::Amount(..) | Self::Text(..) => {}
        }
    }
}

impl Order {
    fn holds(self, one: u64, other: u64) -> bool {
        match self {
            Self::Same => one == other,
            Self::Other => one != other,
            Self::Less => one < other,
            Self::AtMost => one <= other,
            Self::More => one > other,
            Self::AtLeast => one >= other,
        }
    }
}

impl Relation {
    fn holds(self, one: &[u8], other: &[u8]) -> bool {
        match self {
            Self::Same => one == other,
            Self::Other => one != other,
            Self::Begins => one.starts_with(other),
            Self::Ends => one.ends_with(other),
            Self::Contains => memchr::memmem::find(one, other).is_some(),
        }
    }
}

/// The word that stands for `value` in a list.
fn word<T: PartialEq>(list: &[(&'static str, T)], value: &T) -> &'static str {
    list.iter().find(|(_, it)| it == value).map_or("", |(word, _)| word)
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any(terms) => joined(f, terms, " || "),
            Self::All(terms) => joined(f, terms, " && "),
            Self::Not(term) => write!(f, "!({term})"),
            Self::Amount(of, order, than) => {
                write!(f, "{} {} ", word(&AMOUNTS, of), word(&ORDERS, order))?;
                match of {
                    // As exact as it can be written.
                    Amount::Duration => write!(f, "{}ms", than / 1_000_000),
                    _ => write!(f, "{than}"),
                }
            }
            Self::Text(of, relation, with) => {
                match of {
                    TextFact::Header(name) => write!(f, "header.{name}")?,
                    TextFact::Cookie(name) => write!(f, "cookie.{name}")?,
                    TextFact::ResponseHeader(name) => write!(f, "response.header.{name}")?,
                    of => f.write_str(word(&TEXTS, of))?,
                }
                let with = with.replace('\\', "\\\\").replace('\'', "\\'");
                write!(f, " {} '{with}'", word(&RELATIONS, relation))
            }
        }
    }
}

/// Terms with a word between them. Those that have terms of their own are in parentheses.
fn joined(f: &mut fmt::Formatter<'_>, terms: &[Term], between: &str) -> fmt::Result {
    for (at, term) in terms.iter().enumerate() {
        if at > 0 {
            f.write_str(between)?;
        }
        match term {
            Term::Any(_) | Term::All(_) => write!(f, "({term})")?,
            _ => write!(f, "{term}")?,
        }
    }
    Ok(())
}
