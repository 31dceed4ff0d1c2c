//! From `[otlp]` to what traces are made by.
//!
//! Owns: compiling it. May touch: [`crate::config`], [`crate::observe`]. Called by
//! [`super::build`].

use super::live::Resources;
use crate::{
    config::{Config, Otlp},
    observe::trace_terms::{
        ExcludedAttributes, IncludedFields, SampledAtTheEnd, Sampler, TraceTerms,
    },
};
use std::sync::Arc;

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
