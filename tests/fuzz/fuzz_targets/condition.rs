//! Whatever the text: no panic, an error is at a place in it, and what is read is printed as what reads
//! the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sheave::condition::Condition;

fuzz_target!(|text: &str| {
    match Condition::parse(text) {
        Ok(condition) => assert_eq!(Condition::parse(&condition.to_string()), Ok(condition)),
        Err(error) => {
            assert!(text.get(error.offset..error.offset + error.length).is_some());
            assert!(!error.message.is_empty() && !error.hint.is_empty());
        }
    }
});
