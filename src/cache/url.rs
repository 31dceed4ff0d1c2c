//! The URL that a response is stored under.
//!
//! Owns: its spelling, and which parameters and cookies are part of it. May touch:
//! [`crate::encode`], [`crate::message`], [`crate::settings`]. Whatever of a request is left out
//! here must not reach the server either: one client's could otherwise choose what all others get.

use crate::{
    encode::CodingWish,
    message::context::site_name,
    settings::{Coding, QueryKey},
};

/// Scheme, host in lower case, port if it is not the scheme's, path and query.
pub fn absolute(scheme: &str, host: &str, path_and_query: &str) -> String {
    let mut url = String::with_capacity(scheme.len() + 3 + host.len() + path_and_query.len());
    url.push_str(scheme);
    url.push_str("://");
    push_authority(&mut url, scheme, host);
    url.push_str(path_and_query);
    url
}

/// The host and port of such a URL.
pub fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    &rest[..rest.find(['/', '?']).unwrap_or(rest.len())]
}

/// A host as all spellings of it are stored: lower case, without a last dot or the scheme's port.
pub fn authority(scheme: &str, host: &str) -> String {
    let mut authority = String::with_capacity(host.len());
    push_authority(&mut authority, scheme, host);
    authority
}

fn push_authority(out: &mut String, scheme: &str, host: &str) {
    let (start, name) = (out.len(), site_name(host));
    out.push_str(&name);
    out[start..].make_ascii_lowercase();
    if name == host {
        return;
    }
    let after_name = host.rfind(']').map_or(0, |end| end + 1);
    let port = host[after_name..].rsplit_once(':').map_or("", |(_, port)| port);
    let default = if scheme == "https" { "443" } else { "80" };
    let port = port.trim_start_matches('0');
    if !port.is_empty() && port != default {
        out.push(':');
        out.push_str(port);
    }
}

/// A path and query with the parameters that count; `None` if all do.
pub fn filtered(path: &str, query: Option<&str>, key: &QueryKey) -> Option<String> {
    let query = query?;
    let counts = |parameter: &str| {
        let name = parameter.split('=').next().unwrap_or_default();
        match key {
            QueryKey::All => true,
            QueryKey::None => false,
            QueryKey::Only(names) => names.iter().any(|it| is_named(it, name)),
            QueryKey::Without(names) => !names.iter().any(|it| is_named(it, name)),
        }
    };
    if *key == QueryKey::All {
        return None;
    }
    let parameters = query.split('&').filter(|it| !it.is_empty());
    let mut parameters: Vec<_> = parameters.filter(|it| counts(it)).collect();
    // By name, and those of one name in their order: servers may take it for a list.
    parameters.sort_by_key(|it| it.split('=').next());
    let joined = parameters.join("&");
    Some(if joined.is_empty() { path.to_owned() } else { format!("{path}?{joined}") })
}

/// Whether a name is meant: exactly, or by its beginning before a `*`.
fn is_named(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    }
}

/// The cookies of these names, as one value of `Cookie`, in the order of the names; `None` without
/// any.
pub fn cookies(values: &[&[u8]], names: &[String]) -> Option<Vec<u8>> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for name in names {
        let all = values.iter().flat_map(|it| it.split(|byte| *byte == b';'));
        kept.extend(all.map(<[u8]>::trim_ascii).filter(|it| cookie_name(it) == name.as_bytes()));
    }
    (!kept.is_empty()).then(|| kept.join(&b"; "[..]))
}

/// Whether one of the cookies has one of these names.
pub fn has_cookie<'a>(mut values: impl Iterator<Item = &'a [u8]>, names: &[String]) -> bool {
    values.any(|value| {
        let mut all = value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        all.any(|it| names.iter().any(|name| cookie_name(it) == name.as_bytes()))
    })
}

fn cookie_name(pair: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'=', pair).unwrap_or(pair.len());
    pair[..end].trim_ascii()
}

/// The codings that a client takes, in one spelling. Two clients that take the same get the same
/// response.
pub fn codings<'a>(values: impl Iterator<Item = &'a [u8]>) -> &'static str {
    let mut wish = CodingWish::default();
    values.for_each(|value| wish.read(value));
    let takes = [Coding::Brotli, Coding::Gzip, Coding::Zstd].map(|coding| wish.takes(coding));
    match takes {
        [false, false, false] => "",
        [true, false, false] => "br",
        [false, true, false] => "gzip",
        [false, false, true] => "zstd",
        [true, true, false] => "br, gzip",
        [true, false, true] => "br, zstd",
        [false, true, true] => "gzip, zstd",
        [true, true, true] => "br, gzip, zstd",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_one_spelling() {
        for (scheme, host, url) in [
            ("http", "A.Example:80", "http://a.example/x?y"),
            ("http", "a.example.", "http://a.example/x?y"),
            ("http", "a.example:", "http://a.example/x?y"),
            ("https", "a.example:443", "https://a.example/x?y"),
            ("https", "a.example:80", "https://a.example:80/x?y"),
            ("http", "a.example:08080", "http://a.example:8080/x?y"),
            ("http", "[::1]:81", "http://[::1]:81/x?y"),
            ("http", "[0:0::1]", "http://[::1]/x?y"),
        ] {
            assert_eq!(absolute(scheme, host, "/x?y"), url, "{host}");
            assert_eq!(host_of(url), authority(scheme, host), "{host}");
        }
    }

    #[test]
    fn parameters_that_do_not_count_are_not_there() {
        let names = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let filtered = |query, key: &QueryKey| filtered("/p", Some(query), key);
        assert_eq!(filtered("a=1", &QueryKey::All), None);
        assert_eq!(filtered("a=1", &QueryKey::None).unwrap(), "/p");
        let only = QueryKey::Only(names(&["page", "a"]));
        assert_eq!(filtered("z=1&page=2&a=1&page=1&&", &only).unwrap(), "/p?a=1&page=2&page=1");
        let without = QueryKey::Without(names(&["utm_*", "id"]));
        assert_eq!(filtered("utm_x=1&ids=2&id=3&b", &without).unwrap(), "/p?b&ids=2");
    }

    #[test]
    fn cookies_by_name() {
        let lines: [&[u8]; 2] = [b"a=1; b=2;c", b"b=3; session=x"];
        let names = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let kept = cookies(&lines, &names(&["b", "a", "d"])).unwrap();
        assert_eq!(kept, b"b=2; b=3; a=1");
        assert_eq!(cookies(&lines, &names(&["d"])), None);
        assert!(has_cookie(lines.into_iter(), &names(&["session"])));
        assert!(!has_cookie(lines.into_iter(), &names(&["sess"])));
    }

    #[test]
    fn clients_that_take_the_same_are_alike() {
        let of = |value: &'static str| codings([value.as_bytes()].into_iter());
        assert_eq!(of("gzip, deflate, br, zstd"), "br, gzip, zstd");
        assert_eq!(of("br;q=1.0,gzip;q=0.5"), "br, gzip");
        assert_eq!(of("GZIP;q=0, BR;q=0.000"), "");
        assert_eq!(of("identity"), "");
        assert_eq!(of("*;q=0.1, gzip;q=0"), "br, zstd");
    }
}
