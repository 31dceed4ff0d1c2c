//! What a file is, by the end of its name.
//!
//! Owns: the types and which of them are text. May touch: nothing outside this room. A value is
//! made once, when a file is opened or put in memory, so a hit only copies a pointer.

use std::path::Path;

use http::HeaderValue;

/// The value of `Content-Type` for a file of this name.
pub fn of(path: &Path) -> HeaderValue {
    let kind = mime_guess::from_path(path).first_raw().unwrap_or("application/octet-stream");
    match kind {
        // Frequent types without an allocation, and one name for JavaScript (RFC 9239).
        "text/html" => HeaderValue::from_static("text/html; charset=utf-8"),
        "text/css" => HeaderValue::from_static("text/css; charset=utf-8"),
        "text/plain" => HeaderValue::from_static("text/plain; charset=utf-8"),
        "text/javascript" | "application/javascript" => {
            HeaderValue::from_static("text/javascript; charset=utf-8")
        }
        "application/json" => HeaderValue::from_static("application/json; charset=utf-8"),
        "image/svg+xml" => HeaderValue::from_static("image/svg+xml; charset=utf-8"),
        text if text.starts_with("text/") => {
            HeaderValue::try_from(format!("{text}; charset=utf-8"))
                .unwrap_or(HeaderValue::from_static("text/plain; charset=utf-8"))
        }
        other => HeaderValue::from_static(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_usual() {
        for (name, kind) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a.CSS", "text/css; charset=utf-8"),
            ("app.js", "text/javascript; charset=utf-8"),
            ("app.mjs", "text/javascript; charset=utf-8"),
            ("data.json", "application/json; charset=utf-8"),
            ("logo.svg", "image/svg+xml; charset=utf-8"),
            ("README.md", "text/markdown; charset=utf-8"),
            ("x.wasm", "application/wasm"),
            ("x.png", "image/png"),
            ("x.woff2", "font/woff2"),
            ("archive.tar.gz", "application/gzip"),
            ("x.unheard-of", "application/octet-stream"),
            ("LICENSE", "application/octet-stream"),
        ] {
            assert_eq!(of(Path::new(name)), kind, "{name}");
        }
    }
}
