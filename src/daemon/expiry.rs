//! Warns every day of certificates that end soon, and of OCSP responses that have ended.
//!
//! Owns: the times of the warnings. May touch: [`crate::snapshot`], [`crate::tls`]. The config's
//! check warns, too, with the place in the config, but a daemon may run for months without a
//! reload.

use crate::{
    snapshot::{Live, Snapshot},
    tls::Lifetime,
};
use jiff::Timestamp;
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};
use tokio::time::sleep;

const DAY: i64 = 24 * 60 * 60;
/// There is a warning for a certificate that ends within so many seconds.
const SOON: i64 = 14 * DAY;

const ENDED_STAPLE: &str = "an OCSP response has ended, and is stapled no more: fetch it again";

/// Warns once a day of what ends soon or has ended.
pub async fn watch(live: Arc<Live>) {
    loop {
        sleep(Duration::from_secs(DAY as u64)).await;
        for (file, words) in due(&live.load(), Timestamp::now().as_second()) {
            tracing::warn!(certificate = %file.display(), "{words}");
        }
    }
}

/// The warnings, one for each file.
fn due(snapshot: &Snapshot, now: i64) -> BTreeMap<&Path, String> {
    let all = snapshot.lifetimes().map(|it| it.1);
    let all = all.filter_map(|it| Some((it.file.as_path(), words(it, now)?)));
    let staples = snapshot.ended_staples(now).map(|file| (file, ENDED_STAPLE.to_owned()));
    all.chain(staples).collect()
}

fn words(lifetime: &Lifetime, now: i64) -> Option<String> {
    let left = lifetime.ends.saturating_sub(now);
    if left < 0 {
        Some("a certificate has expired, and clients refuse it: renew it".into())
    } else if left < SOON {
        Some(format!("a certificate expires in {} days: renew it", left / DAY))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_weeks_before_the_end_it_is_told() {
        let told = |ends| {
            words(&Lifetime { file: "a.pem".into(), names: vec![], begins: 0, ends }, 1_000_000_000)
        };
        assert_eq!(told(1_000_000_000 + SOON), None);
        assert_eq!(told(i64::MAX), None);
        let soon = told(1_000_000_000 + 2 * DAY + 5);
        assert_eq!(soon.as_deref(), Some("a certificate expires in 2 days: renew it"));
        assert!(told(999_999_999).is_some_and(|it| it.contains("has expired")));
    }
}
