//! The thread of a disk tier: it opens the directory, and does all that changes something in it.
//!
//! Owns: when it is tried again, and what is told. May touch: nothing outside this room.

use super::{
    place::DiskFault,
    tier::DiskTier,
    work::{DiskWork, WorkEnded},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// A directory that can't be used is tried again after this time.
const RETRY: Duration =
    if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(30) };

/// A lock is waited for so long before it is told: the one who has it may be about to end.
const PATIENCE: Duration =
    if cfg!(test) { Duration::from_millis(500) } else { Duration::from_secs(3) };

/// Meanwhile it is tried again after this time.
const SOON: Duration = Duration::from_millis(20);

/// Runs until the tier ends.
pub(super) fn run(tier: &Arc<DiskTier>) {
    let mut began = Some(Instant::now());
    let mut told = false;
    loop {
        let fault = match DiskWork::open(tier) {
            Err(fault) => fault,
            Ok(work) => {
                if std::mem::take(&mut told) {
                    let (cache, path) = (&tier.name, tier.path.display());
                    tracing::info!(cache, %path, "the disk of a cache can be used again");
                }
                match work.run() {
                    WorkEnded::TierEnded => return,
                    WorkEnded::Fault(fault) => fault,
                }
            }
        };
        let is_early = began.is_some_and(|began| began.elapsed() < PATIENCE);
        let wait = if is_early && matches!(fault, DiskFault::Locked) {
            SOON
        } else {
            began = None;
            tier.shut();
            if !std::mem::replace(&mut told, true) {
                tell(tier, &fault);
            }
            RETRY
        };
        if tier.queue.ends_within(wait) {
            return;
        }
    }
}

fn tell(tier: &DiskTier, fault: &DiskFault) {
    let (cache, path, advice) = (&tier.name, tier.path.display(), fault.advice());
    let seconds = RETRY.as_secs();
    tracing::warn!(
        cache, %path, reason = %fault,
        "the disk of a cache can't be used, and it goes on without it: {advice}; it is tried again every {seconds} s"
    );
}
