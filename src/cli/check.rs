//! `sheave check`: what is wrong with a config, or what is in it.
//!
//! Owns: the summary. May touch: [`crate::config`], [`crate::daemon`], [`crate::snapshot`]; the
//! files that the config names.

use super::{complain, print};
use crate::{
    config::{self, Loaded},
    daemon::StartError,
    snapshot::{
        build::{BuildError, build},
        live::Resources,
    },
};
use std::path::Path;

/// Loads and builds like a start, but binds no socket and opens no log.
pub(super) fn check(path: &Path) -> u8 {
    let checked = config::load(path).map_err(StartError::Config).and_then(|loaded| {
        let Loaded { mut config, warnings, .. } = loaded;
        let summary = summary(path, &config);
        config.access_logs.clear();
        let resources =
            Resources::new(1).map_err(|error| StartError::System(std::io::Error::other(error)))?;
        build(config, None, &resources).map_err(StartError::Build)?;
        let faults = resources.roots.faults().iter().map(|it| format!("warning: {it}\n"));
        let warnings = warnings.iter().map(|it| format!("{it}\n")).chain(faults).collect();
        Ok::<(Vec<_>, _), _>((warnings, summary))
    });
    match checked {
        Ok((warnings, summary)) => {
            for warning in warnings {
                complain(&warning);
            }
            print(&summary)
        }
        Err(error) => {
            complain(&format!("{error}\n"));
            if matches!(error, StartError::Build(BuildError::Tls(_))) {
                1
            } else {
                error.exit_code()
            }
        }
    }
}

fn summary(path: &Path, config: &config::Config) -> String {
    let count =
        |number: usize, one: &str| format!("{number} {one}{}", if number == 1 { "" } else { "s" });
    let routes = config.sites.iter().map(|site| site.routes.len()).sum();
    let servers = config.upstreams.iter().map(|upstream| upstream.servers.len()).sum();
    format!(
        "{}: ok: {}, {}, {}, {}, {}\n",
        path.display(),
        count(config.listeners.len(), "listener"),
        count(config.sites.len(), "site"),
        count(routes, "route"),
        count(config.upstreams.len(), "upstream"),
        count(servers, "server"),
    )
}
