//! `trusted_fields` and a route's `forwarded_fields`: which fields tell who the client is.

use super::table::Table;

/// `trusted_fields`: which fields the trusted proxies write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrustedFields {
    /// `"any"`, the default: `X-Forwarded-*`, or `Forwarded` if there is no `X-Forwarded-For`.
    #[default]
    Any,
    /// `"x_forwarded"`.
    XForwarded,
    /// `"forwarded"`.
    Forwarded,
}

/// `forwarded_fields` of a route: which fields servers get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedFields {
    /// `"x_forwarded"`, the default.
    #[default]
    XForwarded,
    /// `"forwarded"`.
    Forwarded,
    /// `"both"`.
    Both,
    /// `"none"`.
    None,
}

impl TrustedFields {
    /// Reads the key at the top.
    pub(super) fn read(top: &Table<'_>) -> Self {
        let choices =
            [("any", Self::Any), ("x_forwarded", Self::XForwarded), ("forwarded", Self::Forwarded)];
        top.choice("trusted_fields", Self::default(), &choices)
    }
}

impl ForwardedFields {
    /// Reads a route's key.
    pub(super) fn read(route: &Table<'_>) -> Self {
        let choices = [
            ("x_forwarded", Self::XForwarded),
            ("forwarded", Self::Forwarded),
            ("both", Self::Both),
            ("none", Self::None),
        ];
        route.choice("forwarded_fields", Self::default(), &choices)
    }
}
