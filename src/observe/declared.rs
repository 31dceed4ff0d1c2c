//! What metrics there are: the list that the dashboard, the alerts and the docs are checked
//! against.
//!
//! Owns: one entry per metric, whether it has a series yet or not. May touch: nothing outside this
//! room. `maker` writes the list, so that no metric can be left out of it.

use prometheus::{
    core::Collector,
    proto::{MetricFamily, MetricType},
};

/// A metric, as it was declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// As operators see it.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// One sentence.
    pub help: String,
    /// The names of its labels, in the order of their declaration.
    pub labels: Vec<String>,
}

/// Everything that a collector declares.
pub(super) fn of(collector: &impl Collector) -> Vec<Declared> {
    let families = collector.collect();
    let kind = |name: &str| {
        let family = families.iter().find(|family| family.name() == name);
        match family.map(MetricFamily::get_field_type) {
            Some(MetricType::COUNTER) => "counter",
            Some(MetricType::GAUGE) => "gauge",
            Some(MetricType::HISTOGRAM) => "histogram",
            Some(MetricType::SUMMARY) => "summary",
            _ => "untyped",
        }
    };
    let declared = collector.desc().into_iter().map(|desc| Declared {
        name: desc.fq_name.clone(),
        kind: kind(&desc.fq_name),
        help: desc.help.clone(),
        labels: desc.variable_labels.clone(),
    });
    declared.collect()
}
