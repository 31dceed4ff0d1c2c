//! `[[site]]`: a virtual host, its hosts, listeners and routes.

use super::Route;

/// A virtual host.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// `name`, default the first host, or `default`, made unique with `-2` and so on.
    pub name: String,
    /// `hosts`; empty makes this the default site of its listeners.
    pub hosts: Vec<HostPattern>,
    /// `listeners`, by name; absent in the file = all of them, filled in here.
    pub listeners: Vec<String>,
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
