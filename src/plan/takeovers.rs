//! Which requests go to another route.
//!
//! Owns: comparing routes' paths and methods. May touch: [`crate::config`]. A route that can never
//! match is an error of the config; here are those that lose a part of their requests, or get it.

use super::changes::{Changed, PlannedChange, find_route};
use crate::config::{Config, Route, Site, WrittenTable};
use serde_json::{Value, json};

/// Routes that take requests which another has taken before.
pub(super) fn takeovers(old: &Config, new: &Config, changes: &[PlannedChange]) -> Vec<Value> {
    let mut told = Vec::new();
    for change in changes.iter().filter(|it| it.table.kind == "route") {
        let table = &change.table;
        let is_new = match change.what {
            Changed::Added | Changed::Moved => true,
            Changed::Edited => change.keys.iter().any(|it| it.0 == "path" || it.0 == "methods"),
            Changed::Removed => false,
        };
        let site = new.sites.iter().find(|it| it.name == table.of);
        let (Some(site), true) = (site, is_new) else { continue };
        let Some(at) = site.routes.iter().position(|it| it.name == table.name) else { continue };
        let route = &site.routes[at];
        for below in &site.routes[at + 1..] {
            // Before, it had been asked first, or was not there.
            let was_first = find_route(old, &site.name, &below.name).is_some()
                && !is_above(old, &site.name, &route.name, &below.name);
            let is_wider = change.what == Changed::Edited;
            if overlap(route, below) && (was_first || is_wider) {
                told.push(tell(new, route, below));
            }
        }
    }
    told
}

fn tell(new: &Config, route: &Route, from: &Route) -> Value {
    json!({
        "route": route.name,
        "place": new.source.told(route.place),
        "path": route.path.to_string(),
        "from": from.name,
        "from_place": new.source.told(from.place),
        "from_path": from.path.to_string(),
    })
}

fn is_above(config: &Config, site: &str, one: &str, other: &str) -> bool {
    let site = config.sites.iter().find(|it| it.name == site);
    let place = |name| site?.routes.iter().position(|it| it.name == name);
    place(one).zip(place(other)).is_some_and(|(one, other)| one < other)
}

fn overlap(one: &Route, other: &Route) -> bool {
    let all = one.methods.is_empty() || other.methods.is_empty();
    let methods = all || one.methods.iter().any(|it| other.methods.contains(it));
    methods && one.path.overlaps(&other.path)
}

/// Where the requests of a route that is gone go.
pub(super) fn now_taken_by(old: &Config, new: &Config, table: &WrittenTable) -> String {
    let nobody = || "its requests are answered with 404".to_owned();
    let Some(gone) = find_route(old, &table.of, &table.name) else { return nobody() };
    let Some(site) = new.sites.iter().find(|it| it.name == table.of) else {
        return "its site is gone: its requests go to the default site, or are answered with 404"
            .into();
    };
    let takers = takers(site, gone);
    match takers[..] {
        [] => nobody(),
        [one] if one.path.covers(&gone.path) && one.methods.is_empty() => {
            format!("its requests go to the route `{}`", one.name)
        }
        _ => {
            let names: Vec<_> = takers.iter().map(|it| format!("`{}`", it.name)).collect();
            format!("its requests go to {}, the others are answered with 404", names.join(", "))
        }
    }
}

/// The routes that take some of its requests, up to the first that takes all.
fn takers<'a>(site: &'a Site, gone: &Route) -> Vec<&'a Route> {
    let mut takers = Vec::new();
    for route in site.routes.iter().filter(|it| overlap(it, gone)) {
        takers.push(route);
        if route.methods.is_empty() && route.path.covers(&gone.path) {
            break;
        }
    }
    takers
}
