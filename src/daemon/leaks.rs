//! Takes the leak watch's samples, and tells what it finds.
//!
//! Owns: what is counted of each thing that may grow. May touch: [`crate::observe`],
//! [`crate::snapshot`]. Runs on the control thread.

use crate::{
    observe::{
        figures::{Figures, Heap},
        leak::{Grower, LeakSample},
        leak_watch::{EVERY, LeakNews},
        worker_metrics::WorkerMetrics,
    },
    snapshot::Live,
};
use std::sync::Arc;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Watches for ever.
pub(super) async fn watch(live: Arc<Live>) {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut last, mut requests) = (Instant::now(), 0);
    loop {
        tick.tick().await;
        if !live.load().config.health.leak_watch {
            continue;
        }
        let answered = live.metrics.workers().iter().map(|it| it.requests()).sum::<u64>();
        let seconds = last.elapsed().as_secs_f64().max(0.001);
        let rate = (answered.saturating_sub(requests) as f64 / seconds).round() as u64;
        (last, requests) = (Instant::now(), answered);
        let news =
            live.leaks().add(LeakSample { at: live.uptime(), rate, amounts: amounts(&live) });
        for news in &news {
            tell(&live, news);
        }
        for suspect in live.leaks().suspected() {
            live.metrics.vital.suspect(&suspect);
        }
    }
}

/// What there is of each [`Grower`], in their order.
fn amounts(live: &Live) -> [u64; Grower::ALL.len()] {
    let (snapshot, figures, heap) = (live.load(), Figures::read(), Heap::read());
    let workers = live.metrics.workers();
    let sum = |of: fn(&Arc<WorkerMetrics>) -> usize| workers.iter().map(of).sum::<usize>() as u64;
    let (connections, idle) = (sum(|it| it.connections()), sum(|it| it.idle()));
    let in_use = snapshot.groups.iter().map(|it| u64::from(it.upstream.running())).sum::<u64>();
    // Beside what is kept there is what keeps it: a quarter more.
    let kept = snapshot.kept_bytes() / 4 * 5;
    Grower::ALL.map(|it| match it {
        Grower::Heap => heap.committed.saturating_sub(kept),
        Grower::Memory => figures.resident.saturating_sub(heap.committed),
        Grower::Connections => connections,
        Grower::Tasks => sum(|it| it.tasks()).saturating_sub(connections),
        Grower::Descriptors => figures.descriptors.saturating_sub(connections + idle + in_use),
        Grower::Threads => figures.threads,
        Grower::Generations => live.generations() as u64,
        Grower::Pool => idle,
    })
}

fn tell(live: &Live, news: &LeakNews) {
    match news {
        LeakNews::Suspected(suspect) => {
            let (what, per_minute) = (suspect.what.name(), suspect.told());
            tracing::warn!(
                what,
                per_minute,
                "a leak is suspected: this grows steadily at equal load; see `leak_watch` in /stats"
            );
        }
        LeakNews::Settled(what) => {
            live.metrics.vital.settle(*what);
            tracing::info!(what = what.name(), "what was suspected to leak no longer grows");
        }
    }
}
