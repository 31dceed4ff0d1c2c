//! `request_headers` and `response_headers` of a route: which fields, and what they may not touch.
//!
//! Owns: reading [`HeaderEdits`]. May touch: [`crate::template`]. Next: the route keeps them.

use super::{
    HeaderEdits,
    table::Table,
    tree::{Span, TextValue},
};
use crate::template::{Piece, Template};
use http::HeaderName;

/// Fields that belong to one connection or frame the message: only the proxy writes them.
const OURS: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields that the proxy writes into every request. `add` would leave the client's field beside
/// ours, and servers could take the wrong one.
const WRITTEN: [&str; 8] = [
    "forwarded",
    "host",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
];

impl HeaderEdits {
    /// Reads `request_headers`, which may be empty.
    pub(super) fn read_request(table: &Table<'_>) -> Self {
        let edits = Self::read(table);
        for entry in table.table("add").free_entries() {
            if WRITTEN.contains(&entry.key.to_ascii_lowercase().as_str()) {
                let hint = Some("write it in `set`, which replaces it".into());
                let message =
                    format!("`{}` is the proxy's own: nothing stands beside it", entry.key);
                table.error(entry.key_span.clone(), message, hint);
            }
        }
        for text in table.texts("remove").unwrap_or_default() {
            if text.value.eq_ignore_ascii_case("host") {
                let hint = Some("every request has one: `set` replaces it".into());
                table.error(text.span.clone(), "`Host` cannot be removed", hint);
            }
        }
        edits
    }

    /// Reads `response_headers`, which may be empty.
    pub(super) fn read_response(table: &Table<'_>) -> Self {
        Self { always: table.boolean("always", false), ..Self::read(table) }
    }

    fn read(table: &Table<'_>) -> Self {
        let names = table.texts("remove").unwrap_or_default();
        let remove = names.iter().filter_map(|text| name(table, &text.value, text.span.clone()));
        Self {
            place: table.place(),
            set: read_fields(&table.table("set")),
            add: read_fields(&table.table("add")),
            remove: remove.collect(),
            always: false,
        }
    }
}

fn read_fields(table: &Table<'_>) -> Vec<(HeaderName, Template)> {
    let mut fields: Vec<(HeaderName, Template)> = Vec::new();
    for entry in table.free_entries() {
        let name = name(table, &entry.key, entry.key_span.clone());
        let Some(text) = entry.value.as_text() else {
            if !table.is_garbled(&entry.value.span) {
                table.not_a_string(&entry.key, &entry.value, "a string");
            }
            continue;
        };
        let Some((name, template)) = name.zip(table.template_in(text)) else { continue };
        check_sendable(table, text, &template);
        if fields.iter().any(|(other, _)| *other == name) {
            let hint = Some("header names are the same in upper and lower case".into());
            table.error(entry.key_span.clone(), format!("`{name}` is written twice"), hint);
        }
        fields.push((name, template));
    }
    fields
}

/// A field's value must have no line ends. Variables are made safe when they are filled in.
pub(super) fn check_sendable(table: &Table<'_>, text: &TextValue, template: &Template) {
    let unfit = template.parts().iter().any(|part| match part {
        Piece::Literal(text) => text.bytes().any(|b| (b < b' ' && b != b'\t') || b == 0x7f),
        Piece::Variable(_) => false,
    });
    if unfit {
        let hint = Some("leave out line ends and control characters".into());
        table.error(text.span.clone(), "this cannot be sent in a header", hint);
    }
}

fn name(table: &Table<'_>, written: &str, span: Span) -> Option<HeaderName> {
    let Ok(name) = HeaderName::from_bytes(written.as_bytes()) else {
        let hint = Some("write letters, digits and `-`, without a colon".into());
        table.error(span, format!("`{written}` is not a header name"), hint);
        return None;
    };
    if OURS.contains(&name.as_str()) {
        let hint = "leave it out: it belongs to a single connection, and the proxy writes it anew";
        table.error(span, format!("`{written}` cannot be edited"), Some(hint.into()));
        return None;
    }
    Some(name)
}
