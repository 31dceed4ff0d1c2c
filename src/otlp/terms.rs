//! Where exports go, and how.
//!
//! Owns: what `[otlp]` says of exports, compiled. May touch: [`crate::observe`],
//! [`crate::protobuf`], [`crate::upstream`]. Made by [`crate::snapshot::build`].

use crate::{
    observe::key_value,
    protobuf,
    upstream::{Reach, Server},
};
use http::{HeaderName, HeaderValue};
use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

/// Where exports go, and how.
pub struct ExportTerms {
    /// The collector.
    pub server: Arc<Server>,
    /// How it is reached.
    pub reach: Arc<Reach>,
    /// What `Host` is.
    pub host: String,
    /// What the paths begin with.
    pub base: String,
    /// Sent with each export.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Who exports: `opentelemetry.proto.resource.v1.Resource`, coded.
    pub resource: Vec<u8>,
    /// Whether spans are exported.
    pub traces: bool,
    /// How often metrics are.
    pub metrics_interval: Option<Duration>,
    /// How long an export may take.
    pub timeout: Duration,
    /// Whether bodies are compressed.
    pub gzip: bool,
    /// How many bytes of spans may wait.
    pub buffer: usize,
}

impl fmt::Debug for ExportTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExportTerms")
            .field("server", &self.server.address())
            .finish_non_exhaustive()
    }
}

/// What the exporting tasks are told.
#[derive(Clone, Debug, Default)]
pub struct ExportOrders {
    /// `None`: nothing is exported.
    pub terms: Option<Arc<ExportTerms>>,
    /// Whether the process ends: what waits is sent once, then the tasks end.
    pub ending: bool,
}

/// Who we are, with the user's own attributes in place of ours of the same name.
pub fn resource(service: &str, own: &[(String, String)]) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let instance = instance();
    let mut attributes = BTreeMap::from([
        ("service.version", version),
        ("service.instance.id", &instance),
        ("host.name", host.trim()),
        ("telemetry.sdk.name", "sheave"),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.version", version),
    ]);
    attributes.extend(own.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    attributes.insert("service.name", service);
    let mut out = Vec::new();
    for (name, value) in attributes {
        key_value::text(&mut out, 1, name, value.as_bytes());
    }
    // Field 1 of both `ResourceSpans` and `ResourceMetrics`.
    let mut field = Vec::new();
    protobuf::bytes(&mut field, 1, &out);
    field
}

/// Tells this process from others of the service: the same for all its life.
fn instance() -> String {
    use std::{
        hash::{BuildHasher, RandomState},
        sync::LazyLock,
    };
    static INSTANCE: LazyLock<String> = LazyLock::new(|| {
        let random = RandomState::new();
        let (high, low) = (random.hash_one(1), random.hash_one(2));
        // A random UUID (RFC 9562 §5.4).
        let high = high & !0xf000 | 0x4000;
        let low = low & !(0b11 << 62) | 0b10 << 62;
        let (time, middle) = (high >> 32, high >> 16 & 0xffff);
        let (version, variant) = (high & 0xffff, low >> 48);
        format!(
            "{time:08x}-{middle:04x}-{version:04x}-{variant:04x}-{:012x}",
            low & 0xffff_ffff_ffff
        )
    });
    INSTANCE.clone()
}
