//! Whether a request may come from where it comes: no page of another site may use a browser to
//! reach the admin address.
//!
//! Owns: `Host` against DNS rebinding, `Origin` and `Sec-Fetch-Site` against forged requests, the
//! type of a body. May touch: [`crate::message`].

use crate::message::context::host_name;
use http::{HeaderMap, Method, Uri, header, request::Parts};
use std::net::IpAddr;

/// Whether `head` names the daemon by a name that no stranger can have in DNS: an address, a name
/// without a dot, `*.localhost`, this machine's name, or one of `hosts`. A browser whose page comes
/// from a rebound name sends that name.
pub(super) fn is_own_host(head: &Parts, hosts: &[String], machine: &str) -> bool {
    let field = head.headers.get(header::HOST).map(|it| it.to_str().unwrap_or("."));
    // HTTP/1.0 may lack it; no browser does.
    let Some(authority) = head.uri.authority().map(http::uri::Authority::as_str).or(field) else {
        return true;
    };
    let host = host_of(authority);
    host.parse::<IpAddr>().is_ok()
        || (!host.contains('.') && !host.is_empty())
        || host.ends_with(".localhost")
        || host == machine
        || hosts.contains(&host)
}

/// Whether a browser says that a page of another site has made it. Programs say nothing of it.
pub(super) fn is_foreign(head: &Parts, hosts: &[String]) -> bool {
    let text = |name: &str| head.headers.get(name).map(|it| it.to_str().unwrap_or("?"));
    let site = text("sec-fetch-site");
    if head.method != Method::POST {
        // A link from another site may lead here.
        return site == Some("cross-site") && text("sec-fetch-mode") != Some("navigate");
    }
    let origin =
        text("origin").is_some_and(|it| !is_own_origin(it, &head.uri, &head.headers, hosts));
    origin || !matches!(site, None | Some("same-origin" | "none"))
}

fn is_own_origin(origin: &str, uri: &Uri, fields: &HeaderMap, hosts: &[String]) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let field = fields.get(header::HOST).and_then(|it| it.to_str().ok());
    let asked = uri.authority().map(http::uri::Authority::as_str).or(field).unwrap_or_default();
    let port = if scheme == "https" { ":443" } else { ":80" };
    let bare = |it: &str| {
        let it = it.to_ascii_lowercase();
        it.strip_suffix(port).map_or(it.clone(), str::to_owned)
    };
    bare(authority) == bare(asked) || hosts.contains(&host_of(authority))
}

/// Whether a browser asks: each sends one of these with a POST. Scripts and `curl -d` need not say
/// that a body is JSON.
pub(super) fn is_browser(fields: &HeaderMap) -> bool {
    fields.contains_key(header::ORIGIN) || fields.contains_key("sec-fetch-site")
}

/// The host of an authority, in lower case, without its port and brackets.
fn host_of(authority: &str) -> String {
    let host = host_name(authority).trim_start_matches('[').trim_end_matches(']');
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// Whether a browser opens a page, or a program can show one.
pub(super) fn takes_html(fields: &HeaderMap) -> bool {
    let mut takes = fields.get_all(header::ACCEPT).iter().filter_map(|it| it.to_str().ok());
    takes.any(|it| it.contains("text/html"))
}

/// Whether the body is said to be JSON. Pages of other sites can't send that without asking first.
pub(super) fn is_json(fields: &HeaderMap) -> bool {
    let kind = fields.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use proptest::prelude::*;

    fn head(method: &str, fields: &[(&str, &str)]) -> Parts {
        let request = Request::builder().method(method).uri("/purge");
        let request = fields.iter().fold(request, |it, (name, value)| it.header(*name, *value));
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn hosts() {
        let hosts = ["admin.example.com".to_owned()];
        let is_own = |host| is_own_host(&head("GET", &[("host", host)]), &hosts, "web-1.lan");
        for own in [
            "127.0.0.1:9900",
            "[::1]:9900",
            "10.0.0.7",
            "localhost:9900",
            "LOCALHOST",
            "proxy:9900",
            "a.localhost",
            "web-1.lan:9900",
            "admin.example.com",
            "Admin.Example.Com.:443",
        ] {
            assert!(is_own(own), "{own}");
        }
        for foreign in ["evil.example", "evil.example:9900", "127.0.0.1.nip.io", "", "1.2.3.4.5"] {
            assert!(!is_own(foreign), "{foreign}");
        }
        assert!(is_own_host(&head("GET", &[]), &hosts, ""));
    }

    #[test]
    fn origins() {
        let hosts = ["admin.example.com".to_owned()];
        let is_foreign = |method, fields: &[(&str, &str)]| {
            let fields = [&[("host", "localhost:9900")], fields].concat();
            super::is_foreign(&head(method, &fields), &hosts)
        };
        assert!(!is_foreign("POST", &[]));
        assert!(!is_foreign("POST", &[("origin", "http://localhost:9900")]));
        assert!(!is_foreign("POST", &[("origin", "https://admin.example.com")]));
        assert!(!is_foreign("POST", &[("sec-fetch-site", "same-origin")]));
        for origin in ["null", "http://localhost:3000", "http://evil.example", "localhost:9900", ""]
        {
            assert!(is_foreign("POST", &[("origin", origin)]), "{origin}");
        }
        for site in ["cross-site", "same-site"] {
            assert!(is_foreign("POST", &[("sec-fetch-site", site)]), "{site}");
        }
        assert!(is_foreign(
            "GET",
            &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")]
        ));
        assert!(!is_foreign(
            "GET",
            &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]
        ));
    }

    proptest! {
        #[test]
        fn a_name_of_the_public_dns_is_foreign(name in "[a-z]{1,9}(\\.[a-z]{2,6}){1,3}", port: u16) {
            prop_assume!(!name.ends_with(".localhost"));
            let head = head("GET", &[("host", &format!("{name}:{port}"))]);
            prop_assert!(!is_own_host(&head, &[], "machine"));
        }
    }
}
