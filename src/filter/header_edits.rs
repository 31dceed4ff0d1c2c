//! `request_headers` and `response_headers`: remove, then set, then add.
//!
//! Owns: one route's edits. May touch: [`crate::message`], [`crate::template`]. Values without
//! variables are made when the config is built.

use super::{Filter, FilterPlace, Verdict};
use crate::{
    message::context::{Context, Scope},
    template::Template,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Edits of one head.
#[derive(Default)]
pub struct Edits {
    set: Vec<(HeaderName, FieldValue)>,
    add: Vec<(HeaderName, FieldValue)>,
    remove: Vec<HeaderName>,
}

enum FieldValue {
    Fixed(HeaderValue),
    Template(Template),
}

impl FieldValue {
    fn new(template: &Template) -> Self {
        match template.as_literal().map(HeaderValue::from_str) {
            Some(Ok(value)) => Self::Fixed(value),
            _ => Self::Template(template.clone()),
        }
    }

    fn render(&self, scope: &Scope<'_>) -> HeaderValue {
        match self {
            Self::Fixed(value) => value.clone(),
            Self::Template(template) => scope.render_value(template),
        }
    }
}

impl Edits {
    /// Edits as the config lists them.
    pub fn new(
        set: &[(HeaderName, Template)],
        add: &[(HeaderName, Template)],
        remove: &[HeaderName],
    ) -> Self {
        let values = |list: &[(HeaderName, Template)]| {
            list.iter().map(|(name, template)| (name.clone(), FieldValue::new(template))).collect()
        };
        Self { set: values(set), add: values(add), remove: remove.to_vec() }
    }

    /// The same edits for answers that are not a success: an error must not be kept for a year
    /// because the files beside it may be. See docs/decisions/caching-fields.md.
    #[must_use]
    pub fn without_caching(mut self) -> Self {
        self.set.retain(|(name, _)| !is_about_caching(name));
        self.add.retain(|(name, _)| !is_about_caching(name));
        self.remove.retain(|name| !is_about_caching(name));
        self
    }

    fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }

    /// The values to set and add. They are rendered before anything changes, because they may use a
    /// field that is removed.
    fn rendered(&self, scope: &Scope<'_>) -> Vec<(bool, HeaderName, HeaderValue)> {
        let set = self.set.iter().map(|(name, value)| (true, name.clone(), value.render(scope)));
        let add = self.add.iter().map(|(name, value)| (false, name.clone(), value.render(scope)));
        set.chain(add).collect()
    }

    fn apply(&self, headers: &mut HeaderMap, rendered: Vec<(bool, HeaderName, HeaderValue)>) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (set, name, value) in rendered {
            if set {
                headers.insert(name, value);
            } else {
                headers.append(name, value);
            }
        }
    }
}

/// Whether a field says how long, or by whom, a response may be kept.
pub fn is_about_caching(name: &HeaderName) -> bool {
    let name = name.as_str();
    // `CDN-Cache-Control` (RFC 9213) and the fields of single vendors have the same ending.
    name.ends_with("cache-control")
        || matches!(
            name,
            "age" | "edge-control" | "expires" | "pragma" | "surrogate-control" | "x-accel-expires"
        )
}

/// Both directions of one route.
pub struct HeaderEdits {
    request: Edits,
    response: Edits,
    /// For responses that are not a success.
    unsuccessful: Edits,
}

impl HeaderEdits {
    /// A filter, where there is anything to edit.
    pub fn new(request: Edits, response: Edits, unsuccessful: Edits) -> Option<Self> {
        let edits = !request.is_empty() || !response.is_empty();
        edits.then_some(Self { request, response, unsuccessful })
    }
}

impl Filter for HeaderEdits {
    fn name(&self) -> &'static str {
        if self.request.is_empty() { "response_headers" } else { "request_headers" }
    }

    fn request<'a>(&'a self, context: &'a mut Context, place: FilterPlace<'a>) -> Verdict<'a> {
        if !self.request.is_empty() {
            let FilterPlace { route, upstream, .. } = place;
            let scope = Scope { context, route, upstream, server: "", path: None };
            let rendered = self.request.rendered(&scope);
            self.request.apply(context.head.fields.map(), rendered);
        }
        Verdict::Pass
    }

    fn response(&self, headers: &mut HeaderMap, succeeded: bool, scope: &Scope<'_>) {
        let edits = if succeeded { &self.response } else { &self.unsuccessful };
        if !edits.is_empty() {
            let rendered = edits.rendered(scope);
            edits.apply(headers, rendered);
        }
    }
}
