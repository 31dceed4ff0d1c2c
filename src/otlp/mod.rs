//! Traces and metrics on their way to a collector: OTLP over HTTP with protobuf
//! (opentelemetry.io/docs/specs/otlp).
//!
//! Owns: the exports. May touch: [`crate::clock`], [`crate::http1`], [`crate::message`],
//! [`crate::observe`], [`crate::origin`], [`crate::protobuf`], [`crate::settings`],
//! [`crate::upstream`]. The control thread runs [`export_spans()`] and [`export_metrics()`] when
//! `[otlp]` is there; they outlive snapshots, and get new terms by a channel. No request passes
//! here: workers leave finished spans in [`crate::observe::span_queue`].

mod answer;
mod collector;
mod envelope;
mod export_metrics;
mod export_request;
mod export_spans;
mod metric_points;
mod pause;
pub mod terms;

pub use collector::Collector;
pub use export_metrics::export_metrics;
pub use export_spans::export_spans;
pub use terms::{ExportOrders, ExportTerms};
