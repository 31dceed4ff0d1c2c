//! Which tables are new, gone, changed or moved.
//!
//! Owns: comparing two configs. May touch: [`crate::config`]. What is only spelt otherwise is no
//! change: a table that has a default written out is the same.

use crate::config::{Config, Route, Site, Upstream, WrittenKey, WrittenTable, written_tables};
use std::collections::{BTreeMap, HashMap};

/// What is done to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    Added,
    Removed,
    Edited,
    /// A route among the others of its site.
    Moved,
}

impl Changed {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Edited => "changed",
            Self::Moved => "moved",
        }
    }
}

/// A key, its value before, and its value after.
pub(super) type ChangedKey = (String, Option<String>, Option<String>);

/// A table that is not what it was.
pub(super) struct PlannedChange {
    pub(super) what: Changed,
    /// As it is, or as it was if it is gone.
    pub(super) table: WrittenTable,
    pub(super) keys: Vec<ChangedKey>,
}

type TableIdentity<'a> = (&'a str, &'a str, &'a str);

fn identity(table: &WrittenTable) -> TableIdentity<'_> {
    (&table.kind, &table.of, &table.name)
}

/// Everything that differs, in the order of the new file; what is gone comes last.
pub(super) fn changes(old: &Config, new: &Config) -> Vec<PlannedChange> {
    let (before, after) = (written_tables(old), written_tables(new));
    let known: HashMap<_, _> = before.iter().map(|it| (identity(it), it)).collect();
    let kept: HashMap<_, _> = after.iter().map(|it| (identity(it), it)).collect();
    let moved = moved(old, new);
    let mut found = Vec::new();
    for table in &after {
        match known.get(&identity(table)) {
            None => {
                found.push(PlannedChange {
                    what: Changed::Added,
                    table: table.clone(),
                    keys: all(table),
                });
            }
            Some(was) if !is_same(identity(table), old, new) => {
                let keys = differing(was, table);
                // Without a key of its own that differs, it is changed by what it inherits.
                if !keys.is_empty() || is_compared(table) {
                    found.push(PlannedChange { what: Changed::Edited, table: table.clone(), keys });
                }
            }
            Some(_) => {}
        }
        if table.kind == "route" && moved.contains(&(table.of.as_str(), table.name.as_str())) {
            found.push(PlannedChange {
                what: Changed::Moved,
                table: table.clone(),
                keys: Vec::new(),
            });
        }
    }
    let gone = before.iter().filter(|it| !kept.contains_key(&identity(it)));
    found.extend(gone.map(|it| PlannedChange {
        what: Changed::Removed,
        table: it.clone(),
        keys: Vec::new(),
    }));
    found
}

fn all(table: &WrittenTable) -> Vec<ChangedKey> {
    table.keys.iter().map(|it| (it.key.clone(), None, Some(it.shown()))).collect()
}

/// Whether the table's values are compared, and not only its text.
fn is_compared(table: &WrittenTable) -> bool {
    matches!(
        table.kind.as_str(),
        "admin" | "cache" | "listener" | "otlp" | "route" | "server" | "site" | "upstream"
    )
}

fn differing(was: &WrittenTable, is: &WrittenTable) -> Vec<ChangedKey> {
    let by_key = |table: &WrittenTable| {
        table.keys.iter().map(|it| (it.key.clone(), it.clone())).collect::<BTreeMap<_, _>>()
    };
    let (was, is) = (by_key(was), by_key(is));
    let mut keys: Vec<_> = was.keys().chain(is.keys()).collect();
    keys.sort();
    keys.dedup();
    let differs = keys.into_iter().filter_map(|key| {
        let (before, after) = (was.get(key), is.get(key));
        let same = before.zip(after).is_some_and(|(before, after)| before.says_same(after));
        let shown = (before.map(WrittenKey::shown), after.map(WrittenKey::shown));
        (!same).then(|| (key.clone(), shown.0, shown.1))
    });
    differs.collect()
}

/// Whether a table means the same in both. Those that are not compared here are not known to.
fn is_same((kind, of, name): TableIdentity<'_>, old: &Config, new: &Config) -> bool {
    fn of_both<'a, T>(
        configs: (&'a Config, &'a Config),
        find: impl Fn(&'a Config) -> Option<T>,
    ) -> Option<(T, T)> {
        Some((find(configs.0)?, find(configs.1)?))
    }
    let both = (old, new);
    let same = match kind {
        "listener" => of_both(both, |it| it.listeners.iter().find(|it| it.name == name))
            .map(|(old, new)| old == new),
        "cache" => of_both(both, |it| it.caches.iter().find(|it| it.name == name))
            .map(|(old, new)| old == new),
        "upstream" => of_both(both, |it| it.upstreams.iter().find(|it| it.name == name))
            .map(|(old, new)| without_servers(old) == without_servers(new)),
        "server" => of_both(both, |it| {
            let upstream = it.upstreams.iter().find(|it| it.name == of)?;
            upstream.servers.iter().find(|it| it.address == name)
        })
        .map(|(old, new)| old == new),
        "site" => of_both(both, |it| it.sites.iter().find(|it| it.name == name))
            .map(|(old, new)| without_routes(old) == without_routes(new)),
        "route" => of_both(both, |it| find_route(it, of, name)).map(|(old, new)| old == new),
        "admin" => Some(old.admin == new.admin),
        "log" => Some(old.log == new.log),
        "otlp" => Some(old.otlp == new.otlp),
        "access_log" | "slow_log" => Some(old.access_logs == new.access_logs),
        "" => Some(top(old) == top(new)),
        _ => None,
    };
    same.unwrap_or(false)
}

fn top(config: &Config) -> impl PartialEq {
    let Config { workers, shutdown_timeout, drain_delay, trusted_proxies, trusted_fields, .. } =
        config;
    (*workers, *shutdown_timeout, *drain_delay, trusted_proxies.clone(), *trusted_fields)
}

pub(super) fn find_route<'a>(config: &'a Config, site: &str, name: &str) -> Option<&'a Route> {
    let site = config.sites.iter().find(|it| it.name == site)?;
    site.routes.iter().find(|it| it.name == name)
}

fn without_servers(upstream: &Upstream) -> Upstream {
    Upstream { servers: Vec::new(), ..upstream.clone() }
}

/// Which listeners it has by name matters, and not whether they are written.
fn without_routes(site: &Site) -> Site {
    Site { routes: Vec::new(), ..site.clone() }
}

/// Routes that both have, but not in the same order: as few as explain the new order.
fn moved<'a>(old: &Config, new: &'a Config) -> Vec<(&'a str, &'a str)> {
    let mut moved = Vec::new();
    for site in &new.sites {
        let Some(before) = old.sites.iter().find(|it| it.name == site.name) else { continue };
        let place: HashMap<_, _> =
            before.routes.iter().enumerate().map(|(at, it)| (it.name.as_str(), at)).collect();
        let common = site.routes.iter().filter_map(|it| Some((&*it.name, *place.get(&*it.name)?)));
        let common: Vec<_> = common.collect();
        let places: Vec<_> = common.iter().map(|it| it.1).collect();
        let stays = longest_rising(&places);
        let gone = common.iter().enumerate().filter(|(at, _)| !stays.contains(at));
        moved.extend(gone.map(|(_, (name, _))| (site.name.as_str(), *name)));
    }
    moved
}

/// The indices of a longest rising subsequence.
fn longest_rising(values: &[usize]) -> Vec<usize> {
    let mut ends: Vec<usize> = Vec::new();
    let mut before = vec![None; values.len()];
    for (at, value) in values.iter().enumerate() {
        let length = ends.partition_point(|end| values[*end] < *value);
        before[at] = length.checked_sub(1).map(|it| ends[it]);
        if length == ends.len() {
            ends.push(at);
        } else {
            ends[length] = at;
        }
    }
    let mut rising = Vec::new();
    let mut at = ends.last().copied();
    while let Some(here) = at {
        rising.push(here);
        at = before[here];
    }
    rising
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;
    use std::path::Path;

    const TEXT: &str = "[listener.http]\naddress = \"127.0.0.1:8080\"\n\
        [upstream.app]\nservers = [{ address = \"a:1\" }, { address = \"b:1\", weight = 2 }]\n\
        [[site]]\nname = \"s\"\n[[site.route]]\nname = \"x\"\npath = \"/x\"\nupstream = \"app\"\n\
        [[site.route]]\nname = \"y\"\npath = \"/y\"\nrespond = { status = 204 }\n\
        [[site.route]]\nname = \"z\"\nupstream = \"app\"\n";

    fn config(text: &str) -> Config {
        parse(text, Path::new("t.toml"), &|_| None).map(|it| it.config).expect("valid")
    }

    fn told(text: &str) -> Vec<String> {
        let told = changes(&config(TEXT), &config(text)).into_iter().map(|it| {
            let keys: Vec<_> =
                it.keys.iter().map(|(key, from, to)| format!("{key}:{from:?}:{to:?}")).collect();
            format!("{} {} {} {}", it.what.word(), it.table.kind, it.table.name, keys.join(" "))
        });
        told.collect()
    }

    #[test]
    fn what_is_only_spelt_otherwise_is_no_change() {
        assert_eq!(told(TEXT), [""; 0]);
        let spelt = TEXT.replace("weight = 2", "weight = 2, max_fails = 3, backup = false");
        assert_eq!(told(&format!("# a comment\n{spelt}")), [""; 0]);
    }

    #[test]
    fn what_is_added_removed_changed_and_moved() {
        assert_eq!(
            told(&TEXT.replace("weight = 2", "weight = 5")),
            ["changed server b:1 weight:Some(\"2\"):Some(\"5\")"]
        );
        assert_eq!(
            told(&TEXT.replace("{ address = \"a:1\" }", "{ address = \"c:1\" }")),
            ["added server c:1 ", "removed server a:1 "]
        );
        assert_eq!(
            told(&TEXT.replace("[upstream.app]\n", "[upstream.app]\nkeepalive = 3\n")),
            ["changed upstream app keepalive:None:Some(\"3\")"]
        );
        let (x, y) = (
            "name = \"x\"\npath = \"/x\"\nupstream = \"app\"",
            "name = \"y\"\npath = \"/y\"\nrespond = { status = 204 }",
        );
        let swapped = TEXT.replace(x, "X").replace(y, x).replace('X', y);
        assert_eq!(told(&swapped).len(), 1);
        assert!(told(&swapped)[0].starts_with("moved route"));
        assert_eq!(told(&format!("workers = 3\n{TEXT}")), ["changed   workers:None:Some(\"3\")"]);
        let retry = TEXT.replace("[upstream.app]\n", "[upstream.app]\nretry = { tries = 7 }\n");
        assert_eq!(told(&retry), ["changed upstream app retry.tries:None:Some(\"7\")"]);
    }

    #[test]
    fn rising() {
        for (values, length) in [(&[][..], 0), (&[0, 1, 2], 3), (&[2, 0, 1], 2), (&[3, 2, 1], 1)] {
            assert_eq!(longest_rising(values).len(), length);
        }
    }
}
