//! The command line.
//!
//! Owns: flags, what they lead to, and what is printed. May touch: [`crate::config`],
//! [`crate::daemon`]. `main.rs` turns its answer into the exit code.

use crate::{
    config::{self, Loaded},
    daemon::{self, StartError},
    snapshot::{
        build::{BuildError, build},
        live::Resources,
    },
};
use lexopt::{Arg, Parser, ValueExt};
use std::{io::Write, path::PathBuf};

const HELP: &str = "\
sheave: a layer-7 load-balancing reverse proxy

Usage:
  sheave [run] [--config FILE]   serve, by the config file
  sheave check [--config FILE]   say everything that is wrong with the config file
  sheave demo                    see it work: no file and no server needed

Options:
  -c, --config FILE   default: config/sheave.toml, then /etc/sheave/sheave.toml
  -h, --help          this text
  -V, --version       the version

Signals: SIGHUP reloads, SIGTERM and SIGINT drain and stop, SIGUSR1 reopens log files.
Exit codes: 0 done, 1 the config is wrong, 2 the command line is wrong, 3 the system refused.
";

/// Where the config is looked for.
const PLACES: [&str; 2] = ["config/sheave.toml", "/etc/sheave/sheave.toml"];

enum Command {
    Run(PathBuf),
    Check(PathBuf),
    Help,
    Version,
}

/// Does what the command line says; gives the exit code.
pub fn run() -> u8 {
    match parse(Parser::from_env()) {
        Ok(Command::Run(path)) => serve(&path),
        Ok(Command::Check(path)) => check(&path),
        Ok(Command::Help) => print(HELP),
        Ok(Command::Version) => print(concat!("sheave ", env!("CARGO_PKG_VERSION"), "\n")),
        Err(error) => {
            complain(&format!("error: {error}\n\n{HELP}"));
            2
        }
    }
}

fn parse(mut arguments: Parser) -> Result<Command, lexopt::Error> {
    let (mut command, mut path) = (None, None);
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help),
            Arg::Short('V') | Arg::Long("version") => return Ok(Command::Version),
            Arg::Short('c') | Arg::Long("config") => path = Some(arguments.value()?.parse()?),
            Arg::Value(word) if command.is_none() => command = Some(word.string()?),
            other => return Err(other.unexpected()),
        }
    }
    let path = path.unwrap_or_else(default_path);
    match command.as_deref() {
        None | Some("run") => Ok(Command::Run(path)),
        Some("check") => Ok(Command::Check(path)),
        Some("help") => Ok(Command::Help),
        Some(other) => Err(format!("unknown command `{other}`").into()),
    }
}

/// The first place that has a file, else the first place, which the error then names.
fn default_path() -> PathBuf {
    let found = PLACES.iter().map(PathBuf::from).find(|path| path.exists());
    found.unwrap_or_else(|| PathBuf::from(PLACES[0]))
}

fn serve(path: &std::path::Path) -> u8 {
    match daemon::run(path) {
        Ok(()) => 0,
        Err(error) => {
            complain(&format!("{error}\n"));
            error.exit_code()
        }
    }
}

/// Loads and builds as a start does, short of binding and of opening logs.
fn check(path: &std::path::Path) -> u8 {
    let checked = config::load(path).map_err(StartError::Config).and_then(|loaded| {
        let Loaded { mut config, warnings, .. } = loaded;
        let summary = summary(path, &config);
        config.access_log = None;
        let resources =
            Resources::new(1).map_err(|error| StartError::System(std::io::Error::other(error)))?;
        build(config, None, &resources).map_err(StartError::Build)?;
        Ok((warnings, summary))
    });
    match checked {
        Ok((warnings, summary)) => {
            for warning in warnings {
                complain(&format!("{warning}\n"));
            }
            print(&summary)
        }
        Err(error) => {
            complain(&format!("{error}\n"));
            if matches!(error, StartError::Build(BuildError::Tls(_))) {
                1
            } else {
                error.exit_code()
            }
        }
    }
}

fn summary(path: &std::path::Path, config: &config::Config) -> String {
    let count =
        |number: usize, one: &str| format!("{number} {one}{}", if number == 1 { "" } else { "s" });
    let routes = config.sites.iter().map(|site| site.routes.len()).sum();
    let servers = config.upstreams.iter().map(|upstream| upstream.servers.len()).sum();
    format!(
        "{}: ok: {}, {}, {}, {}, {}\n",
        path.display(),
        count(config.listeners.len(), "listener"),
        count(config.sites.len(), "site"),
        count(routes, "route"),
        count(config.upstreams.len(), "upstream"),
        count(servers, "server"),
    )
}

/// A closed pipe is the reader's choice, no error.
fn print(text: &str) -> u8 {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    0
}

fn complain(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
