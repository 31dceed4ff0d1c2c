//! Where a request's fields are written to: lines for HTTP/1, or a map for HTTP/2.
//!
//! Owns: both ways to write a field, so that the rules about fields are in one place. May touch:
//! [`crate::http1`]. [`super::request_head`] and [`super::forwarded_fields`] have the rules.

use crate::http1::{
    fields::{append_lines, write_field, write_known},
    request::is_padded,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// A field that we write, with its name for both.
pub(super) struct OurField<const N: usize> {
    /// The name, a colon and a space.
    line: &'static [u8; N],
    name: HeaderName,
}

impl<const N: usize> OurField<N> {
    /// The field whose line begins like this.
    pub(super) const fn new(line: &'static [u8; N]) -> Self {
        let (name, _) = line.split_at(N - 2);
        match std::str::from_utf8(name) {
            Ok(name) => Self { line, name: HeaderName::from_static(name) },
            Err(_) => panic!("not a field's name"),
        }
    }
}

/// Takes fields, one after another.
pub(super) trait FieldSink {
    /// Whether lines cost it nothing to take.
    const IS_TEXT: bool;

    /// A field of ours.
    fn put<const N: usize>(&mut self, field: &OurField<N>, value: &[u8]);

    /// The same, with a value that is written in pieces.
    fn put_written<const N: usize>(
        &mut self,
        field: &OurField<N>,
        write: impl FnOnce(&mut Vec<u8>),
    );

    /// A field as it came, or as an edit made it.
    fn pass(&mut self, name: &HeaderName, value: &HeaderValue);

    /// Passes fields as they came, each a line with its end.
    fn pass_lines(&mut self, lines: &[u8]);
}

impl FieldSink for Vec<u8> {
    const IS_TEXT: bool = true;

    #[inline]
    fn put<const N: usize>(&mut self, field: &OurField<N>, value: &[u8]) {
        write_known(self, field.line, value);
    }

    fn put_written<const N: usize>(
        &mut self,
        field: &OurField<N>,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        self.extend_from_slice(field.line);
        write(self);
        self.extend_from_slice(b"\r\n");
    }

    fn pass(&mut self, name: &HeaderName, value: &HeaderValue) {
        write_field(self, name.as_str().as_bytes(), value.as_bytes());
    }

    fn pass_lines(&mut self, lines: &[u8]) {
        self.extend_from_slice(lines);
    }
}

impl FieldSink for HeaderMap {
    const IS_TEXT: bool = false;

    fn put<const N: usize>(&mut self, field: &OurField<N>, value: &[u8]) {
        if let Ok(value) = HeaderValue::from_bytes(value.trim_ascii()) {
            self.append(field.name.clone(), value);
        }
    }

    fn put_written<const N: usize>(
        &mut self,
        field: &OurField<N>,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let mut value = Vec::new();
        write(&mut value);
        self.put(field, &value);
    }

    fn pass(&mut self, name: &HeaderName, value: &HeaderValue) {
        if !is_padded(value.as_bytes()) {
            self.append(name.clone(), value.clone());
        } else if let Ok(value) = HeaderValue::from_bytes(value.as_bytes().trim_ascii()) {
            // An edit may have added spaces. RFC 9113 §8.2.1: no spaces around a value.
            self.append(name.clone(), value);
        }
    }

    fn pass_lines(&mut self, lines: &[u8]) {
        append_lines(self, &Bytes::copy_from_slice(lines));
    }
}
