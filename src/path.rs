//! The path of a request as it is matched and looked up.
//!
//! Owns: the one reading of a path that routes and files share. May touch: nothing outside this
//! room. Next: the router matches on it, [`crate::files`] looks it up. What goes upstream is the
//! path as it was received (RFC 9110 §7.7), so nothing here may be used to rewrite a request.

use std::{borrow::Cow, fmt};

/// Why a path is refused; always the client's fault (400).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// It does not start with `/`.
    NotAbsolute,
    /// A `%` without two hex digits after it.
    BadEscape,
    /// A NUL, plain or encoded: in C it ends a name early.
    Nul,
    /// A `\`, plain or encoded: some servers take it for a slash.
    Backslash,
    /// `..` beyond the root.
    AboveRoot,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAbsolute => "the path does not start with `/`",
            Self::BadEscape => "the path has a `%` without two hex digits after it",
            Self::Nul => "the path has a NUL",
            Self::Backslash => "the path has a backslash",
            Self::AboveRoot => "the path has a `..` beyond the root",
        })
    }
}

impl std::error::Error for PathError {}

/// Reads `raw`, the path of a request without its query, the way it is matched.
///
/// - Escapes are decoded, once: `%2f` becomes `/`, `%252e` becomes the three characters `%2e`.
/// - Then `//` is one `/`, and `.` and `..` are resolved (RFC 3986 §5.2.4), as a file system would.
/// - Escapes that are no UTF-8 stay escapes, in upper case (RFC 3986 §6.2.2.1), so that
///   applications with Latin-1 links work. This is safe: a byte that is no UTF-8 can't be a dot or
///   a slash, which are ASCII.
///
/// A path that is already clean is returned as it is, without allocating.
pub fn normalise(raw: &str) -> Result<Cow<'_, str>, PathError> {
    if !raw.starts_with('/') {
        return Err(PathError::NotAbsolute);
    }
    if is_clean(raw.as_bytes()) {
        return Ok(Cow::Borrowed(raw));
    }
    let decoded = text(&decode(raw.as_bytes())?);
    resolve(&decoded).map(Cow::Owned)
}

/// Whether there is nothing to decode, merge, resolve or refuse.
///
/// A segment that starts with a dot counts as unclean, even if there is nothing to resolve; the slow
/// way then returns it unchanged.
fn is_clean(path: &[u8]) -> bool {
    let mut slash = false;
    for &byte in path {
        match byte {
            b'%' | b'\\' | 0 => return false,
            b'/' | b'.' if slash => return false,
            _ => slash = byte == b'/',
        }
    }
    true
}

/// Decodes every escape, once, and refuses bytes that a path must not have.
fn decode(raw: &[u8]) -> Result<Vec<u8>, PathError> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw.iter();
    while let Some(&byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let (high, low) = (hex(rest.next())?, hex(rest.next())?);
                high << 4 | low
            }
            plain => plain,
        };
        match byte {
            0 => return Err(PathError::Nul),
            b'\\' => return Err(PathError::Backslash),
            _ => decoded.push(byte),
        }
    }
    Ok(decoded)
}

fn hex(digit: Option<&u8>) -> Result<u8, PathError> {
    match digit {
        Some(digit @ b'0'..=b'9') => Ok(digit - b'0'),
        Some(digit @ b'a'..=b'f') => Ok(digit - b'a' + 10),
        Some(digit @ b'A'..=b'F') => Ok(digit - b'A' + 10),
        _ => Err(PathError::BadEscape),
    }
}

/// The bytes as text; bytes that are no UTF-8 become escapes.
fn text(bytes: &[u8]) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push('%');
            text.push(char::from(HEX[usize::from(byte >> 4)]));
            text.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    text
}

/// Merges slashes and resolves dots; a path that ends in a dot segment names a directory.
fn resolve(path: &str) -> Result<String, PathError> {
    let mut resolved = String::with_capacity(path.len() + 1);
    let mut directory = true;
    for segment in path.split('/') {
        directory = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => resolved.truncate(resolved.rfind('/').ok_or(PathError::AboveRoot)?),
            name => {
                resolved.push('/');
                resolved.push_str(name);
            }
        }
    }
    if directory {
        resolved.push('/');
    }
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_paths() {
        for (raw, read) in [
            ("/", Ok("/")),
            ("/a/b.css", Ok("/a/b.css")),
            ("/a/", Ok("/a/")),
            ("/a.b/c..d/...", Ok("/a.b/c..d/...")),
            ("/.well-known/x", Ok("/.well-known/x")),
            ("//a///b//", Ok("/a/b/")),
            ("/a/./b/.", Ok("/a/b/")),
            ("/a/../b", Ok("/b")),
            ("/a/b/..", Ok("/a/")),
            ("/a//../b", Ok("/b")),
            ("/a/%2e%2E/b", Ok("/b")),
            ("/a%2Fb%2f..%2Fc", Ok("/a/c")),
            ("/a%20b", Ok("/a b")),
            ("/caf%C3%A9", Ok("/café")),
            ("/café", Ok("/café")),
            ("/caf%e9", Ok("/caf%E9")),
            ("/%c0%ae%c0%ae/x", Ok("/%C0%AE%C0%AE/x")),
            ("/%252e%252e/x", Ok("/%2e%2e/x")),
            ("/%252fx", Ok("/%2fx")),
            ("", Err(PathError::NotAbsolute)),
            ("*", Err(PathError::NotAbsolute)),
            ("a/b", Err(PathError::NotAbsolute)),
            ("%2fa", Err(PathError::NotAbsolute)),
            ("/%", Err(PathError::BadEscape)),
            ("/%2", Err(PathError::BadEscape)),
            ("/%2g", Err(PathError::BadEscape)),
            ("/%+1", Err(PathError::BadEscape)),
            ("/a%00b", Err(PathError::Nul)),
            ("/a\0b", Err(PathError::Nul)),
            ("/a\\b", Err(PathError::Backslash)),
            ("/a%5Cb", Err(PathError::Backslash)),
            ("/..", Err(PathError::AboveRoot)),
            ("/a/../../b", Err(PathError::AboveRoot)),
            ("/%2e%2e/etc/passwd", Err(PathError::AboveRoot)),
            ("/a/..%2f..%2fetc", Err(PathError::AboveRoot)),
        ] {
            assert_eq!(normalise(raw).as_deref(), read.as_ref().copied(), "{raw}");
        }
    }

    #[test]
    fn a_clean_path_is_not_copied() {
        for raw in ["/", "/index.html", "/a/b/c-1.2.3.js", "/é/"] {
            assert!(matches!(normalise(raw), Ok(Cow::Borrowed(_))), "{raw}");
        }
    }

    fn is_safe(path: &str) -> bool {
        path.starts_with('/')
            && !path.contains("//")
            && !path.contains(['\0', '\\'])
            && !path.split('/').any(|segment| matches!(segment, "." | ".."))
    }

    proptest! {
        #[test]
        fn is_always_safe(raw in "/([./%\\\\a]|%[0-9a-fA-F]{2}|%2[ef]|%25|\\PC){0,24}") {
            if let Ok(read) = normalise(&raw) {
                prop_assert!(is_safe(&read), "{raw} -> {read}");
            }
        }

        #[test]
        fn leaves_what_it_gave_alone(raw in "/([./a-c]|%2e|%2F|é){0,24}") {
            if let Ok(once) = normalise(&raw) {
                prop_assert_eq!(normalise(&once), Ok(Cow::Borrowed(&*once)));
            }
        }

        #[test]
        fn decodes_once(name in "[a-z./%]{1,12}") {
            let twice = name.replace('%', "%25").replace('.', "%252e").replace('/', "%252f");
            let once = name.replace('.', "%2e").replace('/', "%2f");
            let (twice, once) = (format!("/{twice}"), format!("/{once}"));
            prop_assert_eq!(normalise(&twice).map(Cow::into_owned), Ok(once));
        }
    }
}
