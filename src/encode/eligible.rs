//! Which responses may be compressed, and which codings may be undone.
//!
//! Owns: the rules. May touch: [`crate::http1`], [`crate::settings`]. Pure functions of a
//! response's head; the type is looked at first, because most responses that are not compressed end
//! there.

use super::wish::is_no_transform;
use crate::{
    http1::{fields::Fields, request::tokens},
    settings::{Coding, Compression},
};
use http::{HeaderMap, StatusCode, header};

/// Whether some client may get this response compressed. `length` is the body's, where it is known.
pub(super) fn is_compressible(
    compress: &Compression,
    status: StatusCode,
    fields: &mut Fields,
    length: Option<u64>,
) -> bool {
    let not_modified = status == StatusCode::NOT_MODIFIED;
    let fits = match fields.first(&header::CONTENT_TYPE) {
        Some(media_type) => is_listed(compress, media_type),
        // Its type was told with the response that the client has.
        None => not_modified,
    };
    let has_body = is_whole(status) && length.is_none_or(|it| it >= compress.min_size);
    if !fits || !(has_body || not_modified) {
        return false;
    }
    let headers = fields.map();
    may_transform(headers)
        && !headers.contains_key(header::CONTENT_ENCODING)
        && (compress.cookies || !headers.contains_key(header::SET_COOKIE))
}

/// The coding of a response, if it can be undone.
pub(super) fn undoable(status: StatusCode, fields: &mut Fields) -> Option<Coding> {
    let coding = Coding::named(fields.first(&header::CONTENT_ENCODING)?)?;
    let media_type = fields.first(&header::CONTENT_TYPE).unwrap_or_default();
    if !is_whole(status) || is_grpc(media_type) {
        return None;
    }
    let headers = fields.map();
    let single = headers.get_all(header::CONTENT_ENCODING).iter().nth(1).is_none();
    (single && may_transform(headers)).then_some(coding)
}

/// Whether a response has a whole representation for its body: no part of one (RFC 9110 §15.3.7), and
/// no bytes of another protocol.
fn is_whole(status: StatusCode) -> bool {
    !status.is_informational()
        && !matches!(
            status,
            StatusCode::NO_CONTENT
                | StatusCode::RESET_CONTENT
                | StatusCode::PARTIAL_CONTENT
                | StatusCode::NOT_MODIFIED
        )
}

/// RFC 9110 §7.7: a proxy must not transform what says so. A part of something has no whole to code.
fn may_transform(headers: &HeaderMap) -> bool {
    let directives = headers.get_all(header::CACHE_CONTROL).iter();
    let mut directives = directives.flat_map(|value| tokens(value.as_bytes()));
    !headers.contains_key(header::CONTENT_RANGE) && !directives.any(is_no_transform)
}

fn is_listed(compress: &Compression, content_type: &[u8]) -> bool {
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    let media_type = media_type.trim_ascii();
    !is_grpc(media_type) && compress.types.iter().any(|pattern| matches(pattern, media_type))
}

/// A call's messages have their own coding, and trailers at their end.
fn is_grpc(media_type: &[u8]) -> bool {
    let name = b"application/grpc";
    media_type.get(..name.len()).is_some_and(|it| it.eq_ignore_ascii_case(name))
}

/// Whether a type fits a pattern with at most one `*`.
fn matches(pattern: &str, media_type: &[u8]) -> bool {
    let Some((begin, end)) = pattern.split_once('*') else {
        return media_type.eq_ignore_ascii_case(pattern.as_bytes());
    };
    let (begin, end) = (begin.as_bytes(), end.as_bytes());
    media_type.len() >= begin.len() + end.len()
        && media_type[..begin.len()].eq_ignore_ascii_case(begin)
        && media_type[media_type.len() - end.len()..].eq_ignore_ascii_case(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn fields(lines: &[(&'static str, &'static str)]) -> Fields {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, HeaderValue::from_static(value));
        }
        map.into()
    }

    fn fits(status: u16, lines: &[(&'static str, &'static str)], length: Option<u64>) -> bool {
        let status = StatusCode::from_u16(status).unwrap();
        is_compressible(&Compression::default(), status, &mut fields(lines), length)
    }

    #[test]
    fn what_gets_shorter_and_is_whole_may_be_compressed() {
        const HTML: (&str, &str) = ("content-type", "text/html; charset=utf-8");
        assert!(fits(200, &[HTML], None));
        assert!(fits(404, &[HTML], Some(1024)));
        assert!(!fits(200, &[HTML], Some(1023)));
        for status in [101, 204, 205, 206] {
            assert!(!fits(status, &[HTML], None), "{status}");
        }
        assert!(fits(304, &[], Some(0)) && !fits(200, &[], None));
        for (name, value) in [
            ("content-encoding", "gzip"),
            ("content-range", "bytes 0-1/2"),
            ("cache-control", "max-age=1, No-Transform"),
            ("set-cookie", "a=b"),
        ] {
            assert!(!fits(200, &[HTML, (name, value)], None), "{name}");
        }
        assert!(fits(200, &[HTML, ("cache-control", "no-cache")], None));
        for (media_type, fit) in [
            ("application/json", true),
            ("Application/LD+JSON ;x", true),
            ("image/svg+xml", true),
            ("text/event-stream", true),
            ("image/png", false),
            ("application/zip", false),
            ("application/grpc", false),
            ("application/grpc+json", false),
            ("application/grpc-web+json", false),
            ("", false),
        ] {
            assert_eq!(fits(200, &[("content-type", media_type)], None), fit, "{media_type}");
        }
    }

    #[test]
    fn a_pattern_has_a_beginning_and_an_end() {
        assert!(matches("*", b"a/b") && matches("a/*+c", b"a/b+c") && matches("a/b", b"A/B"));
        assert!(!matches("a/b*b", b"a/b") && !matches("a/b", b"a/bc"));
    }

    #[test]
    fn one_known_coding_of_a_whole_response_may_be_undone() {
        const GZIP: (&str, &str) = ("content-encoding", "GZIP");
        let undone = |status: u16, lines: &[_]| {
            undoable(StatusCode::from_u16(status).unwrap(), &mut fields(lines))
        };
        assert_eq!(undone(200, &[GZIP]), Some(Coding::Gzip));
        assert_eq!(undone(206, &[GZIP]), None);
        assert_eq!(undone(200, &[GZIP, ("content-encoding", "br")]), None);
        assert_eq!(undone(200, &[("content-encoding", "br, gzip")]), None);
        assert_eq!(undone(200, &[("content-encoding", "aes128gcm")]), None);
        assert_eq!(undone(200, &[GZIP, ("cache-control", "no-transform")]), None);
        assert_eq!(undone(200, &[GZIP, ("content-type", "application/grpc")]), None);
    }
}
