//! A text with variables: `https://{host}{uri}`.
//!
//! Owns: the notation and its errors. May touch: nothing outside this room. `{{` and `}}` are
//! literal braces.

use http::HeaderName;

/// A parsed text with variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Piece>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text as written.
    Literal(String),
    /// What the request fills in.
    Variable(Variable),
}

/// What a request fills in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// `{client_ip}`: the client, as told by trusted proxies.
    ClientIp,
    /// `{host}`: without port.
    Host,
    /// `{uri}`: path and query as received.
    Uri,
    /// `{path}`: as received.
    Path,
    /// `{query}`: without `?`.
    Query,
    /// `{method}`.
    Method,
    /// `{scheme}`: `http` or `https`.
    Scheme,
    /// `{route}`: its name.
    Route,
    /// `{upstream}`: its name, or empty.
    Upstream,
    /// `{server}`: the address tried last, or empty.
    Server,
    /// `{geo.country}`: two letters, or empty.
    Country,
    /// `{request_id}`.
    RequestId,
    /// `{trace_id}`: of the request's trace; empty without `[otlp]`.
    TraceId,
    /// `{header.NAME}`: the first value of a request header, or empty.
    Header(HeaderName),
    /// `{cookie.NAME}`: a cookie's value, or empty.
    Cookie(String),
    /// `{proxy_protocol.NAME}`: what the PROXY protocol's header says of the connection, or empty.
    Announced(Tlv),
    /// `{tls.…}`: of the client's connection; empty without TLS.
    Tls(TlsFact),
}

/// A value in the PROXY protocol's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tlv {
    /// The value of this type.
    Top(u8),
    /// The value of this type among those about the client's TLS.
    Tls(u8),
}

/// What is known of a TLS connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFact {
    /// `{tls.version}`: `TLSv1.3`.
    Version,
    /// `{tls.cipher}`: `TLS_AES_256_GCM_SHA384`.
    Cipher,
    /// `{tls.sni}`: the name that the client asked for, or empty.
    ServerName,
    /// `{tls.client.subject}`, like those below, is empty without a client certificate.
    Subject,
    /// `{tls.client.issuer}`.
    Issuer,
    /// `{tls.client.serial}`.
    Serial,
    /// `{tls.client.fingerprint}`.
    Fingerprint,
    /// `{tls.client.san}`: its other names.
    AlternativeNames,
}

/// Why a text cannot be parsed as a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// Byte offset in the text.
    pub offset: usize,
    /// Bytes that are wrong.
    pub length: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// The variables without an argument, by name.
const NAMED: [(&str, Variable); 21] = [
    ("client_ip", Variable::ClientIp),
    ("host", Variable::Host),
    ("uri", Variable::Uri),
    ("path", Variable::Path),
    ("query", Variable::Query),
    ("method", Variable::Method),
    ("scheme", Variable::Scheme),
    ("route", Variable::Route),
    ("upstream", Variable::Upstream),
    ("server", Variable::Server),
    ("request_id", Variable::RequestId),
    ("trace_id", Variable::TraceId),
    ("geo.country", Variable::Country),
    ("tls.version", Variable::Tls(TlsFact::Version)),
    ("tls.cipher", Variable::Tls(TlsFact::Cipher)),
    ("tls.sni", Variable::Tls(TlsFact::ServerName)),
    ("tls.client.subject", Variable::Tls(TlsFact::Subject)),
    ("tls.client.issuer", Variable::Tls(TlsFact::Issuer)),
    ("tls.client.serial", Variable::Tls(TlsFact::Serial)),
    ("tls.client.fingerprint", Variable::Tls(TlsFact::Fingerprint)),
    ("tls.client.san", Variable::Tls(TlsFact::AlternativeNames)),
];

/// What stands after `proxy_protocol.`; the numbers are the protocol's.
const ANNOUNCED: [(&str, Tlv); 6] = [
    ("alpn", Tlv::Top(0x01)),
    ("authority", Tlv::Top(0x02)),
    ("unique_id", Tlv::Top(0x05)),
    ("ssl_version", Tlv::Tls(0x21)),
    ("ssl_cn", Tlv::Tls(0x22)),
    ("ssl_cipher", Tlv::Tls(0x23)),
];

impl Template {
    /// Parses `text`.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let offset = text.len() - rest.len() + at;
            literal.push_str(&rest[..at]);
            let tail = &rest[at..];
            if tail.starts_with("{{") || tail.starts_with("}}") {
                literal.push_str(&tail[..1]);
                rest = &tail[2..];
                continue;
            }
            let end = match tail.find('}') {
                Some(end) if end > 0 => end,
                _ => {
                    return Err(TemplateError {
                        offset,
                        length: 1,
                        message: format!("a lone `{}`", &tail[..1]),
                        hint: Some("write `{{` or `}}` for a brace that is no variable".into()),
                    });
                }
            };
            let variable = variable(&tail[1..end]).map_err(|(message, hint)| TemplateError {
                offset,
                length: end + 1,
                message,
                hint,
            })?;
            if !literal.is_empty() {
                parts.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Piece::Variable(variable));
            rest = &tail[end + 1..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Piece::Literal(literal));
        }
        Ok(Self { parts })
    }

    /// The pieces, in order; neighbouring literals are one.
    pub fn parts(&self) -> &[Piece] {
        &self.parts
    }

    /// The text, where it has no variable.
    pub fn as_literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether any piece is `variable`.
    pub fn uses(&self, variable: &Variable) -> bool {
        self.parts.iter().any(|part| matches!(part, Piece::Variable(it) if it == variable))
    }
}

fn variable(name: &str) -> Result<Variable, (String, Option<String>)> {
    if let Some((_, variable)) = NAMED.iter().find(|(known, _)| *known == name) {
        return Ok(variable.clone());
    }
    if let Some(header) = name.strip_prefix("header.") {
        return HeaderName::from_bytes(header.as_bytes())
            .map(Variable::Header)
            .map_err(|_| (format!("`{header}` is not a header name"), None));
    }
    if let Some(cookie) = name.strip_prefix("cookie.") {
        return Ok(Variable::Cookie(cookie.to_owned()));
    }
    if let Some(announced) = name.strip_prefix("proxy_protocol.") {
        return announced_value(announced).map(Variable::Announced).ok_or_else(|| {
            let all: Vec<_> = ANNOUNCED.iter().map(|(known, _)| *known).collect();
            let hint = format!("known are {}, and tlv.0xEA for any other type", all.join(", "));
            (format!("unknown variable `{{{name}}}`"), Some(hint))
        });
    }
    let nearest = NAMED
        .iter()
        .map(|(known, _)| (strsim::damerau_levenshtein(known, name), *known))
        .min()
        .filter(|(distance, _)| *distance <= 2)
        .map(|(_, known)| format!("did you mean `{{{known}}}`?"));
    let all = NAMED.iter().map(|(known, _)| format!("{{{known}}}")).collect::<Vec<_>>().join(" ");
    let others = "{header.NAME} {cookie.NAME} {proxy_protocol.NAME}";
    let hint = nearest.unwrap_or_else(|| format!("known are {all} {others}"));
    Err((format!("unknown variable `{{{name}}}`"), Some(hint)))
}

/// `authority`, or `tlv.0xEA`.
fn announced_value(name: &str) -> Option<Tlv> {
    let named = ANNOUNCED.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    named.or_else(|| {
        let digits = name.strip_prefix("tlv.0x").filter(|it| it.len() == 2)?;
        // `from_str_radix` takes a sign.
        let digits = Some(digits).filter(|it| it.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        u8::from_str_radix(digits, 16).ok().map(Tlv::Top)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_variables_and_braces() {
        let template = Template::parse("https://{host}:8443{uri}{{x}}").expect("parses");
        assert_eq!(
            template.parts(),
            [
                Piece::Literal("https://".into()),
                Piece::Variable(Variable::Host),
                Piece::Literal(":8443".into()),
                Piece::Variable(Variable::Uri),
                Piece::Literal("{x}".into()),
            ]
        );
        assert_eq!(Template::parse("plain").expect("parses").as_literal(), Some("plain"));
    }

    #[test]
    fn errors_name_the_place_and_a_remedy() {
        let error = Template::parse("a{clientip}").expect_err("unknown");
        assert_eq!((error.offset, error.length), (1, 10));
        assert_eq!(error.hint.as_deref(), Some("did you mean `{client_ip}`?"));
        assert_eq!(Template::parse("a}").expect_err("lone").offset, 1);
        assert_eq!(Template::parse("{host").expect_err("lone").offset, 0);
        for name in ["tlv.0x", "tlv.0x+1", "tlv.0x1", "tlv.EA", "tlv.0xEAA", "ssl"] {
            let error = Template::parse(&format!("{{proxy_protocol.{name}}}")).expect_err(name);
            assert!(error.hint.is_some_and(|it| it.contains("authority")), "{name}");
        }
    }

    #[test]
    fn values_of_the_proxy_protocol() {
        let parsed = |text| Template::parse(text).expect(text).parts().to_vec();
        let value = |tlv| [Piece::Variable(Variable::Announced(tlv))];
        assert_eq!(parsed("{proxy_protocol.authority}"), value(Tlv::Top(2)));
        assert_eq!(parsed("{proxy_protocol.ssl_cn}"), value(Tlv::Tls(0x22)));
        assert_eq!(parsed("{proxy_protocol.tlv.0xeA}"), value(Tlv::Top(0xEA)));
    }
}
