//! What is seen from outside: metrics, the access log, the daemon's own log.
//!
//! Owns: all three. May touch: [`crate::cidr`], [`crate::message`]. Recording takes no lock that
//! another core holds for long. On a request's way only its own log line is formatted.

pub mod access_line;
pub mod access_log;
pub mod cache_metrics;
pub mod foreign;
pub mod log_file;
pub mod log_losses;
pub mod logging;
mod maker;
pub mod metrics;
pub mod outcome;
pub mod phase_times;
pub mod process;
pub mod rarely;
pub mod request_metrics;
pub mod upstream_metrics;

pub use request_metrics::RouteMetrics;
pub use upstream_metrics::UpstreamMetrics;
