//! Whatever the field: no panic, and a part that lies within the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sheave::files::range::{Asked, read};

fuzz_target!(|input: (u64, &[u8])| {
    let (length, field) = input;
    if let Asked::Part { first, last } = read(field, length) {
        assert!(first <= last && last < length);
    }
});
