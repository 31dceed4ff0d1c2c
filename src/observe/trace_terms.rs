//! Which requests are traced, and what is told of them.
//!
//! Owns: what `[otlp]` says of spans, compiled. May touch: [`crate::settings`],
//! [`crate::template`]. Made by [`crate::snapshot::build`]; read on a request's way, by those that
//! have it.

use super::span_queue::SpanQueue;
use crate::{
    settings::{SpanAttribute, StatusRange},
    template::Template,
};
use http::{HeaderName, StatusCode};
use std::{sync::Arc, time::Duration};

/// Which requests are traced, and what is told of them.
#[derive(Debug)]
pub struct TraceTerms {
    /// For requests that come without a decision.
    pub sampler: Sampler,
    /// For requests that were not sampled when they began.
    pub always: SampledAtTheEnd,
    /// Attributes that are left out.
    pub excluded: ExcludedAttributes,
    /// Fields of the request that are told.
    pub request_fields: IncludedFields,
    /// Fields of the response that are told.
    pub response_fields: IncludedFields,
    /// The user's own attributes.
    pub attributes: Vec<(Box<str>, Template)>,
    /// Where spans go.
    pub queue: Arc<SpanQueue>,
}

/// Decides by the trace's id, so that all hops with the same share decide alike: as OpenTelemetry
/// does with the 56 random bits that an id has (W3C Trace Context, level 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    /// Traces whose number is less are not taken.
    least: u64,
}

/// So many numbers a trace can have.
const CHANCES: u64 = 1 << 56;

impl Sampler {
    /// Takes so many of a million.
    pub fn of_millionths(share: u32) -> Self {
        let left_out = u128::from(1_000_000_u32.saturating_sub(share));
        Self { least: (left_out * u128::from(CHANCES) / 1_000_000) as u64 }
    }

    /// Whether a trace with this number (`TraceContext::chance`) is one of them.
    #[inline]
    pub fn takes(self, chance: u64) -> bool {
        chance >= self.least
    }
}

/// `sample_always`: what is told of requests that were not sampled when they began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampledAtTheEnd {
    /// Those with one of these statuses.
    pub statuses: Vec<StatusRange>,
    /// Those that took at least so long.
    pub slower_than: Option<Duration>,
}

impl SampledAtTheEnd {
    /// Whether nothing is decided at the end, so that nothing need be kept until then.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.statuses.is_empty() && self.slower_than.is_none()
    }

    /// Whether such a request is told of.
    pub fn takes(&self, status: StatusCode, took: Duration) -> bool {
        let status = status.as_u16();
        self.slower_than.is_some_and(|limit| took >= limit)
            || self.statuses.iter().any(|it| (it.first..=it.last).contains(&status))
    }
}

/// A set of attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExcludedAttributes(u64);

impl ExcludedAttributes {
    /// Those whose names match one of the patterns.
    pub fn by_patterns(patterns: &[String]) -> Self {
        let bits = SpanAttribute::ALL.into_iter().enumerate().map(|(at, attribute)| {
            let excluded = patterns.iter().any(|pattern| matches(pattern, attribute.name()));
            u64::from(excluded) << at
        });
        Self(bits.sum())
    }

    /// Whether this one is left out.
    #[inline]
    pub fn contains(self, attribute: SpanAttribute) -> bool {
        self.0 & 1 << attribute as u8 != 0
    }
}

/// Fields whose values are secrets: a pattern with `*` never means them.
const SECRET: [&str; 7] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
    "www-authenticate",
    "proxy-authenticate",
    "x-api-key",
];

/// Which header fields are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncludedFields {
    /// What the attributes' names begin with; the field's name follows.
    pub prefix: &'static str,
    /// Names, or their beginnings and a `*`.
    included: Vec<String>,
    excluded: Vec<String>,
}

impl IncludedFields {
    /// Those that `include` and `exclude` mean by names that begin with `kind`, as
    /// `request.header.`. The attributes' names begin with `prefix`.
    pub fn new(
        kind: &str,
        prefix: &'static str,
        (include, exclude): (&[String], &[String]),
    ) -> Self {
        let of_kind = |patterns: &[String]| {
            let names = patterns.iter().filter_map(|pattern| {
                if pattern.ends_with('*') && kind.starts_with(pattern.trim_end_matches('*')) {
                    return Some("*".to_owned());
                }
                pattern.strip_prefix(kind).map(str::to_ascii_lowercase)
            });
            names.collect()
        };
        Self { prefix, included: of_kind(include), excluded: of_kind(exclude) }
    }

    /// Whether no field is told.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.included.is_empty()
    }

    /// Whether this field is told.
    pub fn contains(&self, field: &HeaderName) -> bool {
        let name = field.as_str();
        let is_secret = SECRET.contains(&name);
        let means = |it: &String| matches(it, name) && !(is_secret && it.ends_with('*'));
        self.included.iter().any(means) && !self.excluded.iter().any(|it| matches(it, name))
    }
}

/// Whether a pattern, which may end with `*`, means the name.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shares_of_traces() {
        for chance in [0, 1, CHANCES / 2, CHANCES - 2, CHANCES - 1] {
            assert!(!Sampler::of_millionths(0).takes(chance));
            assert!(Sampler::of_millionths(1_000_000).takes(chance));
        }
        let half = Sampler::of_millionths(500_000);
        assert!(half.takes(CHANCES / 2));
        assert!(!half.takes(CHANCES / 2 - 1));
    }

    proptest! {
        #[test]
        fn a_larger_share_has_all_traces_of_a_smaller_one(
            less in 0u32..1_000_000, more: u32, chance in 0..CHANCES,
        ) {
            if Sampler::of_millionths(less).takes(chance) {
                prop_assert!(Sampler::of_millionths(less.saturating_add(more)).takes(chance));
            }
        }
    }

    #[test]
    fn failures_and_slowness_are_told_at_the_end() {
        let always = SampledAtTheEnd {
            statuses: vec![StatusRange { first: 500, last: 599 }],
            slower_than: Some(Duration::from_secs(1)),
        };
        assert!(!always.is_empty() && SampledAtTheEnd::default().is_empty());
        let takes = |status: u16, millis| {
            let status = StatusCode::from_u16(status).expect("a status");
            always.takes(status, Duration::from_millis(millis))
        };
        assert!(takes(500, 0) && takes(599, 0) && takes(200, 1000));
        assert!(!takes(499, 999));
        assert!(!SampledAtTheEnd::default().takes(StatusCode::BAD_GATEWAY, Duration::MAX));
    }

    fn owned(patterns: &[&str]) -> Vec<String> {
        patterns.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn attributes_by_name_and_by_pattern() {
        let excluded = ExcludedAttributes::by_patterns(&owned(&["url.query", "client.*"]));
        let contained = SpanAttribute::ALL.into_iter().filter(|it| excluded.contains(*it));
        let expected = [SpanAttribute::ClientAddress, SpanAttribute::Query];
        assert_eq!(contained.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_pattern_never_means_a_secret() {
        let fields = |include: &[&str], exclude: &[&str]| {
            let patterns = (&*owned(include), &*owned(exclude));
            IncludedFields::new("request.header.", "http.request.header.", patterns)
        };
        let names = ["cookie", "authorization", "x-tenant", "accept"].map(HeaderName::from_static);
        let told = |fields: &IncludedFields| {
            let told = names.iter().filter(|it| fields.contains(it));
            told.map(HeaderName::as_str).collect::<Vec<_>>()
        };
        let default = ["request.header.cookie", "request.header.authorization"];
        assert_eq!(told(&fields(&["request.header.*"], &default)), ["x-tenant", "accept"]);
        assert_eq!(told(&fields(&["request.header.*"], &[])), ["x-tenant", "accept"]);
        assert_eq!(told(&fields(&["request.header.X-*"], &[])), ["x-tenant"]);
        assert_eq!(told(&fields(&["request.header.cookie"], &default)), [""; 0]);
        assert_eq!(told(&fields(&["request.header.cookie"], &[])), ["cookie"]);
        assert_eq!(told(&fields(&["request.header.*"], &["request.*"])), [""; 0]);
        assert!(fields(&["response.header.*"], &default).is_empty());
    }
}
