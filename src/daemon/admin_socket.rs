//! The admin address: its socket, by TCP or as a file.
//!
//! Owns: binding it, and ending it. May touch: [`crate::admin`], [`crate::client`],
//! [`crate::config`], [`crate::snapshot`], [`crate::task`].

use super::StartError;
use crate::{
    admin::{self, Acceptor, Reload},
    client::sockets::{SocketFile, bind_file, bound_by},
    config::{self, ListenAddress},
    snapshot::Live,
    task,
};
use rustix::net::listen;
use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
    os::unix::net::UnixListener as StdUnixListener,
    path::Path,
    sync::Arc,
};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::mpsc,
    task::AbortHandle,
};

/// Connections that the kernel keeps for us while we are busy.
const BACKLOG: i32 = 128;

/// The admin address, served until it is dropped.
pub struct AdminSocket {
    /// The address in the config.
    pub wanted: ListenAddress,
    serving: AbortHandle,
    _file: Option<SocketFile>,
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl AdminSocket {
    /// Begins to answer at the address in the config; `None` if it has none.
    pub fn open(
        config: &config::Admin,
        live: &Arc<Live>,
        reloads: &mpsc::Sender<Reload>,
    ) -> Result<Option<Self>, StartError> {
        let Some(wanted) = &config.address else { return Ok(None) };
        let bound = match wanted {
            ListenAddress::Ip(address) => bind_tcp(*address),
            ListenAddress::Unix(path) => bind_unix(path, config.mode),
        };
        let (address, socket, file) = bound.map_err(|error| StartError::Bind {
            what: "admin".into(),
            address: wanted.clone(),
            error,
        })?;
        tracing::info!(%address, "admin listening");
        let serving = admin::serve(socket, Arc::clone(live), reloads.clone());
        let serving = task::spawn(serving).abort_handle();
        Ok(Some(Self { wanted: wanted.clone(), serving, _file: file }))
    }
}

type BoundAdmin = (ListenAddress, Acceptor, Option<SocketFile>);

fn bind_tcp(address: SocketAddr) -> io::Result<BoundAdmin> {
    let socket = bound_by(address, StdListener::bind)?;
    socket.set_nonblocking(true)?;
    let bound = socket.local_addr()?.into();
    Ok((bound, Acceptor::Tcp(TcpListener::from_std(socket)?), None))
}

fn bind_unix(path: &Path, mode: u32) -> io::Result<BoundAdmin> {
    let (socket, file) = bind_file(path)?;
    file.set_mode(mode)?;
    listen(&socket, BACKLOG)?;
    let socket = UnixListener::from_std(StdUnixListener::from(socket))?;
    Ok((ListenAddress::Unix(path.to_owned()), Acceptor::Unix(socket), Some(file)))
}
