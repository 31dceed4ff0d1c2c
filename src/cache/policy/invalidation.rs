//! Invalidation: what an unsafe request makes stale (RFC 9111 §4.4).
//!
//! Owns: which URIs a response invalidates. May touch: nothing outside this room.

use crate::cache::url;
use http::{
    HeaderMap, Method, StatusCode,
    header::{CONTENT_LOCATION, LOCATION},
};

/// A request's target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Url<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host and port in lower case, without the scheme's default port.
    pub authority: &'a str,
    /// Path and query, as the key has them.
    pub path_and_query: &'a str,
}

/// Whether the method is known to change nothing (RFC 9110 §9.2.1 and the registry of methods).
/// What is not known counts as unsafe (§4.4).
fn is_safe(method: &Method) -> bool {
    let name = method.as_str();
    method.is_safe() || matches!(name, "PROPFIND" | "REPORT" | "SEARCH" | "QUERY")
}

/// The URIs that the response to this request invalidates, as absolute URIs of the same origin:
/// the target, `Location` and `Content-Location`.
pub fn targets(
    method: &Method,
    status: StatusCode,
    target: &Url<'_>,
    response: &HeaderMap,
) -> Vec<String> {
    if is_safe(method) || !(status.is_success() || status.is_redirection()) {
        return Vec::new();
    }
    let mut found = vec![absolute(target, target.path_and_query)];
    for name in [LOCATION, CONTENT_LOCATION] {
        let lines = response.get_all(name).iter().filter_map(|it| it.to_str().ok());
        for uri in lines.filter_map(|it| resolve(it, target)) {
            if !found.contains(&uri) {
                found.push(uri);
            }
        }
    }
    found
}

fn absolute(origin: &Url<'_>, path_and_query: &str) -> String {
    format!("{}://{}{path_and_query}", origin.scheme, origin.authority)
}

/// A URI reference against the target (RFC 3986 §5.2); `None` if it is of another origin, which
/// must not be invalidated by this one (§4.4).
fn resolve(reference: &str, target: &Url<'_>) -> Option<String> {
    let reference = reference.trim().split('#').next()?;
    let (scheme, rest) = split_scheme(reference);
    if scheme.is_some_and(|it| !it.eq_ignore_ascii_case(target.scheme)) {
        return None;
    }
    let (base, _) = split_query(target.path_and_query);
    if let Some(rest) = rest.strip_prefix("//") {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let is_same = url::authority(target.scheme, authority) == target.authority;
        return is_same.then(|| absolute(target, &normal_path(path)));
    }
    // A scheme without an authority is no HTTP URI (RFC 9110 §4.2.1).
    if scheme.is_some() {
        return None;
    }
    let path = match rest.as_bytes().first() {
        None => return Some(absolute(target, target.path_and_query)),
        Some(b'/') => normal_path(rest),
        Some(b'?') => format!("{base}{rest}"),
        Some(_) => {
            let folder = base.rfind('/').map_or("/", |at| &base[..=at]);
            normal_path(&format!("{folder}{rest}"))
        }
    };
    Some(absolute(target, &path))
}

/// The scheme, if there is one, and what follows its colon.
fn split_scheme(reference: &str) -> (Option<&str>, &str) {
    let is_in = |it: char| it.is_ascii_alphanumeric() || matches!(it, '+' | '-' | '.');
    match reference.split_once(':') {
        Some((scheme, rest)) if !scheme.is_empty() && scheme.chars().all(is_in) => {
            (Some(scheme), rest)
        }
        _ => (None, reference),
    }
}

/// The path, and the query with its question mark.
fn split_query(path_and_query: &str) -> (&str, &str) {
    path_and_query.split_at(path_and_query.find('?').unwrap_or(path_and_query.len()))
}

/// A path without its dot segments (RFC 3986 §5.2.4), with the query behind it.
fn normal_path(path_and_query: &str) -> String {
    let (path, query) = split_query(path_and_query);
    let mut segments: Vec<&str> = Vec::new();
    let mut given = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = given.next() {
        let is_last = given.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    segments.pop();
                }
                if is_last {
                    segments.push("");
                }
            }
            _ => segments.push(segment),
        }
    }
    format!("/{}{query}", segments.join("/"))
}
