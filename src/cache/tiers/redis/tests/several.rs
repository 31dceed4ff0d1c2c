//! A cluster, and sentinels.

use super::harness::*;
use crate::settings::{RedisServers, RedisSettings};
use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Servers that end with it.
struct Servers(Vec<(Child, TempDir)>);

impl Servers {
    fn add(&mut self, arguments: &[&str]) {
        let directory = TempDir::new().unwrap();
        let child = spawn(directory.path(), arguments);
        self.0.push((child, directory));
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for (child, _) in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A port whose bus port, 10,000 above, is one too.
fn free_port() -> u16 {
    let ports = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    std::iter::repeat_with(ports).find(|it| *it < 55_000).unwrap()
}

fn settings(servers: RedisServers) -> RedisSettings {
    RedisSettings { servers, timeout: Duration::from_secs(5), prefix: "test".into() }
}

async fn two_share(settings: RedisSettings) {
    let one = Instance::start(settings.clone()).await;
    let other = Instance::start(settings).await;
    for name in ["a", "b", "c", "d", "e", "f"] {
        one.put(name).await;
        assert_eq!(other.get(name).await, Some(false));
    }
    assert!(other.tier.purge(tag("b", false)).await);
    assert_eq!((one.get("b").await, one.get("c").await), (None, Some(false)));
    one.hears(&tag("b", false)).await;
}

#[tokio::test]
async fn a_cluster_is_shared() {
    if !is_there("redis-server") || !is_there("redis-cli") {
        return;
    }
    let mut servers = Servers(Vec::new());
    let ports = [free_port(), free_port(), free_port()];
    for port in ports.map(|it| it.to_string()) {
        servers.add(&["--port", &port, "--cluster-enabled", "yes"]);
    }
    let urls = ports.map(|port| format!("redis://127.0.0.1:{port}"));
    for url in &urls {
        let _: String = ask(url, &["PING"]).await;
    }
    let status = Command::new("redis-cli")
        .args(["--cluster", "create"])
        .args(ports.map(|port| format!("127.0.0.1:{port}")))
        .arg("--cluster-yes")
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    for url in &urls {
        let began = Instant::now();
        while !ask::<String>(url, &["CLUSTER", "INFO"]).await.contains("cluster_state:ok") {
            assert!(began.elapsed() < LIMIT);
        }
    }
    two_share(settings(RedisServers::Cluster(urls.into()))).await;
}

#[tokio::test]
async fn the_master_that_sentinels_name_is_shared() {
    if !is_there("redis-server") {
        return;
    }
    let mut servers = Servers(Vec::new());
    let (master, sentinel) = (free_port().to_string(), free_port().to_string());
    servers.add(&["--port", &master]);
    let _: String = ask(&format!("redis://127.0.0.1:{master}"), &["PING"]).await;
    let directory = TempDir::new().unwrap();
    let config = directory.path().join("sentinel.conf");
    let text = format!("port {sentinel}\nsentinel monitor main 127.0.0.1 {master} 1\n");
    std::fs::write(&config, text).unwrap();
    servers.add(&[&config.display().to_string(), "--sentinel"]);
    let urls = vec![format!("redis://127.0.0.1:{sentinel}")];
    two_share(settings(RedisServers::Sentinels { urls, master: "main".into() })).await;
}
