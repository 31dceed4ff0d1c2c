//! Holds the plan of the code: which room may import which, how long a file may be, banned names.
//!
//! The order of the rooms is read from `src/lib.rs`, so that there is one place to change it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The most lines of code in a file; longer ones are two ideas.
const LONGEST_FILE: usize = 350;

/// Names that say nothing.
const BANNED: [&str; 7] = ["manager", "util", "helper", "common", "core", "inner", "misc"];

/// Rooms that must not import `config`: they are built from it, or do not need it.
const NO_CONFIG: [&str; 7] = ["route", "filter", "upstream", "files", "message", "observe", "tls"];

/// Where a file's own tests begin; they may use what they like.
const TESTS: &str = "#[cfg(test)]\nmod tests {";

/// A source file.
struct Source {
    /// From the repository's root.
    path: String,
    /// The module under the crate's root that it is part of.
    room: String,
    /// What its `//!` says.
    told: String,
    /// Without comments.
    code: String,
    /// How much of `code` comes before its tests.
    tests_at: usize,
}

impl Source {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("a source file");
        let path = path.strip_prefix(root()).expect("below the root").display().to_string();
        let mut parts = path.split('/').skip(1);
        let room = parts.next().expect("a file in src").trim_end_matches(".rs").to_owned();
        let code: String =
            text.lines().map(|line| without_comment(line).to_owned() + "\n").collect();
        let told = text.lines().map_while(|line| line.strip_prefix("//!")).collect();
        let is_test = path.ends_with("/tests.rs") || path.contains("/tests/");
        let tests_at = if is_test { 0 } else { code.find(TESTS).unwrap_or(code.len()) };
        Self { path, room, told, code, tests_at }
    }

    fn without_tests(&self) -> &str {
        &self.code[..self.tests_at]
    }

    /// The module that the file is, as the segments of its path below the crate's root.
    fn module(&self) -> Vec<&str> {
        let path = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        path.trim_end_matches("/mod").split('/').collect()
    }

    /// Everything of ours that it imports, from the crate's root on.
    fn imports(&self) -> Vec<Vec<String>> {
        let module = self.module();
        let own = |length: usize| module[..length].iter().map(|it| (*it).to_owned());
        let above = own(module.len() - 1).collect::<Vec<_>>();
        let here = own(module.len()).collect::<Vec<_>>();
        let code = self.without_tests();
        [("crate::", Vec::new()), ("super::", above), ("self::", here)]
            .iter()
            .flat_map(|(start, before)| {
                paths(code, start).into_iter().map(|path| [before.clone(), path].concat())
            })
            .collect()
    }

    /// The file is its room's root, whose parent is the crate.
    fn is_room_root(&self) -> bool {
        let depth = self.path.matches('/').count();
        depth == 1 || (depth == 2 && self.path.ends_with("/mod.rs"))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    let mut directories = vec![root().join("src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found.iter().map(|path: &PathBuf| Source::read(path)).collect()
}

/// A `//` behind a colon is part of a URL.
fn without_comment(line: &str) -> &str {
    let start = line.match_indices("//").find(|(at, _)| !line[..*at].ends_with(':'));
    start.map_or(line, |(at, _)| &line[..at])
}

/// Every path that begins with `start`, as its segments after that; groups are spread out.
fn paths(code: &str, start: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(start) {
        let before = code[..at].chars().next_back();
        if before.is_none_or(|it| !(it.is_alphanumeric() || it == '_' || it == ':')) {
            spread(&code[at + start.len()..], &mut Vec::new(), &mut found);
        }
    }
    found
}

/// Reads one tree of a `use`, or one path of an expression; gives what follows it.
fn spread<'a>(text: &'a str, before: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start();
            if let Some(rest) = rest.strip_prefix('}') {
                return rest;
            }
            let after = spread(rest, before, found).trim_start();
            rest = after.strip_prefix(',').unwrap_or(after);
            assert!(
                !rest.starts_with("as ") && rest.len() < text.len(),
                "a `use` that can't be read"
            );
        }
    }
    let is_end = |it: char| !(it.is_alphanumeric() || it == '_' || it == '*');
    let (segment, rest) = text.split_at(text.find(is_end).unwrap_or(text.len()));
    before.push(segment.to_owned());
    let rest = match rest.strip_prefix("::") {
        Some(deeper) if !deeper.starts_with('<') => spread(deeper, before, found),
        _ => {
            found.push(before.clone());
            skip_alias(rest)
        }
    };
    before.pop();
    rest
}

fn skip_alias(rest: &str) -> &str {
    let Some(alias) = rest.trim_start().strip_prefix("as ") else { return rest };
    alias.trim_start_matches(|it: char| it.is_alphanumeric() || it == '_')
}

/// The rank of every room, the lowest first, as `src/lib.rs` tells.
fn ranks() -> BTreeMap<String, usize> {
    let text = fs::read_to_string(root().join("src/lib.rs")).expect("lib.rs");
    let (_, told) = text.split_once("Imports go strictly down:").expect("the order of the rooms");
    let (told, _) = told.split_once('.').expect("its end");
    let mut ranks = BTreeMap::new();
    for (rank, rooms) in told.split('→').rev().enumerate() {
        for room in rooms.split('`').skip(1).step_by(2) {
            assert_eq!(ranks.insert(room.to_owned(), rank), None, "`{room}` is told twice");
        }
    }
    ranks
}

fn assert_none(mistakes: &[String]) {
    assert!(mistakes.is_empty(), "\n{}\n", mistakes.join("\n"));
}

#[test]
fn every_room_has_its_rank() {
    let ranks = ranks();
    let mut rooms: Vec<_> = sources().into_iter().map(|source| source.room).collect();
    rooms.retain(|room| room != "lib" && room != "main");
    rooms.sort();
    rooms.dedup();
    assert_eq!(rooms, ranks.into_keys().collect::<Vec<_>>());
}

#[test]
fn imports_go_strictly_down() {
    let ranks = ranks();
    let mut mistakes = Vec::new();
    for source in sources() {
        let own = ranks.get(&source.room);
        let mut imports = paths(&source.code, "crate::");
        if source.is_room_root() && own.is_some() {
            let above = paths(&source.code, "super::");
            imports.extend(above.into_iter().filter(|path| ranks.contains_key(&path[0])));
        }
        for path in imports {
            let room = &path[0];
            // `lib` declares the rooms and `main` only calls the command line.
            let (Some(own), Some(theirs)) = (own, ranks.get(room)) else {
                mistakes.push(format!("{}: crate::{} is no room", source.path, path.join("::")));
                continue;
            };
            if *room != source.room && theirs >= own {
                let (from, path) = (&source.room, path.join("::"));
                mistakes.push(format!("{}: `{from}` may not know {path}", source.path));
            }
        }
        if source.code.contains("super::super") {
            mistakes.push(format!("{}: `crate::` says more than `super::super`", source.path));
        }
    }
    assert_none(&mistakes);
}

#[test]
fn the_config_is_for_builders() {
    let mut mistakes = Vec::new();
    for source in sources() {
        for path in paths(source.without_tests(), "crate::") {
            let named = path.join("::");
            let is_config = path[0] == "config";
            let is_wrong = match source.room.as_str() {
                "config" => {
                    let below = [
                        "config",
                        "condition",
                        "country",
                        "template",
                        "path",
                        "cidr",
                        "credentials",
                        "settings",
                        "units",
                    ];
                    !below.contains(&path[0].as_str())
                }
                // Plain limits, compiled into the snapshot as they are.
                "proxy" => is_config,
                room => is_config && NO_CONFIG.contains(&room),
            };
            if is_wrong {
                mistakes.push(format!("{}: {named}", source.path));
            }
        }
    }
    assert_none(&mistakes);
}

#[test]
fn each_library_stays_in_its_rooms() {
    let mut mistakes = Vec::new();
    for source in sources() {
        let is_strategy = source.path.starts_with("src/upstream/strategy/");
        let below_proxy = NO_CONFIG.contains(&source.room.as_str());
        // A crate, and those of its modules that are meant: none named, all meant.
        let foreign: &[(&str, &[&str])] = match source.room.as_str() {
            "config" | "condition" | "template" | "path" | "cidr" | "clock" => {
                &[("hyper::", &[]), ("hyper_util::", &[]), ("tokio::", &[])]
            }
            _ if is_strategy => &[("hyper::", &[]), ("hyper_util::", &[]), ("tokio::", &[])],
            _ if below_proxy => {
                &[("hyper::", &["server", "service"]), ("hyper_util::", &["server"])]
            }
            _ => &[],
        };
        for (library, modules) in foreign {
            for path in paths(source.without_tests(), library) {
                if modules.is_empty() || modules.contains(&path[0].as_str()) {
                    mistakes.push(format!("{}: {library}{}", source.path, path.join("::")));
                }
            }
        }
    }
    assert_none(&mistakes);
}

#[test]
fn a_file_touches_the_rooms_that_it_says() {
    let rooms = ranks();
    let mut mistakes = Vec::new();
    let sources = sources();
    for source in &sources {
        let Some((_, told)) = source.told.split_once("May touch:") else { continue };
        let told = told.split(". ").next().unwrap_or(told).replace('`', " ");
        let mut told: Vec<_> =
            paths(&told, "crate::").into_iter().map(|it| it[0].clone()).collect();
        // A room's root speaks for the room.
        let is_meant = |it: &&Source| {
            it.path == source.path
                || source.path.ends_with("/mod.rs")
                    && source.is_room_root()
                    && it.room == source.room
        };
        let meant = sources.iter().filter(is_meant);
        let mut touched: Vec<_> = meant.flat_map(Source::imports).map(|it| it[0].clone()).collect();
        touched.retain(|room| rooms.contains_key(room) && *room != source.room);
        for list in [&mut told, &mut touched] {
            list.sort();
            list.dedup();
        }
        if told != touched {
            mistakes.push(format!("{} touches {touched:?}, and says {told:?}", source.path));
        }
    }
    assert_none(&mistakes);
}

#[test]
fn files_of_a_room_import_in_no_circle() {
    let sources = sources();
    let is_code = |it: &&Source| it.tests_at > 0 && !it.path.contains("/tests/");
    let files: Vec<_> = sources.iter().filter(is_code).collect();
    let modules: BTreeMap<_, _> = files.iter().map(|it| (it.module().join("::"), *it)).collect();
    let mut below: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (module, source) in &modules {
        // Importing something of a file is knowing the file.
        let of_file = |path: Vec<String>| {
            (1..=path.len())
                .rev()
                .map(|end| path[..end].join("::"))
                .find_map(|it| modules.get_key_value(&it).filter(|(_, it)| it.room == source.room))
        };
        let known = source.imports().into_iter().filter_map(of_file).map(|(name, _)| name);
        // A room's root only declares its files, and says again what they have.
        below.insert(module, known.filter(|it| *it != module && it.contains("::")).collect());
    }
    // Files that know nobody who is left go, one after the other: a circle remains.
    while let Some(free) = below.iter().find(|(_, known)| known.is_empty()).map(|it| *it.0) {
        below.remove(free);
        for known in below.values_mut() {
            known.retain(|it| *it != free);
        }
    }
    let mistakes = below.iter().map(|(file, known)| format!("{file} knows {known:?}"));
    assert_none(&mistakes.collect::<Vec<_>>());
}

/// Who speaks to a client and to a server knows by which protocol. Others read a request's version
/// only where a rule of an RFC names it: `Host`, `Via`, and interim responses. The access log tells it.
#[test]
fn versions_are_for_those_who_speak_them() {
    let by_rule = [
        "proxy/admission.rs",
        "proxy/forwarded_fields.rs",
        "proxy/request_head.rs",
        "observe/line_facts.rs",
    ];
    let mut mistakes = Vec::new();
    for source in sources() {
        let speaks = ["client", "origin", "http1", "health"].contains(&source.room.as_str());
        if !speaks && !by_rule.iter().any(|it| source.path.ends_with(it)) {
            for version in paths(source.without_tests(), "Version::") {
                if version[0].starts_with("HTTP_") {
                    mistakes.push(format!("{}: {}", source.path, version.concat()));
                }
            }
        }
    }
    assert_none(&mistakes);
}

#[test]
fn a_types_name_is_used_once() {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut mistakes = Vec::new();
    for source in sources() {
        // What the user wrote has the name of what is made of it: `config::Route`, `route::Route`.
        if source.room == "config" || source.tests_at == 0 {
            continue;
        }
        for line in source.without_tests().lines() {
            let line = line.strip_prefix("pub(super) ").unwrap_or(line);
            let line = line.strip_prefix("pub ").unwrap_or(line);
            let kinds = ["struct ", "enum ", "trait ", "type "];
            let Some(rest) = kinds.iter().find_map(|kind| line.strip_prefix(kind)) else {
                continue;
            };
            let name = rest.split(|it: char| !it.is_alphanumeric()).next().expect("a name");
            if let Some(other) = found.insert(name.to_owned(), source.path.clone()) {
                mistakes.push(format!("`{name}` is in {other} and in {}", source.path));
            }
        }
    }
    assert_none(&mistakes);
}

#[test]
fn files_are_one_idea() {
    let mut mistakes = Vec::new();
    for source in sources() {
        let code = if source.tests_at == 0 { &source.code } else { source.without_tests() };
        let lines = code.lines().filter(|line| !line.trim().is_empty()).count();
        if lines > LONGEST_FILE {
            mistakes.push(format!("{}: {lines} lines of code", source.path));
        }
        let text = fs::read_to_string(root().join(&source.path)).expect("a source file");
        if !source.path.ends_with("/tests.rs") && !text.starts_with("//! ") {
            mistakes.push(format!("{}: does not say what it is", source.path));
        }
    }
    assert_none(&mistakes);
}

#[test]
fn names_say_something() {
    let mut mistakes = Vec::new();
    for source in sources() {
        let words = source.path.trim_end_matches(".rs").split(['/', '_']);
        for word in words.map(|word| word.trim_end_matches('s')) {
            if BANNED.contains(&word) {
                mistakes.push(format!("{}: `{word}` says nothing", source.path));
            }
        }
        for (at, line) in source.code.lines().enumerate() {
            if line.contains("fn get_") {
                mistakes.push(format!("{}:{}: {}", source.path, at + 1, line.trim()));
            }
        }
    }
    assert_none(&mistakes);
}

#[test]
fn imports_are_read_rightly() {
    let code =
        "use crate::{a::{self, b as x}, c, d::e::*,};\nlet y = crate::f::g::<T>(); mycrate::h;";
    let found: Vec<_> = paths(code, "crate::").iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["a::self", "a::b", "c", "d::e::*", "f::g"]);
    assert_eq!(without_comment("let x = \"http://y\"; // crate::z"), "let x = \"http://y\"; ");
}
