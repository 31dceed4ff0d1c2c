//! Makes metrics and registers them.
//!
//! Owns: the library's types for it. May touch: nothing outside this room. Used by
//! [`super::metrics`] and the other files that own metrics.

use super::declared::{self, Declared};
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    core::Collector,
    proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType},
};
use std::cell::RefCell;

/// Makes metrics and registers them. Names are constants, so a failure is a mistake in this file.
#[derive(Default)]
pub(super) struct Maker {
    pub(super) registry: Registry,
    declared: RefCell<Vec<Declared>>,
}

impl Maker {
    /// Registers what was made elsewhere.
    pub(super) fn add(&self, collector: impl Collector + 'static) -> prometheus::Result<()> {
        let declared = declared::of(&collector);
        self.registry.register(Box::new(collector))?;
        self.declared.borrow_mut().extend(declared);
        Ok(())
    }

    /// All that has been registered so far, by name.
    pub(super) fn declared(&self) -> Vec<Declared> {
        let mut declared = self.declared.borrow().clone();
        declared.sort_by(|a, b| a.name.cmp(&b.name));
        declared
    }

    pub(super) fn register<C: Collector + Clone + 'static>(
        &self,
        name: &str,
        made: prometheus::Result<C>,
    ) -> C {
        let made = made.and_then(|metric| self.add(metric.clone()).map(|()| metric));
        made.unwrap_or_else(|error| {
            unreachable!("the metric `{name}` is declared wrongly: {error}")
        })
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(name, IntCounter::new(name, help))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(name, IntGauge::new(name, help))
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(name, IntCounterVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(name, IntGaugeVec::new(Opts::new(name, help), labels))
    }

    /// Of seconds: for what is rare, as each observation looks its labels up.
    pub(super) fn seconds(&self, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
        let bounds = vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
        let options = HistogramOpts::new(name, help).buckets(bounds);
        self.register(name, HistogramVec::new(options, labels))
    }
}

/// What a collector of our own tells.
pub(super) fn family(name: &str, help: &str, kind: MetricType, all: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(all);
    family
}

pub(super) fn label((name, value): (&str, String)) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value);
    label
}

pub(super) fn counter(value: f64) -> Counter {
    let mut counter = Counter::default();
    counter.set_value(value);
    counter
}

pub(super) fn gauge(value: f64) -> Gauge {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    gauge
}
