//! `[[site]]`: a virtual host, its hosts, listeners and routes.

use super::{ErrorPages, Geo, Place, Route, Upstream, names::host_pattern, table::Table};
use std::collections::HashMap;

/// A virtual host.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// `name`, default the first host, or `default`, made unique with `-2` and so on.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// `hosts`; empty makes this the default site of its listeners.
    pub hosts: Vec<HostPattern>,
    /// `listeners`, by name; absent in the file = all of them, filled in here.
    pub listeners: Vec<String>,
    /// `geo`: for which countries its routes are, unless a route has its own. Default all.
    pub geo: Option<Geo>,
    /// `error_pages` of its routes, unless a route has its own, and for paths without a route.
    pub error_pages: Option<ErrorPages>,
    /// The first that matches wins.
    pub routes: Vec<Route>,
}

/// A host that a site answers to, lower case, no port, no trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// `api.example.com`, an IPv4 address or `[::1]`.
    Exact(String),
    /// `*.example.com`, kept as `example.com`: one or more labels before it.
    Wildcard(String),
}

impl Site {
    /// Reads one `[[site]]`; `listeners` are the names of all.
    pub(super) fn read(
        table: &Table<'_>,
        listeners: &[String],
        upstreams: &[Upstream],
        names: &mut Names,
    ) -> Self {
        let (hosts, first_host) = Self::read_hosts(table);
        let wanted = table.string("name").unwrap_or(first_host);
        let name = names.site.claim(&wanted);
        let (geo, pages) = (Geo::read(table), ErrorPages::read(table));
        let mut read = |table: &Table<'_>| {
            let route = Route::read(table, &name, upstreams, &mut names.route);
            let geo = if table.has("geo") { route.geo } else { geo.clone() };
            let own = table.has("error_pages");
            let error_pages = if own { route.error_pages } else { pages.clone() };
            Route { error_pages, geo, ..route }
        };
        let routes = table.tables("route", "[[site.route]]");
        let routes: Vec<_> = routes.iter().map(&mut read).collect();
        if routes.is_empty() && !table.has("route") {
            let hint = "add a `[[site.route]]` below it, with `upstream = \"NAME\"`";
            table.absent(table.span.clone(), "a site has no routes", Some(hint.into()));
        }
        let chosen = table.texts("listeners");
        if chosen.as_ref().is_some_and(Vec::is_empty) && table.is_whole() {
            let hint = Some("leave `listeners` out for all of them".into());
            table.error(table.value_span("listeners"), "a site has no listeners", hint);
        }
        let chosen = chosen.map(|texts| {
            let mut chosen: Vec<String> = Vec::new();
            for text in texts {
                if chosen.contains(&text.value) {
                    let message = format!("`{}` is written twice", text.value);
                    table.error(text.span.clone(), message, Some("leave one of them out".into()));
                } else {
                    chosen.push(text.value.clone());
                }
            }
            chosen
        });
        let listeners = chosen.unwrap_or_else(|| listeners.to_vec());
        let place = table.place();
        Self { name, place, hosts, listeners, geo, error_pages: pages, routes }
    }

    /// The hosts, and the first as it was written.
    fn read_hosts(table: &Table<'_>) -> (Vec<HostPattern>, String) {
        let Some(texts) = table.texts("hosts") else { return (Vec::new(), "default".into()) };
        if texts.is_empty() {
            let hint = Some("leave `hosts` out to make this the default site".into());
            table.warning(table.value_span("hosts"), "`hosts` is empty", hint);
        }
        let first = texts.first().map_or_else(|| "default".into(), |text| text.value.clone());
        let hosts = texts.iter().map(|text| {
            host_pattern(&text.value).unwrap_or_else(|(message, hint)| {
                table.error(text.span.clone(), message, Some(hint));
                HostPattern::Exact(String::new())
            })
        });
        (hosts.collect(), first)
    }
}

/// The names taken so far.
#[derive(Default)]
pub(super) struct Names {
    site: TakenNames,
    route: TakenNames,
}

/// Names of one kind.
#[derive(Default)]
pub(super) struct TakenNames(HashMap<String, u32>);

impl TakenNames {
    /// `wanted`, or `wanted-2` and so on where it is taken.
    pub(super) fn claim(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        while self.0.contains_key(&name) {
            // Count how often a name was asked for: mostly the next number is free.
            let asked = self.0.entry(wanted.to_owned()).or_insert(1);
            *asked += 1;
            name = format!("{wanted}-{asked}");
        }
        self.0.insert(name.clone(), 1);
        name
    }
}
