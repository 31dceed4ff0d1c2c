//! `sheave demo`: the real daemon with everything around it that a newcomer has not set up yet.
//!
//! Owns: a temporary directory with a config and a certificate, and the order of starting. May
//! touch: [`crate::daemon`], [`crate::health`], [`crate::task`]. [`servers`] are the upstream
//! servers, [`text`] is what is written and printed.

pub mod servers;
pub mod text;

use crate::{
    daemon::{self, StartError},
    health,
};
use servers::Servers;
use std::{
    fs::{self, DirBuilder},
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};
use text::DemoPlaces;

/// More than the daemon ever needs to be ready.
const PATIENCE: Duration = Duration::from_secs(10);

/// Addresses that the user asks for. One that is left out has a default; if that is taken, the demo
/// uses a free port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DemoAddresses {
    /// `--http`, default `127.0.0.1:8080`.
    pub http: Option<SocketAddr>,
    /// `--https`, default `127.0.0.1:8443`.
    pub https: Option<SocketAddr>,
    /// `--admin`, default `127.0.0.1:9900`.
    pub admin: Option<SocketAddr>,
}

/// Runs the demo until it is told to stop.
pub fn run(options: &DemoAddresses) -> Result<(), StartError> {
    let directory = Directory::new().map_err(StartError::System)?;
    let servers = servers::start().map_err(StartError::System)?;
    let places = choose(options, servers, directory.0.clone())?;
    write_files(&places).map_err(StartError::System)?;
    let config = places.config();
    let announcing = thread::Builder::new().name("demo-text".into());
    announcing.spawn(move || announce(&places)).map_err(StartError::System)?;
    daemon::run(&config)
}

/// Prints the guide once the daemon serves, so that what it says is true. If the daemon does not
/// start, only its error is printed.
fn announce(places: &DemoPlaces) {
    let url = format!("http://{}/ready", places.admin.address);
    let begun = Instant::now();
    while health::ask(&url, &health::HealthCaller::default()).is_err() {
        if begun.elapsed() > PATIENCE {
            tracing::warn!(%url, "the demo is not ready in time");
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    let mut out = io::stdout().lock();
    // If the reader has closed the pipe, that is no error.
    let _ = out.write_all(text::guide(places).as_bytes()).and_then(|()| out.flush());
}

/// A directory that only we can read; removed when dropped.
struct Directory(PathBuf);

impl Directory {
    fn new() -> io::Result<Self> {
        // If somebody else has made this directory first, it is an error: no key is written there.
        let path = std::env::temp_dir().join(format!("sheave-demo-{}", std::process::id()));
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|it| io::Error::new(it.kind(), format!("{}: {it}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            let directory = self.0.display();
            tracing::warn!(%directory, %error, "can't be removed");
        }
    }
}

/// An address of the proxy.
#[derive(Clone, Copy, Debug)]
pub struct DemoPlace {
    /// Where it will listen.
    pub address: SocketAddr,
    /// The default address, if another program has it.
    pub instead_of: Option<u16>,
}

fn choose(
    options: &DemoAddresses,
    servers: Servers,
    directory: PathBuf,
) -> Result<DemoPlaces, StartError> {
    // All sockets are held until all addresses are chosen, so that no two are the same.
    let mut held = Vec::new();
    Ok(DemoPlaces {
        http: place("--http", options.http, 8080, &mut held)?,
        https: place("--https", options.https, 8443, &mut held)?,
        admin: place("--admin", options.admin, 9900, &mut held)?,
        servers,
        directory,
    })
}

/// Port 0 becomes a number here and not in the daemon, so that the config and the guide can name
/// it.
fn place(
    option: &str,
    wanted: Option<SocketAddr>,
    default_port: u16,
    held: &mut Vec<TcpListener>,
) -> Result<DemoPlace, StartError> {
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut bind = |address: SocketAddr| {
        let socket = TcpListener::bind(address)?;
        let bound = socket.local_addr()?;
        held.push(socket);
        Ok(bound)
    };
    let refused = |address| {
        move |error: io::Error| StartError::Bind {
            what: option.to_owned(),
            address: SocketAddr::into(address),
            error,
        }
    };
    let (address, instead_of) = match wanted {
        Some(address) => (bind(address).map_err(refused(address))?, None),
        None => match bind(local(default_port)) {
            Ok(address) => (address, None),
            Err(_) => (bind(local(0)).map_err(refused(local(0)))?, Some(default_port)),
        },
    };
    Ok(DemoPlace { address, instead_of })
}

fn write_files(places: &DemoPlaces) -> io::Result<()> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let own = places.https.address.ip();
    if !own.is_unspecified() && !is_among(own, &names) {
        names.push(own.to_string());
    }
    let made = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
    let directory: &Path = &places.directory;
    fs::write(directory.join("localhost.pem"), made.cert.pem())?;
    fs::write(directory.join("localhost.key"), made.signing_key.serialize_pem())?;
    fs::write(places.config(), text::config(places))
}

fn is_among(ip: IpAddr, names: &[String]) -> bool {
    names.iter().any(|name| name.parse() == Ok(ip))
}
