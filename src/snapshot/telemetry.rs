//! From `[otlp]` to what traces are made by, and where they are sent.
//!
//! Owns: compiling it. May touch: [`crate::config`], [`crate::observe`], [`crate::otlp`],
//! [`crate::tls`], [`crate::upstream`]. Called by [`super::build`].

use super::{Snapshot, live::Resources, reaches::Reaches};
use crate::{
    config::{Config, Otlp, OtlpCompression},
    observe::trace_terms::{
        ExcludedAttributes, IncludedFields, SampledAtTheEnd, Sampler, TraceTerms,
    },
    otlp::{ExportTerms, terms::resource},
    tls::TlsError,
    upstream::Server,
};
use std::sync::Arc;

/// Where traces and metrics are sent, if anywhere. A collector that both configs have keeps its
/// connections.
pub(super) fn export(
    config: &Config,
    previous: Option<&Snapshot>,
    reaches: &mut Reaches<'_>,
) -> Result<Option<Arc<ExportTerms>>, TlsError> {
    let Some(wanted) = &config.otlp else { return Ok(None) };
    let endpoint = &wanted.endpoint;
    let before = previous.and_then(|it| it.export.as_ref());
    let before = before.filter(|it| it.server.address() == endpoint.address);
    let server = before.map(|it| Arc::clone(&it.server));
    Ok(Some(Arc::new(ExportTerms {
        server: server.unwrap_or_else(|| Server::new("otlp", &endpoint.address)),
        reach: reaches.collector(endpoint, before.map(|it| &it.reach))?,
        host: endpoint.host.clone(),
        base: endpoint.base.clone(),
        headers: wanted.headers.clone(),
        resource: resource(&wanted.service, &wanted.resource),
        traces: wanted.traces,
        metrics_interval: wanted.metrics_interval,
        timeout: wanted.timeout,
        gzip: wanted.compression == OtlpCompression::Gzip,
        buffer: wanted.buffer,
    })))
}

/// How requests are traced, if they are.
pub(super) fn tracing(config: &Config, resources: &Resources) -> Option<Arc<TraceTerms>> {
    let wanted = config.otlp.as_ref().filter(|it| it.traces)?;
    let Otlp { include, exclude, sample_always, attributes, .. } = wanted;
    let fields = |kind, prefix| IncludedFields::new(kind, prefix, (include, exclude));
    let attributes = attributes.iter();
    Some(Arc::new(TraceTerms {
        sampler: Sampler::of_millionths(wanted.sample),
        always: SampledAtTheEnd {
            statuses: sample_always.status.clone(),
            slower_than: sample_always.slower_than,
        },
        excluded: ExcludedAttributes::by_patterns(exclude),
        request_fields: fields("request.header.", "http.request.header."),
        response_fields: fields("response.header.", "http.response.header."),
        attributes: attributes.map(|(name, it)| (name.as_str().into(), it.clone())).collect(),
        queue: Arc::clone(&resources.spans),
    }))
}
