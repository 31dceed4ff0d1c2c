//! The pages that users read: configs in them load, links lead somewhere, reasons are all listed.

mod surroundings;

use sheave::config::{ConfigError, Loaded, parse};
use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A directory with what the pages' configs name beside them.
fn surroundings() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("directory");
    fs::create_dir(directory.path().join("tls")).expect("tls");
    for name in ["site", "shop", "ca", "proxy"] {
        let wanted = rcgen::CertificateParams::new(vec![format!("{name}.test")]).expect("name");
        let key = rcgen::KeyPair::generate().expect("key");
        let certificate = wanted.self_signed(&key).expect("certificate");
        let file = |end: &str| directory.path().join("tls").join(format!("{name}.{end}"));
        fs::write(file("pem"), certificate.pem()).expect("cert");
        fs::write(file("key"), key.serialize_pem()).expect("key");
    }
    surroundings::files_of_tls(&directory.path().join("tls"));
    surroundings::database(directory.path());
    fs::create_dir(directory.path().join("public")).expect("public");
    directory
}

fn parse_in(directory: &Path, text: &str) -> Result<Loaded, ConfigError> {
    parse(text, &directory.join("sheave.toml"), &|_| None)
}

/// The pages that users read: path below the root, and text.
fn pages() -> Vec<(PathBuf, String)> {
    let mut paths = ["README.md", "CHANGELOG.md", "benches/README.md", "certs/README.md"]
        .map(PathBuf::from)
        .to_vec();
    for directory in ["docs", "docs/decisions"] {
        let entries = fs::read_dir(root().join(directory)).expect(directory);
        let names =
            entries.map(|entry| Path::new(directory).join(entry.expect("entry").file_name()));
        paths.extend(names.filter(|path| path.extension().is_some_and(|it| it == "md")));
    }
    let text = |path: &PathBuf| fs::read_to_string(root().join(path)).expect("text");
    paths.into_iter().map(|path| (path.clone(), text(&path))).collect()
}

/// The blocks between "```toml" and "```".
fn toml_blocks(page: &str) -> Vec<&str> {
    let begun = page.split("\n```toml\n").skip(1);
    begun.map(|rest| rest.split("\n```").next().expect("the end of a block")).collect()
}

#[test]
fn every_config_in_the_docs_loads_without_a_warning() {
    let directory = surroundings();
    let mut whole = 0;
    for (path, text) in pages() {
        for block in toml_blocks(&text) {
            let parsed = parse_in(directory.path(), block);
            if block.contains("listener") && block.contains("[[site]]") {
                let loaded = parsed.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                assert_eq!(loaded.warnings, [], "{}", path.display());
                whole += 1;
            } else if let Err(error) = parsed {
                // A part of a config may lack the rest of it, and no more.
                for found in error.diagnostics {
                    let is_a_part = found.message.starts_with("there is no ");
                    let is_elsewhere = found.message.contains("cert");
                    assert!(is_a_part || is_elsewhere, "{}: {found}", path.display());
                }
            }
        }
    }
    assert!(whole >= 10, "{whole}");
}

#[test]
fn links_of_the_docs_lead_somewhere() {
    for (path, text) in pages() {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (target, _) = link.split_once('#').unwrap_or((link, ""));
            if target.contains("://") {
                continue;
            }
            let directory = path.parent().expect("a directory");
            let there = root().join(directory).join(target);
            assert!(there.exists(), "{}: {link}", path.display());
        }
    }
}

/// A README is read to its end only if it is short; a decision, too.
#[test]
fn the_docs_are_short() {
    for (path, text) in pages() {
        let lines = text.lines().count();
        if path == Path::new("README.md") {
            assert!(lines <= 150, "README.md has {lines} lines");
            let first: Vec<_> = text.lines().take(8).collect();
            assert!(first[0] == "# sheave" && first.iter().any(|it| it.starts_with("cargo test")));
        } else if path.starts_with("docs/decisions") {
            assert!(lines <= 30, "{} has {lines} lines", path.display());
        }
    }
}

/// Every `.rs` file below `directory`.
fn sources(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("sources").map(|it| it.expect("entry").path());
    let read = |path: PathBuf| {
        if path.is_dir() { sources(&path) } else { vec![fs::read_to_string(path).expect("text")] }
    };
    // A file of tests makes no answers of its own.
    entries.filter(|path| !path.ends_with("tests.rs")).flat_map(read).collect()
}

/// The word in quotes that follows `start`, wherever it is in `text`; `between` may be in between.
fn words_after<'a>(
    text: &'a str,
    start: &'a str,
    between: fn(char) -> bool,
) -> impl Iterator<Item = &'a str> {
    text.split(start).skip(1).filter_map(move |rest| {
        let (word, _) = rest.trim_start_matches(between).strip_prefix('"')?.split_once('"')?;
        (!word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
            .then_some(word)
    })
}

#[test]
fn every_reason_is_in_the_docs() {
    let listed = fs::read_to_string(root().join("docs/observing.md")).expect("observing.md");
    let after_status = |c: char| c.is_ascii_uppercase() || matches!(c, '_' | ',' | ' ');
    let rooms = ["src/proxy", "src/client", "src/daemon", "src/files", "src/filter"]
        .map(|room| sources(&root().join(room)));
    let mut seen = 0;
    for source in rooms.iter().flatten() {
        let code = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let reasons = words_after(code, "StatusCode::", after_status)
            .chain(words_after(code, "malformed(", |_| false))
            .chain(words_after(code, "reason = Some(", |_| false))
            .chain(words_after(code, "get_or_insert(", |_| false));
        for reason in reasons {
            let is_listed = listed.contains(&format!("`{reason}`"));
            assert!(is_listed, "`{reason}` is not in docs/observing.md");
            seen += 1;
        }
    }
    assert!(seen >= 15, "{seen}");
}
