//! The request that is asked about: from the command line or JSON to the bytes that a client sends.
//!
//! Owns: reading URLs as they are, without making them better. May touch: [`crate::cidr`],
//! [`crate::message`].

use crate::{cidr::PeerAddress, message::context::host_name};
use serde_json::{Value, json};

/// A request that is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedRequest {
    /// The method.
    pub method: String,
    /// The URL, as it was written.
    pub url: String,
    /// Fields, in their order.
    pub fields: Vec<(String, String)>,
    /// Who connects; without it this machine.
    pub client: Option<PeerAddress>,
    /// The listener's name, if the URL's port does not say it.
    pub listener: Option<String>,
}

/// The parts of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UrlParts<'a> {
    /// Whether it is `https`.
    pub tls: bool,
    /// Host, and port if one is written.
    pub authority: &'a str,
    /// Path and query, as they are written; empty if there are none.
    pub target: &'a str,
}

impl UrlParts<'_> {
    /// The port.
    pub fn port(&self) -> u16 {
        let port = self.authority[host_name(self.authority).len()..].strip_prefix(':');
        let port = port.and_then(|it| it.parse().ok());
        port.unwrap_or(if self.tls { 443 } else { 80 })
    }
}

const KEYS: [&str; 5] = ["method", "url", "fields", "client", "listener"];

impl AskedRequest {
    /// From JSON: `{"method", "url", "fields": [["name", "value"]], "client", "listener"}`.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        let Value::Object(keys) = value else { return Err("the body is no JSON object".into()) };
        if let Some(key) = keys.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(format!("unknown key \"{key}\": known are {}", KEYS.join(", ")));
        }
        let text = |key: &str| match &value[key] {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text.clone())),
            _ => Err(format!("\"{key}\" is no text")),
        };
        let client = text("client")?.map(|it| it.parse()).transpose();
        let mut fields = Vec::new();
        for field in value["fields"].as_array().into_iter().flatten() {
            match (field[0].as_str(), field[1].as_str()) {
                (Some(name), Some(value)) => fields.push((name.into(), value.into())),
                _ => return Err("\"fields\" has pairs: [[\"name\", \"value\"]]".into()),
            }
        }
        Ok(Self {
            method: text("method")?.unwrap_or_else(|| "GET".into()),
            url: text("url")?.ok_or("\"url\" is missing")?,
            fields,
            client: client.map_err(|_| "\"client\" is no IP address")?,
            listener: text("listener")?,
        })
    }

    /// The same as JSON.
    pub fn to_json(&self) -> Value {
        let Self { method, url, fields, client, listener } = self;
        let client = client.map(|it| it.to_string());
        json!({ "method": method, "url": url, "fields": fields, "client": client, "listener": listener })
    }

    /// The URL's parts. Its path stays as it is, with dots and escapes.
    pub fn parts(&self) -> Result<UrlParts<'_>, String> {
        let wrong = || format!("`{}` is no URL: write `http://host/path`", self.url);
        let (scheme, rest) = self.url.split_once("://").ok_or_else(wrong)?;
        let tls = match scheme {
            _ if scheme.eq_ignore_ascii_case("http") => false,
            _ if scheme.eq_ignore_ascii_case("https") => true,
            _ => return Err(wrong()),
        };
        // A fragment is never sent (RFC 9110 §4.2.5).
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.is_empty() {
            return Err(wrong());
        }
        Ok(UrlParts { tls, authority, target })
    }

    /// The head as a client sends it by HTTP/1.1.
    pub fn head(&self, url: &UrlParts<'_>) -> Result<Vec<u8>, String> {
        let lines = self.fields.iter().flat_map(|(name, value)| [name, value]);
        if let Some(text) = lines.chain([&self.method]).find(|it| it.contains(['\r', '\n', '\0'])) {
            return Err(format!("`{}` has the end of a line in it", text.escape_debug()));
        }
        let slash = if url.target.starts_with('/') { "" } else { "/" };
        let mut head = format!("{} {slash}{} HTTP/1.1\r\n", self.method, url.target);
        if !self.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.extend(["Host: ", url.authority, "\r\n"]);
        }
        for (name, value) in &self.fields {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head += "\r\n";
        Ok(head.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(url: &str) -> AskedRequest {
        let fields = vec![("X-A".into(), "1".into())];
        AskedRequest { method: "GET".into(), url: url.into(), fields, client: None, listener: None }
    }

    #[test]
    fn urls_stay_as_they_are() {
        for (url, tls, authority, target, port) in [
            ("http://a", false, "a", "", 80),
            ("HTTPS://A:1/x/../y?q#f", true, "A:1", "/x/../y?q", 1),
            ("https://[::1]?q", true, "[::1]", "?q", 443),
            ("http://a:/%2e", false, "a:", "/%2e", 80),
        ] {
            let asked = asked(url);
            let parts = asked.parts().expect(url);
            assert_eq!(
                (parts.tls, parts.authority, parts.target, parts.port()),
                (tls, authority, target, port)
            );
        }
        for wrong in ["", "/x", "a.example/x", "ftp://a/", "http:///x"] {
            assert!(asked(wrong).parts().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_head_is_what_a_client_sends() {
        let mut asked = asked("http://a:1?q");
        let head = |asked: &AskedRequest| {
            asked.head(&asked.parts().unwrap()).map(|it| String::from_utf8(it).unwrap())
        };
        assert_eq!(head(&asked).unwrap(), "GET /?q HTTP/1.1\r\nHost: a:1\r\nX-A: 1\r\n\r\n");
        asked.fields.push(("host".into(), "b".into()));
        assert_eq!(head(&asked).unwrap(), "GET /?q HTTP/1.1\r\nX-A: 1\r\nhost: b\r\n\r\n");
        asked.fields.push(("x".into(), "b\r\ny: z".into()));
        assert!(head(&asked).is_err());
        assert_eq!(AskedRequest::from_json(&asked.to_json()), Ok(asked));
        assert!(AskedRequest::from_json(&json!({ "url": "http://a", "urls": 1 })).is_err());
    }
}
