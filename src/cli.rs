//! The command line.
//!
//! Owns: flags, what they lead to, and what is printed. May touch: [`crate::config`],
//! [`crate::daemon`], [`crate::demo`], [`crate::health`], [`crate::snapshot`]. `main.rs` turns its
//! answer into the exit code.

use crate::{
    config::{self, Loaded},
    daemon::{self, StartError},
    demo, health,
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
  sheave health [--url URL]      ask a running daemon whether it is alive
  sheave demo                    see it work: no file and no server needed

Options:
  -c, --config FILE   default: config/sheave.toml, then /etc/sheave/sheave.toml
  --url URL           what `health` asks, default http://127.0.0.1:9900/live;
                      unix:FILE or unix:FILE:/PATH for a Unix socket
  --http ADDRESS      the demo's addresses, default 127.0.0.1:8080,
  --https ADDRESS     127.0.0.1:8443
  --admin ADDRESS     and 127.0.0.1:9900; with port 0 the system chooses
  -h, --help          this text
  -V, --version       the version

Signals: SIGHUP reloads, SIGTERM and SIGINT drain and stop, SIGUSR1 reopens log files.
Exit codes: 0 done, 1 the config is wrong (or `health`: not alive), 2 the command line is wrong,
3 the system refused.
";

/// Where the config is looked for.
const PLACES: [&str; 2] = ["config/sheave.toml", "/etc/sheave/sheave.toml"];

enum Command {
    Run(PathBuf),
    Check(PathBuf),
    Health(String),
    Demo(demo::DemoAddresses),
    Help,
    Version,
}

/// Does what the command line says; gives the exit code.
pub fn run() -> u8 {
    match parse(Parser::from_env()) {
        Ok(Command::Run(path)) => ended(daemon::run(&path)),
        Ok(Command::Check(path)) => check(&path),
        Ok(Command::Health(url)) => match health::ask(&url) {
            Ok(()) => 0,
            Err(error) => {
                complain(&format!("{error}\n"));
                1
            }
        },
        Ok(Command::Demo(options)) => ended(demo::run(&options)),
        Ok(Command::Help) => print(HELP),
        Ok(Command::Version) => print(concat!("sheave ", env!("CARGO_PKG_VERSION"), "\n")),
        Err(error) => {
            complain(&format!("error: {error}\n\n{HELP}"));
            2
        }
    }
}

/// Options may come before and after the command; the command decides which of them are known.
#[derive(Default)]
struct CommandOptions {
    command: Option<String>,
    config: Option<PathBuf>,
    url: Option<String>,
    demo: demo::DemoAddresses,
}

fn parse(mut arguments: Parser) -> Result<Command, lexopt::Error> {
    let mut options = CommandOptions::default();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help),
            Arg::Short('V') | Arg::Long("version") => return Ok(Command::Version),
            Arg::Short('c') | Arg::Long("config") => {
                options.config = Some(arguments.value()?.into());
            }
            Arg::Long("url") => options.url = Some(arguments.value()?.string()?),
            Arg::Long("http") => options.demo.http = Some(arguments.value()?.parse()?),
            Arg::Long("https") => options.demo.https = Some(arguments.value()?.parse()?),
            Arg::Long("admin") => options.demo.admin = Some(arguments.value()?.parse()?),
            Arg::Value(word) if options.command.is_none() => options.command = Some(word.string()?),
            other => return Err(other.unexpected()),
        }
    }
    options.command()
}

impl CommandOptions {
    fn command(self) -> Result<Command, lexopt::Error> {
        let Self { command, config, url, demo } = self;
        let (no_config, no_url) = (config.is_none(), url.is_none());
        let no_demo = demo == demo::DemoAddresses::default();
        let word = command.as_deref().unwrap_or("run");
        let (command, fits) = match word {
            "run" => (Command::Run(config.unwrap_or_else(default_path)), no_url && no_demo),
            "check" => (Command::Check(config.unwrap_or_else(default_path)), no_url && no_demo),
            "health" => {
                let url = url.unwrap_or_else(|| health::DEFAULT_URL.to_owned());
                (Command::Health(url), no_config && no_demo)
            }
            "demo" => (Command::Demo(demo), no_config && no_url),
            "help" => (Command::Help, true),
            other => return Err(format!("unknown command `{other}`").into()),
        };
        if fits { Ok(command) } else { Err(format!("an option is not one of `{word}`").into()) }
    }
}

/// The first place that has a file. If none has, the first place: the error then names it.
fn default_path() -> PathBuf {
    let found = PLACES.iter().map(PathBuf::from).find(|path| path.exists());
    found.unwrap_or_else(|| PathBuf::from(PLACES[0]))
}

fn ended(outcome: Result<(), StartError>) -> u8 {
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            complain(&format!("{error}\n"));
            error.exit_code()
        }
    }
}

/// Loads and builds like a start, but binds no socket and opens no log.
fn check(path: &std::path::Path) -> u8 {
    let checked = config::load(path).map_err(StartError::Config).and_then(|loaded| {
        let Loaded { mut config, warnings, .. } = loaded;
        let summary = summary(path, &config);
        config.access_log = None;
        let resources =
            Resources::new(1).map_err(|error| StartError::System(std::io::Error::other(error)))?;
        build(config, None, &resources).map_err(StartError::Build)?;
        let faults = resources.roots.faults().iter().map(|it| format!("warning: {it}\n"));
        let warnings = warnings.iter().map(|it| format!("{it}\n")).chain(faults).collect();
        Ok::<(Vec<_>, _), _>((warnings, summary))
    });
    match checked {
        Ok((warnings, summary)) => {
            for warning in warnings {
                complain(&warning);
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

/// If the reader has closed the pipe, that is no error.
fn print(text: &str) -> u8 {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    0
}

fn complain(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
