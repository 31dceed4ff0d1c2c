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
use percent_encoding::NON_ALPHANUMERIC;
use std::{io::Write, path::PathBuf};

const HELP: &str = "\
sheave: a layer-7 load-balancing reverse proxy

Usage:
  sheave [run] [--config FILE]   serve, by the config file
  sheave check [--config FILE]   say everything that is wrong with the config file
  sheave health [--url URL]      ask a running daemon whether it is alive
  sheave purge --url URL | --prefix URL | --host HOST | --tag TAG [--soft]
                                 take responses out of the caches of a running daemon
  sheave cache explain URL       why a URL is or is not answered from a cache
  sheave demo                    see it work: no file and no server needed

Options:
  -c, --config FILE   default: config/sheave.toml, then /etc/sheave/sheave.toml
  --url URL           what `health` asks, default http://127.0.0.1:9900/live;
                      unix:FILE or unix:FILE:/PATH for a Unix socket
  --soft              `purge` marks as stale what it would take out
  --admin ADDRESS     of the daemon that `purge` and `cache` ask, default
                      127.0.0.1:9900; unix:FILE for a Unix socket
  --http ADDRESS      the demo's addresses, default 127.0.0.1:8080,
  --https ADDRESS     127.0.0.1:8443, and with --admin 127.0.0.1:9900; with
                      port 0 the system chooses
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
    Purge { admin: String, body: String },
    Explain { admin: String, url: String },
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
        Ok(Command::Purge { admin, body }) => asked(&admin, "POST", "/purge", &body),
        Ok(Command::Explain { admin, url }) => {
            let url = percent_encoding::utf8_percent_encode(&url, NON_ALPHANUMERIC);
            asked(&admin, "GET", &format!("/cache/explain?url={url}"), "")
        }
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
    /// Of `purge`: the key and the value.
    purge: Option<(&'static str, String)>,
    soft: bool,
    admin: Option<String>,
    /// What follows the command.
    rest: Vec<String>,
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
            Arg::Long("admin") => options.admin = Some(arguments.value()?.string()?),
            Arg::Long("prefix") => options.purge("prefix", arguments.value()?.string()?)?,
            Arg::Long("host") => options.purge("host", arguments.value()?.string()?)?,
            Arg::Long("tag") => options.purge("tag", arguments.value()?.string()?)?,
            Arg::Long("soft") => options.soft = true,
            Arg::Value(word) if options.command.is_none() => options.command = Some(word.string()?),
            Arg::Value(word) if options.command.as_deref() == Some("cache") => {
                options.rest.push(word.string()?);
            }
            other => return Err(other.unexpected()),
        }
    }
    options.command()
}

impl CommandOptions {
    /// One of the names of what to purge; there can be only one.
    fn purge(&mut self, key: &'static str, value: String) -> Result<(), lexopt::Error> {
        match self.purge.replace((key, value)) {
            None => Ok(()),
            Some((other, _)) => {
                Err(format!("`--{other}` and `--{key}`: purge one at a time").into())
            }
        }
    }

    fn command(mut self) -> Result<Command, lexopt::Error> {
        let word = self.command.take().unwrap_or_else(|| "run".into());
        if word == "purge"
            && let Some(url) = self.url.take()
        {
            self.purge("url", url)?;
        }
        let Self { config, url, purge, soft, admin, rest, mut demo, .. } = self;
        let (no_config, no_url) = (config.is_none(), url.is_none());
        let (no_purge, no_admin) = (purge.is_none() && !soft, admin.is_none());
        let no_demo = demo == demo::DemoAddresses::default();
        let (command, fits) = match word.as_str() {
            "run" | "check" => {
                let path = config.unwrap_or_else(default_path);
                let command = if word == "run" { Command::Run(path) } else { Command::Check(path) };
                (command, no_url && no_demo && no_purge && no_admin)
            }
            "health" => {
                let url = url.unwrap_or_else(|| health::DEFAULT_URL.to_owned());
                (Command::Health(url), no_config && no_demo && no_purge && no_admin)
            }
            "purge" => {
                let Some((key, value)) = purge else {
                    return Err("`purge` needs `--url`, `--prefix`, `--host` or `--tag`".into());
                };
                let body = serde_json::json!({ key: value, "soft": soft }).to_string();
                (Command::Purge { admin: admin_address(admin), body }, no_config && no_demo)
            }
            "cache" => {
                let Ok([verb, url]) = <[String; 2]>::try_from(rest) else {
                    return Err("write `sheave cache explain URL`".into());
                };
                if verb != "explain" {
                    return Err(format!(
                        "unknown command `cache {verb}`: write `cache explain URL`"
                    )
                    .into());
                }
                let command = Command::Explain { admin: admin_address(admin), url };
                (command, no_config && no_url && no_demo && no_purge)
            }
            "demo" => {
                demo.admin = admin.map(|it| it.parse()).transpose().map_err(|error| {
                    lexopt::Error::from(format!("`--admin` of the demo is no address: {error}"))
                })?;
                (Command::Demo(demo), no_config && no_url && no_purge)
            }
            "help" => (Command::Help, true),
            other => return Err(format!("unknown command `{other}`").into()),
        };
        if fits { Ok(command) } else { Err(format!("an option is not one of `{word}`").into()) }
    }
}

fn admin_address(written: Option<String>) -> String {
    written.unwrap_or_else(|| "127.0.0.1:9900".to_owned())
}

/// Prints the daemon's answer.
fn asked(admin: &str, method: &str, path: &str, body: &str) -> u8 {
    match health::send(admin, method, path, body) {
        Ok((200, answer)) => print(&answer),
        Ok((_, answer)) => {
            complain(&answer);
            1
        }
        Err(error) => {
            complain(&format!("error: {error}\n"));
            3
        }
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
        config.access_logs.clear();
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
