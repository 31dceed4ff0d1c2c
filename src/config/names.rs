//! How addresses, hosts, paths and methods are written, in any table.
//!
//! Owns: parsing each of them, and a hint what to write instead. May touch: [`crate::path`]. Next:
//! [`super::server`], [`super::site`] and [`super::route`] read their values with these.

use super::{HostPattern, PathPattern};
use crate::path::normalise;
use http::Method;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A message and a hint.
pub(super) type NameFault = (String, String);

/// `host:port`, `1.2.3.4:80` or `[::1]:80`.
pub(super) fn server_address(text: &str) -> Result<(), NameFault> {
    let refuse = |hint: String| Err((format!("`{text}` is not a server address"), hint));
    if text.starts_with('/') {
        return refuse(format!("a Unix socket is written `\"unix:{text}\"`"));
    }
    if let Some((host, _)) = text.split_once('/') {
        return refuse(format!("an address has no path: `\"{host}\"`"));
    }
    if let Some((host, port)) = without_brackets(text) {
        return refuse(format!("an IPv6 address stands in brackets: `\"[{host}]:{port}\"`"));
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return refuse(format!("write brackets and a port: `\"[{text}]:80\"`"));
    }
    let Some((host, port)) = text.rsplit_once(':').filter(|_| !text.ends_with(']')) else {
        return refuse(if text.is_empty() {
            "write host and port: `\"127.0.0.1:3001\"`".into()
        } else {
            format!("a port is missing: `\"{text}:80\"`")
        });
    };
    if port.parse::<u16>().is_ok_and(|port| port > 0) {
        if is_host(host) {
            return Ok(());
        }
        return refuse(match host {
            "" => format!("a host is missing: `\"127.0.0.1:{port}\"`"),
            _ => "a host is a name, an IPv4 address, or an IPv6 address in brackets".into(),
        });
    }
    refuse(format!("`{port}` is not a port: write a number from 1 to 65535"))
}

/// Address and port of a text such as `::1:8080`, which by itself is an IPv6 address without a
/// port.
pub(super) fn without_brackets(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    let is_meant =
        host.parse::<Ipv6Addr>().is_ok() && port.parse::<u16>().is_ok_and(|port| port > 0);
    is_meant.then_some((host, port))
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

/// A name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    if let Some(inside) = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
        return inside.parse::<Ipv6Addr>().is_ok();
    }
    // A name of digits and dots alone is a mistyped address.
    let digits = !host.is_empty() && host.chars().all(|c| c.is_ascii_digit() || c == '.');
    if digits { host.parse::<Ipv4Addr>().is_ok() } else { is_name(host) }
}

fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    name.len() <= 253 && name.strip_suffix('.').unwrap_or(name).split('.').all(label)
}

/// `api.example.com`, `*.example.com`, `127.0.0.1` or `[::1]`.
pub(super) fn host_pattern(text: &str) -> Result<HostPattern, NameFault> {
    let host = text.to_lowercase();
    let host = host.strip_suffix('.').unwrap_or(&host);
    let refuse = |hint: String| Err((format!("`{text}` is no host"), hint));
    if let Some((_, rest)) = host.split_once("://") {
        let rest = rest.split(['/', ':']).next().unwrap_or(rest);
        return refuse(format!("write the host alone: `\"{rest}\"`"));
    }
    if let Some((bare, _)) = host.split_once('/') {
        return refuse(format!("a host has no path: `\"{bare}\"`"));
    }
    if host == "*" {
        return refuse("leave `hosts` out: a site without it takes every other host".into());
    }
    if host.parse::<Ipv6Addr>().is_ok() {
        return refuse(format!("write brackets: `\"[{host}]\"`"));
    }
    if has_port(host) && !host.ends_with(']') {
        let bare = host.rsplit_once(':').map_or(host, |(bare, _)| bare);
        return refuse(format!("a host has no port, its listener has: `\"{bare}\"`"));
    }
    if !host.is_ascii() {
        return refuse("write the name in its ASCII form, which starts with `xn--`".into());
    }
    if let Some(parent) = host.strip_prefix("*.") {
        if is_name(parent) {
            return Ok(HostPattern::Wildcard(parent.to_owned()));
        }
    } else if is_host(host) {
        // Requests are compared in the short form.
        let inside = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        let address = inside.and_then(|it| it.parse::<Ipv6Addr>().ok());
        return Ok(HostPattern::Exact(address.map_or(host.to_owned(), |it| format!("[{it}]"))));
    }
    refuse(if host.contains('*') {
        "a `*` stands for whole labels at the start: `\"*.example.com\"`".into()
    } else {
        "write a name, as `\"api.example.com\"` or `\"*.example.com\"`".into()
    })
}

/// `/x`, `/x/*` or `*.css`.
pub(super) fn path_pattern(text: &str) -> Result<PathPattern, NameFault> {
    let refuse = |hint: String| Err((format!("`{text}` is no path"), hint));
    if let Some(suffix) = text.strip_prefix('*') {
        if suffix.len() > 1 && suffix.starts_with('.') && !suffix.contains(['*', '/', '?', '#']) {
            is_comparable(&format!("/x{suffix}"))
                .or_else(|hint| refuse(hint.replace("`\"/x", "`\"*")).map(drop))?;
            return Ok(PathPattern::Suffix(suffix.to_owned()));
        }
        return refuse(if suffix.is_empty() {
            "write `\"/*\"` for every path".into()
        } else {
            "a suffix is `*`, a dot and letters: `\"*.css\"`".into()
        });
    }
    if let Some(hint) = as_nginx_has_it(text) {
        return refuse(hint);
    }
    if !text.starts_with('/') {
        return refuse(format!("a path starts with `/`: `\"/{text}\"`"));
    }
    if text.contains(['?', '#']) {
        return refuse("a route is chosen by its path, without query".into());
    }
    let (fixed, prefix) = match text.strip_suffix("/*") {
        Some(fixed) => (fixed, true),
        None => (text, false),
    };
    if fixed.contains('*') {
        let stem = fixed.split('*').next().unwrap_or("/").trim_end_matches('/');
        return refuse(format!("a `*` stands at the end, after a `/`: `\"{stem}/*\"`"));
    }
    is_comparable(text).or_else(|hint| refuse(hint).map(drop))?;
    let mut segments = fixed.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let doubled = segment.is_empty() && (prefix || segments.peek().is_some());
        if doubled || segment == "." || segment == ".." {
            let hint = "paths are compared without `//`, `/./` and `/../`: it would never match";
            return refuse(hint.into());
        }
    }
    Ok(if prefix {
        PathPattern::Prefix(format!("{fixed}/"))
    } else {
        PathPattern::Exact(text.to_owned())
    })
}

/// Checks that a request's path can be equal to this one. Requests are compared after decoding, so
/// a path that is written with escapes would never match. The error is a hint.
pub(super) fn is_comparable(path: &str) -> Result<(), String> {
    let compared = "paths are compared with their escapes decoded";
    // A `%` without two digits after it stands for a `%25` in the request.
    let digits = |at: usize| path.as_bytes().get(at + 1..at + 3);
    let is_escape = |at| digits(at).is_some_and(|it| it.iter().all(u8::is_ascii_hexdigit));
    let escaped = path.match_indices('%').any(|(at, _)| is_escape(at));
    match (escaped || path.contains(['\\', '\0'])).then(|| normalise(path)) {
        None => Ok(()),
        Some(Ok(decoded)) if decoded == path => Ok(()),
        Some(Ok(decoded)) => Err(format!("{compared}: write `\"{decoded}\"`")),
        Some(Err(error)) => Err(format!("{error}: no request with such a path gets here")),
    }
}

/// A hint for the modifiers of nginx's `location` (`=`, `~`), and for regular expressions.
fn as_nginx_has_it(text: &str) -> Option<String> {
    if let Some(path) = text.strip_prefix("= ") {
        return Some(format!("without `=` it is exact already: `\"{}\"`", path.trim()));
    }
    if let Some(path) = text.strip_prefix("^~") {
        return Some(format!("write a prefix: `\"{}/*\"`", path.trim().trim_end_matches('/')));
    }
    let pattern = text.strip_prefix(['~', '^'])?.trim_start_matches(['*', ' ', '^']);
    let plain = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_'));
    let pattern = pattern.trim_end_matches('$');
    let stem = match pattern.find(plain) {
        Some(end) => pattern[..end].rsplit_once('/').map_or("", |(whole, _)| whole),
        None => pattern.trim_end_matches('/'),
    };
    let prefix = if stem.starts_with('/') { stem } else { "/api" };
    Some(format!(
        "a path is not a regular expression: write a prefix or a suffix, as `\"{prefix}/*\"` or `\"*.css\"`"
    ))
}

/// A method, as `GET`.
pub(super) fn method(text: &str) -> Result<Method, NameFault> {
    const STANDARD: [&str; 9] =
        ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"];
    let upper = text.to_ascii_uppercase();
    if upper != text && STANDARD.contains(&upper.as_str()) {
        let hint = format!("methods are case-sensitive: write `\"{upper}\"`");
        return Err((format!("`{text}` is no method"), hint));
    }
    if text == "*" {
        let hint = "leave `methods` out: then every method is taken";
        return Err(("`*` is no method".into(), hint.into()));
    }
    Method::from_bytes(text.as_bytes()).map_err(|_| {
        let hint = format!("known methods are {}", STANDARD.join(", "));
        (format!("`{text}` is no method"), hint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_addresses() {
        for right in ["a:1", "127.0.0.1:3001", "[::1]:80", "my_app.local.:8080", "db-1:65535"] {
            assert_eq!(server_address(right), Ok(()), "{right}");
        }
        let hint = |text| server_address(text).expect_err(text).1;
        assert_eq!(hint("app"), "a port is missing: `\"app:80\"`");
        assert_eq!(hint("[::1]"), "a port is missing: `\"[::1]:80\"`");
        assert_eq!(hint("::1"), "write brackets and a port: `\"[::1]:80\"`");
        assert_eq!(hint("::1:80"), "an IPv6 address stands in brackets: `\"[::1]:80\"`");
        for wrong in ["", ":80", "a:0", "a:65536", "a:b", "1.2.3:80", "a b:80", "a..b:80", "a:1/x"]
        {
            assert!(server_address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hosts() {
        let exact = |host: &str| Ok(HostPattern::Exact(host.into()));
        assert_eq!(host_pattern("API.example.com."), exact("api.example.com"));
        assert_eq!(host_pattern("127.0.0.1"), exact("127.0.0.1"));
        assert_eq!(host_pattern("[::1]"), exact("[::1]"));
        assert_eq!(host_pattern("[0:0:0:0:0:0:0:1]"), exact("[::1]"));
        assert_eq!(host_pattern("*.example.com"), Ok(HostPattern::Wildcard("example.com".into())));
        for wrong in ["", "*", "a.*", "*a.com", "a:80", "::1", "http://a", "a/b", "é.com", "a b"] {
            assert!(host_pattern(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn paths() {
        assert_eq!(path_pattern("/*"), Ok(PathPattern::Prefix("/".into())));
        assert_eq!(path_pattern("/x/*"), Ok(PathPattern::Prefix("/x/".into())));
        assert_eq!(path_pattern("/"), Ok(PathPattern::Exact("/".into())));
        assert_eq!(path_pattern("/x/"), Ok(PathPattern::Exact("/x/".into())));
        assert_eq!(path_pattern("*.css"), Ok(PathPattern::Suffix(".css".into())));
        for wrong in
            ["", "x", "*", "*css", "/x*", "/x/*/y", "/a//b", "/../a", "/a?b", "//*", "/a/*.c"]
        {
            assert!(path_pattern(wrong).is_err(), "{wrong}");
        }
        for wrong in
            ["/my%20files/*", "/a%2fb", "/%e9", "/a%00", "*.%63ss", "*.c\\ss", "/a\\b", "/%2e%2e/x"]
        {
            assert!(path_pattern(wrong).is_err(), "{wrong}");
        }
        assert_eq!(path_pattern("/100%"), Ok(PathPattern::Exact("/100%".into())));
        assert_eq!(path_pattern("/%E9"), Ok(PathPattern::Exact("/%E9".into())));
        assert_eq!(path_pattern("/my files/*"), Ok(PathPattern::Prefix("/my files/".into())));
        assert_eq!(
            path_pattern("/my%20files/*").expect_err("escaped").1,
            "paths are compared with their escapes decoded: write `\"/my files/*\"`"
        );
    }
}
