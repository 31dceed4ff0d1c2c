//! `geo = { … }` of a site or a route: for which countries it is.

use super::{
    Action, Config, HeaderEdits, Place, Route, document::ConfigText, table::Table, tree::ValueKind,
};
use crate::{
    country::{CountryCode, CountryDatabase, CountryRule, DatabaseFault},
    template::{Template, Variable},
};
use std::{
    collections::BTreeSet,
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// `geo`.
#[derive(Clone, Debug, PartialEq)]
pub struct Geo {
    /// Where it stands.
    pub place: Place,
    /// `database`: a MaxMind database of countries or cities.
    pub database: PathBuf,
    /// `allow`, `deny` and `unknown`: without the first two all known countries pass. `unknown` is
    /// `"deny"` beside `allow` by default, else `"allow"`.
    pub rule: CountryRule,
}

impl Geo {
    /// Reads `geo` of a site or a route; `geo = false` is none.
    pub(super) fn read(parent: &Table<'_>) -> Option<Self> {
        if let ValueKind::Boolean(false) = parent.value("geo")?.kind {
            return None;
        }
        let table = parent.optional_table("geo")?;
        let database = table.required_text("database", "\"geo.mmdb\"");
        let database = database.map_or_else(PathBuf::new, |text| table.path_in(text));
        let (allow, deny) = (countries(&table, "allow"), countries(&table, "deny"));
        if !allow.is_empty() && !deny.is_empty() {
            let hint = "keep one of them: `allow` refuses all others, `deny` lets all others pass";
            let message = "`geo` has both `allow` and `deny`";
            table.error(table.key_span("deny"), message, Some(hint.into()));
        }
        let named_pass = !allow.is_empty();
        let unknown = table.choice("unknown", !named_pass, &[("allow", true), ("deny", false)]);
        let named = if named_pass { allow } else { deny };
        let place = table.place();
        Some(Self {
            place,
            database,
            rule: CountryRule { named, named_pass, unknown_pass: unknown },
        })
    }
}

fn countries(table: &Table<'_>, key: &'static str) -> Vec<CountryCode> {
    let texts = table.texts(key).unwrap_or_default();
    let countries = texts.into_iter().filter_map(|text| {
        let country = CountryCode::parse(&text.value);
        if country.is_none() {
            let upper = text.value.to_uppercase();
            let hint = match (upper.as_str(), CountryCode::parse(&upper)) {
                (_, Some(_)) => format!("write `\"{upper}\"`"),
                _ => "write the two letters of ISO 3166, as `\"DE\"` or `\"US\"`".into(),
            };
            let message = format!("`{}` is no code of a country", text.value);
            table.error(text.span.clone(), message, Some(hint));
        }
        country
    });
    countries.collect()
}

/// Reports databases that can't be used, each once. What was read before stays in use: an updater that
/// fails must not hold up every other change of the config.
pub(super) fn check(document: &ConfigText<'_>, config: &Config, in_memory: &[&Path]) {
    let mut seen = BTreeSet::new();
    let mut look = |place: String, geo: Option<&Geo>| {
        if let Some(Geo { database, .. }) = geo.filter(|it| !it.database.as_os_str().is_empty())
            && seen.insert(database.clone())
            && let Err(fault) = CountryDatabase::read(database)
        {
            let at = document.value_at(&format!("{place}.geo.database"));
            let hint = Some(hint(&fault, database).into());
            let message = format!("`{}` {fault}", database.display());
            if in_memory.contains(&database.as_path()) {
                let message = format!("{message}; what was read of it before stays in use");
                document.warning(at, message, hint);
            } else {
                document.error(at, message, hint);
            }
        }
    };
    for (index, site) in config.sites.iter().enumerate() {
        look(format!("site[{index}]"), site.geo.as_ref());
        for (place, route) in site.routes.iter().enumerate() {
            let here = format!("site[{index}].route[{place}]");
            if route.geo.is_none()
                && let Some(key) = uses_country(route)
            {
                let at = document.value_at(&format!("{here}.{key}"));
                let hint = "add `geo.database = \"geo.mmdb\"` to the route or its site";
                document.warning(at, "`{geo.country}` is always empty here", Some(hint.into()));
            }
            look(here, route.geo.as_ref());
        }
    }
}

/// The key of the route's first template with the country.
fn uses_country(route: &Route) -> Option<&'static str> {
    let uses = |template: &Template| template.uses(&Variable::Country);
    let edits = |it: &HeaderEdits| it.set.iter().chain(&it.add).any(|(_, value)| uses(value));
    match &route.action {
        Action::Redirect(redirect) if uses(&redirect.to) => Some("redirect.to"),
        Action::Respond(respond) if uses(&respond.body) => Some("respond.body"),
        _ if route.rewrite.as_ref().is_some_and(uses) => Some("rewrite"),
        _ if edits(&route.request_headers) => Some("request_headers"),
        _ if edits(&route.response_headers) => Some("response_headers"),
        _ => None,
    }
}

fn hint(fault: &DatabaseFault, file: &Path) -> &'static str {
    match fault {
        DatabaseFault::Unreadable(error) if error.kind() == ErrorKind::NotFound => {
            "download a database of countries, as GeoLite2-Country.mmdb, and name its file"
        }
        DatabaseFault::Unreadable(_) => "let the user that sheave runs as read it",
        DatabaseFault::Broken if file.extension().is_some_and(|it| it == "gz" || it == "zip") => {
            "unpack it first: the file is named `….mmdb`"
        }
        DatabaseFault::Broken => "it must be a whole `.mmdb` file: download it again",
        DatabaseFault::NoCountries(_) => {
            "name one of countries or cities, as GeoLite2-Country.mmdb"
        }
    }
}
