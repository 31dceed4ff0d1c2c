//! Which route of which site takes a request.
//!
//! Owns: host look-up, and the order of routes. May touch: nothing outside this room. Hosts are
//! found by hashing, so their number does not matter. A site's routes are asked in order, and the
//! first wins.

use super::{ErrorPages, PathMatcher, Route};
use foldhash::fast::FixedState;
use http::Method;
use std::{collections::HashMap, ops::Range, sync::Arc};

/// The number of a site or a route in one snapshot.
type Index = u32;

/// The sites of one listener.
#[derive(Debug, Default)]
pub struct Sites {
    exact: HashMap<String, Index, FixedState>,
    wildcard: HashMap<String, Index, FixedState>,
    /// The length in bytes of the longest parent that has a wildcard.
    longest: usize,
    default: Option<Index>,
}

impl Sites {
    /// Lets `host` lead to `site`.
    pub fn add_exact(&mut self, host: &str, site: Index) {
        self.exact.insert(host.to_owned(), site);
    }

    /// Lets every host below `parent` lead to `site`.
    pub fn add_wildcard(&mut self, parent: &str, site: Index) {
        self.wildcard.insert(parent.to_owned(), site);
        self.longest = self.longest.max(parent.len());
    }

    /// Lets every other host lead to `site`.
    pub fn set_default(&mut self, site: Index) {
        self.default = Some(site);
    }

    /// The site of `host`, which has no port and no trailing dot: the exact one, else the one of
    /// the nearest wildcard, else the default.
    pub fn find(&self, host: &str) -> Option<Index> {
        Some(self.matched(host)?.0)
    }

    /// The same, and by what.
    pub fn matched(&self, host: &str) -> Option<(Index, HostMatch)> {
        if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return self.matched_lower(&host.to_ascii_lowercase());
        }
        self.matched_lower(host)
    }

    fn matched_lower(&self, host: &str) -> Option<(Index, HostMatch)> {
        let default = || Some((self.default?, HostMatch::Default));
        if self.exact.is_empty() && self.wildcard.is_empty() {
            return default();
        }
        if let Some(site) = self.exact.get(host) {
            return Some((*site, HostMatch::Exact));
        }
        let wildcard = |it: &str| Some((*self.wildcard.get(it)?, HostMatch::Below(it.len())));
        if !self.wildcard.is_empty()
            && let Some(found) = parents(host, self.longest).find_map(wildcard)
        {
            return Some(found);
        }
        default()
    }
}

/// What of a site's hosts is the request's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostMatch {
    /// The very name.
    Exact,
    /// A wildcard, for what is below the last so many bytes of the name.
    Below(usize),
    /// None: the site takes all hosts that no other has.
    Default,
}

/// The names that `host` is below, the nearest first, ending with an empty label. None is longer
/// than `longest`: a client may send a host of many KiB, and the time to hash all its parents would
/// grow with the square of its length.
fn parents(host: &str, longest: usize) -> impl Iterator<Item = &str> {
    let mut rest = Some(host);
    let all = std::iter::from_fn(move || {
        let (label, parent) = rest?.split_once('.')?;
        rest = (!label.is_empty()).then_some(parent);
        rest
    });
    all.skip_while(move |it| it.len() > longest)
}

/// The first bytes, up to eight, of the paths that a route takes. They rule out most paths that do
/// not match, without reading the route itself: if there are many routes, it is not in the
/// processor's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Beginning {
    bytes: u64,
    mask: u64,
}

impl Beginning {
    fn of(matcher: &PathMatcher) -> Self {
        let text = match matcher {
            PathMatcher::Any | PathMatcher::Suffix(_) => "",
            PathMatcher::Exact(exact) => exact,
            // The prefix `/x/` takes `/x`, too.
            PathMatcher::Prefix(prefix) => prefix.strip_suffix('/').unwrap_or(prefix),
        };
        let mask = u64::MAX.checked_shr(64 - 8 * text.len().min(8) as u32).unwrap_or(0);
        Self { bytes: first_eight(text), mask }
    }

    fn may_be_of(self, path: u64) -> bool {
        (path ^ self.bytes) & self.mask == 0
    }
}

/// The first bytes of `text`, zeros after its end.
fn first_eight(text: &str) -> u64 {
    let mut bytes = [0; 8];
    let length = text.len().min(8);
    bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
    u64::from_le_bytes(bytes)
}

/// All sites' routes.
#[derive(Default)]
pub struct Router {
    routes: Vec<Route>,
    /// The beginning of each route's paths.
    beginnings: Vec<Beginning>,
    /// Each site's, for paths without a route.
    pages: HashMap<Index, Arc<ErrorPages>>,
    /// Where each site's routes begin and end in `routes`.
    sites: Vec<(Index, Index)>,
}

impl Router {
    /// Adds a site; returns its number.
    pub fn add(&mut self, routes: Vec<Route>) -> Index {
        let begin = self.routes.len() as Index;
        self.beginnings.extend(routes.iter().map(|route| Beginning::of(&route.matcher.path)));
        self.routes.extend(routes);
        self.sites.push((begin, self.routes.len() as Index));
        self.sites.len() as Index - 1
    }

    /// Sets the pages of `site` for paths that have no route.
    pub fn set_pages(&mut self, site: Index, pages: Option<Arc<ErrorPages>>) {
        self.pages.extend(pages.map(|it| (site, it)));
    }

    /// Those pages.
    pub fn pages(&self, site: Index) -> Option<&ErrorPages> {
        self.pages.get(&site).map(|it| &**it)
    }

    /// The first route of `site` that takes the request.
    pub fn find(&self, site: Index, method: &Method, path: &str) -> Option<Index> {
        let (begin, end) = self.sites[site as usize];
        let first = first_eight(path);
        (begin..end).find(|index| {
            let index = *index as usize;
            self.beginnings[index].may_be_of(first)
                && self.routes[index].matcher.takes(method, path)
        })
    }

    /// Whether some route of `site` takes the path with another method, and with which methods.
    pub fn methods(&self, site: Index, path: &str) -> Vec<&Method> {
        let (begin, end) = self.sites[site as usize];
        let mut methods = Vec::new();
        let routes = self.routes[begin as usize..end as usize].iter();
        for method in routes
            .filter(|route| route.matcher.path.takes(path))
            .flat_map(|route| &route.matcher.methods)
        {
            if !methods.contains(&method) {
                methods.push(method);
            }
        }
        if methods.contains(&&Method::GET) && !methods.contains(&&Method::HEAD) {
            methods.push(&Method::HEAD);
        }
        methods
    }

    /// The numbers of a site's routes, in their order.
    pub fn of_site(&self, site: Index) -> Range<Index> {
        let (begin, end) = self.sites[site as usize];
        begin..end
    }

    /// A route by its number.
    pub fn route(&self, index: Index) -> &Route {
        &self.routes[index as usize]
    }

    /// Every route.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        filter::Chain,
        observe::metrics::Metrics,
        route::{Action, Redirect, RouteMatcher},
        template::Template,
    };
    use http::StatusCode;
    use proptest::prelude::*;

    fn name() -> impl Strategy<Value = String> {
        prop::collection::vec("[ab]", 1..4).prop_map(|labels| labels.join("."))
    }

    fn path() -> impl Strategy<Value = String> {
        prop::collection::vec("[xy.]", 0..4).prop_map(|parts| format!("/{}", parts.join("/")))
    }

    fn matcher() -> impl Strategy<Value = RouteMatcher> {
        let by_path = prop_oneof![
            Just(PathMatcher::Any),
            path().prop_map(PathMatcher::Exact),
            path().prop_map(|path| PathMatcher::Prefix(format!("{}/", path.trim_end_matches('/')))),
            "[.xy]{1,2}".prop_map(PathMatcher::Suffix),
        ];
        let methods = prop::sample::subsequence(vec![Method::GET, Method::POST], 0..=2);
        (by_path, methods).prop_map(|(path, methods)| RouteMatcher { path, methods })
    }

    /// The rule as the config's documentation says it.
    fn takes(matcher: &RouteMatcher, method: &Method, path: &str) -> bool {
        let by_path = match &matcher.path {
            PathMatcher::Any => true,
            PathMatcher::Exact(exact) => exact == path,
            PathMatcher::Prefix(prefix) => {
                // `/x/*` takes `/x`, `/x/` and what is below, and not `/xy`.
                let segments = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
                let prefix = segments(prefix.trim_end_matches('/'));
                segments(path).starts_with(&prefix)
            }
            PathMatcher::Suffix(suffix) => path.ends_with(suffix),
        };
        by_path && (matcher.methods.is_empty() || matcher.methods.iter().any(|it| it == method))
    }

    fn router(matchers: &[RouteMatcher], metrics: &Metrics) -> Router {
        let route = |matcher: &RouteMatcher| Route {
            name: "r".into(),
            matcher: matcher.clone(),
            filters: Chain::default(),
            action: Action::Redirect(Box::new(Redirect {
                to: Template::default(),
                status: StatusCode::FOUND,
            })),
            pages: None,
            caching: None,
            codings: None,
            server_timing: false,
            max_body: 0,
            metrics: metrics.route(&"r".into()),
        };
        let mut router = Router::default();
        router.add(vec![route(&RouteMatcher { path: PathMatcher::Any, methods: Vec::new() })]);
        router.add(matchers.iter().map(route).collect());
        router
    }

    #[test]
    fn the_first_route_that_takes_it_wins() {
        let metrics = Metrics::new();
        let mut runner = proptest::test_runner::TestRunner::default();
        let cases = (prop::collection::vec(matcher(), 0..8), path(), any::<bool>());
        let outcome = runner.run(&cases, |(matchers, path, get)| {
            let method = if get { Method::GET } else { Method::POST };
            let naive = matchers.iter().position(|it| takes(it, &method, &path));
            // Site 0, before this one, has one route.
            let found = router(&matchers, &metrics).find(1, &method, &path);
            prop_assert_eq!(found.map(|it| it as usize - 1), naive);
            Ok(())
        });
        outcome.unwrap();
    }

    proptest! {
        #[test]
        fn hosts_are_found_as_a_walk_over_all_would(
            exact in prop::collection::btree_set(name(), 0..6),
            wildcard in prop::collection::btree_set(name(), 0..6),
            default: bool,
            host in name(),
        ) {
            let mut sites = Sites::default();
            for (site, host) in exact.iter().enumerate() {
                sites.add_exact(host, site as Index);
            }
            for (site, parent) in wildcard.iter().enumerate() {
                sites.add_wildcard(parent, 100 + site as Index);
            }
            if default {
                sites.set_default(1000);
            }
            let by_wildcard = wildcard
                .iter()
                .enumerate()
                .filter(|(_, parent)| host.ends_with(&format!(".{parent}")))
                .max_by_key(|(_, parent)| parent.len());
            let naive = exact
                .iter()
                .position(|it| *it == host)
                .or(by_wildcard.map(|(site, _)| 100 + site))
                .or(default.then_some(1000));
            prop_assert_eq!(sites.find(&host).map(|it| it as usize), naive);
            prop_assert_eq!(sites.find(&host.to_uppercase()).map(|it| it as usize), naive);
        }
    }

    #[test]
    fn a_long_host_costs_no_more_than_the_longest_wildcard() {
        let mut sites = Sites::default();
        sites.add_wildcard("example.com", 1);
        sites.set_default(0);
        let host = format!("{}example.com", "a.".repeat(15_000));
        assert_eq!(sites.find(&host), Some(1));
        let hashed: usize = parents(&host, sites.longest).map(str::len).sum();
        assert_eq!(hashed, "example.com".len() + "com".len());
        assert_eq!(parents("a.b..c.d", 99).collect::<Vec<_>>(), ["b..c.d", ".c.d"]);
        assert_eq!(parents(".a", 99).count(), 0);
    }
}
