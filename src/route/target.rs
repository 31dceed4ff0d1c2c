//! The target that a server or a directory gets: the client's, or what `strip_prefix` and `rewrite`
//! make of it.

use crate::{message::context::Scope, template::Template};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::borrow::Cow;

/// What may not stand in a path as it is (RFC 3986 §3.3).
const NOT_IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'%');

/// `strip_prefix` and `rewrite`.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// Cut from the path's beginning.
    pub strip_prefix: Option<String>,
    /// The new target, after that; its `{path}` is what was left.
    pub rewrite: Option<Template>,
}

impl Target {
    /// Whether targets pass as they are.
    pub fn is_identity(&self) -> bool {
        self.strip_prefix.is_none() && self.rewrite.is_none()
    }

    /// The path for a directory look-up, from the normalised `path`.
    pub fn path<'p>(&self, path: &'p str, scope: &Scope<'_>) -> Cow<'p, str> {
        let stripped = self.stripped(path);
        match &self.rewrite {
            None => stripped.into(),
            Some(template) => {
                let target = Scope { path: Some(stripped), ..*scope }.render(template);
                let path = target.split('?').next().unwrap_or_default();
                if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }.into()
            }
        }
    }

    /// Path and query for a server. The original bytes pass where a prefix goes that stands there
    /// literally (RFC 9110 §7.7); where it stands encoded, the normalised `path` is cut instead.
    pub fn uri(&self, raw: &str, query: Option<&str>, path: &str, scope: &Scope<'_>) -> String {
        let prefix = self.strip_prefix.as_deref();
        let mut uri = if prefix.is_none_or(|prefix| raw.starts_with(prefix)) {
            self.stripped(raw).to_owned()
        } else {
            utf8_percent_encode(self.stripped(path), NOT_IN_PATH).to_string()
        };
        if let Some(template) = &self.rewrite {
            let target = Scope { path: Some(&uri), ..*scope }.render(template);
            uri = if target.starts_with('/') { target } else { format!("/{target}") };
            // Variables may hold anything; a request line may not.
            uri.retain(|character| character.is_ascii_graphic());
        }
        if let Some(query) = query
            && !uri.contains('?')
        {
            uri.push('?');
            uri.push_str(query);
        }
        uri
    }

    fn stripped<'a>(&self, path: &'a str) -> &'a str {
        let Some(prefix) = &self.strip_prefix else { return path };
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        match path.strip_prefix(prefix) {
            Some("") => "/",
            Some(rest) if rest.starts_with('/') => rest,
            _ => path,
        }
    }
}
