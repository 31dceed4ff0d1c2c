//! When the certificates end: for `/health`, and as gauges.
//!
//! Owns: what `/health` says of them. May touch: [`crate::snapshot`].

use crate::snapshot::{Live, Snapshot};
use jiff::Timestamp;
use serde_json::{Value, json};

/// A certificate that ends within so many seconds makes `/health` degraded: it should have been
/// renewed weeks before.
const SOON: i64 = 3 * 24 * 60 * 60;

/// Sets the gauges to what holds now.
pub(super) fn set_gauges(live: &Live) {
    let gauges = &live.metrics.certificate_expiry;
    gauges.reset();
    for (listener, lifetime) in live.load().lifetimes() {
        let file = lifetime.file.to_string_lossy();
        gauges.with_label_values(&[listener, &file]).set(lifetime.ends);
    }
}

/// Whether all are well `now`, and the one that ends first; `None` without certificates.
pub(super) fn check(snapshot: &Snapshot, now: Timestamp) -> Option<(bool, Value)> {
    let now = now.as_second();
    let first = snapshot.lifetimes().map(|it| it.1).min_by_key(|it| it.ends)?;
    let early = snapshot.lifetimes().map(|it| it.1).find(|it| it.begins > now);
    let well = first.ends - now >= SOON && early.is_none();
    let time = |second| Timestamp::from_second(second).map(|it| it.to_string()).ok();
    let mut told = json!({
        "first_to_expire": first.file.display().to_string(),
        "expires": time(first.ends),
    });
    if let Some(early) = early {
        told["not_yet_valid"] = early.file.display().to_string().into();
    }
    Some((well, told))
}
