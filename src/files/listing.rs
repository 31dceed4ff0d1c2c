//! The list of a directory's files, as a page or as JSON.
//!
//! Owns: what is listed, in which order, how many, and how names are escaped. May touch: nothing
//! outside this room. Only what would be served is listed.

use super::resolve::{Listing, NoFile, Tree};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;
use std::{
    fmt::Write as _,
    fs::{self, DirEntry},
    path::Path,
    time::SystemTime,
};

/// More entries of one directory are not listed.
const MOST: usize = 10_000;

/// What stands as it is in a link.
const NOT_IN_LINK: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

struct ListedName {
    name: String,
    is_directory: bool,
    size: u64,
    modified: Option<SystemTime>,
}

/// The text for `directory`, which is at `path`, and its type.
pub(super) fn render(
    tree: &Tree,
    directory: &Path,
    path: &str,
    form: Listing,
) -> Result<(String, &'static str), NoFile> {
    let mut names = Vec::new();
    let mut is_whole = true;
    for entry in fs::read_dir(directory)? {
        let Some(name) = listed(tree, &entry?) else { continue };
        if names.len() == MOST {
            is_whole = false;
            break;
        }
        names.push(name);
    }
    names.sort_unstable_by(|a, b| {
        b.is_directory.cmp(&a.is_directory).then_with(|| a.name.cmp(&b.name))
    });
    Ok(match form {
        Listing::Html => (page(path, &names, is_whole), "text/html; charset=utf-8"),
        Listing::Json => (json(path, &names, is_whole), "application/json; charset=utf-8"),
    })
}

/// An entry, if it would be served.
fn listed(tree: &Tree, entry: &DirEntry) -> Option<ListedName> {
    let name = entry.file_name().into_string().ok().filter(|name| tree.may_serve(name))?;
    let metadata = match entry.file_type().ok()? {
        kind if kind.is_symlink() => tree.follow(&entry.path())?,
        _ => entry.metadata().ok()?,
    };
    if !metadata.is_dir() && !metadata.is_file() {
        return None;
    }
    let (is_directory, modified) = (metadata.is_dir(), metadata.modified().ok());
    Some(ListedName { name, is_directory, size: metadata.len(), modified })
}

fn time(entry: &ListedName) -> String {
    let time = entry.modified.and_then(|it| jiff::Timestamp::try_from(it).ok());
    time.map(|it| it.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()).unwrap_or_default()
}

fn json(path: &str, names: &[ListedName], is_whole: bool) -> String {
    let entry = |entry: &ListedName| {
        let kind = if entry.is_directory { "directory" } else { "file" };
        let mut told = json!({ "name": entry.name, "type": kind, "modified": time(entry) });
        if !entry.is_directory {
            told["size"] = entry.size.into();
        }
        told
    };
    let entries: Vec<_> = names.iter().map(entry).collect();
    json!({ "path": path, "entries": entries, "complete": is_whole }).to_string()
}

fn page(path: &str, names: &[ListedName], is_whole: bool) -> String {
    let title = escaped(path);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>body{{font-family:sans-serif;margin:2em}}td{{padding:.1em 1.5em .1em 0}}\
         td+td{{color:#666}}</style></head>\n<body><h1>{title}</h1>\n<table>\n"
    );
    if path != "/" {
        page.push_str("<tr><td><a href=\"../\">../</a></td></tr>\n");
    }
    for entry in names {
        let slash = if entry.is_directory { "/" } else { "" };
        let link = utf8_percent_encode(&entry.name, NOT_IN_LINK);
        let (name, time) = (escaped(&entry.name), time(entry));
        let size = if entry.is_directory { String::new() } else { entry.size.to_string() };
        // Writing to a string can't fail. A name with a colon must not read as a scheme: `./`.
        let _ = writeln!(
            page,
            "<tr><td><a href=\"./{link}{slash}\">{name}{slash}</a></td><td>{size}</td><td>{time}</td></tr>"
        );
    }
    page.push_str("</table>\n");
    if !is_whole {
        let _ = writeln!(page, "<p>There are more: only {MOST} are listed.</p>");
    }
    page.push_str("</body></html>\n");
    page
}

/// For a place between tags.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            it if it.is_control() => escaped.push('\u{fffd}'),
            it => escaped.push(it),
        }
    }
    escaped
}
