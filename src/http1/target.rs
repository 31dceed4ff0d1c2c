//! What a request is for: path, query and host (RFC 9110 §7.1).
//!
//! Owns: their text. May touch: nothing outside this room. [`crate::proxy::admission`] checks
//! whether they are allowed.

use http::{
    Uri,
    uri::{Authority, Scheme},
};

/// The target of a request, in any of its forms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestTarget {
    /// Path and query, then the host.
    text: String,
    path_end: usize,
    query_end: usize,
    authority: Option<Authority>,
    /// The scheme is `http` or `https`.
    web: bool,
}

impl RequestTarget {
    /// A target in origin form: an absolute path, perhaps with a query (RFC 9112 §3.2.1). It must
    /// be valid.
    pub fn origin(target: &str, host: &str) -> Self {
        let mut text = String::with_capacity(target.len() + host.len());
        text.push_str(target);
        text.push_str(host);
        let query_end = target.len();
        let path_end = memchr::memchr(b'?', target.as_bytes()).unwrap_or(query_end);
        Self { text, path_end, query_end, ..Self::default() }
    }

    /// A target in any form.
    pub fn new(uri: Uri, host: &str) -> Self {
        let parts = uri.into_parts();
        let target = parts.path_and_query.as_ref().map_or("", |it| it.as_str());
        let target = match target {
            // RFC 9112 §3.2.1: an empty path, as in `http://host?query`, is sent as `/`.
            query if query.starts_with('?') => Self::origin(&format!("/{query}"), host),
            target => Self::origin(target, host),
        };
        let web = matches!(parts.scheme.as_ref().map(Scheme::as_str), Some("http" | "https"));
        Self { authority: parts.authority, web, ..target }
    }

    /// The path as received: `*` for `OPTIONS *`, empty for CONNECT's form.
    pub fn path(&self) -> &str {
        &self.text[..self.path_end]
    }

    /// What follows the `?`.
    pub fn query(&self) -> Option<&str> {
        (self.path_end < self.query_end).then(|| &self.text[self.path_end + 1..self.query_end])
    }

    /// Path and query.
    pub fn path_and_query(&self) -> &str {
        &self.text[..self.query_end]
    }

    /// The host with its port as the client sent it, or empty.
    pub fn host(&self) -> &str {
        &self.text[self.query_end..]
    }

    /// Host and port of a target in absolute form, or in CONNECT's (RFC 9112 §3.2.2, §3.2.3).
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_ref().map(Authority::as_str)
    }

    /// Whether the absolute form had the scheme `http` or `https`.
    pub fn is_web(&self) -> bool {
        self.web
    }

    /// Uses the authority as the host (RFC 9112 §3.2.2).
    pub fn take_authority_for_host(&mut self) {
        if let Some(authority) = &self.authority {
            self.text.truncate(self.query_end);
            self.text.push_str(authority.as_str());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(uri: &'static str) -> RequestTarget {
        RequestTarget::new(Uri::from_static(uri), "h:1")
    }

    fn parts(target: &RequestTarget) -> (&str, Option<&str>, &str, &str) {
        (target.path(), target.query(), target.path_and_query(), target.host())
    }

    #[test]
    fn every_form() {
        assert_eq!(parts(&target("/a?b?c")), ("/a", Some("b?c"), "/a?b?c", "h:1"));
        assert_eq!(parts(&target("/")), ("/", None, "/", "h:1"));
        assert_eq!(parts(&target("/?")), ("/", Some(""), "/?", "h:1"));
        assert_eq!(parts(&target("*")), ("*", None, "*", "h:1"));
        assert_eq!(parts(&target("x:80")), ("", None, "", "h:1"));
        let mut absolute = target("http://x:80?q");
        assert_eq!(parts(&absolute), ("/", Some("q"), "/?q", "h:1"));
        assert_eq!((absolute.authority(), absolute.is_web()), (Some("x:80"), true));
        absolute.take_authority_for_host();
        assert_eq!(absolute.host(), "x:80");
        assert!(!target("ftp://x/").is_web() && !target("x:80").is_web());
        assert_eq!(RequestTarget::origin("/a?b?c", "h:1"), target("/a?b?c"));
        assert_eq!(RequestTarget::origin("/", "h:1"), target("/"));
    }
}
