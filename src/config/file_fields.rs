//! The keys of `files = { … }` that are about fields of responses.

use super::{table::Table, tree::ValueKind};
use http::HeaderValue;

/// What responses with files say beside.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FileFields {
    /// `cache_control`, by media type, default none.
    pub cache_control: Vec<(String, HeaderValue)>,
    /// `immutable`: names with a fingerprint may be kept for ever, default false.
    pub immutable: bool,
    /// `download`: browsers save the files, default false.
    pub download: bool,
}

impl FileFields {
    /// Reads them from `files` of a route.
    pub(super) fn read(files: &Table<'_>) -> Self {
        let cache_control = files.optional_table("cache_control").map(|it| by_type(&it));
        Self {
            cache_control: cache_control.unwrap_or_default(),
            immutable: files.boolean("immutable", false),
            download: files.boolean("download", false),
        }
    }
}

fn by_type(table: &Table<'_>) -> Vec<(String, HeaderValue)> {
    let mut rules = Vec::new();
    for entry in table.free_entries() {
        let parts: Vec<_> = entry.key.split('/').collect();
        let is_type = matches!(parts[..], ["*"]) || parts.len() == 2 && !parts[0].contains('*');
        if !is_type || parts.contains(&"") || entry.key.contains([';', ' ']) {
            let hint = "write a media type, as `\"text/html\"`, or `\"image/*\"`, or `\"*\"` for all others";
            let message = format!("`{}` is no media type", entry.key);
            table.error(entry.key_span.clone(), message, Some(hint.into()));
            continue;
        }
        let ValueKind::Text(text) = &entry.value.kind else {
            table.not_a_string(&entry.key, &entry.value, "a string");
            continue;
        };
        match HeaderValue::from_str(text.value.trim()) {
            Ok(value) if !value.is_empty() => rules.push((entry.key.to_lowercase(), value)),
            _ => {
                let hint = Some("write it as in `Cache-Control`: `\"max-age=3600\"`".into());
                table.error(text.span.clone(), "this cannot be sent in a header", hint);
            }
        }
    }
    rules
}
