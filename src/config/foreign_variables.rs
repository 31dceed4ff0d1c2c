//! nginx's variables in our templates: here they are plain text, and would be sent as written.
//!
//! Owns: their names, and what to write instead. May touch: nothing outside this room. Next:
//! [`super::values`] warns of them.

use std::ops::Range;

/// By nginx's name, without the `$`.
const NAMED: [(&str, &str); 24] = [
    ("args", "{query}"),
    ("binary_remote_addr", "{client_ip}"),
    ("document_uri", "{path}"),
    ("host", "{host}"),
    ("http_host", "{host}"),
    ("proxy_add_x_forwarded_for", "{header.X-Forwarded-For}"),
    ("query_string", "{query}"),
    ("realip_remote_addr", "{client_ip}"),
    ("remote_addr", "{client_ip}"),
    ("request_id", "{request_id}"),
    ("request_method", "{method}"),
    ("request_uri", "{uri}"),
    ("scheme", "{scheme}"),
    ("server_name", "{host}"),
    ("upstream_addr", "{server}"),
    ("ssl_cipher", "{tls.cipher}"),
    ("ssl_client_fingerprint", "{tls.client.fingerprint}"),
    ("ssl_client_i_dn", "{tls.client.issuer}"),
    ("ssl_client_s_dn", "{tls.client.subject}"),
    ("ssl_client_serial", "{tls.client.serial}"),
    ("ssl_protocol", "{tls.version}"),
    ("ssl_server_name", "{tls.sni}"),
    ("uri", "{path}"),
    ("https", "{scheme}"),
];

/// Each in `text`: where it is, `$` included, and what to write.
pub(super) fn find(text: &str) -> impl Iterator<Item = (Range<usize>, String)> {
    text.match_indices('$').filter_map(|(at, _)| {
        let rest = &text[at + 1..];
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit() && c != '_');
        let name = &rest[..end.unwrap_or(rest.len())];
        Some((at..at + 1 + name.len(), ours(name)?))
    })
}

fn ours(name: &str) -> Option<String> {
    if let Some((_, ours)) = NAMED.iter().find(|(theirs, _)| *theirs == name) {
        return Some((*ours).to_owned());
    }
    let named = |prefix: &str| name.strip_prefix(prefix).filter(|it| !it.is_empty());
    if let Some(header) = named("http_") {
        return Some(format!("{{header.{}}}", header.replace('_', "-")));
    }
    named("cookie_").map(|cookie| format!("{{cookie.{cookie}}}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_one_is_told_from_money() {
        let found: Vec<_> = find("$remote_addr, $http_x_user:$cookie_id $5 $ $foo$host").collect();
        let written = ["{client_ip}", "{header.x-user}", "{cookie.id}", "{host}"];
        assert_eq!(found.iter().map(|it| &*it.1).collect::<Vec<_>>(), written);
        assert_eq!(found[1].0, 14..26);
    }
}
