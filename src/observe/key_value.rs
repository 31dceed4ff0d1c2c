//! OTLP's attributes, as bytes.
//!
//! Owns: how a `KeyValue` is written (opentelemetry/proto/common/v1/common.proto). May touch:
//! [`crate::protobuf`]. Each function appends one `KeyValue` as `field` of the message around it:
//! field 9 of a span, 1 of a resource, 7 of a number, 9 of a histogram.

use crate::protobuf::{bytes, fixed64, message, number, parts};

/// The fields of `KeyValue`.
const KEY: u32 = 1;
const VALUE: u32 = 2;

/// The fields of `AnyValue`.
const STRING: u32 = 1;
const BOOLEAN: u32 = 2;
const INTEGER: u32 = 3;
const DOUBLE: u32 = 4;
const ARRAY: u32 = 5;

/// A string. What is not UTF-8 is replaced, since readers refuse a whole export for it.
pub fn text(out: &mut Vec<u8>, field: u32, key: &str, value: &[u8]) {
    pair(out, field, &[key], |out| string(out, value));
}

/// A list of strings, with a key of two parts, as `http.request.header.` and a field's name.
pub fn texts<'a>(
    out: &mut Vec<u8>,
    field: u32,
    key: [&str; 2],
    values: impl Iterator<Item = &'a [u8]>,
) {
    pair(out, field, &key, |out| {
        message(out, ARRAY, |out| {
            for value in values {
                message(out, 1, |out| string(out, value));
            }
        });
    });
}

/// A whole number.
pub fn integer(out: &mut Vec<u8>, field: u32, key: &str, value: i64) {
    pair(out, field, &[key], |out| number(out, INTEGER, value as u64));
}

/// A boolean.
pub fn boolean(out: &mut Vec<u8>, field: u32, key: &str, value: bool) {
    pair(out, field, &[key], |out| number(out, BOOLEAN, value.into()));
}

/// A fraction.
pub fn double(out: &mut Vec<u8>, field: u32, key: &str, value: f64) {
    pair(out, field, &[key], |out| fixed64(out, DOUBLE, value.to_bits()));
}

fn string(out: &mut Vec<u8>, value: &[u8]) {
    match std::str::from_utf8(value) {
        Ok(_) => bytes(out, STRING, value),
        Err(_) => bytes(out, STRING, String::from_utf8_lossy(value).as_bytes()),
    }
}

fn pair(out: &mut Vec<u8>, field: u32, key: &[&str], write: impl FnOnce(&mut Vec<u8>)) {
    message(out, field, |out| {
        match key {
            [key] => bytes(out, KEY, key.as_bytes()),
            [one, two] => parts(out, KEY, &[one.as_bytes(), two.as_bytes()]),
            _ => bytes(out, KEY, key.concat().as_bytes()),
        }
        message(out, VALUE, write);
    });
}
