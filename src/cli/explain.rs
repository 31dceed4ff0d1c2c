//! `sheave explain`: asks a running daemon, or a file.
//!
//! Owns: building what a file says, without binding or opening anything. May touch:
//! [`crate::config`], [`crate::daemon`], [`crate::explain`], [`crate::snapshot`],
//! [`crate::upstream`].

use super::{asking::AdminPlace, complain, explain_text, failed, print};
use crate::{
    config::{self, Loaded},
    daemon::StartError,
    explain::{asked::AskedRequest, explain},
    snapshot::{Snapshot, build::build, live::Resources},
    upstream::resolve::has_name,
};
use serde_json::Value;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

/// A question, and who answers it.
pub(super) struct ExplainFrom {
    pub(super) asked: AskedRequest,
    pub(super) side: Side,
    pub(super) json: bool,
}

/// Who answers.
pub(super) enum Side {
    File(PathBuf),
    Daemon(AdminPlace),
}

/// Answers; gives the exit code.
pub(super) fn run(from: &ExplainFrom) -> u8 {
    let told = match &from.side {
        Side::File(path) => by_file(path, &from.asked),
        Side::Daemon(admin) => admin.json("POST", "/explain", &from.asked.to_json().to_string()),
    };
    match told {
        Ok(told) if from.json => print(&format!("{told:#}\n")),
        Ok(told) => print(&explain_text::page(&told)),
        Err(code) => code,
    }
}

fn by_file(path: &Path, asked: &AskedRequest) -> Result<Value, u8> {
    let refuse = |error: StartError| {
        complain(&format!("{error}\n"));
        error.exit_code()
    };
    let (snapshot, resources) = of_file(path).map_err(refuse)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(3, &error.to_string()))?;
    let told = explain(&snapshot, resources.clock, &resources.metrics, asked);
    runtime.block_on(told).map_err(|error| failed(2, &error))
}

/// What a file would run as. No log is opened, and no name is looked up: each counts as one that has
/// an address.
fn of_file(path: &Path) -> Result<(Snapshot, Resources), StartError> {
    let Loaded { mut config, .. } = config::load(path).map_err(StartError::Config)?;
    config.access_logs.clear();
    let resources = Resources::new(1);
    let resources = resources.map_err(|error| StartError::System(io::Error::other(error)))?;
    let snapshot = build(config, None, &resources).map_err(StartError::Build)?;
    let members = snapshot.groups.iter().flat_map(|group| group.upstream.members());
    for server in members.map(|it| &it.server).filter(|it| has_name(it)) {
        server.set_addresses(vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))]);
    }
    Ok((snapshot, resources))
}
