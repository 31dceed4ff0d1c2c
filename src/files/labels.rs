//! What the name and the type of a file say about its response: how long it may be kept, and
//! whether it is to be saved.
//!
//! Owns: those rules. May touch: nothing outside this room. Errors never have these fields: they
//! are part of a file's description, which only the answers with a file have.

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::path::Path;

/// Of a file whose name changes with its content, as builders make them: a year, without asking again.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// Hexadecimal digits that a fingerprint has at least.
const FINGERPRINT: usize = 8;

/// What stands unescaped in the parameter `filename*` (RFC 8187 §3.2.1).
const NOT_IN_PARAMETER: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// The rules of one route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileLabels {
    /// `Cache-Control` by media type: `text/html`, `image/*` or `*`. The narrowest wins.
    pub cache_control: Vec<(String, HeaderValue)>,
    /// Whether a file with a fingerprint in its name may be kept for ever.
    pub immutable: bool,
    /// Whether browsers are to save files instead of showing them.
    pub download: bool,
}

impl FileLabels {
    /// `Cache-Control` for a file of this name and type.
    pub(super) fn cache_control(&self, name: &Path, kind: &HeaderValue) -> Option<HeaderValue> {
        if self.immutable && has_fingerprint(name) {
            return Some(IMMUTABLE);
        }
        let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
        let group = kind.split('/').next().unwrap_or_default();
        let find = |wanted: &dyn Fn(&str) -> bool| {
            self.cache_control.iter().find(|(key, _)| wanted(key)).map(|(_, value)| value.clone())
        };
        find(&|key| key == kind)
            .or_else(|| find(&|key| key.strip_suffix("/*") == Some(group)))
            .or_else(|| find(&|key| key == "*"))
    }

    /// `Content-Disposition` for a file of this name (RFC 6266): once for clients that know ASCII only.
    pub(super) fn disposition(&self, name: &Path) -> Option<HeaderValue> {
        if !self.download {
            return None;
        }
        let name = name.file_name().unwrap_or_default().to_string_lossy();
        let odd = |c: char| !c.is_ascii() || c.is_ascii_control() || matches!(c, '"' | '\\' | '%');
        let plain = format!("attachment; filename=\"{}\"", name.replace(odd, "_"));
        let value = if name.contains(odd) {
            let escaped = utf8_percent_encode(&name, NOT_IN_PARAMETER);
            format!("{plain}; filename*=UTF-8''{escaped}")
        } else {
            plain
        };
        HeaderValue::try_from(value).ok()
    }
}

/// Whether a part of the name before its end is a hash, as in `app.3f9a1c2b.js` or `app-3f9a1c2b.js`.
/// It has a letter and a digit, or `report-20261128.pdf` would be one.
fn has_fingerprint(name: &Path) -> bool {
    let name = name.file_name().unwrap_or_default().to_string_lossy();
    let Some((stem, _)) = name.rsplit_once('.') else { return false };
    stem.split(['.', '-', '_']).skip(1).any(|part| {
        part.len() >= FINGERPRINT
            && part.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
            && part.bytes().any(|it| it.is_ascii_digit())
            && part.bytes().any(|it| it.is_ascii_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_hashes_and_neither_dates_nor_words() {
        for name in ["app.3f9a1c2b.js", "app-3f9a1c2b.min.css", "a/b/x_0123456789abcdef.woff2"] {
            assert!(has_fingerprint(Path::new(name)), "{name}");
        }
        for name in [
            "app.js",
            "report-20261128.pdf",
            "3f9a1c2b.js",
            "app.3f9a1c2.js",
            "app.3f9a1c2b",
            "app-defaced.js",
            "app.deadbeef.js",
            "app.3F9A1C2B.js",
            "jquery-3.7.1.js",
        ] {
            assert!(!has_fingerprint(Path::new(name)), "{name}");
        }
    }

    #[test]
    fn the_narrowest_type_wins() {
        let rule = |key: &str, value| (key.to_owned(), HeaderValue::from_static(value));
        let cache_control =
            vec![rule("*", "all"), rule("image/*", "images"), rule("image/png", "png")];
        let labels = FileLabels { cache_control, immutable: true, download: false };
        for (name, kind, value) in [
            ("a.png", "image/png", "png"),
            ("a.gif", "image/gif", "images"),
            ("a.html", "text/html; charset=utf-8", "all"),
            ("a.3f9a1c2b.png", "image/png", "public, max-age=31536000, immutable"),
        ] {
            let kind = HeaderValue::from_static(kind);
            assert_eq!(labels.cache_control(Path::new(name), &kind).unwrap(), value, "{name}");
        }
        let none = FileLabels::default();
        let png = HeaderValue::from_static("image/png");
        assert_eq!(none.cache_control(Path::new("a.3f9a1c2b.png"), &png), None);
        assert_eq!(none.disposition(Path::new("a.png")), None);
    }

    #[test]
    fn a_download_has_its_name() {
        let labels = FileLabels { download: true, ..FileLabels::default() };
        for (name, value) in [
            ("dir/a b.pdf", "attachment; filename=\"a b.pdf\""),
            ("é\".pdf", "attachment; filename=\"__.pdf\"; filename*=UTF-8''%C3%A9%22.pdf"),
        ] {
            assert_eq!(labels.disposition(Path::new(name)).unwrap(), value);
        }
    }
}
