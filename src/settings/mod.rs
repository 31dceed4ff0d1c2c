//! Settings that serve as they were written: the config reads them, and what runs has a copy.
//!
//! Owns: the values, plain and with their defaults. May touch: nothing outside this room. What has
//! to be compiled first has one type in [`crate::config`] and another where it runs.

mod cache_tiers;
mod compression;
mod health_check;
mod log_field;
mod log_sink;
mod retry;
mod role;
mod route_cache;
mod server_terms;
mod span_attribute;
mod timeouts;

pub use cache_tiers::{DiskSettings, RedisServers, RedisSettings};
pub use compression::{Coding, CodingLevels, Compression};
pub use health_check::{HealthCheck, StatusRange};
pub use log_field::LogField;
pub use log_sink::{LogAddress, LogSink, LogTarget, Rotation, Syslog};
pub use retry::{Retry, RetryOn};
pub use role::Role;
pub use route_cache::{AfterWrite, CookieKey, QueryKey, RouteCache};
pub use server_terms::ServerTerms;
pub use span_attribute::SpanAttribute;
pub use timeouts::Timeouts;
