//! Connections to a Redis: to one server, to a cluster, or to the master that sentinels name.
//!
//! Owns: how they are made. May touch: [`crate::settings`].

use crate::settings::{RedisServers, RedisSettings};
use aws_lc_rs::rand;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue,
    IntoConnectionInfo, RedisConnectionInfo, RedisError, RedisResult,
    aio::MultiplexedConnection,
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType},
};
use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};
use tokio::time::timeout;

/// So many timeouts, one after another, end a connection.
const MOST_TIMEOUTS: u32 = 3;

/// How much longer than a command a whole connect and a write may take: nobody waits for them.
const PATIENCE: u32 = 4;

/// A connection. Its driver is a task of the thread that made it.
pub(super) enum RedisWire {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl RedisWire {
    /// The answer to a command.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        match self {
            Self::One(wire) => command.query_async(&mut wire.clone()).await,
            Self::Cluster(wire) => command.query_async(&mut wire.clone()).await,
        }
    }
}

/// The connections that are there at a time.
pub(super) struct RedisLink {
    reads: RedisWire,
    /// Apart, as a large object on its way must not hold up those who read.
    writes: RedisWire,
    /// Of those that hear the news: all nodes of a cluster do.
    listeners: Vec<Client>,
    timeouts: AtomicU32,
}

impl RedisLink {
    /// Connects.
    pub(super) async fn connect(settings: &RedisSettings) -> RedisResult<Self> {
        // A cluster's connect may never end.
        let limit = settings.timeout * PATIENCE;
        timeout(limit, Self::make(settings)).await.unwrap_or_else(|_| Err(too_slow()))
    }

    async fn make(settings: &RedisSettings) -> RedisResult<Self> {
        let short = settings.timeout;
        let long = short * PATIENCE;
        let client = match &settings.servers {
            RedisServers::Cluster(urls) => {
                let nodes = urls.iter().map(|url| Client::open(url.as_str()));
                let listeners = nodes.collect::<Result<_, _>>()?;
                let reads = cluster(urls, short).await?;
                let writes = cluster(urls, long).await?;
                return Ok(Self { reads, writes, listeners, timeouts: AtomicU32::new(0) });
            }
            RedisServers::One(url) => Client::open(url.as_str())?,
            RedisServers::Sentinels { urls, master } => find_master(urls, master).await?,
        };
        let reads = one(&client, short).await?;
        let writes = one(&client, long).await?;
        Ok(Self { reads, writes, listeners: vec![client], timeouts: AtomicU32::new(0) })
    }

    /// For what is waited for.
    pub(super) fn reads(&self) -> &RedisWire {
        &self.reads
    }

    /// For objects that are written.
    pub(super) fn writes(&self) -> &RedisWire {
        &self.writes
    }

    /// One that hears the news: another one each time, as one may be down.
    pub(super) fn listener(&self) -> Option<&Client> {
        self.listeners.get(random() as usize % self.listeners.len().max(1))
    }

    /// A command was answered.
    pub(super) fn works(&self) {
        // Rarely written, so that threads don't share a line that changes.
        if self.timeouts.load(Relaxed) > 0 {
            self.timeouts.store(0, Relaxed);
        }
    }

    /// Whether this error ends it.
    pub(super) fn ends_by(&self, error: &RedisError) -> bool {
        if error.is_timeout() {
            return self.timeouts.fetch_add(1, Relaxed) + 1 >= MOST_TIMEOUTS;
        }
        error.is_unrecoverable_error()
            || error.is_io_error()
            || error.is_connection_dropped()
            // It is no longer the master.
            || error.code() == Some("READONLY")
    }
}

/// The error of what took too long.
pub(super) fn too_slow() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

/// Where it is, without a password.
pub(super) fn place(settings: &RedisSettings) -> String {
    match &settings.servers {
        RedisServers::One(url) => without_user(url),
        RedisServers::Cluster(urls) => list(urls),
        RedisServers::Sentinels { urls, master } => format!("{master} of {}", list(urls)),
    }
}

fn list(urls: &[String]) -> String {
    urls.iter().map(|url| without_user(url)).collect::<Vec<_>>().join(", ")
}

fn without_user(url: &str) -> String {
    let url = url.split('?').next().unwrap_or(url);
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}://{place}"),
        _ => url.to_owned(),
    }
}

async fn one(client: &Client, limit: Duration) -> RedisResult<RedisWire> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(limit))
        .set_response_timeout(Some(limit));
    client.get_multiplexed_async_connection_with_config(&config).await.map(RedisWire::One)
}

async fn cluster(urls: &[String], limit: Duration) -> RedisResult<RedisWire> {
    let client = ClusterClient::builder(urls.iter().map(String::as_str))
        .connection_timeout(limit)
        .response_timeout(limit)
        .retries(3)
        .min_retry_wait(5)
        .max_retry_wait(50)
        .build()?;
    client.get_async_connection().await.map(RedisWire::Cluster)
}

/// User, password and database are the master's. Sentinels are asked without, and with them if that
/// fails.
async fn find_master(urls: &[String], master: &str) -> RedisResult<Client> {
    let infos: Vec<ConnectionInfo> =
        urls.iter().map(|url| url.as_str().into_connection_info()).collect::<Result<_, _>>()?;
    let mut node = SentinelNodeConnectionInfo::default();
    if let Some(first) = infos.first() {
        node = node.set_redis_connection_info(first.redis_settings().clone());
        if matches!(first.addr(), ConnectionAddr::TcpTls { .. }) {
            node = node.set_tls_mode(redis::TlsMode::Secure);
        }
    }
    let plain = || RedisConnectionInfo::default();
    let bare = infos.iter().map(|info| info.clone().set_redis_settings(plain())).collect();
    let without = ask_sentinels(bare, master, node.clone()).await;
    if without.is_ok() || infos.iter().all(|info| info.redis_settings().password().is_none()) {
        return without;
    }
    let user = |info: ConnectionInfo| {
        let settings = info.redis_settings().clone().set_db(0);
        info.set_redis_settings(settings)
    };
    ask_sentinels(infos.into_iter().map(user).collect(), master, node).await
}

async fn ask_sentinels(
    sentinels: Vec<ConnectionInfo>,
    master: &str,
    node: SentinelNodeConnectionInfo,
) -> RedisResult<Client> {
    let kind = SentinelServerType::Master;
    SentinelClient::build(sentinels, master, Some(node), kind)?.async_get_client().await
}

/// A number that nobody else has. Zero if the system has none.
pub(super) fn random() -> u64 {
    let mut bytes = [0; 8];
    let _ = rand::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_told() {
        let settings = |servers| RedisSettings {
            servers,
            timeout: Duration::from_millis(1),
            prefix: String::new(),
        };
        let one = settings(RedisServers::One("redis://me:p@ss@host:1/0?password=x".into()));
        assert_eq!(place(&one), "redis://host:1/0");
        let urls = vec!["redis://a:1".into(), "redis://:x@b:2".into()];
        let some = settings(RedisServers::Sentinels { urls, master: "m".into() });
        assert_eq!(place(&some), "m of redis://a:1, redis://b:2");
    }
}
