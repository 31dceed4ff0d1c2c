//! Asks a running daemon, at its admin address: `sheave health`, `sheave purge` and the like.
//!
//! Owns: one small HTTP request over a plain or Unix socket, so that a container image needs no
//! curl. May touch: nothing outside this room. It does not read the config: a file that is being
//! edited says nothing about the daemon, which runs on with the one before.

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

/// Whom to ask.
#[derive(Debug, PartialEq, Eq)]
enum HealthPlace<'a> {
    /// Host, and port or else 80.
    Tcp(&'a str),
    /// The file of a Unix socket.
    Unix(&'a str),
}

/// Whether `url` answers with 2xx; otherwise says why not. `token` says who asks.
pub fn ask(url: &str, token: Option<&str>) -> Result<(), String> {
    let bearer = bearer(token)?;
    let Some((place, path)) = split(url) else {
        return Err(format!(
            "`{url}` is no URL that can be asked: write `{DEFAULT_URL}` or `unix:admin.sock`"
        ));
    };
    let line = match place {
        HealthPlace::Tcp(authority) => {
            connect(authority).and_then(|stream| status_line(stream, authority, path, &bearer))
        }
        HealthPlace::Unix(file) => {
            connect_file(file).and_then(|stream| status_line(stream, "localhost", path, &bearer))
        }
    };
    let line = line.map_err(|error| format!("{url}: {error}"))?;
    match line.split_once(' ') {
        Some((version, status)) if version.starts_with("HTTP/1.") && status.starts_with('2') => {
            Ok(())
        }
        _ => Err(format!("{url}: it answered `{line}`")),
    }
}

/// Sends a request to the admin address `admin`, as `127.0.0.1:9900` or `unix:FILE`, and gives back the
/// status and the body of the answer. `token` says who asks.
pub fn send(
    admin: &str,
    method: &str,
    path: &str,
    body: &str,
    token: Option<&str>,
) -> Result<(u16, String), String> {
    let bearer = bearer(token)?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nuser-agent: sheave\r\nconnection: close\r\n\
         {bearer}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = if let Some(file) = admin.strip_prefix("unix:") {
        connect_file(file).and_then(|stream| whole(stream, &request))
    } else {
        let authority = admin.strip_prefix("http://").unwrap_or(admin).trim_end_matches('/');
        connect(authority).and_then(|stream| whole(stream, &request))
    };
    let answer = answer
        .map_err(|error| format!("the daemon's admin address `{admin}` can't be asked: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
    let status = status.ok_or_else(|| format!("`{admin}` is no admin address of sheave"))?;
    Ok((status, body.to_owned()))
}

/// The line of the head that has the token.
fn bearer(token: Option<&str>) -> Result<String, String> {
    if token.is_some_and(|it| it.bytes().any(|byte| !byte.is_ascii_graphic())) {
        return Err("the token has characters that no token has".into());
    }
    Ok(token.map_or(String::new(), |it| format!("authorization: Bearer {it}\r\n")))
}

fn whole(mut stream: impl Read + Write, request: &str) -> io::Result<String> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(16 * 1024 * 1024).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
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
        let rest = url.strip_prefix("http://")?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, PATH),
        };
        (Some(HealthPlace::Tcp(authority)).filter(|_| !authority.is_empty()), path)
    };
    // Nothing may end the line that it is sent in.
    let is_clean = !url.bytes().any(|byte| byte.is_ascii_control() || byte == b' ');
    Some((place.filter(|_| is_clean)?, path))
}

fn status_line(
    mut stream: impl Read + Write,
    authority: &str,
    path: &str,
    bearer: &str,
) -> io::Result<String> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {authority}\r\nuser-agent: sheave-health\r\n\
         {bearer}connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    // The status is within the first bytes; the rest is not needed.
    let mut head = Vec::new();
    stream.take(1024).read_to_end(&mut head)?;
    let head = String::from_utf8_lossy(&head);
    Ok(head.lines().next().unwrap_or_default().to_owned())
}

fn connect_file(file: &str) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.connect_timeout(&SockAddr::unix(file)?, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Tries every address of a name, as `localhost` has two.
fn connect(authority: &str) -> io::Result<TcpStream> {
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let place = if has_port { authority.to_owned() } else { format!("{authority}:80") };
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
        let told = ask(&url, None);
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
        assert_eq!(split("https://localhost"), None);
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
