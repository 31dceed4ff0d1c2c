//! `address` of a server: a host and a port, a URL of both, or a Unix socket.
//!
//! Owns: the three ways to write it. May touch: nothing outside this room. Next: [`super::server`].

use super::{
    names::{NameFault, server_address},
    table::Table,
    tree::TextValue,
};
use std::{os::unix::ffi::OsStrExt, path::PathBuf};

/// Where a server is.
#[derive(Default)]
pub(super) struct ServerAddress {
    /// `host:port`, or `unix:` and the path as written.
    pub(super) text: String,
    /// The path of a Unix socket, joined with the config file's directory.
    pub(super) socket: Option<PathBuf>,
    /// Whether a URL says that there is TLS, or that there is none.
    pub(super) tls: Option<bool>,
}

impl ServerAddress {
    /// Reads it, or reports what is wrong with it.
    pub(super) fn read(table: &Table<'_>, text: &TextValue) -> Self {
        if let Some(path) = text.value.strip_prefix("unix:") {
            let socket = Some(socket(table, text, path));
            return Self { text: text.value.clone(), socket, tls: None };
        }
        let (tls, place) = match without_scheme(&text.value) {
            Ok((tls, place)) => (tls, place),
            Err((message, hint)) => {
                table.error(text.span.clone(), message, Some(hint));
                return Self::default();
            }
        };
        if let Err((message, hint)) = server_address(&place) {
            table.error(text.span.clone(), message, Some(hint));
        }
        Self { text: place, socket: None, tls }
    }

    /// The host: a name, or an IP address without brackets.
    pub(super) fn host(&self) -> Option<&str> {
        let (host, _) = self.text.rsplit_once(':').filter(|_| self.socket.is_none())?;
        let host = host.strip_suffix('.').unwrap_or(host);
        Some(host.trim_start_matches('[').trim_end_matches(']'))
    }
}

/// `https://host` is `host:443` with TLS, `http://host` is `host:80` without.
fn without_scheme(text: &str) -> Result<(Option<bool>, String), NameFault> {
    let Some((scheme, rest)) = text.split_once("://") else { return Ok((None, text.to_owned())) };
    let (tls, port) = match scheme {
        "https" => (true, 443),
        "http" => (false, 80),
        _ => {
            let hint = "write `https://` for TLS, and host and port alone for plain HTTP";
            return Err((format!("`{scheme}` is not spoken to servers"), hint.into()));
        }
    };
    if rest.starts_with("unix:") {
        let with = if tls { " and `tls = { name = \"NAME\" }` beside it" } else { "" };
        let hint = format!("write `\"{rest}\"`{with}");
        return Err((format!("`{scheme}://` before a Unix socket"), hint));
    }
    let place = rest.strip_suffix('/').unwrap_or(rest);
    if let Some((host, _)) = place.split_once('/') {
        let hint = format!("write `\"{scheme}://{host}\"`, and `rewrite` in the route for a path");
        return Err((format!("`{text}` has a path"), hint));
    }
    let has_port = place.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    let place = if has_port { place.to_owned() } else { format!("{place}:{port}") };
    Ok((Some(tls), place))
}

/// So many bytes of a path fit into a socket's address on Linux.
const LONGEST_SOCKET: usize = 107;

/// The path of `unix:app.sock`.
fn socket(table: &Table<'_>, text: &TextValue, written: &str) -> PathBuf {
    // As in a URL.
    let written = written.strip_prefix("//").unwrap_or(written);
    let path = table.directory().join(written);
    let length = path.as_os_str().as_bytes().len();
    if written.is_empty() {
        let hint = Some("write a path: `\"unix:app.sock\"`".into());
        table.error(text.span.clone(), "a Unix socket has a path", hint);
    } else if length > LONGEST_SOCKET {
        let message = format!(
            "the path of a Unix socket has at most {LONGEST_SOCKET} bytes, `{}` has {length}",
            path.display()
        );
        let hint = Some("put the socket into a directory with a shorter name".into());
        table.error(text.span.clone(), message, hint);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let of = |text: &str| without_scheme(text).expect(text);
        assert_eq!(of("a:1"), (None, "a:1".into()));
        assert_eq!(of("https://a"), (Some(true), "a:443".into()));
        assert_eq!(of("https://a:8443/"), (Some(true), "a:8443".into()));
        assert_eq!(of("https://[::1]"), (Some(true), "[::1]:443".into()));
        assert_eq!(of("http://[::1]:81"), (Some(false), "[::1]:81".into()));
        for wrong in ["ftp://a", "https://a/b", "grpc://a:1", "https://unix:/a"] {
            assert!(without_scheme(wrong).is_err(), "{wrong}");
        }
    }
}
