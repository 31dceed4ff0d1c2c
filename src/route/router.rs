//! Which route of which site takes a request.
//!
//! Owns: host look-up, and the order of routes. May touch: [`super::matcher`]. Hosts are found by
//! hashing, whatever their number; a site's routes are asked in order, and the first wins.

use super::Route;
use foldhash::fast::FixedState;
use http::Method;
use std::collections::HashMap;

/// A site's number, and so on, in one snapshot.
type Index = u32;

/// The sites of one listener.
#[derive(Debug, Default)]
pub struct Sites {
    exact: HashMap<String, Index, FixedState>,
    wildcard: HashMap<String, Index, FixedState>,
    default: Option<Index>,
}

impl Sites {
    /// Lets `host` lead to `site`.
    pub fn exact(&mut self, host: &str, site: Index) {
        self.exact.insert(host.to_owned(), site);
    }

    /// Lets every host below `parent` lead to `site`.
    pub fn wildcard(&mut self, parent: &str, site: Index) {
        self.wildcard.insert(parent.to_owned(), site);
    }

    /// Lets every other host lead to `site`.
    pub fn default(&mut self, site: Index) {
        self.default = Some(site);
    }

    /// The site of `host`, which has no port and no trailing dot: the exact one, else the one of
    /// the nearest wildcard, else the default.
    pub fn find(&self, host: &str) -> Option<Index> {
        if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return self.find_lower(&host.to_ascii_lowercase());
        }
        self.find_lower(host)
    }

    fn find_lower(&self, host: &str) -> Option<Index> {
        if self.exact.is_empty() && self.wildcard.is_empty() {
            return self.default;
        }
        if let Some(site) = self.exact.get(host) {
            return Some(*site);
        }
        if !self.wildcard.is_empty() {
            let mut rest = host;
            while let Some((label, parent)) = rest.split_once('.') {
                if label.is_empty() {
                    break;
                }
                if let Some(site) = self.wildcard.get(parent) {
                    return Some(*site);
                }
                rest = parent;
            }
        }
        self.default
    }
}

/// All sites' routes.
#[derive(Default)]
pub struct Router {
    routes: Vec<Route>,
    /// Where each site's routes begin and end in `routes`.
    sites: Vec<(Index, Index)>,
}

impl Router {
    /// Adds a site and says its number.
    pub fn add(&mut self, routes: Vec<Route>) -> Index {
        let begin = self.routes.len() as Index;
        self.routes.extend(routes);
        self.sites.push((begin, self.routes.len() as Index));
        self.sites.len() as Index - 1
    }

    /// The first route of `site` that takes the request.
    pub fn find(&self, site: Index, method: &Method, path: &str) -> Option<Index> {
        let (begin, end) = self.sites[site as usize];
        (begin..end).find(|index| self.routes[*index as usize].matcher.takes(method, path))
    }

    /// Whether some route of `site` takes the path, whatever the method; and for which methods.
    pub fn methods(&self, site: Index, path: &str) -> Vec<&Method> {
        let (begin, end) = self.sites[site as usize];
        self.routes[begin as usize..end as usize]
            .iter()
            .filter(|route| route.matcher.path.takes(path))
            .flat_map(|route| &route.matcher.methods)
            .collect()
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
