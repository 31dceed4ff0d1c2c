//! The daemon from outside: the real binary, real sockets, servers that misbehave on command.
//!
//! One module per part of the interface. Each test's name says what it shows. They are built with
//! `rig`.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    missing_docs,
    unreachable_pub,
    reason = "a test that cannot go on says so and stops; nobody imports it"
)]

mod admin;
mod admin_access;
mod admin_servers;
mod admin_tls;
mod announced;
mod answers;
mod balance;
mod caching;
mod caching_coded;
mod caching_disk;
mod caching_failures;
mod caching_herd;
mod caching_keys;
mod caching_rules;
mod caching_stored;
mod caching_together;
mod caching_writes;
mod check;
mod churn;
mod compression;
mod custom_metrics;
mod dashboard;
mod differential_requests;
mod differential_responses;
mod error_pages;
mod explain;
mod explain_agrees;
mod faults;
mod fields;
mod files;
mod files_forms;
mod files_more;
mod forwarded;
mod framing;
mod geo;
mod grpc;
mod health;
mod http2;
mod http2_abuse;
mod http2_faults;
mod http2_servers;
mod http2_tunnels;
mod ipv6;
mod limits;
mod log_lines;
mod log_outputs;
mod logs;
mod memory;
mod otlp;
mod otlp_spans;
mod plan;
mod pools;
mod profile;
mod proxy_protocol;
mod purge;
mod reload;
mod responses;
mod retry;
mod rig;
mod routes;
mod scarcity;
mod server_tls;
mod stats;
mod status;
mod stop;
mod streams;
mod times;
mod tls;
mod tls_clients;
mod tls_tickets;
mod traces;
mod tunnels;
mod unix;
mod unix_listeners;
mod vitals;
