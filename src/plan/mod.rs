//! `sheave plan`: what a reload would change.
//!
//! Owns: the plan as data. May touch: [`crate::config`], [`crate::snapshot`]. The admin address
//! compares a new text with what runs, the command line two files.

mod changes;
mod effects;
mod takeovers;

use crate::{
    config::{Config, Diagnostic},
    snapshot::Live,
};
use changes::{Changed, PlannedChange, changes};
use effects::effect;
use serde_json::{Value, json};
use takeovers::{now_taken_by, takeovers};

/// What becomes of `old` when `new` is taken up. `live` runs `old`, if anything does.
pub fn plan(old: &Config, new: &Config, warnings: &[Diagnostic], live: Option<&Live>) -> Value {
    let changes = changes(old, new);
    let count = |kind| changes.iter().filter(|it| it.what == kind).count();
    let counts = json!({
        "added": count(Changed::Added),
        "removed": count(Changed::Removed),
        "changed": count(Changed::Edited),
        "moved": count(Changed::Moved),
    });
    let told = changes.iter().map(|it| tell(it, old, new, live));
    let told: Vec<_> = told.collect();
    let workers = old.workers != new.workers;
    let restart: Vec<_> = workers.then_some("workers").into_iter().collect();
    json!({
        "old": old.source.file.display().to_string(),
        "new": new.source.file.display().to_string(),
        "generation": live.map(|it| it.load().generation),
        "changes": told,
        "counts": counts,
        "takes_over": takeovers(old, new, &changes),
        "only_at_restart": restart,
        "warnings": warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn tell(change: &PlannedChange, old: &Config, new: &Config, live: Option<&Live>) -> Value {
    let PlannedChange { what: kind, table, keys } = change;
    let source = if *kind == Changed::Removed { &old.source } else { &new.source };
    let keys = keys.iter().map(|(key, from, to)| json!({ "key": key, "from": from, "to": to }));
    let effect = match (*kind, table.kind.as_str()) {
        (Changed::Removed, "route") => Some(now_taken_by(old, new, table)),
        _ => effect(change, old, new, live),
    };
    json!({
        "change": kind.word(),
        "kind": table.kind,
        "of": table.of,
        "name": table.name,
        "place": format!("{}:{}", source.file.display(), table.line),
        "keys": keys.collect::<Vec<_>>(),
        "effect": effect,
    })
}
