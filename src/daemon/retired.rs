//! Snapshots that were replaced, until their last request has ended.
//!
//! Owns: the last reference to each, so that no worker frees it. With 10,000 sites freeing takes
//! milliseconds, and all clients of the worker would wait. May touch: [`crate::task`].

use crate::task;
use std::{sync::Arc, thread, time::Duration};
use tokio::time::sleep;

/// The time between two checks whether a snapshot is still in use.
const LOOK: Duration = Duration::from_secs(1);

/// Frees `replaced`, on a thread of its own, once it is no longer in use. Call this only when no
/// new user of it can come.
pub fn retire<T: Send + Sync + 'static>(replaced: Arc<T>) {
    task::spawn(async move {
        while Arc::strong_count(&replaced) > 1 {
            sleep(LOOK).await;
        }
        // If there is no thread, it is freed here, on the control thread.
        let _ = thread::Builder::new().name("freeing".into()).spawn(move || drop(replaced));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};

    struct Witness(Sender<Option<String>>);

    impl Drop for Witness {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().name().map(ToOwned::to_owned));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_lets_go_last_frees_nothing() {
        let (tell, told) = channel();
        let replaced = Arc::new(Witness(tell));
        let held = Arc::clone(&replaced);
        retire(replaced);
        sleep(LOOK * 3).await;
        drop(held);
        assert!(told.try_recv().is_err());
        sleep(LOOK * 3).await;
        assert_eq!(told.recv().unwrap().as_deref(), Some("freeing"));
    }
}
