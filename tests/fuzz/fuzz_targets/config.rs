//! Whatever the text: no panic, and every error has a place in it and renders.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sheave::config;
use std::path::Path;

fuzz_target!(|text: &str| {
    if let Err(error) = config::parse(text, Path::new("fuzz.toml"), &|_| None) {
        assert!(error.errors().all(|it| it.line > 0 && it.column > 0));
        assert!(!error.to_string().is_empty());
    }
});
