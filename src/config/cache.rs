//! `[cache.NAME]` and `cache` of a route: what is stored of servers' responses, and for how long.

use super::{Place, table::Table, tree::ValueKind};
use crate::settings::{AfterWrite, CookieKey, DiskSettings, QueryKey, RedisSettings, RouteCache};
use std::time::Duration;

/// A cache that routes share: memory, and the tiers beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Cache {
    /// The NAME in `[cache.NAME]`.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// `memory` for responses, with all that is kept beside them, default 256 MiB.
    pub memory: u64,
    /// `max_object`: larger responses are not stored, default 8 MiB.
    pub max_object: u64,
    /// `redis`: a second tier that several instances share, default none.
    pub redis: Option<RedisSettings>,
    /// `disk`: another that survives a restart, default none.
    pub disk: Option<DiskSettings>,
}

impl Cache {
    /// Reads `[cache.NAME]`.
    pub(super) fn read(name: String, table: &Table<'_>) -> Self {
        let cache = Self {
            name,
            place: table.place(),
            memory: table.size("memory", 256 << 20),
            max_object: table.size("max_object", 8 << 20),
            redis: RedisSettings::read(table),
            disk: DiskSettings::read(table),
        };
        if cache.max_object.saturating_mul(4) > cache.memory {
            let hint = "a few of them would push out everything else: give `memory` at least four times as much";
            let message = "`max_object` is more than a quarter of `memory`";
            table.warning(table.value_span("max_object"), message, Some(hint.into()));
        }
        cache
    }
}

impl RouteCache {
    /// Reads `cache` of a route: a name, or a table.
    pub(super) fn read(route: &Table<'_>) -> Option<Self> {
        let value = route.value("cache")?;
        match &value.kind {
            ValueKind::Text(text) => Some(Self::of(text.value.clone())),
            ValueKind::Boolean(false) => None,
            ValueKind::Table(_) => route.optional_table("cache").map(|it| Self::read_table(&it)),
            _ => {
                let hint = "write `cache = \"main\"`, the name of a [cache.main]";
                route.wrong_kind("cache", value, "a name or a table", Some(hint.into()));
                None
            }
        }
    }

    fn read_table(table: &Table<'_>) -> Self {
        let store = table.required_text("store", "\"main\"").map(|it| it.value.clone());
        let default = Self::of(store.unwrap_or_default());
        let optional = |key| table.value(key).map(|_| table.duration(key, Duration::ZERO));
        let choices = [
            ("invalidate", AfterWrite::Invalidate),
            ("refresh_before", AfterWrite::RefreshBefore),
            ("refresh_after", AfterWrite::RefreshAfter),
        ];
        let cache = Self {
            min_ttl: table.duration("min_ttl", Duration::ZERO),
            default_ttl: optional("default_ttl"),
            max_ttl: optional("max_ttl"),
            statuses: read_statuses(table).unwrap_or(default.statuses),
            stale_while_revalidate: optional("stale_while_revalidate"),
            stale_if_error: optional("stale_if_error"),
            refresh_ahead: read_refresh_ahead(table),
            query: read_query(table),
            cookies: read_cookies(table),
            bypass_cookies: names(table, "bypass_cookies").unwrap_or_default(),
            heed_client: table.boolean("heed_client", default.heed_client),
            store_cookies: table.boolean("store_cookies", default.store_cookies),
            after_write: table.choice("after_write", default.after_write, &choices),
            hide_tags: table.boolean("hide_tags", default.hide_tags),
            ..default
        };
        cache.check_order(table);
        cache
    }

    fn check_order(&self, table: &Table<'_>) {
        let Some(max) = self.max_ttl else { return };
        for (key, ttl) in [("min_ttl", Some(self.min_ttl)), ("default_ttl", self.default_ttl)] {
            if ttl.is_some_and(|it| it > max) {
                let message = format!("`{key}` is longer than `max_ttl`");
                let hint = "`max_ttl` cuts everything: make it the longest of the three";
                table.error(table.value_span(key), message, Some(hint.into()));
            }
        }
    }
}

fn names(table: &Table<'_>, key: &'static str) -> Option<Vec<String>> {
    Some(table.texts(key)?.into_iter().map(|it| it.value.clone()).collect())
}

fn read_statuses(table: &Table<'_>) -> Option<Vec<u16>> {
    let values = table.array("statuses")?;
    let statuses = values.iter().filter_map(|value| match value.kind {
        ValueKind::Integer(Some(status)) if matches!(status, 200..=599) && status != 206 => {
            u16::try_from(status).ok()
        }
        _ => {
            let hint = "write statuses from 200 to 599, but 206, which is a part of a response";
            table.error(value.span.clone(), "this is no status to be stored", Some(hint.into()));
            None
        }
    });
    Some(statuses.collect())
}

fn read_refresh_ahead(table: &Table<'_>) -> f32 {
    let Some(value) = table.value("refresh_ahead") else { return 0.0 };
    match value.kind {
        ValueKind::Float(share) if (0.0..1.0).contains(&share) => share as f32,
        ValueKind::Integer(Some(0)) => 0.0,
        _ => {
            let hint = "write the share of the time that is over, as `0.8`; `0` is never";
            let message = "`refresh_ahead` is not from 0 to below 1";
            table.error(value.span.clone(), message, Some(hint.into()));
            0.0
        }
    }
}

fn read_query(table: &Table<'_>) -> QueryKey {
    let Some(value) = table.value("query") else { return QueryKey::All };
    if let ValueKind::Text(text) = &value.kind {
        let choices = [("all", QueryKey::All), ("none", QueryKey::None)];
        return table.chosen("query", text, &choices).unwrap_or(QueryKey::All);
    }
    let Some(query) = table.optional_table("query") else { return QueryKey::All };
    match (names(&query, "only"), names(&query, "without")) {
        (Some(only), None) => QueryKey::Only(only),
        (None, Some(without)) => QueryKey::Without(without),
        _ => {
            let hint =
                "write `query = { only = [\"page\"] }` or `query = { without = [\"utm_*\"] }`";
            table.error(
                value.span.clone(),
                "`query` needs one of `only` and `without`",
                Some(hint.into()),
            );
            QueryKey::All
        }
    }
}

fn read_cookies(table: &Table<'_>) -> CookieKey {
    let Some(value) = table.value("cookies") else { return CookieKey::Pass };
    if let ValueKind::Text(text) = &value.kind {
        let choices = [("pass", CookieKey::Pass), ("drop", CookieKey::Drop)];
        return table.chosen("cookies", text, &choices).unwrap_or(CookieKey::Pass);
    }
    names(table, "cookies").map_or(CookieKey::Pass, CookieKey::Only)
}
