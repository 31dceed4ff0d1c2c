//! Whatever the path: no panic, and nothing that matching or a file system could be fooled with.
#![no_main]

use std::borrow::Cow;

use libfuzzer_sys::fuzz_target;
use sheave::path::normalise;

fuzz_target!(|raw: &str| {
    let Ok(path) = normalise(raw) else { return };
    assert!(path.starts_with('/'));
    assert!(!path.contains("//") && !path.contains(['\0', '\\']));
    assert!(!path.split('/').any(|segment| matches!(segment, "." | "..")));
    // Without an escape left there is nothing more to do.
    if !path.contains('%') {
        assert_eq!(normalise(&path), Ok(Cow::Borrowed(&*path)));
    }
});
