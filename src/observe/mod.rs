//! What is seen from outside: metrics, the access log, the daemon's own log.
//!
//! Owns: all three. May touch: [`crate::cidr`], [`crate::condition`], [`crate::country`],
//! [`crate::message`], [`crate::protobuf`], [`crate::settings`], [`crate::template`],
//! [`crate::units`]. Recording takes no lock that another core holds for long. On a request's way
//! only its own log lines and spans are formatted.

pub mod access_line;
pub mod access_log;
pub mod audit_file;
pub mod cache_metrics;
mod combined_line;
pub mod custom_metrics;
pub mod declared;
pub mod durations;
pub mod figures;
pub mod foreign;
pub mod json_line;
pub mod key_value;
pub mod leak;
pub mod leak_watch;
pub mod line_facts;
mod line_text;
pub mod log_file;
mod log_frames;
pub mod log_losses;
pub mod log_output;
pub mod log_rotation;
pub mod log_socket;
pub mod log_writer;
pub mod logging;
mod maker;
pub mod memory_limit;
pub mod metrics;
pub mod otlp_metrics;
pub mod outcome;
pub mod phase_times;
pub mod process;
pub mod rarely;
pub mod recent_failures;
pub mod request_metrics;
pub mod sampler;
pub mod server_gauges;
pub mod span_queue;
pub mod tally;
pub mod trace_terms;
pub mod upstream_metrics;
pub mod vital_metrics;
pub mod windows;
pub mod worker_metrics;

pub use request_metrics::RouteMetrics;
pub use upstream_metrics::UpstreamMetrics;
