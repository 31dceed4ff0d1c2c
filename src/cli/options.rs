//! Flags, and which command knows which.
//!
//! Owns: reading the command line. May touch: [`crate::cidr`], [`crate::demo`],
//! [`crate::explain`], [`crate::health`]; the places where a config is looked for.

use super::{
    Command,
    asking::AdminPlace,
    explain::{ExplainFrom, Side},
    plan::PlanFrom,
    status::StatusFrom,
};
use crate::{cidr::PeerAddress, demo, explain::asked::AskedRequest, health};
use lexopt::{Arg, Parser, ValueExt};
use std::path::PathBuf;

/// Where the config is looked for.
const PLACES: [&str; 2] = ["config/sheave.toml", "/etc/sheave/sheave.toml"];

/// The flags of those that ask a daemon.
const CALLER: &[&str] = &["token-file", "ca", "cert", "key"];

/// The flags that each command knows.
const KNOWN: [(&str, &[&str], &[&str]); 10] = [
    ("run", &["config"], &[]),
    ("check", &["config"], &[]),
    ("health", &["url"], CALLER),
    ("purge", &["url", "prefix", "host", "tag", "soft", "admin"], CALLER),
    ("cache", &["admin"], CALLER),
    ("explain", &["config", "admin", "header", "client", "listener", "json"], CALLER),
    ("plan", &["config", "against", "admin", "json", "exit-code"], CALLER),
    ("status", &["admin", "json", "watch"], CALLER),
    ("demo", &["http", "https", "admin"], &[]),
    ("help", &[], &[]),
];

/// Options may come before and after the command; the command decides which of them are known.
#[derive(Default)]
struct CommandOptions {
    command: Option<String>,
    /// The names of the flags that are there.
    given: Vec<&'static str>,
    config: Option<PathBuf>,
    against: Option<PathBuf>,
    url: Option<String>,
    /// Of `purge`: the key and the value.
    purge: Option<(&'static str, String)>,
    admin: AdminPlace,
    fields: Vec<(String, String)>,
    client: Option<PeerAddress>,
    listener: Option<String>,
    /// What follows the command.
    rest: Vec<String>,
    demo: demo::DemoAddresses,
}

/// What the command line says.
pub(super) fn parse(mut arguments: Parser) -> Result<Command, lexopt::Error> {
    let mut options = CommandOptions::default();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help),
            Arg::Short('V') | Arg::Long("version") => return Ok(Command::Version),
            Arg::Short('c') => options.flag("config", &mut arguments)?,
            Arg::Short('H') => options.flag("header", &mut arguments)?,
            Arg::Long(name) => {
                let all = KNOWN.iter().flat_map(|(_, flags, caller)| flags.iter().chain(*caller));
                let Some(known) = all.copied().find(|it| *it == name) else {
                    return Err(Arg::Long(name).unexpected());
                };
                options.flag(known, &mut arguments)?;
            }
            Arg::Value(word) if options.command.is_none() => options.command = Some(word.string()?),
            Arg::Value(word) if matches!(options.command.as_deref(), Some("cache" | "explain")) => {
                options.rest.push(word.string()?);
            }
            other => return Err(other.unexpected()),
        }
    }
    options.command()
}

impl CommandOptions {
    fn flag(&mut self, name: &'static str, from: &mut Parser) -> Result<(), lexopt::Error> {
        self.given.push(name);
        match name {
            "soft" | "json" | "exit-code" | "watch" => return Ok(()),
            _ => {}
        }
        let value = from.value()?;
        match name {
            "config" => self.config = Some(value.into()),
            "against" => self.against = Some(value.into()),
            "ca" => self.admin.ca = Some(value.into()),
            "cert" => self.admin.cert = Some(value.into()),
            "key" => self.admin.key = Some(value.into()),
            "token-file" => self.admin.token_file = Some(value.into()),
            "http" => self.demo.http = Some(value.parse()?),
            "https" => self.demo.https = Some(value.parse()?),
            "client" => self.client = Some(value.parse()?),
            "url" => self.url = Some(value.string()?),
            "listener" => self.listener = Some(value.string()?),
            "admin" => self.admin.address = Some(value.string()?),
            "header" => self.fields.push(field(&value.string()?)?),
            key => self.purge(key, value.string()?)?,
        }
        Ok(())
    }

    fn has(&self, flag: &str) -> bool {
        self.given.contains(&flag)
    }

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
        let Some((_, flags, caller)) = KNOWN.iter().find(|(command, ..)| *command == word) else {
            return Err(format!("unknown command `{word}`").into());
        };
        if let Some(other) =
            self.given.iter().find(|it| !flags.contains(it) && !caller.contains(it))
        {
            return Err(format!("`--{other}` is not an option of `{word}`").into());
        }
        Ok(match word.as_str() {
            "run" => Command::Run(self.config.unwrap_or_else(default_path)),
            "check" => Command::Check(self.config.unwrap_or_else(default_path)),
            "health" => Command::Health {
                url: self.url.unwrap_or_else(|| health::DEFAULT_URL.to_owned()),
                admin: self.admin,
            },
            "purge" => self.into_purge()?,
            "cache" => self.into_cache()?,
            "explain" => Command::Explain(Box::new(self.into_explain()?)),
            "plan" => Command::Plan(Box::new(self.into_plan()?)),
            "status" => {
                let (json, watch) = (self.has("json"), self.has("watch"));
                Command::Status(StatusFrom { admin: self.admin, json, watch })
            }
            "demo" => {
                let admin = self.admin.address.map(|it| it.parse()).transpose();
                self.demo.admin = admin.map_err(|error| {
                    lexopt::Error::from(format!("`--admin` of the demo is no address: {error}"))
                })?;
                Command::Demo(self.demo)
            }
            _ => Command::Help,
        })
    }

    fn into_purge(mut self) -> Result<Command, lexopt::Error> {
        if let Some(url) = self.url.take() {
            self.purge("url", url)?;
        }
        let soft = self.has("soft");
        let Some((key, value)) = self.purge else {
            return Err("`purge` needs `--url`, `--prefix`, `--host` or `--tag`".into());
        };
        let body = serde_json::json!({ key: value, "soft": soft }).to_string();
        Ok(Command::Purge { admin: self.admin, body })
    }

    fn into_cache(self) -> Result<Command, lexopt::Error> {
        let Ok([verb, url]) = <[String; 2]>::try_from(self.rest) else {
            return Err("write `sheave cache explain URL`".into());
        };
        if verb != "explain" {
            return Err(format!("unknown command `cache {verb}`: write `cache explain URL`").into());
        }
        Ok(Command::CacheExplain { admin: self.admin, url })
    }

    fn into_plan(self) -> Result<PlanFrom, lexopt::Error> {
        if self.against.is_some() && self.has("admin") {
            return Err("`--against` and `--admin`: another file, or a running daemon".into());
        }
        let (json, exit_code) = (self.has("json"), self.has("exit-code"));
        let new = self.config.unwrap_or_else(default_path);
        Ok(PlanFrom { new, against: self.against, admin: self.admin, json, exit_code })
    }

    fn into_explain(self) -> Result<ExplainFrom, lexopt::Error> {
        let json = self.has("json");
        if self.config.is_some() && self.has("admin") {
            return Err("`--config` and `--admin`: a file, or a running daemon".into());
        }
        let mut rest = self.rest.into_iter();
        let (method, url) = match (rest.next(), rest.next(), rest.next()) {
            (Some(method), Some(url), None) => (method, url),
            (Some(url), None, None) => ("GET".into(), url),
            _ => return Err("write `sheave explain METHOD URL`".into()),
        };
        let Self { fields, client, listener, .. } = self;
        let asked = AskedRequest { method, url, fields, client, listener };
        let side = match self.config {
            Some(file) => Side::File(file),
            None => Side::Daemon(self.admin),
        };
        Ok(ExplainFrom { asked, side, json })
    }
}

/// `Name: value`, as `curl -H` takes it.
fn field(text: &str) -> Result<(String, String), lexopt::Error> {
    match text.split_once(':') {
        Some((name, value)) => Ok((name.trim().to_owned(), value.trim().to_owned())),
        None => Err(format!("`{text}` is no field: write `-H 'Name: value'`").into()),
    }
}

/// The first place that has a file. If none has, the first place: the error then names it.
fn default_path() -> PathBuf {
    let found = PLACES.iter().map(PathBuf::from).find(|path| path.exists());
    found.unwrap_or_else(|| PathBuf::from(PLACES[0]))
}
