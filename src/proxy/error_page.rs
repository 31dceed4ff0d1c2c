//! `error_pages`: the body of an error, in the site's own words.
//!
//! Owns: which fields go with the body that is replaced. May touch: [`crate::message`],
//! [`crate::route`]. The status stays, and the fields that tell what to do, as `Allow`.

use super::facts::Facts;
use crate::{
    message::{answer::Answer, body::Body},
    route::{Action, ErrorPages, Route},
};
use http::header::{
    ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION,
    CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED,
};

/// What describes a body that is not sent.
const OF_THE_BODY: [http::HeaderName; 8] = [
    ACCEPT_RANGES,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_LOCATION,
    CONTENT_RANGE,
    ETAG,
    LAST_MODIFIED,
];

/// The same for what a server has answered, if the route wants it. gRPC has no pages.
pub(super) fn in_place_of_servers(
    pages: &ErrorPages,
    route: &Route,
    facts: &Facts,
    answer: &mut Answer<Body>,
) {
    let is_servers = matches!(route.action, Action::Forward(_));
    if is_servers && pages.of_servers && !facts.context.head.present.grpc {
        put(pages, answer);
    }
}

/// Puts the page for the answer's status in place of its body, if there is one.
pub(super) fn put(pages: &ErrorPages, answer: &mut Answer<Body>) {
    let Some(page) = pages.find(answer.status) else { return };
    // A server's body is dropped: its connection closes if much of it is still to come.
    answer.body = page.body.clone().into();
    let fields = answer.fields.map();
    for name in OF_THE_BODY {
        fields.remove(name);
    }
    fields.insert(CONTENT_TYPE, page.content_type.clone());
}
