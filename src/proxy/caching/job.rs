//! The request that fills the cache.
//!
//! Owns: what of a client's request the server is to see. May touch: [`crate::cache`],
//! [`crate::http1`], [`crate::settings`]. Whatever of it is not in the key is one client's, and its
//! answer would be everybody's: so methods, hosts and parameters are in one spelling here, and what
//! asks for a part or a condition is left out.

use super::{CachePlace, Lookup, StoredNow, fill::Job, stored::stored_map};
use crate::{
    cache::{Caching, flights::Ticket, lookup::response, policy::validation, url},
    http1::{
        request::{Head, RequestFields},
        target::RequestTarget,
    },
    proxy::record::Facts,
    settings::{CookieKey, RouteCache},
};
use http::{HeaderName, HeaderValue, Method, header};
use std::sync::Arc;

/// Fields of a request that ask for less than the whole response, or for another one than the key
/// says.
const LEFT_OUT: [HeaderName; 8] = [
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
    header::RANGE,
    header::EXPECT,
    header::UPGRADE,
];

/// Those that frameworks take for another method or URL.
const OVERRIDES: [&str; 6] = [
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    "x-original-uri",
];

impl Job {
    /// The fetch for a client's request.
    pub(super) fn new(
        place: CachePlace<'_>,
        facts: &Facts,
        request: &Lookup,
        kept: StoredNow,
        ticket: Ticket,
    ) -> Self {
        let CachePlace { proxy, snapshot, route: (route, _), caching, unclean, .. } = place;
        let mut head = head(&facts.context.head, caching, request);
        if let Some((entry, _)) = &kept
            && let Some(stored) = response(entry)
        {
            let fields = head.fields.map();
            for (name, value) in
                validation::conditions(&stored_map(stored.head.fields())).into_iter().flatten()
            {
                fields.insert(name, value);
            }
        }
        let begun = caching.cache.store.now();
        Self {
            proxy: Arc::clone(proxy),
            snapshot: Arc::clone(snapshot),
            route,
            facts: facts.for_fetch(head),
            unclean: unclean.map(Into::into),
            asked: request.asked,
            url: request.url.clone(),
            host: url::authority(facts.context.scheme(), facts.context.head.target.host()),
            url_key: request.key,
            kept,
            ticket,
            begun,
        }
    }
}

fn head(client: &Head, caching: &Caching, request: &Lookup) -> Head {
    let mut fields = client.fields.clone();
    let map = fields.map();
    for name in &LEFT_OUT {
        map.remove(name);
    }
    for name in OVERRIDES {
        map.remove(name);
    }
    let codings =
        url::codings(map.get_all(header::ACCEPT_ENCODING).iter().map(HeaderValue::as_bytes));
    map.remove(header::ACCEPT_ENCODING);
    if !codings.is_empty() {
        map.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(codings));
    }
    if caching.settings.cookies != CookieKey::Pass {
        let kept = kept_cookies(&caching.settings, &client.fields);
        map.remove(header::COOKIE);
        if let Some(Ok(cookies)) = kept.map(|it| HeaderValue::from_bytes(&it)) {
            map.insert(header::COOKIE, cookies);
        }
    }
    // The URL has the host in the one spelling.
    let (_, rest) = request.url.split_once("://").unwrap_or_default();
    let (host, _) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if let Ok(value) = HeaderValue::from_str(host)
        && !host.is_empty()
    {
        map.insert(header::HOST, value);
    }
    let path_and_query = request.target.as_deref().unwrap_or(client.target.path_and_query());
    let mut present = client.present;
    (present.conditional, present.upgrade) = (false, false);
    Head {
        // What is stored is for GET and HEAD (RFC 9110 §9.3.2).
        method: Method::GET,
        target: RequestTarget::origin(path_and_query, host),
        version: client.version,
        fields,
        present,
        protocols: None,
    }
}

/// The cookies that are part of the key, if only some are.
pub(super) fn kept_cookies(settings: &RouteCache, fields: &RequestFields) -> Option<Vec<u8>> {
    let CookieKey::Only(names) = &settings.cookies else { return None };
    let values: Vec<_> = fields.values(&header::COOKIE).collect();
    url::cookies(&values, names)
}
