//! The command line.
//!
//! Owns: what each command leads to, and what is printed. May touch: [`crate::cidr`],
//! [`crate::config`], [`crate::daemon`], [`crate::demo`], [`crate::explain`], [`crate::health`],
//! [`crate::plan`], [`crate::snapshot`], [`crate::tls`], [`crate::upstream`]. `main.rs` turns its
//! answer into the exit code.

mod asking;
mod check;
mod explain;
mod explain_text;
mod options;
mod plan;
mod plan_text;
mod status;
mod status_text;
mod table;

use crate::{
    daemon::{self, StartError},
    demo, health,
};
use asking::AdminPlace;
use explain::ExplainFrom;
use lexopt::Parser;
use percent_encoding::NON_ALPHANUMERIC;
use plan::PlanFrom;
use status::StatusFrom;
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
  sheave explain [METHOD] URL [-H 'NAME: VALUE']… [--client IP] [--listener NAME]
                                 what would happen to a request, and why: by a running
                                 daemon, or by a file with --config FILE
  sheave plan [--config NEW]     what a reload would change in a running daemon, or
                                 against another file with --against FILE
  sheave status [--watch]        one screen: what is up, how fast, and what fails
  sheave demo                    see it work: no file and no server needed

Options:
  -c, --config FILE   default: config/sheave.toml, then /etc/sheave/sheave.toml
  --url URL           what `health` asks, default http://127.0.0.1:9900/live;
                      https://…; unix:FILE or unix:FILE:/PATH for a Unix socket
  --soft              `purge` marks as stale what it would take out
  --admin ADDRESS     of the daemon that is asked, default 127.0.0.1:9900;
                      https://HOST:PORT for TLS, unix:FILE for a Unix socket
  --token-file FILE   has the token for it; without it SHEAVE_TOKEN, if that is set
  --ca FILE           whose certificates are trusted, in place of the system's
  --cert FILE         our own certificate for it, with its private key in
  --key FILE          this file
  --json              `explain`, `plan` and `status` give data
  --exit-code         `plan` ends with 4 if something would change
  --http ADDRESS      the demo's addresses, default 127.0.0.1:8080,
  --https ADDRESS     127.0.0.1:8443, and with --admin 127.0.0.1:9900; with
                      port 0 the system chooses
  --watch             `status` is shown again every second
  -h, --help          this text
  -V, --version       the version

Signals: SIGHUP reloads, SIGTERM and SIGINT drain and stop, SIGUSR1 reopens log files.
Exit codes: 0 done, 1 the config is wrong (or `health`: not alive), 2 the command line is wrong,
3 the system refused, 4 `plan --exit-code`: something would change.
";

/// What is to be done.
enum Command {
    Run(PathBuf),
    Check(PathBuf),
    Health { url: String, admin: AdminPlace },
    Purge { admin: AdminPlace, body: String },
    CacheExplain { admin: AdminPlace, url: String },
    Explain(Box<ExplainFrom>),
    Plan(Box<PlanFrom>),
    Status(StatusFrom),
    Demo(demo::DemoAddresses),
    Help,
    Version,
}

/// Does what the command line says; gives the exit code.
pub fn run() -> u8 {
    match options::parse(Parser::from_env()) {
        Ok(Command::Run(path)) => ended(daemon::run(&path)),
        Ok(Command::Check(path)) => check::check(&path),
        Ok(Command::Health { url, admin }) => {
            let alive = admin.caller().and_then(|caller| health::ask(&url, &caller));
            match alive {
                Ok(()) => 0,
                Err(error) => {
                    // What asks shows it beside the container's name: the URL comes first.
                    complain(&format!("{error}\n"));
                    1
                }
            }
        }
        Ok(Command::Purge { admin, body }) => admin.shown("POST", "/purge", &body),
        Ok(Command::CacheExplain { admin, url }) => {
            let url = percent_encoding::utf8_percent_encode(&url, NON_ALPHANUMERIC);
            admin.shown("GET", &format!("/cache/explain?url={url}"), "")
        }
        Ok(Command::Explain(asked)) => explain::run(&asked),
        Ok(Command::Plan(asked)) => plan::run(&asked),
        Ok(Command::Status(asked)) => status::run(&asked),
        Ok(Command::Demo(options)) => ended(demo::run(&options)),
        Ok(Command::Help) => print(HELP),
        Ok(Command::Version) => print(concat!("sheave ", env!("CARGO_PKG_VERSION"), "\n")),
        Err(error) => {
            complain(&format!("error: {error}\n\n{HELP}"));
            2
        }
    }
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

/// If the reader has closed the pipe, that is no error.
fn print(text: &str) -> u8 {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    0
}

fn complain(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// The same with the exit code for what is wrong.
fn failed(code: u8, text: &str) -> u8 {
    complain(&format!("error: {text}\n"));
    code
}
