//! `compress` of a route.

use super::{
    table::Table,
    tree::{TextValue, ValueKind},
};
use crate::settings::{Coding, CodingLevels, Compression};

const CODINGS: [(&str, Coding); 3] = [
    (Coding::Zstd.name(), Coding::Zstd),
    (Coding::Brotli.name(), Coding::Brotli),
    (Coding::Gzip.name(), Coding::Gzip),
];

impl Compression {
    /// Reads `compress` of `route`: `true` is with every default, `false` or absent is not at all.
    pub(super) fn read(route: &Table<'_>) -> Option<Self> {
        match route.value("compress").map(|value| &value.kind) {
            None | Some(ValueKind::Boolean(false)) => None,
            Some(ValueKind::Table(_)) => {
                route.optional_table("compress").map(|table| Self::read_table(&table))
            }
            Some(ValueKind::Text(text)) if Coding::named(text.value.as_bytes()).is_some() => {
                let hint = Some(format!("write `compress = {{ codings = [\"{}\"] }}`", text.value));
                route.error(text.span.clone(), "`compress` is true, false or a table", hint);
                None
            }
            Some(_) => route.boolean("compress", false).then(Self::default),
        }
    }

    fn read_table(table: &Table<'_>) -> Self {
        let default = Self::default();
        let codings = some_texts(table, "codings").map(|texts| read_codings(table, &texts));
        let types = some_texts(table, "types").map(|texts| {
            let types = texts.iter().filter_map(|text| read_type(table, text));
            types.collect()
        });
        Self {
            codings: codings.unwrap_or(default.codings),
            min_size: table.size("min_size", default.min_size),
            types: types.unwrap_or(default.types),
            level: CodingLevels::read(&table.table("level")),
            cookies: table.boolean("cookies", default.cookies),
        }
    }
}

impl CodingLevels {
    fn read(table: &Table<'_>) -> Self {
        let default = Self::default();
        Self {
            gzip: table.number("gzip", default.gzip, 1..=9),
            br: table.number("br", default.br, 0..=11),
            zstd: table.number("zstd", default.zstd, 1..=19),
        }
    }
}

/// The strings of a list that may not be empty.
fn some_texts<'d>(table: &Table<'d>, key: &'static str) -> Option<Vec<&'d TextValue>> {
    let texts = table.texts(key)?;
    if texts.is_empty() && table.is_whole() {
        let hint = Some("write `compress = false`".into());
        let message = format!("with no `{key}` nothing is compressed");
        table.error(table.value_span(key), message, hint);
    }
    Some(texts)
}

fn read_codings(table: &Table<'_>, texts: &[&TextValue]) -> Vec<Coding> {
    let mut codings = Vec::new();
    for text in texts {
        let Some(coding) = table.chosen("codings", text, &CODINGS) else { continue };
        if codings.contains(&coding) {
            let message = format!("`{}` is written twice", text.value);
            table.error(text.span.clone(), message, Some("leave one of them out".into()));
        } else {
            codings.push(coding);
        }
    }
    codings
}

/// A media type, of which a part may be `*`.
fn read_type(table: &Table<'_>, text: &TextValue) -> Option<String> {
    let written = text.value.to_ascii_lowercase();
    let wrong = |message: &str, hint: String| {
        table.error(text.span.clone(), format!("`{}` {message}", text.value), Some(hint));
        None
    };
    if written.is_empty() {
        let hint = "write a media type, as `\"application/json\"` or `\"text/*\"`";
        table.error(text.span.clone(), "an empty media type", Some(hint.into()));
        return None;
    }
    if let Some((plain, _)) = written.split_once(';') {
        return wrong("has a parameter", format!("write `\"{}\"`", plain.trim()));
    }
    let is_any = written == "*";
    let parts = written.split_once('/');
    let is_type = parts.is_some_and(|(kind, rest)| {
        let is_name = |it: &str| {
            !it.is_empty() && it.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b',')
        };
        is_name(kind) && is_name(rest)
    });
    if !is_any && !is_type {
        let name = written.trim_matches(['.', '/', '*']);
        return wrong("is no media type", format!("write a media type, as `\"text/{name}\"`"));
    }
    if written.matches('*').count() > 1 {
        let hint = if written == "*/*" { "`\"*\"` is every type" } else { "keep one of them" };
        return wrong("has more than one `*`", hint.into());
    }
    Some(written)
}
