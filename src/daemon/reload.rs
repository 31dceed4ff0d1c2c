//! Takes a changed config into use, or changes nothing at all.
//!
//! Owns: the order of a reload: load, build, bind, and only then swap. May touch:
//! [`crate::client`], [`crate::config`], [`crate::plan`], [`crate::snapshot`]. Called by
//! [`super::control`].

use super::{
    StartError,
    watch::{self, Seen},
};
use crate::{
    client::listener::Listener,
    config::{self, Config},
    plan::plan,
    snapshot::{
        Live, Snapshot,
        build::{build, rebuild},
        live::Resources,
    },
};
use serde_json::Value;
use std::{
    future::pending,
    io,
    iter::zip,
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

/// Reading and building take seconds at most. A disk that hangs takes for ever.
const LIMIT: Duration = Duration::from_secs(60);

/// The listeners of the new config. One with the same name and address is kept; one whose address
/// another listener has now takes over its sockets; the others are bound. An error leaves
/// everything as it was.
pub fn bind(
    config: &config::Config,
    current: &[Arc<Listener>],
    resources: &Resources,
) -> Result<Vec<Arc<Listener>>, StartError> {
    let bind_one = |wanted: &config::Listener| {
        let id = resources.listener_id(&wanted.name);
        let is_kept = |it: &&Arc<Listener>| it.id == id && it.wanted == wanted.address;
        if let Some(kept) = current.iter().find(is_kept) {
            return Ok(Arc::clone(kept));
        }
        // No two listeners of a config have the same address, so the old listener gives it up.
        match current.iter().find(|it| it.address == wanted.address) {
            Some(old) => Ok(old.renamed(id, &wanted.name, &resources.metrics)),
            None => Listener::bind(
                id,
                &wanted.name,
                &wanted.address,
                resources.workers,
                current,
                &resources.metrics,
            ),
        }
        .map_err(|error| StartError::Bind {
            what: format!("listener.{}", wanted.name),
            address: wanted.address.clone(),
            error,
        })
    };
    config.listeners.iter().map(bind_one).collect()
}

/// Sets the options of the sockets that [`bind`] returned, by `config`.
pub fn adjust(config: &config::Config, listeners: &[Arc<Listener>]) {
    for (wanted, listener) in zip(&config.listeners, listeners) {
        // `proxy_protocol.timeout` counts from the connection, so the connection must be taken at
        // once.
        listener.defer(wanted.defer_accept && wanted.proxy_protocol.is_none());
        if let Err(error) = listener.set_mode(wanted.mode) {
            let (listener, address) = (&*listener.name, &listener.address);
            tracing::warn!(listener, %address, %error, "the socket's mode can't be set");
        }
    }
}

/// Everything made for a new config, before anything is changed.
pub struct PreparedConfig {
    /// The next snapshot.
    pub snapshot: Snapshot,
    /// Its listeners, bound.
    pub listeners: Vec<Arc<Listener>>,
    /// What the user should know although the config is valid.
    pub warnings: Vec<config::Diagnostic>,
    /// What is different, for the history.
    pub changes: Vec<Value>,
}

/// What a reload needs.
pub struct ReloadSource {
    /// The config.
    pub path: PathBuf,
    /// The config's file, and the files that the running config names.
    pub files: Vec<PathBuf>,
    /// The running config is taken once more, with what an operator has set since.
    pub unchanged: bool,
    /// The running snapshot.
    pub previous: Arc<Snapshot>,
    /// The current listeners.
    pub current: Vec<Arc<Listener>>,
    /// The process's resources.
    pub resources: Arc<Resources>,
}

/// The result of preparing, and the contents of the files before they were loaded, if known.
pub type Preparation = (Option<Seen>, Result<PreparedConfig, StartError>);

/// A config that is being loaded and built, on a thread of its own: the disk may hang, and the
/// control thread must go on handling signals.
pub struct Preparing {
    told: oneshot::Receiver<Preparation>,
    // A new thread for each load. A pool's threads would take turns, and the allocator would keep
    // for each of them the memory that a snapshot once needed.
    thread: Option<JoinHandle<()>>,
    until: Instant,
}

impl Preparing {
    /// Begins to load and build.
    pub fn begin(source: ReloadSource) -> io::Result<Self> {
        let (tell, told) = oneshot::channel();
        let thread = thread::Builder::new().name("reload".into()).spawn(move || {
            // The control thread may have given up.
            let _ = tell.send(prepare(&source));
        })?;
        Ok(Self { told, thread: Some(thread), until: Instant::now() + LIMIT })
    }

    /// The result.
    pub async fn outcome(&mut self) -> Preparation {
        match timeout_at(self.until, &mut self.told).await {
            Ok(told) => {
                // The thread has sent its result, so it ends at once; a panic has been logged.
                let _ = self.thread.take().map(JoinHandle::join);
                told.unwrap_or_else(|error| {
                    (None, Err(StartError::System(io::Error::other(error))))
                })
            }
            Err(_) => (None, Err(hangs())),
        }
    }

    /// The thread, if the disk still blocks it.
    pub fn stuck(self) -> Option<JoinHandle<()>> {
        self.thread
    }
}

/// The error for a disk that does not answer.
pub fn hangs() -> StartError {
    let text = format!(
        "the config and the files that it names could not be read within {} s\n  = hint: does the \
         disk or the network file system that they are on hang?",
        LIMIT.as_secs()
    );
    StartError::System(io::Error::new(io::ErrorKind::TimedOut, text))
}

/// Loads and builds; touches nothing that runs.
fn prepare(source: &ReloadSource) -> Preparation {
    let ReloadSource { path, files, previous, current, resources, .. } = source;
    if source.unchanged {
        let built = rebuild(previous, resources).map_err(StartError::Build);
        let listeners = current.clone();
        return (
            None,
            built.map(|snapshot| PreparedConfig {
                snapshot,
                listeners,
                warnings: Vec::new(),
                changes: Vec::new(),
            }),
        );
    }
    // Look before the load, so that a change during the load counts as another one.
    let seen = match watch::look(files) {
        Ok(seen) => seen,
        Err(error) => return (None, Err(StartError::System(error))),
    };
    let build = || {
        let databases: Vec<_> = previous.databases.iter().map(|it| it.path()).collect();
        let config::Loaded { config, warnings, .. } =
            config::load_again(path, &databases).map_err(StartError::Config)?;
        let listeners = bind(&config, current, resources)?;
        let snapshot = build(config, Some(previous), resources).map_err(StartError::Build)?;
        let changes = changes(&previous.config, &snapshot.config);
        Ok(PreparedConfig { snapshot, listeners, warnings, changes })
    };
    (Some(seen), build())
}

/// A value in the history of reloads is cut after so many bytes.
const LONGEST_VALUE: usize = 200;

/// So many keys of a table are in the history.
const KEYS: usize = 20;

/// What is different in `new`, as `sheave plan` tells it. What will become of it is left out: by the
/// time that somebody reads it, it has.
fn changes(old: &Config, new: &Config) -> Vec<Value> {
    let mut changes = match plan(old, new, &[], None)["changes"].take() {
        Value::Array(changes) => changes,
        _ => Vec::new(),
    };
    for change in &mut changes {
        if let Some(change) = change.as_object_mut() {
            change.remove("effect");
        }
        let Some(keys) = change["keys"].as_array_mut() else { continue };
        keys.truncate(KEYS);
        let keys = keys.iter_mut();
        for value in keys.filter_map(Value::as_object_mut).flat_map(serde_json::Map::values_mut) {
            if let Value::String(text) = value
                && text.len() > LONGEST_VALUE
            {
                text.truncate(text.floor_char_boundary(LONGEST_VALUE));
                text.push('…');
            }
        }
    }
    changes
}

/// A reload under way.
pub struct Reloading {
    /// Why it was asked for.
    pub asked: Trigger,
    /// The config that is being prepared.
    pub preparing: Preparing,
}

/// Why there is a reload.
pub struct Trigger {
    /// The config is the running one: only what an operator has set is new.
    pub unchanged: bool,
    /// The cause, in words for the log.
    pub cause: &'static str,
    /// Where to send the outcome.
    pub reply: Option<oneshot::Sender<Result<u64, Value>>>,
}

impl Trigger {
    /// A reload whose outcome nobody waits for.
    pub fn by(cause: &'static str) -> Self {
        Self { unchanged: false, cause, reply: None }
    }
}

/// The result of the running reload; waits forever if there is none.
pub async fn outcome(reloading: &mut Option<Reloading>) -> Preparation {
    match reloading {
        Some(reloading) => reloading.preparing.outcome().await,
        None => pending().await,
    }
}

/// Removes the metric series of everything that the config no longer has.
pub fn forget(live: &Live, old: &Snapshot, new: &Snapshot) {
    live.metrics.retain_routes(new.router.routes().iter().map(|route| &*route.name));
    live.metrics.custom.retain(new.custom.as_deref().unwrap_or_default());
    for group in &old.groups {
        let name = group.upstream.name();
        let kept = new.groups.iter().find(|it| it.upstream.name() == name);
        let has = |address: &str| {
            kept.is_some_and(|it| {
                it.upstream.members().iter().any(|member| member.server.address() == address)
            })
        };
        for member in group.upstream.members() {
            if !has(member.server.address()) {
                live.metrics.remove_server(name, member.server.address());
            }
        }
        if kept.is_none() {
            live.metrics.remove_upstream(name);
        }
    }
}
