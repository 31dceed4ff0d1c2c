//! Routes that can never match, because a route above takes all of their requests.
//!
//! Owns: when a path pattern covers another. May touch: nothing outside this room. Next:
//! [`super::check`].

use super::{PathPattern, Route};
use std::fmt;

impl PathPattern {
    /// Whether some path is taken by both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.covers(other)
            || other.covers(self)
            || matches!(
                (self, other),
                (Self::Prefix(_), Self::Suffix(_)) | (Self::Suffix(_), Self::Prefix(_))
            )
    }

    /// Whether every path that `other` takes is taken by this.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Prefix(prefix), _) if prefix == "/" => !other.is_unread(),
            (Self::Prefix(prefix), Self::Prefix(path)) => path.starts_with(prefix.as_str()),
            (Self::Prefix(prefix), Self::Exact(path)) => {
                path.starts_with(prefix.as_str()) || Some(path.as_str()) == prefix.strip_suffix('/')
            }
            (Self::Suffix(suffix), Self::Suffix(path) | Self::Exact(path)) => {
                path.ends_with(suffix.as_str())
            }
            (Self::Exact(exact), Self::Exact(path)) => exact == path && !other.is_unread(),
            _ => false,
        }
    }

    /// Whether this is in place of a pattern that was wrong.
    fn is_unread(&self) -> bool {
        matches!(self, Self::Exact(path) if path.is_empty())
    }
}

impl fmt::Display for PathPattern {
    /// As the config has it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => out.write_str(path),
            Self::Prefix(prefix) => write!(out, "{prefix}*"),
            Self::Suffix(suffix) => write!(out, "*{suffix}"),
        }
    }
}

/// The index of the first route in `earlier` that takes all of `route`'s requests.
pub(super) fn shadowed_by(earlier: &[Route], route: &Route) -> Option<usize> {
    earlier.iter().position(|above| {
        let methods = above.methods.is_empty()
            || (!route.methods.is_empty()
                && route.methods.iter().all(|method| above.methods.contains(method)));
        methods && above.path.covers(&route.path)
    })
}

#[cfg(test)]
mod tests {
    use crate::config::names::path_pattern;
    use proptest::prelude::*;

    fn covers(above: &str, below: &str) -> bool {
        path_pattern(above).expect(above).covers(&path_pattern(below).expect(below))
    }

    #[test]
    fn coverage() {
        for (above, below) in [
            ("/*", "/x"),
            ("/*", "/*"),
            ("/*", "*.css"),
            ("/x/*", "/x"),
            ("/x/*", "/x/y/*"),
            ("/x/*", "/x/"),
            ("*.css", "/a.css"),
            ("*.css", "*.min.css"),
            ("/x", "/x"),
        ] {
            assert!(covers(above, below), "{above} covers {below}");
        }
        for (above, below) in [
            ("/x/*", "/xy"),
            ("/x/*", "/*"),
            ("/x/*", "*.css"),
            ("*.css", "/x/*"),
            ("/x", "/x/*"),
            ("/x", "/x/"),
            ("*.min.css", "*.css"),
        ] {
            assert!(!covers(above, below), "{above} does not cover {below}");
        }
    }

    proptest! {
        #[test]
        fn coverage_is_transitive(patterns in prop::array::uniform3("(/[ab]){0,3}/\\*|(/[ab]){1,3}|\\*\\.[ab]{1,2}")) {
            let [a, b, c] = &patterns;
            if covers(a, b) && covers(b, c) {
                prop_assert!(covers(a, c));
            }
        }
    }
}
