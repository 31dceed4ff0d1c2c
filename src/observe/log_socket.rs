//! A socket that takes the lines of a log: a collector, or a syslog server (RFC 5424).
//!
//! Owns: the connection, and what is sent of each line. May touch: [`crate::settings`]. While
//! nobody takes lines, the writer waits here, and the lines wait in the workers' buffers. Called by
//! [`super::log_output`].

use super::log_frames::Frames;
use crate::settings::{LogAddress, Syslog};
use rustix::net::{RecvFlags, recv};
use std::{
    io::{self, ErrorKind, Write},
    net::{Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::{UnixDatagram, UnixStream},
    },
    thread,
    time::Duration,
};

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(3);
/// A write that nobody takes is tried again after this time; between two tries the writer looks
/// whether it has to end.
const WRITE: Duration = Duration::from_millis(250);
/// The wait after the first failure to connect; it doubles with each, up to the second.
const BACK_OFF: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];
/// While it waits, the writer looks so often whether it has to end.
const LOOK: Duration = Duration::from_millis(50);

/// A socket that takes lines.
pub struct LogSocket {
    address: LogAddress,
    syslog: Option<Syslog>,
    link: Option<LogLink>,
    frames: Frames,
    /// The wait before the next try to connect.
    back_off: Duration,
    /// Whether a failure has been logged.
    failing: bool,
}

enum LogLink {
    Tcp(TcpStream),
    Stream(UnixStream),
    Udp(UdpSocket),
    Datagram(UnixDatagram),
}

impl LogSocket {
    /// Nothing is opened before there are lines: a collector may start later than the daemon.
    pub fn new(address: &LogAddress, syslog: Option<&Syslog>) -> Self {
        Self {
            address: address.clone(),
            syslog: syslog.cloned(),
            link: None,
            frames: Frames::default(),
            back_off: BACK_OFF[0],
            failing: false,
        }
    }

    /// Ends the connection; the next line opens another one.
    pub fn reopen(&mut self) {
        self.link = None;
    }

    /// Sends lines, each with its end. Returns how many were lost: those that were too large, and
    /// those that were left when `ends` said that there is no more time.
    pub fn write(&mut self, lines: &[u8], ends: &dyn Fn() -> bool) -> u64 {
        let is_stream = match self.address {
            LogAddress::Tcp(_) => true,
            LogAddress::Udp(_) => false,
            LogAddress::Unix(_) => self.syslog.is_none(),
        };
        self.frames.fill(lines, self.syslog.as_ref(), is_stream);
        let mut lost = 0;
        // How many frames are done, and how many bytes.
        let (mut done, mut sent) = (0, 0);
        while done < self.frames.len() {
            self.connect(ends);
            let Some(link) = &self.link else {
                lost += (self.frames.len() - done) as u64;
                break;
            };
            let end = if is_stream {
                self.frames.end(self.frames.len() - 1)
            } else {
                self.frames.end(done)
            };
            match link.send(&self.frames.bytes()[sent..end]) {
                Ok(count) => {
                    sent += count;
                    while done < self.frames.len() && self.frames.end(done) <= sent {
                        done += 1;
                    }
                    self.well();
                }
                Err(error) => match SendFault::of(&error, link) {
                    SendFault::Busy if ends() => {
                        lost += (self.frames.len() - done) as u64;
                        break;
                    }
                    SendFault::Busy => thread::sleep(LOOK / 10),
                    SendFault::Earlier => {
                        lost += 1;
                        self.failed(&error);
                    }
                    SendFault::Frame => {
                        lost += 1;
                        self.failed(&error);
                        sent = self.frames.end(done);
                        done += 1;
                    }
                    SendFault::Link => {
                        self.failed(&error);
                        self.link = None;
                        // A line that was sent in part is sent again.
                        sent = done.checked_sub(1).map_or(0, |last| self.frames.end(last));
                    }
                },
            }
        }
        self.frames.clear();
        lost
    }

    /// Opens the connection, if there is none. This is tried again and again, until `ends` says that
    /// there is no more time.
    fn connect(&mut self, ends: &dyn Fn() -> bool) {
        if self.link.as_ref().is_some_and(LogLink::is_closed) {
            self.link = None;
        }
        while self.link.is_none() {
            match LogLink::open(&self.address, self.syslog.is_some()) {
                Ok(link) => self.link = Some(link),
                Err(error) => {
                    self.failed(&error);
                    let mut left = self.back_off;
                    while !left.is_zero() {
                        if ends() {
                            return;
                        }
                        thread::sleep(LOOK.min(left));
                        left = left.saturating_sub(LOOK);
                    }
                    self.back_off = (self.back_off * 2).min(BACK_OFF[1]);
                }
            }
        }
    }

    fn well(&mut self) {
        self.back_off = BACK_OFF[0];
        if self.failing {
            let address = &self.address;
            tracing::info!(%address, "the access log's lines are taken again");
        }
        self.failing = false;
    }

    fn failed(&mut self, error: &io::Error) {
        let address = &self.address;
        if !self.failing {
            tracing::error!(%address, %error, "the access log's lines can't be sent; they wait in its buffer");
        }
        self.failing = true;
    }
}

/// What a failed write means.
enum SendFault {
    /// Nobody has taken anything for a while.
    Busy,
    /// An earlier datagram was lost: the system tells so with the next one.
    Earlier,
    /// This line can't be sent.
    Frame,
    /// The connection is of no use any more.
    Link,
}

impl SendFault {
    fn of(error: &io::Error, link: &LogLink) -> Self {
        let code = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Self::Busy,
            _ if code == Some(rustix::io::Errno::NOBUFS) => Self::Busy,
            _ if code == Some(rustix::io::Errno::MSGSIZE) => Self::Frame,
            ErrorKind::ConnectionRefused if matches!(link, LogLink::Udp(_)) => Self::Earlier,
            _ => Self::Link,
        }
    }
}

impl LogLink {
    fn open(address: &LogAddress, is_syslog: bool) -> io::Result<Self> {
        match address {
            LogAddress::Tcp(place) => {
                let mut last = None;
                for address in place.to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, CONNECT) {
                        Ok(stream) => {
                            stream.set_write_timeout(Some(WRITE))?;
                            return Ok(Self::Tcp(stream));
                        }
                        Err(error) => last = Some(error),
                    }
                }
                Err(last.unwrap_or_else(|| ErrorKind::NotFound.into()))
            }
            LogAddress::Udp(place) => {
                let address = place.to_socket_addrs()?.next().ok_or(ErrorKind::NotFound)?;
                let local: SocketAddr = match address {
                    SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
                    SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
                };
                let socket = UdpSocket::bind(local)?;
                socket.connect(address)?;
                socket.set_write_timeout(Some(WRITE))?;
                Ok(Self::Udp(socket))
            }
            LogAddress::Unix(path) if is_syslog => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                socket.set_write_timeout(Some(WRITE))?;
                Ok(Self::Datagram(socket))
            }
            LogAddress::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_write_timeout(Some(WRITE))?;
                Ok(Self::Stream(stream))
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        let sent = match self {
            Self::Tcp(stream) => (&*stream).write(bytes),
            Self::Stream(stream) => (&*stream).write(bytes),
            Self::Udp(socket) => socket.send(bytes),
            Self::Datagram(socket) => socket.send(bytes),
        };
        sent.and_then(|count| if count == 0 { Err(ErrorKind::WriteZero.into()) } else { Ok(count) })
    }

    /// Whether the other end has closed the connection. Bytes that are written after that are lost,
    /// and the first write does not tell so.
    fn is_closed(&self) -> bool {
        let stream: BorrowedFd<'_> = match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Stream(stream) => stream.as_fd(),
            Self::Udp(_) | Self::Datagram(_) => return false,
        };
        let mut answer = [0; 512];
        // What a collector answers is of no interest.
        match recv(stream, &mut answer, RecvFlags::DONTWAIT) {
            Ok((0, _)) => true,
            Ok(_) => false,
            Err(error) => !matches!(error, rustix::io::Errno::AGAIN | rustix::io::Errno::INTR),
        }
    }
}
