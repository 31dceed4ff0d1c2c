//! From a changed config to what runs, or to nothing changed at all.
//!
//! Owns: the order of a reload: load, build, bind, and only then swap. May touch:
//! [`crate::snapshot`], [`super::listener`]. Called by [`super::control`].

use super::{StartError, listener::Listener};
use crate::{
    config,
    snapshot::{Live, Snapshot, build::build, live::Resources},
};
use std::{iter::zip, sync::Arc};

/// The listeners that `snapshot` wants: kept where name and address are the same, with the sockets of
/// who has the address now, else bound now. An error leaves everything as it was.
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
        // No two listeners of a config have one address: who has it now leaves it.
        match current.iter().find(|it| it.address == wanted.address) {
            Some(old) => old.renamed(id, &wanted.name, &resources.metrics),
            None => Listener::bind(
                id,
                &wanted.name,
                wanted.address,
                resources.workers,
                current,
                &resources.metrics,
            ),
        }
        .map_err(|error| StartError::Bind {
            what: format!("listener.{}", wanted.name),
            address: wanted.address,
            error,
        })
    };
    config.listeners.iter().map(bind_one).collect()
}

/// Brings the sockets of what [`bind`] gave to what `config` says of them.
pub fn adjust(config: &config::Config, listeners: &[Arc<Listener>]) {
    for (wanted, listener) in zip(&config.listeners, listeners) {
        listener.defer(wanted.defer_accept);
    }
}

/// What a new config comes to before anything is changed.
pub struct Prepared {
    /// The next snapshot.
    pub snapshot: Snapshot,
    /// Its listeners, bound.
    pub listeners: Vec<Arc<Listener>>,
    /// What the user should know all the same.
    pub warnings: Vec<config::Diagnostic>,
}

/// Loads and builds; touches nothing that runs.
pub fn prepare(
    path: &std::path::Path,
    previous: &Snapshot,
    current: &[Arc<Listener>],
    resources: &Resources,
) -> Result<Prepared, StartError> {
    let config::Loaded { config, warnings, .. } = config::load(path).map_err(StartError::Config)?;
    let listeners = bind(&config, current, resources)?;
    let snapshot = build(config, Some(previous), resources).map_err(StartError::Build)?;
    Ok(Prepared { snapshot, listeners, warnings })
}

/// Takes the series of what the config has no more out of the metrics.
pub fn forget(live: &Live, old: &Snapshot, new: &Snapshot) {
    live.metrics.retain_routes(new.router.routes().iter().map(|route| &*route.name));
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
