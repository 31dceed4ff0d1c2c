//! `endpoint` and `tls` of `[otlp]`: where the collector is.
//!
//! Owns: the URL. May touch: nothing outside this room. Next: [`super::otlp`].

use super::{
    ServerTls, names::server_address, server_address::ServerAddress, server_tls::is_verifiable,
    table::Table, tree::TextValue,
};
use std::path::PathBuf;

/// Where the collector is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OtlpEndpoint {
    /// `host:port`, or `unix:` and the path as written.
    pub address: String,
    /// The path of a Unix socket.
    pub socket: Option<PathBuf>,
    /// What `Host` is: as in the URL, without a usual port.
    pub host: String,
    /// What the paths begin with; empty, or `/` and no `/` at its end.
    pub base: String,
    /// TLS, with the name that the certificate must have.
    pub tls: Option<ServerTls>,
}

impl OtlpEndpoint {
    /// Reads `endpoint` and `tls`.
    pub(super) fn read(table: &Table<'_>) -> Self {
        let tls = table.optional_table("tls").map(|it| ServerTls::read(&it));
        let Some(text) = table.required_text("endpoint", "\"http://127.0.0.1:4318\"") else {
            return Self::default();
        };
        let mut endpoint = if text.value.starts_with("unix:") {
            let ServerAddress { text: address, socket, .. } = ServerAddress::read(table, text);
            Self { address, socket, host: "localhost".into(), ..Self::default() }
        } else {
            match Self::parse(&text.value) {
                Ok(endpoint) => endpoint,
                Err((message, hint)) => {
                    table.error(text.span.clone(), message, Some(hint));
                    return Self::default();
                }
            }
        };
        endpoint.warn_of_grpc(table, text);
        endpoint.add_tls(table, tls);
        endpoint
    }

    fn parse(text: &str) -> Result<Self, (String, String)> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| {
            (format!("`{text}` is not a URL"), format!("write `\"http://{text}\"`"))
        })?;
        let (tls, port) = match scheme {
            "http" => (None, 80),
            "https" => (Some(ServerTls::default()), 443),
            _ => {
                let hint = "write `http://` or `https://`: OTLP is sent by HTTP with protobuf";
                return Err((format!("`{scheme}` is not spoken to collectors"), hint.into()));
            }
        };
        let (place, base) = rest.split_once('/').map_or((rest, String::new()), |(place, path)| {
            (place, format!("/{}", path.trim_end_matches('/')))
        });
        let base = if base == "/" { String::new() } else { base };
        for end in ["/v1/traces", "/v1/metrics"] {
            if let Some(before) = base.strip_suffix(end) {
                let hint = format!("write `\"{scheme}://{place}{before}\"`");
                return Err((format!("`{end}` is added to `endpoint` by itself"), hint));
            }
        }
        if place.contains('@') {
            let hint = "write them in `headers`, as `{ authorization = \"Basic …\" }`";
            return Err(("a URL with a name and a password".into(), hint.into()));
        }
        if !base.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte)) {
            let hint = "write a URL without `?` and `#`, as `\"http://127.0.0.1:4318\"`";
            return Err((format!("`{base}` cannot be the beginning of a path"), hint.into()));
        }
        let has_port = place.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let address = if has_port { place.to_owned() } else { format!("{place}:{port}") };
        server_address(&address)?;
        let host = place.strip_suffix(&format!(":{port}")).unwrap_or(place).to_owned();
        Ok(Self { address, socket: None, host, base, tls })
    }

    fn warn_of_grpc(&self, table: &Table<'_>, text: &TextValue) {
        if self.address.ends_with(":4317") {
            let message = "4317 is a collector's port for gRPC; OTLP is sent by HTTP here";
            let hint = Some("its port for HTTP is 4318 if it was not changed".into());
            table.warning(text.span.clone(), message, hint);
        }
    }

    /// `tls` is for `https://` and for Unix sockets.
    fn add_tls(&mut self, table: &Table<'_>, wanted: Option<ServerTls>) {
        if wanted.is_some() && self.tls.is_none() && self.socket.is_none() {
            let hint = Some("write `https://`, or leave `tls` out".into());
            table.error(table.key_span("tls"), "`tls` beside an endpoint with `http://`", hint);
            return;
        }
        self.tls = wanted.or_else(|| self.tls.take());
        let Some(tls) = self.tls.as_mut().filter(|it| it.name.is_none()) else { return };
        let host = self.address.rsplit_once(':').map_or("", |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if self.socket.is_none() && is_verifiable(host) {
            tls.name = Some(host.to_owned());
        } else if tls.insecure {
            tls.name = Some("localhost".into());
        } else {
            let message = "no certificate can be for this endpoint";
            let hint = Some("add `tls.name`: what the collector's certificate is for".into());
            table.error(table.value_span("endpoint"), message, hint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let parsed = |text| {
            OtlpEndpoint::parse(text).map(|it| (it.address, it.host, it.base, it.tls.is_some()))
        };
        let place = |address: &str, host: &str, base: &str, tls| {
            Ok((address.to_owned(), host.to_owned(), base.to_owned(), tls))
        };
        assert_eq!(parsed("http://a:4318"), place("a:4318", "a:4318", "", false));
        assert_eq!(parsed("http://a/"), place("a:80", "a", "", false));
        assert_eq!(parsed("https://a/x/otlp/"), place("a:443", "a", "/x/otlp", true));
        assert_eq!(parsed("https://a:443"), place("a:443", "a", "", true));
        assert_eq!(parsed("https://a:80"), place("a:80", "a:80", "", true));
        assert_eq!(parsed("http://[::1]"), place("[::1]:80", "[::1]", "", false));
        for wrong in [
            "a:4318",
            "grpc://a:4317",
            "http://",
            "http://a:0",
            "http://u:p@a",
            "http://a/v1/traces",
            "https://a/otlp/v1/metrics/",
            "http://a/?x",
            "http://a/ b",
            "http://::1",
        ] {
            let (message, hint) = parsed(wrong).expect_err(wrong);
            assert!(!message.is_empty() && !hint.is_empty(), "{wrong}");
        }
    }
}
