//! What a response says to shared caches: `Cache-Control` (RFC 9111 §5.2.2), or the targeted field
//! in its place (RFC 9213).
//!
//! Owns: which of the two is in force, and how conflicts end. May touch: nothing outside this room.

use http::{HeaderMap, header::CACHE_CONTROL};

use super::{
    list::{self, Argument},
    needed::is_needed,
    targeted,
};

/// The directives that are known here. `no-transform` and all others change nothing for a shared
/// cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Directives {
    pub(super) no_store: bool,
    /// Without a list of fields, or with one that cannot be obeyed.
    pub(super) no_cache: bool,
    /// Without a list of fields, or with one that cannot be obeyed.
    pub(super) private: bool,
    pub(super) public: bool,
    pub(super) must_revalidate: bool,
    pub(super) proxy_revalidate: bool,
    pub(super) must_understand: bool,
    /// RFC 8246.
    pub(super) immutable: bool,
    pub(super) s_maxage: Option<u32>,
    pub(super) max_age: Option<u32>,
    pub(super) stale_while_revalidate: Option<u32>,
    pub(super) stale_if_error: Option<u32>,
    /// There is an `s-maxage` that cannot be read.
    pub(super) broken_s_maxage: bool,
    /// They are from the targeted field, so that `Expires` does not count either.
    pub(super) is_targeted: bool,
}

/// Calls `take` with every directive in force.
pub(super) fn visit(response: &HeaderMap, take: &mut dyn FnMut(&[u8], Argument<'_>)) {
    // RFC 9213 §2.2: valid and not empty, it takes the place of Cache-Control.
    if targeted::visit(response, &mut |_, _| {}) {
        targeted::visit(response, take);
        return;
    }
    list::directives(response.get_all(CACHE_CONTROL)).for_each(|(name, it)| take(name, it));
}

/// Whether a directive is `no-cache` or `private`, which may have a list of fields.
pub(super) fn has_field_names(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"no-cache") || name.eq_ignore_ascii_case(b"private")
}

impl Directives {
    /// Reads a response's head.
    pub(super) fn of(response: &HeaderMap) -> Self {
        let is_targeted = targeted::visit(response, &mut |_, _| {});
        let mut found = Self { is_targeted, ..Self::default() };
        visit(response, &mut |name, argument| {
            if is_targeted {
                found.forget(name);
            }
            if argument != Argument::False {
                found.take(name, argument);
            }
        });
        found
    }

    /// The lifetime in seconds (§4.2.1): `s-maxage` before `max-age`.
    pub(super) fn lifetime(&self) -> Option<u32> {
        if self.broken_s_maxage { Some(0) } else { self.s_maxage.or(self.max_age) }
    }

    /// Whether the response may be shared in spite of `Authorization` (§3.5).
    pub(super) fn may_share(&self) -> bool {
        self.public || self.must_revalidate || self.s_maxage.is_some()
    }

    /// Whether it must not be served stale, whoever would allow it (§5.2.2.2, §5.2.2.8).
    pub(super) fn never_stale(&self) -> bool {
        self.must_revalidate || self.proxy_revalidate || self.no_cache
    }

    /// Whether there is an `s-maxage`, which also forbids to serve it stale (§5.2.2.10).
    pub(super) fn has_s_maxage(&self) -> bool {
        self.s_maxage.is_some() || self.broken_s_maxage
    }

    /// One directive. Of two that conflict, the more restrictive one counts (§4.2.1). One that
    /// forbids counts with any argument, one that allows only as it is defined.
    fn take(&mut self, name: &[u8], argument: Argument<'_>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let is_plain = argument == Argument::Absent;
        if is("no-store") {
            self.no_store = true;
        } else if is("no-cache") {
            self.no_cache |= !can_be_left_out(argument);
        } else if is("private") {
            self.private |= !can_be_left_out(argument);
        } else if is("must-revalidate") {
            self.must_revalidate = true;
        } else if is("proxy-revalidate") {
            self.proxy_revalidate = true;
        } else if is("public") {
            self.public |= is_plain;
        } else if is("must-understand") {
            self.must_understand |= is_plain;
        } else if is("immutable") {
            self.immutable |= is_plain;
        } else if is("s-maxage") {
            match argument.seconds() {
                Some(_) => least(&mut self.s_maxage, argument),
                None => self.broken_s_maxage = true,
            }
        } else if is("max-age") {
            least(&mut self.max_age, argument);
        } else if is("stale-while-revalidate") {
            least(&mut self.stale_while_revalidate, argument);
        } else if is("stale-if-error") {
            least(&mut self.stale_if_error, argument);
        }
    }

    /// Makes way for a member of a dictionary that is there again: only the last one counts.
    fn forget(&mut self, name: &[u8]) {
        match name {
            b"no-store" => self.no_store = false,
            b"no-cache" => self.no_cache = false,
            b"private" => self.private = false,
            b"must-revalidate" => self.must_revalidate = false,
            b"proxy-revalidate" => self.proxy_revalidate = false,
            b"public" => self.public = false,
            b"must-understand" => self.must_understand = false,
            b"immutable" => self.immutable = false,
            b"s-maxage" => (self.s_maxage, self.broken_s_maxage) = (None, false),
            b"max-age" => self.max_age = None,
            b"stale-while-revalidate" => self.stale_while_revalidate = None,
            b"stale-if-error" => self.stale_if_error = None,
            _ => {}
        }
    }
}

/// The lesser of two times. One that cannot be read makes the response stale (§4.2.1), as 0 does.
fn least(time: &mut Option<u32>, argument: Argument<'_>) {
    let new = argument.seconds().unwrap_or(0);
    *time = Some(time.map_or(new, |old| old.min(new)));
}

/// Whether the argument of `no-cache` or `private` is a list of fields that can be left out of what
/// is stored. Everything else is taken for the directive without an argument.
fn can_be_left_out(argument: Argument<'_>) -> bool {
    argument.field_names().is_some_and(|mut names| names.all(|name| !is_needed(name)))
}
