//! Whether a route takes a request.

use http::Method;

/// The conditions of a route.
#[derive(Clone, Debug)]
pub struct RouteMatcher {
    /// The path's condition.
    pub path: PathMatcher,
    /// Empty = all.
    pub methods: Vec<Method>,
}

/// The path's condition, on the normalised path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatcher {
    /// Every path.
    Any,
    /// This one.
    Exact(String),
    /// `/x/` and all paths below, and `/x`.
    Prefix(String),
    /// Paths with this ending.
    Suffix(String),
}

impl RouteMatcher {
    /// Whether it takes a request of this method and normalised path.
    pub fn takes(&self, method: &Method, path: &str) -> bool {
        self.path.takes(path) && self.takes_method(method)
    }

    /// Whether it takes this method.
    pub fn takes_method(&self, method: &Method) -> bool {
        let by = |method| self.methods.contains(method);
        self.methods.is_empty()
            || by(method)
            // RFC 9110 §9.3.2: a GET without its body.
            || *method == Method::HEAD && by(&Method::GET)
    }
}

impl PathMatcher {
    /// Whether it takes this normalised path.
    pub fn takes(&self, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => {
                path.starts_with(prefix.as_str()) || prefix.strip_suffix('/') == Some(path)
            }
            Self::Suffix(suffix) => path.ends_with(suffix.as_str()),
        }
    }
}
