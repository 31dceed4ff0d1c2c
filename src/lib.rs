//! sheave: a layer-7 load-balancing reverse proxy.
pub mod cidr;
pub mod files;
pub mod message;
pub mod template;
pub mod upstream;
