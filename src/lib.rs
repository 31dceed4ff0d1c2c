//! sheave: a layer-7 load-balancing reverse proxy.
pub mod cidr;
pub mod config;
pub mod template;
