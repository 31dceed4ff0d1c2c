//! The tables of a config as they are written, for telling what differs between two configs.
//!
//! Owns: which table is which in another file, and which values must not be shown. May touch:
//! nothing outside this room. [`crate::plan`] compares them. A `${…}` stays as it is written.

use super::{
    Config,
    document::ConfigText,
    tree::{KeyAndValue, Value, ValueKind},
};

/// What is shown in place of a secret.
const SECRET: &str = "(not shown)";

/// Keys with these words in them have secrets for values.
const SECRETS: [&str; 8] =
    ["api-key", "api_key", "authorization", "cookie", "credential", "password", "secret", "token"];

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenTable {
    /// `listener`, `upstream`, `server`, `cache`, `site`, `route`, or the name of another table;
    /// empty for the keys at the top.
    pub kind: String,
    /// What it is part of: a route's site, or a server's upstream.
    pub of: String,
    /// Its name, with which it is found again.
    pub name: String,
    /// Its line.
    pub line: u32,
    /// Its keys; those of tables within it have dots.
    pub keys: Vec<WrittenKey>,
}

/// A key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenKey {
    /// As `timeouts.read`.
    pub key: String,
    /// The value as it is written.
    text: String,
}

impl WrittenKey {
    /// The value for people: a secret is not shown.
    pub fn shown(&self) -> String {
        let key = self.key.to_ascii_lowercase();
        // A list of inline tables, as `access = [{ token = "…" }]`, is one value.
        let tables =
            if self.text.contains('{') { self.text.to_ascii_lowercase() } else { String::new() };
        if SECRETS.iter().any(|it| key.contains(it) || tables.contains(it)) {
            return SECRET.into();
        }
        without_passwords(&self.text)
    }

    /// Whether both say the same.
    pub fn says_same(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// `redis://user:password@host` without what is before the `@`.
fn without_passwords(text: &str) -> String {
    let mut parts = text.split("://");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(['/', '"', '\'', ' ', ',']).unwrap_or(part.len());
        let (authority, rest) = part.split_at(end);
        shown.push_str("://");
        match authority.rsplit_once('@') {
            Some((_, host)) => shown.extend([SECRET, "@", host]),
            None => shown.push_str(authority),
        }
        shown.push_str(rest);
    }
    shown
}

/// The tables of the text that `config` was read from.
pub fn written_tables(config: &Config) -> Vec<WrittenTable> {
    let source = &config.source;
    let lookup = |_: &str| None;
    let document = ConfigText::parse(&source.text, &source.file, &lookup);
    let mut reader = Reader { document: &document, config, tables: Vec::new() };
    reader.top(document.entries());
    reader.tables
}

struct Reader<'a> {
    document: &'a ConfigText<'a>,
    config: &'a Config,
    tables: Vec<WrittenTable>,
}

impl Reader<'_> {
    fn top(&mut self, entries: &[KeyAndValue]) {
        let mut keys = Vec::new();
        for entry in entries {
            match (entry.key.as_str(), &entry.value.kind) {
                ("listener" | "cache", ValueKind::Table(named)) => {
                    for it in named {
                        self.table((&entry.key, "", &it.key), &it.value, &[]);
                    }
                }
                ("upstream", ValueKind::Table(named)) => {
                    for it in named {
                        self.upstream(it);
                    }
                }
                ("site", ValueKind::Array(sites)) => {
                    for (index, site) in sites.iter().enumerate() {
                        self.site(index, site);
                    }
                }
                (key, ValueKind::Table(_)) => self.table((key, "", ""), &entry.value, &[]),
                (key, ValueKind::Array(values))
                    if values.iter().all(is_table) && !values.is_empty() =>
                {
                    for (index, value) in values.iter().enumerate() {
                        self.table((key, "", &(index + 1).to_string()), value, &[]);
                    }
                }
                (key, _) => keys.push(self.key(key, &entry.value)),
            }
        }
        let (kind, of, name) = Default::default();
        self.tables.insert(0, WrittenTable { kind, of, name, line: 1, keys });
    }

    fn upstream(&mut self, entry: &KeyAndValue) {
        self.table(("upstream", "", &entry.key), &entry.value, &["servers"]);
        let ValueKind::Table(keys) = &entry.value.kind else { return };
        let known = self.config.upstreams.iter().find(|it| it.name == entry.key);
        let servers = keys.iter().find(|it| it.key == "servers").map(|it| &it.value.kind);
        let (Some(known), Some(ValueKind::Array(servers))) = (known, servers) else { return };
        for (server, value) in known.servers.iter().zip(servers) {
            self.table(("server", &entry.key, &server.address), value, &["address"]);
        }
    }

    fn site(&mut self, index: usize, value: &Value) {
        let Some(known) = self.config.sites.get(index) else { return };
        self.table(("site", "", &known.name), value, &["route", "name"]);
        let ValueKind::Table(keys) = &value.kind else { return };
        let routes = keys.iter().find(|it| it.key == "route").map(|it| &it.value.kind);
        let Some(ValueKind::Array(routes)) = routes else { return };
        for (route, value) in known.routes.iter().zip(routes) {
            self.table(("route", &known.name, &route.name), value, &["name"]);
        }
    }

    fn table(&mut self, (kind, of, name): (&str, &str, &str), value: &Value, apart: &[&str]) {
        let ValueKind::Table(entries) = &value.kind else { return };
        let line = self.document.line(&value.span) as u32;
        let mut keys = Vec::new();
        for entry in entries.iter().filter(|it| !apart.contains(&it.key.as_str())) {
            self.flat(&entry.key, &entry.value, &mut keys);
        }
        let (kind, of, name) = (kind.to_owned(), of.to_owned(), name.to_owned());
        self.tables.push(WrittenTable { kind, of, name, line, keys });
    }

    fn flat(&self, key: &str, value: &Value, into: &mut Vec<WrittenKey>) {
        match &value.kind {
            ValueKind::Table(entries) if !entries.is_empty() => {
                for entry in entries {
                    self.flat(&format!("{key}.{}", entry.key), &entry.value, into);
                }
            }
            _ => into.push(self.key(key, value)),
        }
    }

    fn key(&self, key: &str, value: &Value) -> WrittenKey {
        let written = self.document.written(&value.span);
        let text = written.split_whitespace().collect::<Vec<_>>().join(" ");
        WrittenKey { key: key.to_owned(), text }
    }
}

fn is_table(value: &Value) -> bool {
    matches!(value.kind, ValueKind::Table(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let shown =
            |key: &str, text: &str| WrittenKey { key: key.into(), text: text.into() }.shown();
        for key in ["headers.authorization", "admin.token", "redis.password", "set.X-Api-Key"] {
            assert_eq!(shown(key, "\"x\""), SECRET, "{key}");
        }
        assert_eq!(shown("timeouts.read", "\"5s\""), "\"5s\"");
        assert_eq!(shown("access", "[{ name = \"ci\", token = \"x\" }]"), SECRET);
        let urls = "[\"redis://:pass@a:1/0\", \"https://b/c@d\", \"rediss://u:p@c\"]";
        let told = "[\"redis://(not shown)@a:1/0\", \"https://b/c@d\", \"rediss://(not shown)@c\"]";
        assert_eq!(shown("redis.url", urls), told);
    }
}
