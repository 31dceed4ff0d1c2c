//! What the config wants and this machine or this user cannot do.
//!
//! Owns: warnings about it. They are not errors: the daemon may run on another machine, or as
//! another user. May touch: [`crate::settings`], the file system, and sockets that nobody can
//! connect to.

use super::{Config, ListenAddress, document::ConfigText};
use crate::settings::LogTarget;
use rustix::{
    fs::{Access, access},
    io::Errno,
};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::Path,
};

/// Warns of what stands in the way.
pub(super) fn check(document: &ConfigText<'_>, config: &Config) {
    for listener in &config.listeners {
        address(document, &format!("listener.{}", listener.name), &listener.address);
    }
    if let Some(wanted) = &config.admin.address {
        address(document, "admin", wanted);
    }
    if let Some(path) = &config.admin.audit_log {
        log(document, path, "admin.audit_log");
    }
    for wanted in &config.access_logs {
        if let LogTarget::File(path, _) = &wanted.sink.target {
            log(document, path, &format!("{}.path", wanted.place));
        }
    }
}

fn address(document: &ConfigText<'_>, table: &str, wanted: &ListenAddress) {
    let at = document.value_at(&format!("{table}.address"));
    match wanted {
        ListenAddress::Ip(address) if is_elsewhere(*address) => {
            let message = format!("no network interface of this machine has {}", address.ip());
            let hint = "`ip address` lists those that it has; `\":PORT\"` is all of them";
            document.warning(at, message, Some(hint.into()));
        }
        ListenAddress::Ip(_) => {}
        ListenAddress::Unix(path) => {
            let directory = directory(path);
            if let Err(why) = access(directory, Access::WRITE_OK | Access::EXEC_OK) {
                let (message, hint) = refused("the socket", directory, why);
                document.warning(at, message, Some(hint));
            }
        }
    }
}

/// Whether the address belongs to another machine: then no port of it can be bound.
fn is_elsewhere(address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    if ip.is_loopback() || ip.is_unspecified() {
        return false;
    }
    let mut any = address;
    any.set_port(0);
    TcpListener::bind(any).is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable)
}

fn log(document: &ConfigText<'_>, path: &Path, key: &str) {
    let at = document.value_at(key);
    let written = if path.exists() {
        access(path, Access::WRITE_OK).map_err(|why| {
            let message = format!("`{}` can't be written by this user: {why}", path.display());
            (message, "let the user that sheave runs as write it".into())
        })
    } else {
        let directory = directory(path);
        access(directory, Access::WRITE_OK | Access::EXEC_OK)
            .map_err(|why| refused("the log", directory, why))
    };
    if let Err((message, hint)) = written {
        document.warning(at, message, Some(hint));
    }
}

fn refused(what: &str, directory: &Path, why: Errno) -> (String, String) {
    let shown = directory.display();
    if why == Errno::NOENT {
        return (
            format!("there is no directory `{shown}`"),
            format!("make it with `mkdir -p {shown}`, or write another path"),
        );
    }
    (
        format!("{what} can't be made in `{shown}` by this user: {why}"),
        "let the user that sheave runs as write there".into(),
    )
}

/// The directory of a file.
fn directory(path: &Path) -> &Path {
    path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
