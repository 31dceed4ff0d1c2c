//! What the user wrote: plain values with every default filled in, checked as a whole.
//!
//! Owns: reading the TOML text, one file per table, and the rules across tables (`check.rs`). May
//! touch: [`crate::cidr`], [`crate::condition`], [`crate::country`], [`crate::credentials`],
//! [`crate::path`], [`crate::settings`], [`crate::template`], [`crate::units`]; no tokio. Next:
//! [`crate::snapshot::build`] turns a [`Config`] into what runs.

mod access_log;
mod addresses;
mod admin;
mod admin_access;
mod cache;
mod cache_tiers;
mod certificate;
mod check;
mod client_certificates;
mod compression;
mod concealed;
mod custom_counter;
mod document;
mod environment;
pub mod error;
mod error_pages;
mod file_fields;
mod files;
mod foreign_variables;
mod forwarded;
mod geo;
mod header_edits;
mod health;
mod health_check;
mod line_fields;
mod listen_address;
mod listener;
mod load;
mod log;
mod log_sink;
mod names;
mod nearest;
mod not_yet;
mod otlp;
mod otlp_attributes;
mod otlp_endpoint;
mod place;
mod private_key;
mod proxy_protocol;
mod retry;
mod route;
mod server;
mod server_address;
mod server_tls;
mod shadow;
mod shape;
mod site;
mod syntax;
mod system;
mod table;
mod ticket_keys;
mod tree;
mod upstream;
mod values;
mod written;

pub use access_log::{AccessLog, AccessLogFormat};
pub use admin::Admin;
pub use admin_access::{AdminAccess, AdminProof, TokenDigest};
pub use cache::Cache;
pub use check::clash;
pub use custom_counter::CustomCounter;
pub use error::{ConfigError, Diagnostic, Severity};
pub use error_pages::{ErrorPage, ErrorPages};
pub use file_fields::FileFields;
pub use files::{FileCache, Files, Listing};
pub use forwarded::{ForwardedFields, TrustedFields};
pub use geo::Geo;
pub use health::HealthLevels;
pub use line_fields::LineField;
pub use listen_address::ListenAddress;
pub use listener::{
    Certificate, ClientCertificates, Listener, ListenerLimits, ListenerTimeouts, Tls,
};
pub use load::{Loaded, load, load_again, parse};
pub use log::{Log, LogFormat};
pub use nearest::did_you_mean;
pub use otlp::{Otlp, OtlpCompression, SampleAlways};
pub use otlp_endpoint::OtlpEndpoint;
pub use place::{ConfigSource, Place};
pub use proxy_protocol::ProxyProtocol;
pub use route::{Action, HeaderEdits, PathPattern, Redirect, Respond, Route};
pub use server::Server;
pub use server_tls::ServerTls;
pub use site::{HostPattern, Site};
pub use upstream::{Protocol, SentHeader, Strategy, Upstream, UpstreamHttp2, WhenAllDown};
pub use written::{WrittenKey, WrittenTable, written_tables};

use crate::cidr::AddressSet;
use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

/// One whole configuration, valid in itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file that it was read from.
    pub source: ConfigSource,
    /// Threads that serve requests; `None` is `"auto"`, one per core.
    pub workers: Option<NonZeroUsize>,
    /// How long a stop waits for requests in flight.
    pub shutdown_timeout: Duration,
    /// How long `/ready` says 503 before a stop closes the listeners.
    pub drain_delay: Duration,
    /// Who may speak for a client with `X-Forwarded-*`.
    pub trusted_proxies: AddressSet,
    /// Where `trusted_proxies` is.
    pub trusted_place: Place,
    /// Which fields they write.
    pub trusted_fields: TrustedFields,
    /// In the order of the file.
    pub listeners: Vec<Listener>,
    /// In the order of the file.
    pub upstreams: Vec<Upstream>,
    /// `[cache.NAME]`.
    pub caches: Vec<Cache>,
    /// In the order of the file.
    pub sites: Vec<Site>,
    /// Every `[access_log]`, and `[slow_log]`.
    pub access_logs: Vec<AccessLog>,
    /// `[health]`.
    pub health: HealthLevels,
    /// `None` when `[otlp]` is absent.
    pub otlp: Option<Otlp>,
    /// Every `[metrics.custom.NAME]`.
    pub custom_counters: Vec<CustomCounter>,
    /// The daemon's own log.
    pub log: Log,
    /// The admin address; `[admin]` may be absent, the default address is used then.
    pub admin: Admin,
    /// Files that the config names and that are watched for changes (certificates, keys, databases).
    pub watched: Vec<PathBuf>,
}
