//! Every counter, gauge and histogram, by the names that operators see.
//!
//! Owns: the registry. May touch: nothing outside this room. Labels come from the config only and
//! are resolved when it is built, so that clients cannot create series.

use super::{
    RouteMetrics, UpstreamMetrics,
    cache_metrics::CacheMetrics,
    custom_metrics::CustomFamilies,
    declared::Declared,
    durations::Durations,
    maker::Maker,
    memory_limit,
    otlp_metrics::OtlpMetrics,
    outcome::AttemptOutcome,
    process::ProcessMetrics,
    request_metrics::Family,
    server_gauges::ServerGauges,
    upstream_metrics::{ServerFamily, ServerMetrics},
    vital_metrics::VitalMetrics,
    worker_metrics::{WorkerMetrics, Workers},
};
use prometheus::{
    Encoder, Gauge, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder,
    proto::MetricFamily,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How a TLS handshake ended, as the label `result`.
const HANDSHAKES: [&str; 4] = ["full", "resumed", "failed", "timeout"];

/// Why a TLS handshake failed, as the label `reason`.
pub const HANDSHAKE_FAILURES: [&str; 9] = [
    "bad_message",
    "client_certificate",
    "client_refused",
    "closed",
    "incompatible",
    "no_common_protocol",
    "other",
    "plain_http",
    "timeout",
];

/// Why a header of the PROXY protocol was not read, as the label `reason`.
pub const ANNOUNCEMENT_FAILURES: [&str; 4] = ["broken", "closed", "missing", "timeout"];

/// All that is counted.
pub struct Metrics {
    registry: Registry,
    declared: Vec<Declared>,
    durations: Family,
    /// Counters of the config's own.
    pub custom: CustomFamilies,
    /// Requests that no route took; the label `route` is empty.
    pub unrouted: Arc<RouteMetrics>,
    servers: ServerFamily,
    workers: Workers,
    /// The metrics of the process's own health.
    pub vital: VitalMetrics,
    /// `sheave_request_failures_total`.
    pub(super) failures: IntCounterVec,
    /// How many listeners of each name there are. While a listener moves to another address, there
    /// are two.
    listeners: Mutex<HashMap<String, usize>>,
    attempts: IntCounterVec,
    retries: IntCounterVec,
    ejections: IntCounterVec,
    /// The state of every server.
    pub server_gauges: ServerGauges,
    /// `sheave_admin_requests_total`, by path, role and result.
    pub admin_requests: IntCounterVec,
    /// `sheave_tunnels`.
    pub tunnels: IntGauge,
    /// `sheave_requests_in_flight`.
    pub in_flight: IntGauge,
    /// `sheave_received_bytes_total`.
    pub received: IntCounter,
    /// `sheave_sent_bytes_total`.
    pub sent: IntCounter,
    /// `sheave_pool_hits_total`.
    pub pool_hits: IntCounter,
    /// `sheave_pool_misses_total`.
    pub pool_misses: IntCounter,
    /// `sheave_connections_open`.
    pub connections_open: IntGaugeVec,
    /// `sheave_connections_max`.
    pub connections_max: IntGauge,
    /// `sheave_connections_total`.
    pub connections: IntCounterVec,
    /// `sheave_proxy_protocol_failures_total`.
    pub announcement_failures: IntCounterVec,
    /// `sheave_tls_handshakes_total`.
    pub tls_handshakes: IntCounterVec,
    /// `sheave_tls_handshake_failures_total`.
    pub tls_failures: IntCounterVec,
    /// `sheave_tls_certificate_expiry_timestamp_seconds`, set when it is asked for.
    pub certificate_expiry: IntGaugeVec,
    /// `sheave_requests_rejected_total`.
    pub rejected: IntCounterVec,
    /// `sheave_accept_errors_total`.
    pub accept_errors: IntCounter,
    /// `sheave_reloads_total`.
    pub reloads: IntCounterVec,
    /// `sheave_config_generation`.
    pub generation: IntGauge,
    /// `sheave_config_last_reload_successful`.
    pub reload_successful: IntGauge,
    /// `sheave_files_cache_hits_total`, set when the metrics are read.
    pub files_hits: IntCounter,
    /// `sheave_files_cache_misses_total`, set when the metrics are read.
    pub files_misses: IntCounter,
    /// The metrics of the caches of responses.
    pub caches: CacheMetrics,
    /// `sheave_compressed_bytes_total`.
    pub compressed: IntCounterVec,
    /// `sheave_access_log_dropped_total`.
    pub access_log_dropped: IntCounter,
    /// The metrics of what is sent to a collector.
    pub otlp: OtlpMetrics,
    /// `sheave_panics_total`.
    pub panics: IntCounter,
    /// `sheave_worker_restarts_total`.
    pub worker_restarts: IntCounter,
    /// `sheave_uptime_seconds`, set when the metrics are read.
    pub uptime: Gauge,
}

impl Metrics {
    /// All at zero.
    // A list of declarations, one after the other.
    #[allow(clippy::new_without_default, clippy::too_many_lines)]
    pub fn new() -> Arc<Self> {
        let make = Maker::default();
        let server = ["upstream", "server"];
        // This fails only on systems without /proc.
        let _ = make.add(ProcessMetrics::for_self());
        let limit =
            "Memory that the process may have: its container's limit, or the machine's memory.";
        make.gauge("sheave_memory_limit_bytes", limit).set(memory_limit::bytes() as i64);
        let durations = make.register("http_request_duration_seconds", Family::new());
        let metrics = Self {
            unrouted: durations.route(&"".into()),
            durations,
            custom: make.register("[metrics.custom]", Ok(CustomFamilies::default())),
            servers: make.register("sheave_upstream_response_seconds", ServerFamily::new()),
            workers: make.register("sheave_worker_*", Workers::new()),
            vital: VitalMetrics::new(&make),
            failures: make.counters(
                "sheave_request_failures_total",
                "Requests that something went wrong with, by the access log's reason.",
                &["reason"],
            ),
            listeners: Mutex::default(),
            attempts: make.counters(
                "sheave_upstream_attempts_total",
                "Attempts at servers, by how they ended.",
                &["upstream", "server", "outcome"],
            ),
            retries: make.counters(
                "sheave_upstream_retries_total",
                "Attempts after a failed one of the same request.",
                &["upstream"],
            ),
            ejections: make.counters(
                "sheave_upstream_ejections_total",
                "Servers taken out after max_fails failures.",
                &server,
            ),
            server_gauges: ServerGauges::new(&make),
            admin_requests: make.counters(
                "sheave_admin_requests_total",
                "Requests at the admin address, by path, role of who asked, and result.",
                &["path", "role", "result"],
            ),
            tunnels: make.gauge(
                "sheave_tunnels",
                "Tunnels that are open, those of servers that the config no longer has among them.",
            ),
            in_flight: make.gauge("sheave_requests_in_flight", "Requests being handled."),
            received: make
                .counter("sheave_received_bytes_total", "Bytes of request bodies received."),
            sent: make.counter("sheave_sent_bytes_total", "Bytes of response bodies sent."),
            pool_hits: make.counter("sheave_pool_hits_total", "Attempts over a pooled connection."),
            pool_misses: make
                .counter("sheave_pool_misses_total", "Attempts that needed a new connection."),
            connections_open: make.gauges(
                "sheave_connections_open",
                "Client connections.",
                &["listener"],
            ),
            connections_max: make.gauge(
                "sheave_connections_max",
                "Client connections that the limit of open files has room for, beside the rest.",
            ),
            connections: make.counters(
                "sheave_connections_total",
                "Client connections accepted.",
                &["listener"],
            ),
            announcement_failures: make.counters(
                "sheave_proxy_protocol_failures_total",
                "Connections without the PROXY protocol's header that they had to begin with.",
                &["listener", "reason"],
            ),
            tls_handshakes: make.counters(
                "sheave_tls_handshakes_total",
                "TLS handshakes: full, resumed, failed or timeout.",
                &["listener", "result"],
            ),
            tls_failures: make.counters(
                "sheave_tls_handshake_failures_total",
                "TLS handshakes that failed, by reason.",
                &["listener", "reason"],
            ),
            certificate_expiry: make.gauges(
                "sheave_tls_certificate_expiry_timestamp_seconds",
                "When a certificate ends, in seconds since 1970.",
                &["listener", "certificate"],
            ),
            rejected: make.counters(
                "sheave_requests_rejected_total",
                "Requests answered with an error of our own, by reason.",
                &["reason"],
            ),
            accept_errors: make
                .counter("sheave_accept_errors_total", "Connections that could not be accepted."),
            reloads: make.counters("sheave_reloads_total", "Reloads of the config.", &["result"]),
            generation: make
                .gauge("sheave_config_generation", "How many configs have been taken into use."),
            reload_successful: make.gauge(
                "sheave_config_last_reload_successful",
                "Whether the last reload was taken into use.",
            ),
            files_hits: make.counter("sheave_files_cache_hits_total", "Files served from memory."),
            caches: CacheMetrics::new(&make),
            files_misses: make
                .counter("sheave_files_cache_misses_total", "Files served from the disk."),
            compressed: make.counters(
                "sheave_compressed_bytes_total",
                "Bytes of responses before (in) and after (out) they were compressed.",
                &["coding", "direction"],
            ),
            access_log_dropped: make.counter(
                "sheave_access_log_dropped_total",
                "Access-log lines lost: no room in the buffer, or not writable.",
            ),
            otlp: OtlpMetrics::new(&make),
            panics: make.counter(
                "sheave_panics_total",
                "Panics, each of which ended one connection or worker.",
            ),
            worker_restarts: make
                .counter("sheave_worker_restarts_total", "Workers that died and were replaced."),
            uptime: make.register(
                "sheave_uptime_seconds",
                Gauge::new("sheave_uptime_seconds", "Seconds since the start."),
            ),
            declared: make.declared(),
            registry: make.registry,
        };
        metrics.reloads.with_label_values(&["success"]);
        metrics.reloads.with_label_values(&["failure"]);
        Arc::new(metrics)
    }

    /// What there is to read in [`Self::text`], also what has no series yet; by name.
    pub fn declared(&self) -> &[Declared] {
        &self.declared
    }

    /// A route's histograms.
    pub fn route(&self, name: &Arc<str>) -> Arc<RouteMetrics> {
        self.durations.route(name)
    }

    /// Removes the series of routes that the config no longer has.
    pub fn retain_routes<'a>(&self, names: impl Iterator<Item = &'a str>) {
        self.durations.retain(&names.chain([""]).collect());
    }

    /// Shows all routes' histograms.
    pub(super) fn each_route(&self, mut see: impl FnMut(&Arc<str>, &Arc<RouteMetrics>)) {
        self.durations.each(|(name, route)| see(name, route));
    }

    /// Shows all servers' counters.
    pub(super) fn each_server(&self, mut see: impl FnMut(&[String; 2], &Arc<ServerMetrics>)) {
        self.servers.lock().iter().for_each(|(name, server)| see(name, server));
    }

    /// The counts of the worker `index`.
    pub fn worker(&self, index: usize) -> Arc<WorkerMetrics> {
        self.workers.worker(index)
    }

    /// The counts of all workers, in their order.
    pub fn workers(&self) -> Vec<Arc<WorkerMetrics>> {
        self.workers.all()
    }

    /// An upstream's counters; `servers` in the order of its members. A server that existed before
    /// goes on counting.
    pub fn upstream(&self, upstream: &str, servers: &[&str]) -> UpstreamMetrics {
        let mut known = self.servers.lock();
        let server = |server: &&str| {
            let key = [upstream.to_owned(), (*server).to_owned()];
            Arc::clone(known.entry(key).or_insert_with(|| Arc::new(self.server(upstream, server))))
        };
        UpstreamMetrics {
            retries: self.retries.with_label_values(&[upstream]),
            servers: servers.iter().map(server).collect(),
        }
    }

    fn server(&self, upstream: &str, server: &str) -> ServerMetrics {
        ServerMetrics {
            attempts: Default::default(),
            heads: Durations::default(),
            counters: AttemptOutcome::ALL.map(|outcome| {
                self.attempts.with_label_values(&[upstream, server, outcome.name()])
            }),
            ejections: self.ejections.with_label_values(&[upstream, server]),
        }
    }

    /// Removes the series of a server that the config no longer has.
    pub fn remove_server(&self, upstream: &str, server: &str) {
        self.servers.lock().remove(&[upstream.to_owned(), server.to_owned()]);
        for outcome in AttemptOutcome::ALL {
            let _ = self.attempts.remove_label_values(&[upstream, server, outcome.name()]);
        }
        let _ = self.ejections.remove_label_values(&[upstream, server]);
        self.server_gauges.remove(&[upstream, server]);
    }

    /// Removes an upstream's own series.
    pub fn remove_upstream(&self, upstream: &str) {
        let _ = self.retries.remove_label_values(&[upstream]);
    }

    /// Notes that a listener begins. Returns the metrics of its open and its accepted connections.
    pub fn add_listener(&self, name: &str) -> (IntGauge, IntCounter) {
        *self.listeners().entry(name.to_owned()).or_default() += 1;
        let labels = [name];
        (
            self.connections_open.with_label_values(&labels),
            self.connections.with_label_values(&labels),
        )
    }

    /// Notes that a listener and its last connection have ended. If no other listener has its name,
    /// its series are removed.
    pub fn remove_listener(&self, name: &str) {
        let mut listeners = self.listeners();
        let Some(left) = listeners.get_mut(name) else { return };
        *left -= 1;
        if *left > 0 {
            return;
        }
        listeners.remove(name);
        let _ = self.connections_open.remove_label_values(&[name]);
        let _ = self.connections.remove_label_values(&[name]);
        for reason in ANNOUNCEMENT_FAILURES {
            let _ = self.announcement_failures.remove_label_values(&[name, reason]);
        }
        for result in HANDSHAKES {
            let _ = self.tls_handshakes.remove_label_values(&[name, result]);
        }
        for reason in HANDSHAKE_FAILURES {
            let _ = self.tls_failures.remove_label_values(&[name, reason]);
        }
    }

    fn listeners(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request that was answered with an error of our own. The counter is looked up by
    /// name: such answers are rare, and the reasons are few and fixed.
    pub fn reject(&self, reason: &str) {
        self.rejected.with_label_values(&[reason]).inc();
    }

    /// Counts a request that something went wrong with: rare, as the reasons of [`Self::reject`].
    pub fn fail(&self, reason: &str) {
        self.failures.with_label_values(&[reason]).inc();
    }

    /// All metrics.
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.servers.lock().values().for_each(|server| server.publish());
        self.registry.gather()
    }

    /// Metrics in Prometheus's text form.
    pub fn text(families: &[MetricFamily]) -> Vec<u8> {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(families, &mut text) {
            tracing::error!(%error, "metrics could not be written");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_goes_on_counting_over_reloads_until_it_is_taken_out() {
        let metrics = Metrics::new();
        let series =
            "sheave_upstream_attempts_total{outcome=\"reset\",server=\"b:1\",upstream=\"u\"}";
        let told = || {
            let text = String::from_utf8(Metrics::text(&metrics.gather())).unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
            line.map(|count| count.parse::<u64>().unwrap())
        };
        let old = metrics.upstream("u", &["a:1", "b:1"]);
        old.attempt(1, AttemptOutcome::Reset);
        let new = metrics.upstream("u", &["b:1"]);
        new.attempt(0, AttemptOutcome::Reset);
        assert_eq!(told(), Some(2));
        // This request is still under way with the old config.
        old.attempt(1, AttemptOutcome::Reset);
        assert_eq!(told(), Some(3));
        drop(old);
        assert_eq!(told(), Some(3));
        metrics.remove_server("u", "b:1");
        assert_eq!(told(), None);
    }
}
