//! `[otlp]`: traces and metrics to a collector.
//!
//! Owns: the keys, except for where the collector is. May touch: [`crate::settings`],
//! [`crate::template`], [`crate::units`]. Next: [`super::otlp_endpoint`] reads the URL,
//! [`super::otlp_attributes`] what spans tell.

use super::{
    otlp_attributes::{read_attributes, read_fields, read_patterns, read_resource},
    otlp_endpoint::OtlpEndpoint,
    table::Table,
};
use crate::{settings::StatusRange, template::Template, units};
use http::{HeaderName, HeaderValue};
use std::time::Duration;

/// A span is some hundred bytes.
const LEAST_BUFFER: usize = 64 << 10;

/// Traces and metrics to a collector, by OTLP over HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct Otlp {
    /// `endpoint`, and `tls`.
    pub endpoint: OtlpEndpoint,
    /// `service`, default `"sheave"`: the resource's `service.name`.
    pub service: String,
    /// `resource`: its other attributes.
    pub resource: Vec<(String, String)>,
    /// `headers`: what is sent with each export, as keys of an API.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// `traces`, default true.
    pub traces: bool,
    /// `sample`: of the requests that come without a decision, in millionths; default all.
    pub sample: u32,
    /// `sample_always`.
    pub sample_always: SampleAlways,
    /// `exclude`: names, or their beginnings and a `*`; default cookies and authorization.
    pub exclude: Vec<String>,
    /// `include`: header fields as attributes, default none.
    pub include: Vec<String>,
    /// `attributes` of the user's own.
    pub attributes: Vec<(String, Template)>,
    /// `metrics_interval`, default 60 s; `None` is `"0s"` or `metrics = false`.
    pub metrics_interval: Option<Duration>,
    /// `timeout` of one export, default 10 s.
    pub timeout: Duration,
    /// `compression`, default none.
    pub compression: OtlpCompression,
    /// `buffer`: bytes of spans that may wait for the collector, default 16 MiB.
    pub buffer: usize,
}

/// `sample_always`: requests that are traced though the sampling left them out, decided at their
/// end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampleAlways {
    /// `status`, default none.
    pub status: Vec<StatusRange>,
    /// `slower_than`, default never.
    pub slower_than: Option<Duration>,
}

/// `compression` of `[otlp]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtlpCompression {
    /// `none`.
    None,
    /// `gzip`.
    Gzip,
}

impl Otlp {
    /// Reads `[otlp]`.
    pub(super) fn read(table: &Table<'_>) -> Self {
        let traces = table.boolean("traces", true);
        let metrics_interval = read_interval(table);
        if !traces && metrics_interval.is_none() {
            let hint = Some("remove the table, or let it have one of the two".into());
            let message = "nothing is sent: neither traces nor metrics";
            table.warning(table.span.clone(), message, hint);
        }
        let compressions = [("none", OtlpCompression::None), ("gzip", OtlpCompression::Gzip)];
        let default = ["request.header.cookie", "request.header.authorization"];
        Self {
            endpoint: OtlpEndpoint::read(table),
            service: read_service(table),
            resource: read_resource(&table.table("resource")),
            headers: read_fields(&table.table("headers")),
            traces,
            sample: table.share("sample", units::WHOLE),
            sample_always: SampleAlways::read(&table.table("sample_always")),
            exclude: read_patterns(table, "exclude")
                .unwrap_or_else(|| default.map(Into::into).to_vec()),
            include: read_patterns(table, "include").unwrap_or_default(),
            attributes: read_attributes(&table.table("attributes")),
            metrics_interval,
            timeout: table.positive_duration("timeout", Duration::from_secs(10)),
            compression: table.choice("compression", OtlpCompression::None, &compressions),
            buffer: read_buffer(table),
        }
    }
}

impl SampleAlways {
    fn read(table: &Table<'_>) -> Self {
        let statuses = table.array("status").unwrap_or_default();
        let slow = table.has("slower_than");
        let slower_than = table.positive_duration("slower_than", Duration::from_secs(1));
        Self {
            status: statuses.iter().filter_map(|it| StatusRange::read(table, it)).collect(),
            slower_than: slow.then_some(slower_than),
        }
    }
}

fn read_service(table: &Table<'_>) -> String {
    let service = table.string("service").unwrap_or_else(|| "sheave".into());
    if service.trim().is_empty() {
        let hint = Some("write what the collector shall call this service, as `\"edge\"`".into());
        table.error(table.value_span("service"), "`service` is empty", hint);
    }
    service
}

fn read_interval(table: &Table<'_>) -> Option<Duration> {
    let wanted = table.boolean("metrics", true);
    let interval = table.duration("metrics_interval", Duration::from_secs(60));
    if !interval.is_zero() && interval < Duration::from_secs(1) {
        let hint = Some("write at least `\"1s\"`; `\"0s\"` is for no metrics".into());
        table.error(table.value_span("metrics_interval"), "metrics are sent too often", hint);
    }
    Some(interval).filter(|it| wanted && !it.is_zero())
}

fn read_buffer(table: &Table<'_>) -> usize {
    let buffer = table.size("buffer", 16 << 20);
    if buffer < LEAST_BUFFER {
        let hint = Some("write at least `\"64KiB\"`".into());
        table.error(table.value_span("buffer"), "`buffer` has no room for spans", hint);
    }
    buffer
}
