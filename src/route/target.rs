//! The target that a server or a directory gets: the client's, or what `strip_prefix` and `rewrite`
//! make of it.

use crate::{
    message::context::Scope,
    path::normalise,
    template::{Piece, Template, Variable},
};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use std::borrow::Cow;

/// Characters that must be escaped in a path (RFC 3986 §3.3).
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

/// Characters that a request line must not have, or that would end the target (`#`).
const NOT_IN_REQUEST_LINE: &AsciiSet = &CONTROLS.add(b' ').add(b'#');

/// How many dot segments there may be before the end of a prefix.
const MORE_SEGMENTS: usize = 16;

/// `strip_prefix` and `rewrite`.
#[derive(Clone, Debug, Default)]
pub struct PathEdit {
    /// Cut from the path's beginning.
    pub strip_prefix: Option<String>,
    /// The new target. Its `{path}` is the path after `strip_prefix`.
    pub rewrite: Option<Template>,
}

impl PathEdit {
    /// Whether targets pass as they are.
    pub fn is_identity(&self) -> bool {
        self.strip_prefix.is_none() && self.rewrite.is_none()
    }

    /// The path for a directory look-up, from the normalised `path`.
    pub fn path<'p>(&self, path: &'p str, scope: &Scope<'_>) -> Cow<'p, str> {
        let stripped = self.stripped(path);
        let Some(template) = &self.rewrite else { return stripped.into() };
        let scope = Scope { path: Some(stripped), ..*scope };
        let mut path = String::new();
        for part in template.parts() {
            let before = path.len();
            scope.render_part(part, &mut path);
            // A query is no part of a file's name. But a `?` in the path was `%3F`, and is a part
            // of the name (RFC 3986 §2.2).
            if *part != Piece::Variable(Variable::Path)
                && let Some(at) = path[before..].find('?')
            {
                path.truncate(before + at);
                break;
            }
        }
        if !path.starts_with('/') {
            path.insert(0, '/');
        }
        path.into()
    }

    /// Path and query for a server. If the client wrote the prefix literally, the rest of its bytes
    /// pass unchanged (RFC 9110 §7.7). If the prefix is encoded or comes after dot segments, the
    /// normalised `path` is cut instead.
    pub fn uri(&self, raw: &str, query: Option<&str>, path: &str, scope: &Scope<'_>) -> String {
        let mut uri = match self.strip_prefix.as_deref() {
            None => raw.to_owned(),
            Some(prefix) => match self.raw_rest(prefix, raw, path) {
                Some(rest) => rest.to_owned(),
                None => utf8_percent_encode(self.stripped(path), NOT_IN_PATH).to_string(),
            },
        };
        if uri.is_empty() {
            uri.push('/');
        }
        if let Some(template) = &self.rewrite {
            let target = Scope { path: Some(&uri), ..*scope }.render(template);
            uri = if target.starts_with('/') { target } else { format!("/{target}") };
            // Variables may hold bytes that a request line must not have. These are escaped and not
            // left out: otherwise a segment such as `.x.` could become `..`.
            uri = utf8_percent_encode(&uri, NOT_IN_REQUEST_LINE).to_string();
        }
        if let Some(query) = query
            && !uri.contains('?')
        {
            uri.push('?');
            uri.push_str(query);
        }
        uri
    }

    /// The rest of the path after the prefix, as the client sent it.
    fn raw_rest<'a>(&self, prefix: &str, raw: &'a str, path: &str) -> Option<&'a str> {
        if raw == path {
            return self.cut(raw);
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        // Tries a few segments more than the prefix has, because of dot segments. There is a limit
        // because a path may have thousands.
        let ends = raw.match_indices('/').map(|(at, _)| at).chain([raw.len()]);
        let mut ends = ends.take(prefix.matches('/').count() + 2 + MORE_SEGMENTS);
        ends.find(|end| {
            let is_prefix = match normalise(&raw[..*end]) {
                Ok(before) => before.strip_suffix('/').unwrap_or(&before) == prefix,
                Err(_) => prefix.is_empty() && *end == 0,
            };
            is_prefix && !has_dots(&raw[*end..])
        })
        .map(|end| &raw[end..])
    }

    /// The rest after the prefix. Empty if the path is only the prefix: a directory without its
    /// slash.
    fn stripped<'a>(&self, path: &'a str) -> &'a str {
        self.cut(path).unwrap_or(path)
    }

    fn cut<'a>(&self, path: &'a str) -> Option<&'a str> {
        let prefix = self.strip_prefix.as_deref()?;
        let rest = path.strip_prefix(prefix.strip_suffix('/').unwrap_or(prefix))?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }
}

/// Whether a segment is `.` or `..`, encoded or not.
fn has_dots(raw: &str) -> bool {
    let decoded = percent_decode_str(raw).collect::<Vec<u8>>();
    decoded.split(|byte| *byte == b'/').any(|segment| matches!(segment, b"." | b".."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::context::{Context, tests::context};

    /// What is looked up for a normalised path.
    fn path(strip_prefix: Option<&str>, rewrite: Option<&str>, path: &str) -> String {
        let target = PathEdit {
            strip_prefix: strip_prefix.map(str::to_owned),
            rewrite: rewrite.map(|text| Template::parse(text).unwrap()),
        };
        let context = context();
        target.path(path, &scope(&context)).into_owned()
    }

    fn scope(context: &Context) -> Scope<'_> {
        Scope { path: None, route: "r", upstream: "", server: "", context }
    }

    #[test]
    fn a_query_is_not_looked_up_and_a_question_mark_of_a_name_is() {
        assert_eq!(path(None, Some("/pub{path}"), "/secret?.css"), "/pub/secret?.css");
        assert_eq!(path(None, Some("/pub{path}?x=1"), "/a?.css"), "/pub/a?.css");
        assert_eq!(path(None, Some("/pub{uri}"), "/a b"), "/pub/a%20b");
        assert_eq!(path(None, Some("{path}"), "x"), "/x");
        assert_eq!(path(None, None, "/a?b"), "/a?b");
    }

    #[test]
    fn a_prefix_is_cut_however_it_was_written() {
        let target = PathEdit { strip_prefix: Some("/api".into()), rewrite: None };
        for (raw, path, uri) in [
            ("/api/a%20b", "/api/a b", "/a%20b"),
            ("/api", "/api", "/"),
            ("/%61pi/a%20b", "/api/a b", "/a%20b"),
            ("/api%2Fx", "/api/x", "/x"),
            ("/apix/../api/y", "/api/y", "/y"),
            ("/api/../api/x", "/api/x", "/x"),
            ("/api/x/%2e", "/api/x/", "/x/"),
            ("/api//x", "/api/x", "//x"),
            ("/api/./caf%e9", "/api/caf%E9", "/caf%e9"),
            ("/api/./a%2Fb", "/api/a/b", "/a%2Fb"),
            ("/api/..%2fapi/x", "/api/x", "/x"),
            ("//api/x%20y", "/api/x y", "/x%20y"),
            ("/other%20x", "/other x", "/other%20x"),
        ] {
            let context = context();
            let scope = scope(&context);
            assert_eq!(target.uri(raw, None, path, &scope), uri, "{raw}");
        }
    }

    #[test]
    fn a_stripped_prefix_leaves_a_directory_without_its_slash() {
        assert_eq!(path(Some("/static"), None, "/static"), "");
        assert_eq!(path(Some("/static"), None, "/static/"), "/");
        assert_eq!(path(Some("/static/"), None, "/static/a"), "/a");
        assert_eq!(path(Some("/static"), None, "/statics"), "/statics");
    }
}
