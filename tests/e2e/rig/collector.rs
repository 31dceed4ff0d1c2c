//! What a collector has received, by OpenTelemetry's own messages.

use super::{Server, eventually};
use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::{Metric, ResourceMetrics},
    trace::v1::{ResourceSpans, Span, span::SpanKind},
};
use prost::Message;
use std::collections::BTreeMap;

/// The attributes as text.
pub type Attributes = BTreeMap<String, String>;

pub fn attributes(given: &[KeyValue]) -> Attributes {
    let text = |value: &Option<AnyValue>| shown(value.as_ref().and_then(|it| it.value.as_ref()));
    let named: Attributes = given.iter().map(|it| (it.key.clone(), text(&it.value))).collect();
    assert_eq!(named.len(), given.len(), "every attribute once: {given:?}");
    named
}

fn shown(value: Option<&Value>) -> String {
    match value.expect("a value") {
        Value::StringValue(text) => text.clone(),
        Value::BoolValue(truth) => truth.to_string(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        Value::ArrayValue(array) => {
            let texts: Vec<_> = array.values.iter().map(|it| shown(it.value.as_ref())).collect();
            texts.join("|")
        }
        other => panic!("{other:?}"),
    }
}

/// The exports of traces that a server has received.
pub fn trace_exports(collector: &Server) -> Vec<ResourceSpans> {
    let requests = collector
        .requests()
        .into_iter()
        .filter(|it| it.head.raw.starts_with("POST") && it.head.raw.contains("/v1/traces "));
    let exports = requests.map(|it| ExportTraceServiceRequest::decode(&*it.body).expect("spans"));
    exports.flat_map(|it| it.resource_spans).collect()
}

/// All spans of them. Those that were sent more than once are there once.
pub fn spans(collector: &Server) -> Vec<Span> {
    let exports = trace_exports(collector).into_iter().flat_map(|it| it.scope_spans);
    let mut spans: Vec<Span> = Vec::new();
    for span in exports.flat_map(|it| it.spans) {
        if spans.iter().all(|it| it.span_id != span.span_id) {
            spans.push(span);
        }
    }
    spans
}

/// The spans, once there are so many requests among them.
pub fn wait_for_requests_told(collector: &Server, count: usize) -> Vec<Span> {
    eventually("the spans of requests", || {
        let spans = spans(collector);
        (requests_told(&spans).len() >= count).then_some(spans)
    })
}

pub fn requests_told(spans: &[Span]) -> Vec<&Span> {
    spans.iter().filter(|it| it.kind == SpanKind::Server as i32).collect()
}

pub fn attempts_told<'a>(spans: &'a [Span], request: &Span) -> Vec<&'a Span> {
    let is_one =
        |it: &&Span| it.kind == SpanKind::Client as i32 && it.parent_span_id == request.span_id;
    let mut attempts: Vec<_> = spans.iter().filter(is_one).collect();
    attempts.sort_by_key(|it| it.start_time_unix_nano);
    attempts
}

/// The exports of metrics.
pub fn metric_exports(collector: &Server) -> Vec<ResourceMetrics> {
    let requests = collector
        .requests()
        .into_iter()
        .filter(|it| it.head.raw.starts_with("POST") && it.head.raw.contains("/v1/metrics "));
    let exports =
        requests.map(|it| ExportMetricsServiceRequest::decode(&*it.body).expect("metrics"));
    exports.flat_map(|it| it.resource_metrics).collect()
}

pub fn metric<'a>(export: &'a ResourceMetrics, name: &str) -> Option<&'a Metric> {
    export.scope_metrics.iter().flat_map(|it| &it.metrics).find(|it| it.name == name)
}

pub fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
