//! `address` of a listener and of `[admin]`: where to listen.
//!
//! Owns: the notations, and the mode of a Unix socket. May touch: the names of network interfaces.

use super::{names::without_brackets, table::Table, tree::TextValue};
use nix::net::if_::if_nametoindex;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::ffi::OsStrExt,
    path::PathBuf,
};

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// TCP; port 0 lets the system choose.
    Ip(SocketAddr),
    /// A Unix socket, by its file.
    Unix(PathBuf),
}

/// The longest path of a socket: the system's `sun_path` holds it with a zero byte.
const LONGEST: usize = 107;

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

/// Used in place of an address that could not be read. Port 0 clashes with no other address.
pub(super) const NOWHERE: ListenAddress =
    ListenAddress::Ip(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0));

/// `127.0.0.1:8080`, `[::]:80`, `:80` for every address of the machine, or `unix:PATH`.
pub(super) fn listen_address(table: &Table<'_>, text: &TextValue) -> ListenAddress {
    let written = text.value.trim();
    if let Some(path) = written.strip_prefix("unix:") {
        return unix(table, text, path);
    }
    let full = if written.starts_with(':') && !written.starts_with("::") {
        format!("[::]{written}")
    } else {
        written.to_owned()
    };
    match full.parse().map_err(|_| zoned(&full)) {
        Ok(address) | Err(Some(Ok(address))) => return ListenAddress::Ip(address),
        Err(Some(Err(zone))) => {
            let message = format!("there is no network interface `{zone}`");
            let hint = "`ip link` lists them; a number is taken as it is: `\"[fe80::1%2]:8080\"`";
            table.error(text.span.clone(), message, Some(hint.into()));
            return NOWHERE;
        }
        Err(None) => {}
    }
    let message = format!("`{written}` is not an address to listen on");
    table.error(text.span.clone(), message, Some(hint(written)));
    NOWHERE
}

/// A hint for text that is not an address.
fn hint(written: &str) -> String {
    let port = |text: &str| text.parse::<u16>().is_ok();
    match written.rsplit_once(':') {
        _ if written.starts_with('/') => format!("a Unix socket is `\"unix:{written}\"`"),
        _ if let Some((host, port)) = without_brackets(written) => {
            format!("an IPv6 address stands in brackets: `\"[{host}]:{port}\"`")
        }
        Some(("localhost", number)) if port(number) => format!("write `\"127.0.0.1:{number}\"`"),
        Some(("*", number)) if port(number) => format!("write `\":{number}\"`"),
        _ if port(written) => format!("write `\":{written}\"`"),
        _ if written.parse::<Ipv4Addr>().is_ok() => {
            format!("a port is missing: `\"{written}:8080\"`")
        }
        _ if written.parse::<Ipv6Addr>().is_ok() => {
            format!("an IPv6 address stands in brackets before its port: `\"[{written}]:8080\"`")
        }
        _ => "write an IP address and a port, or a Unix socket: `\"127.0.0.1:8080\"`, `\"[::]:80\"`, \
              `\":80\"` or `\"unix:sheave.sock\"`"
            .into(),
    }
}

/// A link-local address with the name of its interface (RFC 4007 §11): `[fe80::1%eth0]:80`. The
/// error is the name of an interface that does not exist.
fn zoned(text: &str) -> Option<Result<SocketAddr, String>> {
    let (address, rest) = text.strip_prefix('[')?.split_once('%')?;
    let (zone, port) = rest.split_once("]:")?;
    let numbered = |zone: u32| format!("[{address}%{zone}]:{port}").parse().ok();
    numbered(0)?;
    match if_nametoindex(zone) {
        Ok(index) => numbered(index).map(Ok),
        Err(_) => Some(Err(zone.to_owned())),
    }
}

fn unix(table: &Table<'_>, text: &TextValue, path: &str) -> ListenAddress {
    let error = |message: String, hint: &str| {
        table.error(text.span.clone(), message, Some(hint.into()));
        NOWHERE
    };
    if path.is_empty() {
        return error(
            "a Unix socket without a path".into(),
            "write `\"unix:sheave.sock\"`; a relative path starts at the config file's directory",
        );
    }
    if let Some(plain) = path.strip_prefix("//") {
        let message = format!("`unix:{path}` is not an address to listen on");
        let hint = format!("write it without the slashes: `\"unix:{plain}\"`");
        return error(message, &hint);
    }
    // So that one file has one path.
    let whole = table.directory().join(path.trim_start_matches("./"));
    let length = whole.as_os_str().as_bytes().len();
    if length > LONGEST {
        let message = format!("the socket's path has {length} bytes, {LONGEST} are possible");
        return error(message, "choose a directory with a shorter name, as `/run/sheave`");
    }
    ListenAddress::Unix(whole)
}

/// `mode` of a Unix socket, in octal digits as for `chmod`.
pub(super) fn socket_mode(table: &Table<'_>, address: &ListenAddress, default: u32) -> u32 {
    let Some(text) = table.text("mode") else { return default };
    if *address != NOWHERE && !matches!(address, ListenAddress::Unix(_)) {
        let hint = "it is for Unix sockets: remove it, or write `address = \"unix:sheave.sock\"`";
        table.warning(table.key_span("mode"), "`mode` has no effect here", Some(hint.into()));
    }
    let digits = Some(text.value.as_str()).filter(|it| matches!(it.len(), 3 | 4));
    let mode = digits.and_then(|it| u32::from_str_radix(it, 8).ok()).filter(|it| *it <= 0o777);
    mode.unwrap_or_else(|| {
        let message = format!("`{}` is not a mode of a socket", text.value);
        let hint = "write octal digits, as `\"0660\"`: who may connect must be able to write";
        table.error(text.span.clone(), message, Some(hint.into()));
        default
    })
}
