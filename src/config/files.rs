//! `files = { … }` of a route: a directory served.

use super::{FileFields, table::Table, tree::ValueKind};
use crate::template::Template;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// A directory served.
#[derive(Clone, Debug, PartialEq)]
pub struct Files {
    /// `root`: relative paths are taken from the config file's directory and stored joined. It need
    /// not exist (a warning).
    pub root: PathBuf,
    /// `index`: tried in this order for a directory, default `["index.html"]`.
    pub index: Vec<String>,
    /// `dotfiles`: serve names that start with a dot, default false.
    pub dotfiles: bool,
    /// `listing`: how directories without an index are answered, default none: 404.
    pub listing: Option<Listing>,
    /// `precompressed`: `app.js.br`, `.zst` and `.gz` stand for `app.js`, default false.
    pub precompressed: bool,
    /// `cache_control`, `immutable` and `download`.
    pub fields: FileFields,
    /// `try_files`: looked up in turn in place of the path, default none.
    pub try_files: Vec<Template>,
    /// The status if there is none of them, at the end of `try_files`: default 404.
    pub missing: u16,
    /// `cache`, default as below; `cache = false` is none.
    pub cache: Option<FileCache>,
}

/// `files.listing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// `"html"`.
    Html,
    /// `"json"`.
    Json,
}

/// `files.cache`.
#[derive(Clone, Debug, PartialEq)]
pub struct FileCache {
    /// `max_size` of all the files kept, default 64 MiB.
    pub max_size: u64,
    /// `max_file`: larger ones are not kept, default 1 MiB.
    pub max_file: u64,
    /// `check_interval`: a kept file is compared with the disk at most this often, default 1 s.
    pub check_interval: Duration,
}

impl Files {
    /// Reads `files` of a route.
    pub(super) fn read(table: &Table<'_>) -> Self {
        let root = table.required_text("root", "\"public\"");
        let root = root.map_or_else(PathBuf::new, |text| {
            let root = table.path_in(text);
            if !root.is_dir() {
                let message = format!("there is no directory `{}`", root.display());
                let hint = "every request for a file answers 404 until it exists";
                table.warning(text.span.clone(), message, Some(hint.into()));
            }
            if holds(&root, &table.directory()) {
                let message = "this config file lies in the directory that is served";
                let hint = "every client can read it: serve a directory beside it, as `\"public\"`";
                table.warning(text.span.clone(), message, Some(hint.into()));
            }
            root
        });
        let index = table.texts("index").map(|texts| {
            for text in texts.iter().filter(|it| it.value.is_empty() || it.value.contains('/')) {
                let hint = Some("write a file name, as `\"index.html\"`".into());
                table.error(text.span.clone(), format!("`{}` is no index", text.value), hint);
            }
            texts.into_iter().map(|text| text.value.clone()).collect()
        });
        let (try_files, missing) = read_tries(table);
        Self {
            root,
            listing: Self::read_listing(table),
            precompressed: table.boolean("precompressed", false),
            fields: FileFields::read(table),
            try_files,
            missing,
            index: index.unwrap_or_else(|| vec!["index.html".to_owned()]),
            dotfiles: table.boolean("dotfiles", false),
            cache: Self::read_cache(table),
        }
    }

    /// `listing = false` is none.
    fn read_listing(table: &Table<'_>) -> Option<Listing> {
        if let ValueKind::Boolean(false) = table.value("listing")?.kind {
            return None;
        }
        let choices = [("html", Some(Listing::Html)), ("json", Some(Listing::Json))];
        table.choice("listing", None, &choices)
    }

    /// `cache = false` is none, `cache = true` the defaults.
    fn read_cache(table: &Table<'_>) -> Option<FileCache> {
        match table.value("cache").map(|value| &value.kind) {
            Some(ValueKind::Boolean(false)) => None,
            Some(ValueKind::Boolean(true)) => Some(FileCache::default()),
            _ => Some(FileCache::read(&table.table("cache"))),
        }
    }
}

/// Paths, and a status at the end.
fn read_tries(table: &Table<'_>) -> (Vec<Template>, u16) {
    let values = table.array("try_files").unwrap_or_default();
    let (mut paths, mut missing) = (Vec::new(), 404);
    for (index, value) in values.iter().enumerate() {
        let is_last = index + 1 == values.len();
        let hint = match &value.kind {
            ValueKind::Text(text) if text.value.starts_with(['/', '{']) => {
                paths.extend(table.template_in(text));
                continue;
            }
            ValueKind::Integer(Some(status @ 400..=599)) if is_last => {
                missing = *status as u16;
                continue;
            }
            ValueKind::Text(text) if text.value.starts_with('=') => {
                format!("write the status as a number, at the end: `{}`", &text.value[1..])
            }
            ValueKind::Text(text) => format!("write `\"/{}\"`", text.value),
            _ => "write paths, as `\"{path}\"`; the last may be a status from 400 on".into(),
        };
        table.error(value.span.clone(), "this is no path to try", Some(hint));
    }
    (paths, missing)
}

/// Whether files in `directory` are inside `root`.
fn holds(root: &Path, directory: &Path) -> bool {
    let here = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let (root, here) = (root.canonicalize(), here.canonicalize());
    root.is_ok_and(|root| here.is_ok_and(|here| here.starts_with(root)))
}

impl Default for FileCache {
    fn default() -> Self {
        Self { max_size: 64 << 20, max_file: 1 << 20, check_interval: Duration::from_secs(1) }
    }
}

impl FileCache {
    fn read(table: &Table<'_>) -> Self {
        let default = Self::default();
        let cache = Self {
            max_size: table.size("max_size", default.max_size),
            max_file: table.size("max_file", default.max_file),
            check_interval: table.duration("check_interval", default.check_interval),
        };
        if cache.max_file > cache.max_size {
            let hint = Some("files between the two sizes can never be kept".into());
            table.warning(table.value_span("max_file"), "`max_file` exceeds `max_size`", hint);
        }
        cache
    }
}
