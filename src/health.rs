//! Asks a running daemon, at its admin address: `sheave health`, `sheave purge` and the like.
//!
//! Owns: one small HTTP request over a TCP, TLS or Unix socket, so that a container image needs no
//! curl. May touch: [`crate::message`], [`crate::tls`]. It does not read the config: a file that is
//! being edited says nothing about the daemon, which runs on with the one before.

use crate::{
    message::context::host_name,
    tls::to_server::{PreparedTls, ServerTlsWanted, SystemRoots},
};
use rustls::{AlertDescription, CertificateError, ClientConnection, StreamOwned};
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

/// What is asked without `--url`: the default admin address.
pub const DEFAULT_URL: &str = "http://127.0.0.1:9900/live";

/// For each of connecting, sending and receiving: below the timeouts of what usually asks.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is asked, where no path is written.
const PATH: &str = "/live";

/// Who asks, and whom it trusts.
#[derive(Clone, Debug, Default)]
pub struct HealthCaller {
    /// What says who asks.
    pub token: Option<String>,
    /// The authorities and the own certificate, where TLS is spoken.
    pub tls: ServerTlsWanted,
}

/// Whom to ask.
#[derive(Debug, PartialEq, Eq)]
enum HealthPlace<'a> {
    /// Host, and port or else 80.
    Tcp(&'a str),
    /// The same, or else 443.
    Tls(&'a str),
    /// The file of a Unix socket.
    Unix(&'a str),
}

/// A connection of any of these kinds.
trait HealthStream: Read + Write {}

impl<T: Read + Write> HealthStream for T {}

/// Whether `url` answers with 2xx; otherwise says why not.
pub fn ask(url: &str, caller: &HealthCaller) -> Result<(), String> {
    let bearer = caller.bearer()?;
    let (place, path) = split(url).ok_or_else(|| unasked(url))?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {}\r\nuser-agent: sheave-health\r\n\
         {bearer}connection: close\r\n\r\n",
        place.host()
    );
    // The status is within the first bytes; the rest is not needed.
    let head = place.exchange(&request, caller, 1024).map_err(|error| format!("{url}: {error}"))?;
    let line = head.lines().next().unwrap_or_default();
    match line.split_once(' ') {
        Some((version, status)) if version.starts_with("HTTP/1.") && status.starts_with('2') => {
            Ok(())
        }
        _ => Err(format!("{url}: it answered `{line}`")),
    }
}

/// Sends a request to the admin address `admin`, as `127.0.0.1:9900`, `https://HOST:PORT` or
/// `unix:FILE`, and gives back the status and the body of the answer.
pub fn send(
    admin: &str,
    method: &str,
    path: &str,
    body: &str,
    caller: &HealthCaller,
) -> Result<(u16, String), String> {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nuser-agent: sheave\r\nconnection: close\r\n\
         {}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        caller.bearer()?,
        body.len()
    );
    let has_scheme = admin.starts_with("unix:") || admin.contains("://");
    let url = if has_scheme { admin.to_owned() } else { format!("http://{admin}") };
    let (place, _) = split(&url).ok_or_else(|| unasked(admin))?;
    let answer = place
        .exchange(&request, caller, 16 * 1024 * 1024)
        .map_err(|error| format!("the daemon's admin address `{admin}` can't be asked: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.strip_prefix("HTTP/1.").and_then(|it| it.split(' ').nth(1)?.parse().ok());
    let status = status.ok_or_else(|| {
        let hint = match place {
            HealthPlace::Tcp(authority) => {
                format!(": if it has `[admin.tls]`, write `https://{authority}`")
            }
            _ => String::new(),
        };
        format!("`{admin}` did not answer as an admin address of sheave does{hint}")
    })?;
    Ok((status, body.to_owned()))
}

fn unasked(place: &str) -> String {
    format!(
        "`{place}` can't be asked: write `{DEFAULT_URL}`, `https://HOST:PORT` or `unix:admin.sock`"
    )
}

impl HealthCaller {
    /// The line of the head that has the token.
    fn bearer(&self) -> Result<String, String> {
        match &self.token {
            None => Ok(String::new()),
            Some(token) if token.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Ok(format!("authorization: Bearer {token}\r\n"))
            }
            Some(_) => Err("the token has characters that no token has".into()),
        }
    }

    fn handshake(&self, authority: &str, stream: TcpStream) -> io::Result<impl HealthStream> {
        let host = host_name(authority).trim_start_matches('[').trim_end_matches(']');
        let settings = PreparedTls::read(&self.tls, &SystemRoots::default())
            .and_then(|it| it.for_server(host))
            .map_err(io::Error::other)?;
        let connection = ClientConnection::new(settings.config, settings.name);
        Ok(StreamOwned::new(connection.map_err(io::Error::other)?, stream))
    }
}

impl HealthPlace<'_> {
    fn host(&self) -> &str {
        match self {
            Self::Tcp(authority) | Self::Tls(authority) => authority,
            Self::Unix(_) => "localhost",
        }
    }

    /// What comes back, up to `limit` bytes; or why nothing does, and what to do.
    fn exchange(&self, request: &str, caller: &HealthCaller, limit: u64) -> Result<String, String> {
        self.raw(request, caller, limit).map_err(|error| {
            let tls = error.get_ref().and_then(|it| it.downcast_ref());
            let hint = match tls {
                Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                    ": name the file of the authority that signed it with `--ca`"
                }
                Some(rustls::Error::AlertReceived(AlertDescription::CertificateRequired)) => {
                    ": show a certificate with `--cert` and `--key`"
                }
                _ => "",
            };
            format!("{error}{hint}")
        })
    }

    fn raw(&self, request: &str, caller: &HealthCaller, limit: u64) -> io::Result<String> {
        let mut connection: Box<dyn HealthStream> = match *self {
            Self::Tcp(authority) => Box::new(connect(authority, 80)?),
            Self::Tls(authority) => {
                Box::new(caller.handshake(authority, connect(authority, 443)?)?)
            }
            Self::Unix(file) => Box::new(connect_file(file)?),
        };
        connection.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        connection.take(limit).read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

/// The place, and the path or else `/live`. As in nginx, `unix:FILE:/PATH` has both.
fn split(url: &str) -> Option<(HealthPlace<'_>, &str)> {
    let (place, path) = if let Some(rest) = url.strip_prefix("unix:") {
        let (file, path) = match rest.rfind(":/") {
            Some(at) => (&rest[..at], &rest[at + 1..]),
            None => (rest, PATH),
        };
        (Some(HealthPlace::Unix(file)).filter(|_| !file.is_empty()), path)
    } else {
        let secure = url.strip_prefix("https://");
        let rest = secure.or_else(|| url.strip_prefix("http://"))?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, PATH),
        };
        let place = if secure.is_some() { HealthPlace::Tls } else { HealthPlace::Tcp };
        (Some(place(authority)).filter(|_| !authority.is_empty()), path)
    };
    // Nothing may end the line that it is sent in.
    let is_clean = !url.bytes().any(|byte| byte.is_ascii_control() || byte == b' ');
    Some((place.filter(|_| is_clean)?, path))
}

fn connect_file(file: &str) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.connect_timeout(&SockAddr::unix(file)?, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Tries every address of a name, as `localhost` has two.
fn connect(authority: &str, port: u16) -> io::Result<TcpStream> {
    let has_port = host_name(authority) != authority;
    let place = if has_port { authority.to_owned() } else { format!("{authority}:{port}") };
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in place.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net::TcpListener, thread};

    /// Asks a server that gives `answer`.
    fn asked(answer: &'static str) -> Result<(), String> {
        let socket = TcpListener::bind("127.0.0.1:0").expect("socket");
        let url = format!("http://{}", socket.local_addr().expect("address"));
        let server = thread::spawn(move || {
            let (mut stream, _) = socket.accept().expect("connection");
            let mut request = [0; 512];
            let length = stream.read(&mut request).expect("request");
            stream.write_all(answer.as_bytes()).expect("answer");
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let told = ask(&url, &HealthCaller::default());
        assert!(server.join().expect("server").starts_with("GET /live HTTP/1.1\r\nhost: 127."));
        told
    }

    #[test]
    fn only_2xx_is_well() {
        assert_eq!(asked("HTTP/1.1 200 OK\r\n\r\n"), Ok(()));
        let told = asked("HTTP/1.1 503 Service Unavailable\r\n\r\n").expect_err("503");
        assert!(told.ends_with("it answered `HTTP/1.1 503 Service Unavailable`"), "{told}");
        assert!(asked("SSH-2.0-Open 2\r\n").is_err());
        assert!(asked("").is_err());
    }

    /// Without a port, the last colon is within the address.
    #[test]
    fn an_address_of_ipv6_needs_no_port() {
        let socket = TcpListener::bind("[::1]:0").expect("socket");
        let port = socket.local_addr().expect("address").port();
        assert!(connect(&format!("[::1]:{port}"), 1).is_ok());
        assert!(connect("[::1]", port).is_ok());
    }

    #[test]
    fn urls() {
        assert_eq!(
            split("http://localhost:9900"),
            Some((HealthPlace::Tcp("localhost:9900"), "/live"))
        );
        assert_eq!(
            split("http://[::1]:9900/ready?x"),
            Some((HealthPlace::Tcp("[::1]:9900"), "/ready?x"))
        );
        assert_eq!(split("https://localhost"), Some((HealthPlace::Tls("localhost"), "/live")));
        assert_eq!(split("https://[::1]"), Some((HealthPlace::Tls("[::1]"), "/live")));
        assert_eq!(split("ftp://localhost"), None);
        assert_eq!(split("unix:admin.sock"), Some((HealthPlace::Unix("admin.sock"), "/live")));
        assert_eq!(
            split("unix:/run/a.sock:/ready"),
            Some((HealthPlace::Unix("/run/a.sock"), "/ready"))
        );
        assert_eq!(split("unix:"), None);
        assert_eq!(split("http:///live"), None);
        assert_eq!(split("http://a/b c"), None);
    }
}
