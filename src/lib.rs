//! sheave: a layer-7 load-balancing reverse proxy.
pub mod cidr;
pub mod template;
pub mod upstream;
