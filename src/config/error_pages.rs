//! `error_pages = { … }` of a site or a route: what clients see in place of an error's text.
//!
//! The files are read here: they are small, and a missing one is a mistake.

use super::{table::Table, tree::ValueKind};
use bytes::Bytes;
use std::{
    fs,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

/// A page must not be larger: it is kept in memory.
const LARGEST: usize = 1 << 20;

/// `error_pages`.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorPages {
    /// By status, the narrowest first.
    pub pages: Vec<ErrorPage>,
    /// `of_servers`: also in place of servers' errors, default false.
    pub of_servers: bool,
}

/// One page.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorPage {
    /// `404`, or `"4xx"`, kept as 400 to 499.
    pub statuses: RangeInclusive<u16>,
    /// Its file.
    pub file: PathBuf,
    /// What is in it.
    pub body: Bytes,
}

impl ErrorPages {
    /// Reads `error_pages` of a site or a route; `error_pages = false` is none.
    pub(super) fn read(parent: &Table<'_>) -> Option<Self> {
        if let ValueKind::Boolean(false) = parent.value("error_pages")?.kind {
            return None;
        }
        let table = parent.optional_table("error_pages")?;
        let of_servers = table.boolean("of_servers", false);
        let mut pages = Vec::new();
        for entry in table.free_entries().iter().filter(|it| it.key != "of_servers") {
            let Some(statuses) = statuses(&entry.key) else {
                let hint = "write a status from 400 to 599, or `\"4xx\"` or `\"5xx\"`";
                let message = format!("`{}` is no status of an error", entry.key);
                table.error(entry.key_span.clone(), message, Some(hint.into()));
                continue;
            };
            let ValueKind::Text(text) = &entry.value.kind else {
                table.not_a_string(&entry.key, &entry.value, "the name of a file");
                continue;
            };
            let file = table.path_in(text);
            match body(&file) {
                Ok(body) => pages.push(ErrorPage { statuses, file, body }),
                Err((message, hint)) => table.error(text.span.clone(), message, Some(hint.into())),
            }
        }
        pages.sort_by_key(|it| it.statuses.len());
        Some(Self { pages, of_servers })
    }
}

fn statuses(key: &str) -> Option<RangeInclusive<u16>> {
    match key {
        "4xx" => Some(400..=499),
        "5xx" => Some(500..=599),
        _ => key.parse().ok().filter(|it| (400..=599).contains(it)).map(|it| it..=it),
    }
}

fn body(file: &Path) -> Result<Bytes, (String, &'static str)> {
    let name = file.display();
    // Opening a pipe would wait.
    if !file.is_file() {
        let hint = "write the page's file; a relative path starts at the config file's directory";
        return Err((format!("there is no file `{name}`"), hint));
    }
    match fs::read(file) {
        Ok(body) if body.len() <= LARGEST => Ok(body.into()),
        Ok(_) => Err((format!("`{name}` is too large"), "a page has at most 1 MiB")),
        Err(error) => {
            Err((format!("`{name}` can't be read: {error}"), "let sheave's user read it"))
        }
    }
}
