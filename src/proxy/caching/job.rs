//! The request that fills the cache.
//!
//! Owns: what of a client's request the server is to see. May touch: [`crate::cache`],
//! [`crate::http1`], [`crate::message`], [`crate::route`],
//! [`crate::settings`]. Whatever of it is not in the key is
//! one client's, and its answer would be everybody's: so methods, hosts and parameters are in one
//! spelling here, and what asks for a part or a condition is left out.

use super::{CachePlace, Lookup, StoredNow, fill::Job, stored::stored_map};
use crate::{
    cache::{
        Caching,
        flights::Ticket,
        kept::CacheEntry,
        lookup::response,
        policy::validation,
        store::StoredEntry,
        tiers::{key::TierKey, trip::TierTrip},
        url,
    },
    http1::{
        request::{Head, RequestFields},
        target::RequestTarget,
    },
    message::forwarded::{X_FORWARDED_HOST, X_FORWARDED_PROTO},
    proxy::facts::Facts,
    route::Forward,
    settings::{CookieKey, RouteCache},
};
use http::{HeaderName, HeaderValue, Method, header};
use std::sync::Arc;

/// Fields of a request that ask for less than the whole response.
const ASK_FOR_LESS: [HeaderName; 6] = [
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
    header::RANGE,
];

/// Those that are for one connection, or about content, which a GET has not: the fetch may be for a
/// POST that has changed something.
const ABOUT_ITSELF: [HeaderName; 6] = [
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::EXPECT,
    header::TRAILER,
    header::UPGRADE,
];

/// Those that frameworks take for another method, scheme, host or path.
const OVERRIDES: [&str; 16] = [
    "front-end-https",
    "x-forwarded-path",
    "x-forwarded-scheme",
    "x-host",
    "x-http-destinationurl",
    "x-http-host-override",
    "x-http-method",
    "x-http-method-override",
    "x-http-path-override",
    "x-method-override",
    "x-original-host",
    "x-original-uri",
    "x-original-url",
    "x-proxy-url",
    "x-rewrite-url",
    "x-url-scheme",
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
        let mut head = head(place.forward, caching, &facts.context.head, request);
        if let Some((entry, _)) = &kept {
            validate(&mut head, entry);
        }
        let tiers = caching.cache.tiers().map(|tiers| {
            let (cookies, told) = key_parts(caching, facts);
            let key = TierKey::of_url(&request.url, &cookies, &told);
            Box::new(TierTrip::new(tiers, key, request.url.clone()))
        });
        let begun = caching.cache.store.now();
        Self {
            proxy: Arc::clone(proxy),
            snapshot: Arc::clone(snapshot),
            route,
            facts: facts.for_fetch(head),
            unclean: unclean.map(Into::into),
            asked: request.asked,
            url: request.url.clone(),
            url_key: request.key,
            authorized: request.authorized,
            as_asked: false,
            kept,
            ticket,
            tiers,
            begun,
        }
    }
}

/// Asks whether what is stored is still right.
pub(super) fn validate(head: &mut Head, entry: &StoredEntry<CacheEntry>) {
    let Some(stored) = response(entry) else { return };
    let fields = head.fields.map();
    for (name, value) in
        validation::conditions(&stored_map(stored.head.fields())).into_iter().flatten()
    {
        fields.insert(name, value);
    }
}

/// What is part of the key beside the URL: cookies, and the host that a trusted proxy names, as its
/// word of it reaches the server.
pub(super) fn key_parts(caching: &Caching, facts: &Facts) -> (Vec<u8>, Vec<u8>) {
    let fields = &facts.context.head.fields;
    let cookies = kept_cookies(&caching.settings, fields).unwrap_or_default();
    let told = if facts.context.trusted { facts.context.told.host(fields) } else { None };
    (cookies, told.map(|it| it.to_vec()).unwrap_or_default())
}

impl Job {
    /// With the client's own method, conditions and range, for what is known not to be stored.
    #[must_use]
    pub(super) fn passing(mut self, client: &Head) -> Self {
        ask_as(client, &mut self.facts.context.head);
        self.as_asked = true;
        self
    }
}

/// Gives a fetch's head the client's own method, conditions and range.
pub(super) fn ask_as(client: &Head, head: &mut Head) {
    head.method = client.method.clone();
    head.present.conditional = client.present.conditional;
    let fields = head.fields.map();
    for name in &ASK_FOR_LESS {
        for value in client.fields.values(name) {
            fields.extend(HeaderValue::from_bytes(value).map(|it| (name.clone(), it)));
        }
    }
}

/// Whether servers do not get this field of a client's, or the key has it.
pub(super) fn is_left_out(name: &HeaderName, settings: &RouteCache) -> bool {
    ASK_FOR_LESS.contains(name)
        || ABOUT_ITSELF.contains(name)
        || OVERRIDES.contains(&name.as_str())
        || [header::HOST, X_FORWARDED_HOST, X_FORWARDED_PROTO].contains(name)
        || *name == header::COOKIE && settings.cookies != CookieKey::Pass
}

/// The head that a server is to see.
pub(super) fn head(forward: &Forward, caching: &Caching, client: &Head, request: &Lookup) -> Head {
    let mut fields = client.fields.clone();
    let map = fields.map();
    for name in ASK_FOR_LESS.iter().chain(&ABOUT_ITSELF) {
        map.remove(name);
    }
    let is_edited = |name: &str| {
        forward.edited_in_requests.as_ref().is_some_and(|all| all.iter().any(|it| it == name))
    };
    for name in OVERRIDES.into_iter().filter(|name| !is_edited(name)) {
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
    // In the one spelling.
    let host = request.host();
    let is_edited = forward.edits_host
        && client.fields.get(&header::HOST) != Some(client.target.host().as_bytes());
    if let Ok(value) = HeaderValue::from_str(host)
        && !(host.is_empty() || is_edited)
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
