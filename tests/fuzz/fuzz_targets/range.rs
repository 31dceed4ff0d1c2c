//! Whatever the field: no panic, and a part that lies within the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sheave::message::range::{AskedRange, read};

fuzz_target!(|input: (u64, &[u8])| {
    let (length, field) = input;
    if let AskedRange::Part { first, last } = read(field, length) {
        assert!(first <= last && last < length);
    }
});
