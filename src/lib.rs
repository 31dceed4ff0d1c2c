//! sheave: a layer-7 load-balancing reverse proxy.
//!
//! # The way of a request
//!
//! | step | where |
//! |---|---|
//! | a connection is accepted | [`client::accept`] |
//! | PROXY protocol, TLS | [`client::connection`] |
//! | HTTP/1, or HTTP/2 | [`client::http1`], [`client::http2`] |
//! | one snapshot, one context | [`proxy::begin`] |
//! | the head keeps the rules | [`proxy::admission`] |
//! | site and route | [`route::Router`] |
//! | the filters see the request | [`filter::Chain`] |
//! | respond, redirect, files or forward | [`route::Action`] |
//! | a server is chosen | [`upstream::Upstream::pick`] |
//! | it is asked, by HTTP/1 or HTTP/2 | [`origin::fetch()`] |
//! | a connection, kept or new, or a place on a shared one | [`origin::pool`], [`origin::sessions`], [`origin::dial`] |
//! | the request goes out, the head comes in | [`mod@origin::exchange`], [`origin::http2`] |
//! | the verdict; another try goes back to the choice | [`mod@proxy::forward`] |
//! | its body is compressed, or the reverse | [`encode::apply`] |
//! | the filters see the response | [`filter::Chain`] |
//! | the body flows; its end returns lease and connection | [`message::body::Body`], [`proxy::delivery`] |
//! | counted and logged | [`proxy::record`] |
//!
//! **One type of body** flows in both directions ([`message::body`]). A tunnel is two of them
//! without an end ([`origin::tunnel`], [`client::http1_tunnel`], [`client::http2_tunnel`]). Only
//! [`client`] knows which protocol the client speaks, and only [`origin`] which one the server
//! speaks.
//!
//! # Who owns what
//!
//! | type | owns | lives |
//! |---|---|---|
//! | [`config::Config`] | what was written | until the next one |
//! | [`snapshot::Snapshot`] | router, filters, upstreams, certificates | until its last request ends |
//! | [`snapshot::Live`] | the one swap, metrics, the clock | the process |
//! | [`upstream::Server`] | in-flight count, health, addresses | across reloads |
//! | [`proxy::Proxy`] | a worker's connections to servers, and its blocks of memory | its worker |
//!
//! Imports go strictly down: `cli` → `demo` → `daemon`, `health` → `client` → `admin` → `explain`,
//! `plan` → `proxy` → `snapshot` → `route`, `otlp` → `filter`, `files`, `origin`, `cache` →
//! `upstream`, `encode` → `observe` → `message`, `tls`, `task` → `config`, `http1` → `condition` →
//! `template`, `path`, `cidr`, `clock`, `loopback`, `country`, `credentials`, `protobuf`,
//! `settings`, `units`. Rooms between two arrows do not know each other. `tests/layering.rs` reads
//! this and holds it.

pub mod admin;
pub mod cache;
pub mod cidr;
pub mod cli;
pub mod client;
pub mod clock;
pub mod condition;
pub mod config;
pub mod country;
pub mod credentials;
pub mod daemon;
pub mod demo;
pub mod encode;
pub mod explain;
pub mod files;
pub mod filter;
pub mod health;
pub mod http1;
pub mod loopback;
pub mod message;
pub mod observe;
pub mod origin;
pub mod otlp;
pub mod path;
pub mod plan;
pub mod protobuf;
pub mod proxy;
pub mod route;
pub mod settings;
pub mod snapshot;
pub mod task;
pub mod template;
pub mod tls;
pub mod units;
pub mod upstream;
