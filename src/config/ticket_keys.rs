//! Whether a file of ticket keys can be used.
//!
//! Owns: the judgement, at load time. May touch: [`crate::credentials`]; the file system. Next:
//! `tls/tickets.rs` reads the file again when the snapshot is built.

use super::{document::ConfigText, private_key::unreadable};
use crate::credentials::ticket_keys::{KeysFault, parse};
use rustls::pki_types::pem;
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

/// Reports what is wrong with `file`, which stands at `path` in the document.
pub(super) fn check(document: &ConfigText<'_>, path: &str, file: &Path) {
    // An empty path was reported where it stands.
    if file.as_os_str().is_empty() {
        return;
    }
    let (at, name) = (document.value_at(path), file.display().to_string());
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(cause) => {
            let (message, hint) = unreadable(&name, &pem::Error::Io(cause));
            return document.error(at, message, Some(hint));
        }
    };
    if let Err(fault) = parse(&text) {
        let hint = match fault {
            KeysFault::Twice(..) => "remove one of the two lines",
            _ => "each line is one key of 64 hex digits, as `openssl rand -hex 32` makes it",
        };
        return document.error(at, format!("`{name}` {fault}"), Some(hint.into()));
    }
    let mode = fs::metadata(file).map_or(0, |it| it.permissions().mode());
    if mode & 0o004 != 0 {
        let message = format!("everybody on this machine can read `{name}`");
        let hint = "with its keys, recorded connections can be read: `chmod 640` it";
        document.warning(at, message, Some(hint.into()));
    }
}
