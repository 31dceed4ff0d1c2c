//! Listening sockets: how they are bound, by TCP and as files.
//!
//! Owns: the options of listening sockets, and the files of Unix sockets. May touch:
//! [`crate::config`], [`crate::loopback`]. [`super::listener`] has them for clients,
//! [`crate::daemon::control`] for the admin address.

use crate::{config::ListenAddress, loopback};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, SockFilter, SockRef, Socket, Type};
use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    os::{
        fd::OwnedFd,
        unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

/// The file of a Unix socket, removed when it is dropped.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and number: another process may have put its own socket in this one's place.
    identity: Option<(u64, u64)>,
}

impl SocketFile {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), identity: identity(path) }
    }

    /// Sets who may connect.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        fs::set_permissions(&self.path, fs::Permissions::from_mode(mode))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            // It may be gone already.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// Binds a Unix socket. A file that a dead process has left there is replaced.
pub fn bind_file(path: &Path) -> io::Result<(OwnedFd, SocketFile)> {
    let address = SockAddr::unix(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            make_room(path, &address)?;
            socket.bind(&address)?;
        }
        bound => bound?,
    }
    Ok((socket.into(), SocketFile::new(path)))
}

/// Removes the socket at `path` if nobody listens on it.
fn make_room(path: &Path, address: &SockAddr) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        let text = "a file that is no socket is there";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    let asking = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    asking.set_nonblocking(true)?;
    match asking.connect(address) {
        // Nobody has it open any more.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        // Somebody listens, maybe with a full queue.
        Ok(()) | Err(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// Binds `address` for TCP. If it is `shared`, other sockets of this process may be bound to it,
/// too.
pub fn bind_ip(address: SocketAddr, shared: bool) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        // `[::]` means every address, also of IPv4; the config's check relies on it.
        socket.set_only_v6(false)?;
    }
    // Heads and bodies are written whole, so waiting for full segments would only delay them.
    // Accepted sockets inherit this, which saves a call for each.
    socket.set_tcp_nodelay(true)?;
    if address.ip().to_canonical().is_loopback() && loopback::is_paced(&socket) {
        loopback::unpace(&socket);
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Calls `bind` with `address`. If `address` means every address and the system has no IPv6, calls
/// it with every IPv4 address instead.
pub fn bound_by<T>(
    address: SocketAddr,
    bind: impl Fn(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    bind(address).or_else(|error| {
        let unknown = error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error());
        if unknown && address.ip().is_unspecified() && address.is_ipv6() {
            return bind((Ipv4Addr::UNSPECIFIED, address.port()).into());
        }
        Err(error)
    })
}

/// Makes the kernel drop each packet that would open a new connection on a listening TCP socket.
/// The client sends the packet again after a second, to the socket that has the address then. A
/// connection whose first packet has already come is still made.
pub fn let_nobody_in(socket: &OwnedFd) {
    /// Where the flags are in TCP's header, and the flag that opens a connection.
    const FLAGS: u32 = 13;
    const SYN: u32 = 2;
    let program = [
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        SockFilter::new(SKIP_UNLESS_SET, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ];
    // If this fails, such a client is refused, as with a Unix socket: its file is gone.
    let _ = SockRef::from(socket).attach_filter(&program);
}

/// Instructions of the classic packet filter: see the kernel's `networking/filter.rst`.
const LOAD_BYTE: u16 = 0x30;
const SKIP_UNLESS_SET: u16 = 0x45;
const RETURN: u16 = 0x06;

/// Where a socket for TCP is bound.
pub fn local_address(socket: &OwnedFd) -> io::Result<ListenAddress> {
    let bound = SockRef::from(socket).local_addr()?.as_socket();
    bound.map(ListenAddress::Ip).ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn every_address_is_every_ipv4_address_where_there_is_no_ipv6() {
        let bind = |address: SocketAddr| match address {
            SocketAddr::V6(_) => {
                Err(io::Error::from_raw_os_error(Errno::AFNOSUPPORT.raw_os_error()))
            }
            SocketAddr::V4(_) => Ok(address.to_string()),
        };
        let bound = |text: &str| bound_by(text.parse().unwrap(), bind).ok();
        assert_eq!(bound("[::]:80").as_deref(), Some("0.0.0.0:80"));
        assert_eq!(bound("127.0.0.1:80").as_deref(), Some("127.0.0.1:80"));
        assert_eq!(bound("[::1]:80"), None);
    }

    #[test]
    fn a_dead_socket_is_replaced_and_a_live_one_or_another_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let living = UnixListener::bind(&path).unwrap();
        assert_eq!(bind_file(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(living);
        assert!(UnixStream::connect(&path).is_err() && path.exists());
        let (socket, file) = bind_file(&path).unwrap();
        file.set_mode(0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        drop((socket, file));
        assert!(!path.exists());
        fs::write(&path, "not to be lost").unwrap();
        assert_eq!(bind_file(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert!(path.exists());
    }

    #[test]
    fn a_file_that_another_process_has_put_there_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let (_socket, file) = bind_file(&path).unwrap();
        fs::rename(&path, dir.path().join("before")).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(file);
        assert!(path.exists());
    }
}
