//! `fields` of the access log: what is in a line, in which order.
//!
//! Owns: reading the list. May touch: [`crate::settings`], [`crate::template`]. Next:
//! [`super::access_log`].

use super::{nearest::nearest, table::Table, tree::TextValue};
use crate::{settings::LogField, template::Template};
use http::HeaderName;

/// A field of a line.
#[derive(Clone, Debug, PartialEq)]
pub enum LineField {
    /// One of ours.
    Known(LogField),
    /// `header.NAME`: a request's field.
    Header(HeaderName),
    /// `response.header.NAME`: the answer's field.
    ResponseHeader(HeaderName),
    /// `{ name = "tenant", value = "{header.x-tenant}" }`.
    Template {
        /// Its name in the line.
        name: String,
        /// Its value.
        value: Template,
    },
}

impl LineField {
    /// Its name in the line.
    pub fn name(&self) -> String {
        match self {
            Self::Known(field) => field.name().to_owned(),
            Self::Header(name) => format!("header.{name}"),
            Self::ResponseHeader(name) => format!("response.header.{name}"),
            Self::Template { name, .. } => name.clone(),
        }
    }
}

/// Reads `fields`; if it is absent, these.
pub(super) fn read(table: &Table<'_>, default: impl Iterator<Item = LogField>) -> Vec<LineField> {
    let Some(values) = table.array("fields") else {
        return default.map(LineField::Known).collect();
    };
    let mut fields: Vec<LineField> = Vec::new();
    for value in values {
        let field = if let Some(text) = value.as_text() {
            known(table, text)
        } else if let Some(entry) = table.element("fields", value) {
            template(&entry)
        } else {
            table.not_a_string("fields", value, "an array of strings");
            None
        };
        let Some(field) = field else { continue };
        let name = field.name();
        if fields.iter().any(|other| other.name() == name) {
            let hint = Some("leave one of them out".into());
            table.error(value.span.clone(), format!("`{name}` is written twice"), hint);
        }
        fields.push(field);
    }
    if values.is_empty() {
        let hint = "remove it for the default fields, or write `fields = [\"time\", \"uri\"]`";
        table.error(table.value_span("fields"), "lines without a field", Some(hint.into()));
    }
    fields
}

fn known(table: &Table<'_>, text: &TextValue) -> Option<LineField> {
    let written = text.value.as_str();
    if let Some((_, field)) = LogField::NAMED.iter().find(|(name, _)| *name == written) {
        return Some(LineField::Known(*field));
    }
    if let Some(header) = written.strip_prefix("header.") {
        return header_name(table, text, header).map(LineField::Header);
    }
    if let Some(header) = written.strip_prefix("response.header.") {
        return header_name(table, text, header).map(LineField::ResponseHeader);
    }
    let hint = match written {
        "path" | "url" | "request" => "did you mean `uri`, which is path and query?".into(),
        "duration" | "request_time" | "took" => "did you mean `duration_ms`?".into(),
        "client_ip" | "remote_addr" | "ip" => "did you mean `client`?".into(),
        _ if written.contains('{') => {
            format!(
                "a field with variables has a name: `{{ name = \"NAME\", value = \"{written}\" }}`"
            )
        }
        _ => {
            let names = || LogField::NAMED.iter().map(|(name, _)| *name);
            let all = || names().collect::<Vec<_>>().join(", ");
            let nearest = nearest(written, names()).map(|name| format!("did you mean `{name}`?"));
            nearest.unwrap_or_else(|| {
                format!("known are {}, header.NAME and response.header.NAME", all())
            })
        }
    };
    table.error(text.span.clone(), format!("unknown field `{written}`"), Some(hint));
    None
}

/// `header` is the end of `written`.
fn header_name(table: &Table<'_>, written: &TextValue, header: &str) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(header.as_bytes()).ok();
    if name.is_none() {
        let prefix = written.value.strip_suffix(header).unwrap_or_default();
        let hint = format!("write letters, digits and `-`: `\"{prefix}x-tenant\"`");
        let message = format!("`{header}` is not a header name");
        table.error(written.span.clone(), message, Some(hint));
    }
    name
}

fn template(entry: &Table<'_>) -> Option<LineField> {
    let name = entry.required_text("name", "\"tenant\"");
    let value = entry.required_text("value", "\"{header.x-tenant}\"");
    let value = value.and_then(|text| entry.template_in(text));
    let name = name?;
    if name.value.is_empty() {
        let hint = Some("write a name, as `\"tenant\"`".into());
        entry.error(name.span.clone(), "a field without a name", hint);
    }
    Some(LineField::Template { name: name.value.clone(), value: value? })
}
