//! Whatever the field: no panic, and what is chosen is something that the client takes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sheave::{encode::CodingWish, settings::Coding};

fuzz_target!(|value: &[u8]| {
    let mut wish = CodingWish::default();
    wish.read(value);
    if let Some(coding) = wish.choice(&Coding::ALL) {
        assert!(wish.takes(coding));
    }
});
