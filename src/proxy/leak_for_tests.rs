//! A leak on purpose, to see that it is found. Only with the feature `leak-for-tests`.
//!
//! Owns: what is leaked: `SHEAVE_LEAK` says what, and nothing is if it is not set. May touch:
//! [`crate::task`]. See `benches/leak/run`.

use crate::task;
use std::{env, fs::File, future::pending, mem::forget, sync::LazyLock};

static WANTED: LazyLock<String> = LazyLock::new(|| env::var("SHEAVE_LEAK").unwrap_or_default());

/// Leaks something for one request.
pub(super) fn leak() {
    match WANTED.as_str() {
        "heap" => forget(vec![1_u8; 1024]),
        "descriptors" => forget(File::open("/dev/null")),
        "tasks" => forget(task::spawn(pending::<()>())),
        _ => {}
    }
}
