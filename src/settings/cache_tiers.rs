//! Where a cache keeps responses beside memory.

use std::{path::PathBuf, time::Duration};

/// `redis` of a `[cache.NAME]`: a Redis or Valkey that several instances share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisSettings {
    /// Where it is.
    pub servers: RedisServers,
    /// `timeout`: of a connect and of each command, default 250 ms. Then the request goes on without it.
    pub timeout: Duration,
    /// `prefix` of all keys, default `"sheave"`. Caches of one prefix and name share what they have.
    pub prefix: String,
}

/// The servers of a Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisServers {
    /// `url`: one server, `redis://`, `rediss://` or `redis+unix://`.
    One(String),
    /// `cluster`: some of its nodes.
    Cluster(Vec<String>),
    /// `sentinels`, and the name of the `master` that they watch.
    Sentinels {
        /// Their URLs.
        urls: Vec<String>,
        /// The name.
        master: String,
    },
}

/// `disk` of a `[cache.NAME]`: a directory that survives a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskSettings {
    /// `path` of the directory. It is made if it is not there.
    pub path: PathBuf,
    /// `max_size` of all that is in it, in bytes, default 10 GiB.
    pub max_size: u64,
}
