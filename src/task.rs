//! The one place that spawns.
//!
//! A task stays on the runtime of the thread that spawns it: on a worker that is its core. A panic
//! in a task ends that task alone; the panic hook ([`crate::observe::logging`]) logs and counts it.

use std::future::Future;
use tokio::task::JoinHandle;

/// Runs `future` beside the caller, on the same thread.
#[allow(clippy::disallowed_methods)]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(future)
}
