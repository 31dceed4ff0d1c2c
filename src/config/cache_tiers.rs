//! `redis` and `disk` of `[cache.NAME]`: where a cache keeps responses beside memory.

use super::{
    Config,
    document::ConfigText,
    table::Table,
    tree::{TextValue, ValueKind},
};
use crate::settings::{DiskSettings, RedisServers, RedisSettings};
use redis::IntoConnectionInfo;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

const TIMEOUT: Duration = Duration::from_millis(250);
const PREFIX: &str = "sheave";

impl RedisSettings {
    /// Reads `redis`: a URL, or a table.
    pub(super) fn read(cache: &Table<'_>) -> Option<Self> {
        let value = cache.value("redis")?;
        match &value.kind {
            ValueKind::Boolean(false) => None,
            ValueKind::Text(text) => Some(Self {
                servers: RedisServers::One(url(cache, text)),
                timeout: TIMEOUT,
                prefix: PREFIX.to_owned(),
            }),
            ValueKind::Table(_) => {
                let table = cache.optional_table("redis")?;
                let servers = read_servers(&table);
                let prefix = table.text("prefix").map(|it| it.value.clone());
                let timeout = table.positive_duration("timeout", TIMEOUT);
                let prefix = prefix.unwrap_or_else(|| PREFIX.to_owned());
                Some(Self { servers: servers?, timeout, prefix })
            }
            _ => {
                let hint = "write `redis = \"redis://127.0.0.1:6379\"`";
                cache.wrong_kind("redis", value, "a URL or a table", Some(hint.into()));
                None
            }
        }
    }
}

fn read_servers(table: &Table<'_>) -> Option<RedisServers> {
    let urls = |key| {
        let texts = table.texts(key)?;
        if texts.is_empty() {
            let message = format!("`{key}` is empty");
            let hint = "name one at least, as `\"redis://10.0.0.1:6379\"`";
            table.error(table.value_span(key), message, Some(hint.into()));
        }
        Some(texts.into_iter().map(|it| url(table, it)).collect::<Vec<_>>())
    };
    let one = table.text("url").map(|it| url(table, it));
    let (cluster, sentinels) = (urls("cluster"), urls("sentinels"));
    let master = table.text("master").map(|it| it.value.clone());
    match (one, cluster, sentinels, master) {
        (Some(url), None, None, None) => Some(RedisServers::One(url)),
        (None, Some(nodes), None, None) => Some(RedisServers::Cluster(nodes)),
        (None, None, Some(urls), Some(master)) => Some(RedisServers::Sentinels { urls, master }),
        (None, None, Some(_), None) => {
            table.missing("master", "\"mymaster\"");
            None
        }
        _ => {
            let hint = "write `url = \"redis://127.0.0.1:6379\"` for one server; `sentinels` go with `master`";
            let message = "`redis` needs one of `url`, `cluster` and `sentinels`";
            table.error(table.value_span(""), message, Some(hint.into()));
            None
        }
    }
}

/// A URL that the client can use.
fn url(table: &Table<'_>, text: &TextValue) -> String {
    let given = text.value.as_str();
    let hint = "write `redis://HOST:PORT`, with `:PASSWORD@` before the host and `/NUMBER` of a \
                database behind it where they are needed";
    if !given.contains("://") {
        let message = format!("`{given}` is no URL of a Redis");
        table.error(text.span.clone(), message, Some(format!("write `redis://{given}`")));
    } else if given.into_connection_info().is_err() {
        let message = format!("`{given}` is no URL of a Redis");
        table.error(text.span.clone(), message, Some(hint.into()));
    }
    given.to_owned()
}

impl DiskSettings {
    /// Reads `disk`: a path, or a table.
    pub(super) fn read(cache: &Table<'_>) -> Option<Self> {
        let value = cache.value("disk")?;
        let max_size = 10 << 30;
        match &value.kind {
            ValueKind::Boolean(false) => None,
            ValueKind::Text(text) => Some(Self { path: cache.path_in(text), max_size }),
            ValueKind::Table(_) => {
                let table = cache.optional_table("disk")?;
                let path = table.required_text("path", "\"cache\"");
                let path = path.map_or_else(PathBuf::new, |it| table.path_in(it));
                Some(Self { path, max_size: table.size("max_size", max_size) })
            }
            _ => {
                let hint = "write `disk = { path = \"cache\", max_size = \"10GiB\" }`";
                cache.wrong_kind("disk", value, "a path or a table", Some(hint.into()));
                None
            }
        }
    }
}

/// A directory is one cache's.
pub(super) fn check(document: &ConfigText<'_>, config: &Config) {
    let mut seen: Vec<(&Path, &str)> = Vec::new();
    for cache in &config.caches {
        let Some(path) = cache.disk.as_ref().map(|it| it.path.as_path()) else { continue };
        if let Some((_, other)) = seen.iter().find(|(known, _)| *known == path) {
            let message = format!("`{}` is the directory of [cache.{other}]", path.display());
            let at = document.value_at(&format!("cache.{}.disk", cache.name));
            document.error(at, message, Some("give each cache a directory of its own".into()));
        }
        if !path.as_os_str().is_empty() {
            seen.push((path, &cache.name));
        }
    }
}
