//! What the process uses, as `process_*`.
//!
//! Owns: those metrics. May touch: nothing outside this room. The prometheus crate counts processor
//! time in whole seconds, which is too coarse for a proxy that uses a tenth of a core. Here it is
//! counted exactly.

use prometheus::{
    core::{Collector, Desc},
    process_collector::ProcessCollector,
    proto::{Counter, MetricFamily},
};
use rustix::time::{ClockId, clock_gettime};

/// The crate's collector, with processor time to the nanosecond.
pub struct ProcessMetrics(ProcessCollector);

impl ProcessMetrics {
    /// The metrics of this process.
    pub fn for_self() -> Self {
        Self(ProcessCollector::for_self())
    }
}

/// Processor time since the start, of all threads.
pub fn cpu_seconds() -> f64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}

impl Collector for ProcessMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.0.collect();
        let cpu = families.iter_mut().find(|it| it.name() == "process_cpu_seconds_total");
        if let Some(metric) = cpu.and_then(|it| it.mut_metric().first_mut()) {
            let mut counter = Counter::default();
            counter.set_value(cpu_seconds());
            metric.set_counter(counter);
        }
        families
    }
}
