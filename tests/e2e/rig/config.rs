//! Config texts: one listener, one upstream, one site, and what a scenario adds.

use super::Server;
use std::fmt::Write as _;

/// Builds a config; every method adds TOML lines to one of its tables.
#[derive(Clone, Debug, Default)]
pub struct Config {
    top: String,
    listener: String,
    upstream: String,
    servers: Vec<String>,
    route: String,
    routes_before: String,
    rest: String,
    quiet: bool,
    workers: Option<usize>,
}

impl Config {
    /// Everything to these servers.
    pub fn to<'a>(servers: impl IntoIterator<Item = &'a Server>) -> Self {
        let mut config = Self::default();
        for server in servers {
            config = config.server(server, "");
        }
        config
    }

    /// No upstream; [`Self::rest`] brings the sites.
    pub fn bare() -> Self {
        Self::default()
    }

    /// A server with more keys, such as `weight = 3`.
    pub fn server(self, server: &Server, keys: &str) -> Self {
        self.address(&server.to_string(), keys)
    }

    /// A server by its address, with more keys.
    pub fn address(mut self, address: &str, keys: &str) -> Self {
        let comma = if keys.is_empty() { "" } else { ", " };
        self.servers.push(format!("  {{ address = \"{address}\"{comma}{keys} }},"));
        self
    }

    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Keys above all tables.
    pub fn top(mut self, lines: &str) -> Self {
        push_line(&mut self.top, lines);
        self
    }

    /// Keys of `[listener.http]`.
    pub fn listener(mut self, lines: &str) -> Self {
        push_line(&mut self.listener, lines);
        self
    }

    /// Keys of `[upstream.app]`.
    pub fn upstream(mut self, lines: &str) -> Self {
        push_line(&mut self.upstream, lines);
        self
    }

    /// Keys of the route that takes everything.
    pub fn route(mut self, lines: &str) -> Self {
        push_line(&mut self.route, lines);
        self
    }

    /// A whole route ahead of the one that takes everything.
    pub fn route_before(mut self, lines: &str) -> Self {
        push_line(&mut self.routes_before, "[[site.route]]");
        push_line(&mut self.routes_before, lines);
        self
    }

    /// Whole tables at the end.
    pub fn rest(mut self, lines: &str) -> Self {
        push_line(&mut self.rest, lines);
        self
    }

    /// No debug log: for loads of thousands of requests.
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// The text, with an access log, the admin address and the log that the rig reads.
    pub fn text(&self) -> String {
        let workers = self.workers.unwrap_or(2);
        let level = if self.quiet { "info" } else { "debug" };
        let mut text = format!("workers = {workers}\n{}\n", self.top);
        let _ = writeln!(text, "[listener.http]\naddress = \"127.0.0.1:0\"\n{}", self.listener);
        if !self.servers.is_empty() {
            let servers = self.servers.join("\n");
            let _ = writeln!(text, "[upstream.app]\nservers = [\n{servers}\n]\n{}", self.upstream);
            let _ = writeln!(text, "[[site]]\nname = \"main\"\n{}", self.routes_before);
            let _ = writeln!(
                text,
                "[[site.route]]\nname = \"all\"\nupstream = \"app\"\n{}",
                self.route
            );
        }
        text += &self.rest;
        for (table, keys) in [
            ("[admin]", "address = \"127.0.0.1:0\"".to_owned()),
            ("[log]", format!("level = \"{level}\"\nformat = \"json\"")),
            ("[access_log]", "path = \"access.log\"\nformat = \"json\"".to_owned()),
        ] {
            if !text.lines().any(|line| line.trim() == table) {
                let _ = writeln!(text, "\n{table}\n{keys}");
            }
        }
        text
    }
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}
