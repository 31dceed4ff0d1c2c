//! What spans and resources tell: `exclude`, `include`, `attributes`, `resource`; and `headers`.
//!
//! Owns: the names that can be written there. May touch: [`crate::settings`], [`crate::template`].
//! Next: [`super::otlp`].

use super::{
    nearest::did_you_mean,
    table::Table,
    tree::{KeyAndValue, TextValue},
};
use crate::{settings::SpanAttribute, template::Template};
use http::{HeaderName, HeaderValue};

/// What the names of header fields begin with.
const FIELDS: [&str; 2] = ["request.header.", "response.header."];

/// The patterns of `exclude` or `include`, where it is written.
pub(super) fn read_patterns(table: &Table<'_>, key: &'static str) -> Option<Vec<String>> {
    let texts = table.texts(key)?;
    let patterns = texts.into_iter().filter_map(|text| read_pattern(table, key, text));
    Some(patterns.collect())
}

fn read_pattern(table: &Table<'_>, key: &str, text: &TextValue) -> Option<String> {
    // Spans have `http.` before the names of fields.
    let pattern = text.value.strip_prefix("http.").filter(|it| is_field(it));
    let pattern = pattern.unwrap_or(&text.value).to_ascii_lowercase();
    let name = pattern.strip_suffix('*').unwrap_or(&pattern);
    if name.contains('*') {
        let hint = Some(format!("write `*` at the end only, as `\"{}*\"`", FIELDS[0]));
        table.error(text.span.clone(), format!("a `*` within `{pattern}`"), hint);
        return None;
    }
    let field = FIELDS.iter().find_map(|it| name.strip_prefix(it));
    let (is_pattern, excludes) = (name.len() < pattern.len(), key == "exclude");
    let is_known = match field {
        Some("") => is_pattern,
        Some(field) => HeaderName::from_bytes(field.as_bytes()).is_ok(),
        None if !excludes => false,
        None if is_pattern => {
            let mut known = SpanAttribute::ALL.iter().map(|it| it.name()).chain(FIELDS);
            known.any(|known| known.starts_with(name))
        }
        None => SpanAttribute::ALL.iter().any(|it| it.name() == name),
    };
    if is_known {
        return Some(pattern);
    }
    let (message, hint) = match field {
        Some("") => {
            let hint = format!("write `{pattern}NAME`, or `{pattern}*` for all");
            (format!("`{pattern}` names no field"), hint)
        }
        Some(field) => {
            let hint = "write letters, digits and `-`, without a colon";
            (format!("`{field}` is not a header name"), hint.into())
        }
        None if excludes => {
            let known = SpanAttribute::ALL.iter().map(|it| it.name());
            let hint = did_you_mean(&pattern, known, "beside `request.header.NAME`, the names");
            (format!("spans have no attribute `{pattern}`"), hint)
        }
        None => {
            let hint = "write `\"request.header.NAME\"` or `\"response.header.NAME\"`; other \
                        attributes of your own are in `attributes`";
            (format!("`{pattern}` is no header field"), hint.into())
        }
    };
    table.error(text.span.clone(), message, Some(hint));
    None
}

fn is_field(name: &str) -> bool {
    FIELDS.iter().any(|it| name.starts_with(it))
}

/// `attributes`: names and templates.
pub(super) fn read_attributes(table: &Table<'_>) -> Vec<(String, Template)> {
    let mut attributes = Vec::new();
    for entry in table.free_entries() {
        let name = &entry.key;
        if SpanAttribute::ALL.iter().any(|it| it.name() == name) {
            let hint = "a span has it by itself: choose another name; `exclude` leaves it out";
            let message = format!("`{name}` is no attribute of your own");
            table.error(entry.key_span.clone(), message, Some(hint.into()));
        }
        let Some(text) = named_text(table, entry) else { continue };
        if let Some(template) = table.template_in(text) {
            attributes.push((name.clone(), template));
        }
    }
    attributes
}

/// `resource`: names and texts.
pub(super) fn read_resource(table: &Table<'_>) -> Vec<(String, String)> {
    let mut resource = Vec::new();
    for entry in table.free_entries() {
        if entry.key == "service.name" {
            let hint = Some("write `service = \"NAME\"` in [otlp]".into());
            let message = "the service's name is not in `resource`";
            table.error(entry.key_span.clone(), message, hint);
        }
        if let Some(text) = named_text(table, entry) {
            resource.push((entry.key.clone(), text.value.clone()));
        }
    }
    resource
}

/// The string of an entry whose key is the user's own.
fn named_text<'d>(table: &Table<'_>, entry: &'d KeyAndValue) -> Option<&'d TextValue> {
    if entry.key.is_empty() {
        let hint = Some("write a name, as `\"shop.tenant\"`".into());
        table.error(entry.key_span.clone(), "an attribute without a name", hint);
        return None;
    }
    let text = entry.value.as_text();
    if text.is_none() && !table.is_garbled(&entry.value.span) {
        let is_dotted = matches!(&entry.value.kind, super::tree::ValueKind::Table(_));
        if is_dotted {
            let hint = Some(format!("put a name with dots in quotes: `\"{}.…\" = …`", entry.key));
            table.error(entry.key_span.clone(), format!("`{}` is a table", entry.key), hint);
        } else {
            table.not_a_string(&entry.key, &entry.value, "a string");
        }
    }
    text
}

/// Fields that the exporter writes itself.
const OURS: [&str; 9] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// `headers`: what is sent with each export.
pub(super) fn read_fields(table: &Table<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let mut fields = Vec::new();
    for entry in table.free_entries() {
        let Ok(name) = HeaderName::from_bytes(entry.key.as_bytes()) else {
            let hint = Some("write letters, digits and `-`, without a colon".into());
            let message = format!("`{}` is not a header name", entry.key);
            table.error(entry.key_span.clone(), message, hint);
            continue;
        };
        if OURS.contains(&name.as_str()) {
            let hint = Some("leave it out: the exporter writes it".into());
            table.error(entry.key_span.clone(), format!("`{name}` cannot be chosen"), hint);
        }
        let Some(text) = named_text(table, entry) else { continue };
        let Ok(mut value) = HeaderValue::from_str(&text.value) else {
            let hint = Some("leave out line ends and control characters".into());
            table.error(text.span.clone(), "this cannot be sent in a header", hint);
            continue;
        };
        // It is a key more often than not.
        value.set_sensitive(true);
        fields.push((name, value));
    }
    fields
}
