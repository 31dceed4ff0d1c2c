//! The config as a user meets it: the files we ship load, and every mistake is told well.

use insta::Settings;
use sheave::config::{
    Action, Config, ConfigError, FileCache, Files, Loaded, Retry, Severity, load, parse,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The environment of the tests.
fn environment(name: &str) -> Option<String> {
    (name == "SET_TO_SEVEN").then(|| "7".to_owned())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn toml_files(directory: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(directory)).expect(directory);
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|it| it == "toml"))
        .collect();
    files.sort();
    files
}

/// Writes a certificate for `name` and its key.
fn certificate(directory: &Path, name: &str, not_after: i32) {
    let mut wanted = rcgen::CertificateParams::new(vec![format!("{name}.test")]).expect("name");
    wanted.not_before = rcgen::date_time_ymd(2001, 1, 1);
    wanted.not_after = rcgen::date_time_ymd(not_after, 1, 1);
    let key = rcgen::KeyPair::generate().expect("key");
    let certificate = wanted.self_signed(&key).expect("certificate");
    fs::create_dir_all(directory).expect("directory");
    fs::write(directory.join(format!("{name}.pem")), certificate.pem()).expect("cert");
    fs::write(directory.join(format!("{name}.key")), key.serialize_pem()).expect("key");
}

/// A directory with what the shipped files name beside them.
fn surroundings() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("directory");
    certificate(&directory.path().join("tls"), "site", 2099);
    certificate(&directory.path().join("tls"), "shop", 2099);
    fs::create_dir(directory.path().join("public")).expect("public");
    directory
}

fn parse_in(directory: &Path, text: &str) -> Result<Loaded, ConfigError> {
    parse(text, &directory.join("sheave.toml"), &environment)
}

fn accepted(text: &str) -> Config {
    match parse(text, Path::new("test.toml"), &environment) {
        Ok(loaded) => loaded.config,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn every_mistake_is_told_well() {
    let mut settings = Settings::clone_current();
    settings.set_snapshot_path("config_errors");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let files = toml_files("tests/config_errors");
    assert!(files.len() >= 30);
    for path in files {
        let text = fs::read_to_string(&path).expect("text");
        let name = path.file_stem().and_then(|it| it.to_str()).expect("name");
        let file = format!("{name}.toml");
        let error = parse(&text, Path::new(&file), &environment).expect_err(name);
        assert!(!error.unreadable);
        for found in &error.diagnostics {
            assert!(found.line >= 1 && found.column >= 1, "{found}");
            assert!(found.hint.as_deref() != Some(""), "{found}");
        }
        settings.bind(|| insta::assert_snapshot!(name, error.to_string()));
    }
}

#[test]
fn every_file_we_ship_loads_without_a_warning() {
    let directory = surroundings();
    let mut files = toml_files("config");
    files.extend(toml_files("config/recipes"));
    files.extend(toml_files("tests/contract"));
    assert!(files.len() >= 9);
    for path in files {
        let copy = directory.path().join(path.file_name().expect("name"));
        fs::copy(&path, &copy).expect("copy");
        match load(&copy) {
            Ok(loaded) => assert_eq!(loaded.warnings, [], "{}", path.display()),
            Err(error) => panic!("{error}"),
        }
    }
}

/// full.toml with the keys that are absent by default.
fn full_with_everything() -> String {
    let full = fs::read_to_string(root().join("config/full.toml")).expect("full.toml");
    let uncommented = |line: &str| match line.strip_prefix('#') {
        Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase()) => key.to_owned(),
        _ => line.to_owned(),
    };
    let text: Vec<_> = full.lines().map(uncommented).collect();
    // The one key that needs another value beside it.
    text.join("\n").replace("strategy = \"round_robin\"", "strategy = \"consistent_hash\"")
}

#[test]
fn full_toml_has_every_key() {
    let directory = surroundings();
    let loaded = parse_in(directory.path(), &full_with_everything());
    let loaded = loaded.unwrap_or_else(|error| panic!("{error}"));
    // `retry` is written out at the upstream; a route's is the same table.
    let missing: Vec<_> =
        loaded.defaulted.iter().filter(|key| !key.starts_with("site[].route[].retry.")).collect();
    assert_eq!(missing, Vec::<&String>::new());
}

/// As full.toml, with nothing but what is required.
const MINIMAL: &str = r#"
[listener.http]
address = "127.0.0.1:8080"
[upstream.app]
servers = [{ address = "127.0.0.1:3001" }]
[[site]]
[[site.route]]
path = "/old/*"
redirect = { to = "https://{host}{uri}" }
[[site.route]]
path = "/hello"
respond = {}
[[site.route]]
path = "/static/*"
files = { root = "public" }
[[site.route]]
upstream = "app"
[access_log]
"#;

#[test]
fn full_toml_is_the_defaults() {
    let full = fs::read_to_string(root().join("config/full.toml")).expect("full.toml");
    assert_eq!(accepted(&full), accepted(MINIMAL));
}

#[test]
fn the_optional_tables_of_full_toml_are_the_defaults() {
    let directory = surroundings();
    let full = parse_in(directory.path(), &full_with_everything()).expect("full").config;
    let minimal = MINIMAL
        .replace(
            "[upstream.app]",
            "tls.certificates = [{ cert = \"tls/site.pem\", key = \"tls/site.key\" }]\n\
             [upstream.app]\nhealth_check = { host = \"app.internal\" }\n\
             strategy = \"consistent_hash\"",
        )
        .replace("[[site]]", "[[site]]\nhosts = [\"api.example.com\"]");
    let minimal = parse_in(directory.path(), &minimal).expect("minimal").config;
    assert_eq!(full.listeners, minimal.listeners);
    assert_eq!(full.upstreams, minimal.upstreams);
    assert_eq!(full.watched, minimal.watched);
    assert_eq!(full.watched.len(), 2);
}

#[test]
fn defaults_are_as_documented() {
    let config = accepted(MINIMAL);
    assert_eq!(config.upstreams[0].retry, Retry::default());
    let Action::Files(files) = &config.sites[0].routes[2].action else { panic!("files") };
    let expected = Files {
        root: "public".into(),
        index: vec!["index.html".into()],
        dotfiles: false,
        cache: Some(FileCache::default()),
    };
    assert_eq!(*files, expected);
    assert_eq!(config.admin.address, Some(([127, 0, 0, 1], 9900).into()));
    assert_eq!(config.sites[0].listeners, ["http"]);
    let names: Vec<_> = config.sites[0].routes.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["default:/old/*", "default:/hello", "default:/static/*", "default:/*"]);
}

#[test]
fn the_environment_fills_strings_and_numbers() {
    let config = accepted(
        r#"
        workers = "${SET_TO_SEVEN}"
        [listener.http]
        address = ":80${SET_TO_SEVEN}"
        [upstream.app]
        servers = [{ address = "${HOST:-a}:1", weight = "${SET_TO_SEVEN}", backup = "${B:-false}" }]
        [[site]]
        route = [{ upstream = "app" }]
        "#,
    );
    assert_eq!(config.workers.map(std::num::NonZeroUsize::get), Some(7));
    assert_eq!(config.listeners[0].address, "[::]:807".parse().expect("address"));
    assert_eq!(config.upstreams[0].servers[0].address, "a:1");
    assert_eq!(config.upstreams[0].servers[0].weight, 7);
}

#[test]
fn a_route_changes_only_what_it_says_of_its_upstreams_retry() {
    let config = accepted(
        r#"
        [listener.http]
        address = ":80"
        [upstream.app]
        servers = [{ address = "a:1" }]
        retry = { tries = 5, budget = "50%" }
        [[site]]
        route = [{ path = "/a", upstream = "app", retry = { tries = 1 } }, { upstream = "app" }]
        "#,
    );
    let expected = Retry { tries: 1, budget_percent: 50, ..Retry::default() };
    assert_eq!(config.sites[0].routes[0].retry, Some(expected));
    assert_eq!(config.sites[0].routes[1].retry, None);
}

#[test]
fn names_are_unique() {
    let config = accepted(
        r#"
        [listener.a]
        address = ":1"
        [listener.b]
        address = ":2"
        [[site]]
        listeners = ["a"]
        route = [{ methods = ["GET", "PUT"], respond = {} }, { respond = {} }]
        [[site]]
        listeners = ["b"]
        route = [{ name = "default:/*", respond = {} }]
        "#,
    );
    let sites: Vec<_> = config.sites.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(sites, ["default", "default-2"]);
    let routes = config.sites.iter().flat_map(|it| &it.routes).map(|it| it.name.as_str());
    assert_eq!(routes.collect::<Vec<_>>(), ["default:/*:GET,PUT", "default:/*", "default:/*-2"]);
}

#[test]
fn certificates_are_tried_before_they_are_needed() {
    let directory = surroundings();
    let tls = directory.path().join("tls");
    certificate(&tls, "old", 2002);
    fs::write(tls.join("empty.pem"), "no certificate\n").expect("write");
    let found = |cert: &str, key: &str| {
        let text = format!(
            "[listener.a]\naddress = \":0\"\n\
             tls.certificates = [{{ cert = \"tls/{cert}\", key = \"tls/{key}\" }}]\n\
             [[site]]\nroute = [{{ respond = {{}} }}]\n"
        );
        match parse_in(directory.path(), &text) {
            Ok(loaded) => loaded.warnings,
            Err(error) => error.diagnostics,
        }
    };
    assert_eq!(found("site.pem", "site.key"), []);
    for (cert, key, severity, message, column) in [
        ("site.pem", "shop.key", Severity::Error, "is not the key of", 49),
        ("old.pem", "old.key", Severity::Warning, "expired on", 30),
        ("empty.pem", "site.key", Severity::Error, "has no certificate", 30),
        ("site.pem", "site.pem", Severity::Error, "has no private key", 49),
        ("none.pem", "site.key", Severity::Error, "there is no file", 30),
        (".", "site.key", Severity::Error, "cannot be read", 30),
    ] {
        let found = found(cert, key);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].severity, severity);
        assert!(found[0].message.contains(message), "{}", found[0]);
        assert_eq!(found[0].line, 3);
        assert!(found[0].column.abs_diff(column) < 10, "{}", found[0]);
    }
}

#[test]
fn a_file_that_is_not_there_is_the_systems_fault() {
    let error = load(Path::new("nowhere/sheave.toml")).expect_err("nothing there");
    assert!(error.unreadable);
    assert_eq!(
        error.to_string(),
        "error: the config cannot be read: No such file or directory (os error 2)\n \
         --> nowhere/sheave.toml\n = hint: name another with `--config FILE`\n\n\
         1 error in nowhere/sheave.toml"
    );
}

#[test]
fn any_text_is_read_or_refused() {
    let full = fs::read_to_string(root().join("config/full.toml")).expect("full.toml");
    for end in (0..full.len()).filter(|end| full.is_char_boundary(*end)).step_by(7) {
        if let Err(error) = parse(&full[..end], Path::new("cut.toml"), &environment) {
            assert!(error.to_string().contains("-->"));
        }
    }
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_no_mistake() {
    let text = MINIMAL.replace('\n', "\r\n");
    assert_eq!(accepted(&format!("\u{feff}{text}")), accepted(MINIMAL));
    let wrong = parse("\u{feff}worker = 4\r\n", Path::new("a.toml"), &environment);
    let error = wrong.expect_err("unknown key").to_string();
    assert!(error.contains("1 | ") && !error.contains('\r'), "{error}");
}

proptest::proptest! {
    #[test]
    fn no_text_is_too_odd(text in "[\\[\\]{}\"'=.,#$ \n\r\tabxé€0-9_\\\\-]{0,80}") {
        if let Err(error) = parse(&text, Path::new("odd.toml"), &environment) {
            proptest::prop_assert!(error.to_string().contains("-->"));
        }
    }

    #[test]
    fn no_slip_is_too_odd(at in 0usize..8000, length in 0usize..40, slip in "[\\[\\]{}\"'=.é\n$]{0,3}") {
        let full = fs::read_to_string(root().join("config/full.toml")).expect("full.toml");
        let before: String = full.chars().take(at).collect();
        let after: String = full.chars().skip(at + length).collect();
        let text = format!("{before}{slip}{after}");
        if let Err(error) = parse(&text, Path::new("odd.toml"), &environment) {
            proptest::prop_assert!(error.to_string().contains("-->"));
        }
    }
}
