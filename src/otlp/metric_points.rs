//! Prometheus's metrics as OTLP's.
//!
//! Owns: the translation
//! (opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics). May touch:
//! [`crate::observe`], [`crate::protobuf`]. Names and labels stay as they are, so that one alert
//! fits both.

use crate::{
    observe::key_value,
    protobuf::{bytes, fixed64, message, number},
};
use prometheus::proto::{Histogram, LabelPair, Metric, MetricFamily, MetricType};
use std::time::SystemTime;

/// The fields of `ScopeMetrics` and `Metric`.
const METRICS: u32 = 2;
const GAUGE: u32 = 5;
const SUM: u32 = 7;
const HISTOGRAM: u32 = 9;

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`: sums since the start.
const CUMULATIVE: u64 = 2;

/// When a point's sum begins and ends, in nanoseconds since 1970.
#[derive(Clone, Copy)]
struct Span {
    begun: u64,
    now: u64,
}

/// All families, each as field 2 (`metrics`) of `ScopeMetrics`. Sums began at `begun`.
pub(super) fn metrics(families: &[MetricFamily], begun: SystemTime, now: SystemTime) -> Vec<u8> {
    let nanos = |time: SystemTime| {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        since.as_nanos() as u64
    };
    let span = Span { begun: nanos(begun), now: nanos(now) };
    let mut out = Vec::with_capacity(64 << 10);
    for family in families {
        let kind = match family.get_field_type() {
            MetricType::COUNTER => SUM,
            MetricType::GAUGE => GAUGE,
            MetricType::HISTOGRAM => HISTOGRAM,
            // We have none of the others.
            _ => continue,
        };
        message(&mut out, METRICS, |out| {
            bytes(out, 1, family.name().as_bytes());
            bytes(out, 2, family.help().as_bytes());
            bytes(out, 3, unit(family.name()).as_bytes());
            message(out, kind, |out| points(out, family, kind, span));
        });
    }
    out
}

/// The unit that a name ends with, in UCUM's notation.
fn unit(name: &str) -> &'static str {
    let name = name.strip_suffix("_total").unwrap_or(name);
    match name.rsplit('_').next() {
        Some("seconds") => "s",
        Some("bytes") => "By",
        Some("ratio") => "1",
        _ => "",
    }
}

fn points(out: &mut Vec<u8>, family: &MetricFamily, kind: u32, span: Span) {
    for metric in family.get_metric() {
        message(out, 1, |out| match kind {
            HISTOGRAM => histogram_point(out, metric.get_label(), metric.get_histogram(), span),
            kind => number_point(out, metric, kind, span),
        });
    }
    if kind != GAUGE {
        number(out, 2, CUMULATIVE);
    }
    if kind == SUM {
        // `is_monotonic`.
        number(out, 3, 1);
    }
}

/// `NumberDataPoint`.
fn number_point(out: &mut Vec<u8>, metric: &Metric, kind: u32, span: Span) {
    let value = if kind == SUM {
        fixed64(out, 2, span.begun);
        metric.get_counter().get_value()
    } else {
        metric.get_gauge().get_value()
    };
    fixed64(out, 3, span.now);
    fixed64(out, 4, value.to_bits());
    labels(out, 7, metric.get_label());
}

/// `HistogramDataPoint`. Prometheus's buckets have what is in the smaller ones; OTLP's do not, and
/// the last one has no bound.
fn histogram_point(out: &mut Vec<u8>, given: &[LabelPair], histogram: &Histogram, span: Span) {
    let buckets = histogram.get_bucket().iter().filter(|it| it.upper_bound().is_finite());
    let (mut bounds, mut counts, mut below) = (Vec::new(), Vec::new(), 0);
    for bucket in buckets {
        bounds.extend_from_slice(&bucket.upper_bound().to_bits().to_le_bytes());
        let count = bucket.cumulative_count().max(below);
        counts.extend_from_slice(&(count - below).to_le_bytes());
        below = count;
    }
    // Read at another moment than the buckets, the count could be less than they have.
    let all = histogram.get_sample_count().max(below);
    counts.extend_from_slice(&(all - below).to_le_bytes());
    fixed64(out, 2, span.begun);
    fixed64(out, 3, span.now);
    fixed64(out, 4, all);
    fixed64(out, 5, histogram.get_sample_sum().to_bits());
    // Both are packed.
    bytes(out, 6, &counts);
    bytes(out, 7, &bounds);
    labels(out, 9, given);
}

fn labels(out: &mut Vec<u8>, field: u32, labels: &[LabelPair]) {
    for label in labels {
        key_value::text(out, field, label.name(), label.value().as_bytes());
    }
}
