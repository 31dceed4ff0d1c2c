//! From a file to a [`Config`], or to everything that is wrong with it.
//!
//! Owns: the order of reading, and the verdict. May touch: the file system and the environment. Of
//! the config's other files, only those about files and certificates do. Next: `snapshot::build`.

use super::{
    AccessLog, Admin, Cache, Config, ConfigError, ConfigSource, CustomCounter, Diagnostic,
    Listener, Log, Otlp, ServerTls, Severity, Site, Tls, TrustedFields, Upstream,
    addresses::address_set,
    check::check,
    concealed::concealed,
    document::{ConfigText, Finished},
    health::HealthLevels,
    site::Names,
    table::Table,
    tree::ValueKind,
};
use std::{collections::BTreeSet, num::NonZeroUsize, path::Path, time::Duration};

/// A config that may run.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the file says, with every default filled in.
    pub config: Config,
    /// Warnings; each can be printed by itself.
    pub warnings: Vec<Diagnostic>,
    /// The keys that the file does not have, so that they have their defaults:
    /// `upstream.*.keepalive`, `site[].route[].timeouts.connect`. Keys of an optional table are in
    /// it only if the table is.
    pub defaulted: BTreeSet<String>,
}

/// Reads the config file at `path`, with the process's environment.
pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
    load_again(path, &[])
}

/// The same while the databases of countries at these paths are in memory: if a file of them can't be
/// used now, that is only a warning.
pub fn load_again(path: &Path, databases: &[&Path]) -> Result<Loaded, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|it| ConfigError::unreadable(path, &it))?;
    read_text(&text, path, &|name| std::env::var(name).ok(), databases)
}

/// Reads `text` as the content of `file`, which need not exist; relative paths start beside it.
pub fn parse(
    text: &str,
    file: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, ConfigError> {
    read_text(text, file, env, &[])
}

fn read_text(
    text: &str,
    file: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    databases: &[&Path],
) -> Result<Loaded, ConfigError> {
    let document = ConfigText::parse(text, file, env);
    let mut config = read(&Table::top(&document));
    config.source = ConfigSource { file: file.to_owned(), text: without_secrets(text).into() };
    // If lines are broken, tables may be missing. The rules across tables would report them, so
    // they are left out.
    if document.is_whole() {
        check(&document, &config, databases);
    }
    let Finished { diagnostics, defaulted } = document.finish();
    if diagnostics.iter().any(|it| it.severity == Severity::Error) {
        return Err(ConfigError { file: file.to_owned(), diagnostics, unreadable: false });
    }
    Ok(Loaded { config, warnings: diagnostics, defaulted })
}

/// Tokens are not kept in memory.
fn without_secrets(text: &str) -> String {
    text.lines().flat_map(|line| [concealed(line), "\n".into()]).collect()
}

fn read(top: &Table<'_>) -> Config {
    let listeners: Vec<_> = (top.named_tables("listener").into_iter())
        .map(|(name, table)| Listener::read(name, &table))
        .collect();
    let upstreams: Vec<_> = (top.named_tables("upstream").into_iter())
        .map(|(name, table)| Upstream::read(name, &table))
        .collect();
    let caches = top.named_tables("cache").into_iter();
    let caches = caches.map(|(name, table)| Cache::read(name, &table)).collect();
    let listener_names: Vec<_> = listeners.iter().map(|it| it.name.clone()).collect();
    let mut names = Names::default();
    let sites: Vec<_> = (top.tables("site", "[[site]]").iter())
        .map(|table| Site::read(table, &listener_names, &upstreams, &mut names))
        .collect();
    let tls = listeners.iter().filter_map(|it| it.tls.as_ref());
    let mut watched: Vec<_> = tls.flat_map(Tls::files).cloned().collect();
    let servers = upstreams.iter().flat_map(|it| &it.servers).filter_map(|it| it.tls.as_ref());
    watched.extend(servers.flat_map(ServerTls::files).cloned());
    let routes = sites.iter().flat_map(|it| &it.routes);
    watched.extend(routes.filter_map(|it| it.geo.as_ref()).map(|it| it.database.clone()));
    let of_sites = sites.iter().filter_map(|it| it.error_pages.as_ref());
    let of_routes = sites.iter().flat_map(|it| &it.routes).filter_map(|it| it.error_pages.as_ref());
    watched.extend(of_sites.chain(of_routes).flat_map(|it| &it.pages).map(|it| it.file.clone()));
    let otlp = top.optional_table("otlp").map(|table| Otlp::read(&table));
    let collector = otlp.as_ref().and_then(|it| it.endpoint.tls.as_ref());
    watched.extend(collector.into_iter().flat_map(ServerTls::files).cloned());
    let admin = Admin::read(&top.table("admin"));
    watched.extend(admin.files().cloned());
    watched.sort();
    watched.dedup();
    Config {
        source: ConfigSource::default(),
        workers: read_workers(top),
        shutdown_timeout: top.duration("shutdown_timeout", Duration::from_secs(30)),
        drain_delay: top.duration("drain_delay", Duration::ZERO),
        trusted_proxies: address_set(top, "trusted_proxies"),
        trusted_place: top.place_of("trusted_proxies"),
        trusted_fields: TrustedFields::read(top),
        listeners,
        upstreams,
        caches,
        sites,
        access_logs: AccessLog::read_all(top),
        custom_counters: CustomCounter::read_all(top),
        otlp,
        health: HealthLevels::read(&top.table("health")),
        log: Log::read(&top.table("log")),
        admin,
        watched,
    }
}

/// `"auto"` or a number.
fn read_workers(top: &Table<'_>) -> Option<NonZeroUsize> {
    let value = top.value("workers")?;
    match &value.kind {
        ValueKind::Text(text) if text.value == "auto" => None,
        ValueKind::Text(text) if !text.from_environment => {
            let hint = Some("write `\"auto\"` for one per core, or a number without quotes".into());
            top.error(text.span.clone(), format!("unknown `workers` `{}`", text.value), hint);
            None
        }
        _ => {
            let workers = top.number_in("workers", value, 1..=1024)?;
            NonZeroUsize::new(usize::try_from(workers).ok()?)
        }
    }
}
