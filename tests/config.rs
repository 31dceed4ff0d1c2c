//! The config as a user meets it: the files we ship load, and every mistake is told well.

mod surroundings;

use insta::Settings;
use sheave::{
    config::{
        Action, Config, ConfigError, FileCache, FileFields, Files, ListenAddress, Loaded, Severity,
        load, parse,
    },
    settings::Retry,
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
    surroundings::files_of_tls(&directory.path().join("tls"));
    certificate(&directory.path().join("tls"), "ca", 2099);
    certificate(&directory.path().join("tls"), "proxy", 2099);
    surroundings::database(directory.path());
    fs::create_dir(directory.path().join("public")).expect("public");
    directory
}

fn parse_in(directory: &Path, text: &str) -> Result<Loaded, ConfigError> {
    parse(text, &directory.join("sheave.toml"), &environment)
}

fn listen(address: &str) -> ListenAddress {
    ListenAddress::Ip(address.parse().expect("address"))
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
            Ok(loaded) => {
                // One contract shows what is warned of on purpose.
                let is_meant = |it: &sheave::config::Diagnostic| {
                    path.ends_with("protocols.toml") && it.message.contains("are not verified")
                };
                let warnings: Vec<_> =
                    loaded.warnings.into_iter().filter(|it| !is_meant(it)).collect();
                assert_eq!(warnings, [], "{}", path.display());
            }
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
    // `retry` and `tls` are written out at the upstream, `geo` at the site; a route's, a server's and a
    // collector's are the same tables.
    // The slow log has the keys of the access log.
    let again = [
        "site[].route[].retry.",
        "site[].route[].geo.",
        "upstream.*.servers[].tls.",
        "otlp.tls.",
        "slow_log.",
    ];
    // These exclude `url`, and `path`.
    let instead = [
        "cache.*.redis.cluster",
        "cache.*.redis.sentinels",
        "cache.*.redis.master",
        "access_log.address",
        "access_log.syslog",
        "access_log.facility",
        "access_log.tag",
    ];
    let missing: Vec<_> = (loaded.defaulted.iter())
        .filter(|key| {
            !again.iter().any(|table| key.starts_with(table)) && !instead.contains(&key.as_str())
        })
        .collect();
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
path = "/cached/*"
upstream = "app"
cache = "main"
[[site.route]]
upstream = "app"
[cache.main]
[access_log]
[slow_log]
[metrics.custom.orders]
[otlp]
endpoint = "https://collector.internal:4318"
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
            "tls.certificates = \
             [{ cert = \"tls/site.pem\", key = \"tls/site.key\", ocsp = \"tls/site.ocsp\" }]\n\
             tls.ticket_keys = \"tls/ticket.keys\"\n\
             tls.client = { ca = \"tls/clients.pem\", crl = \"tls/revoked.pem\" }\n\
             proxy_protocol.from = [\"10.0.0.0/8\"]\n\
             [upstream.app]\nhealth_check = { host = \"app.internal\", grpc = \"\" }\n\
             tls = { ca = \"tls/ca.pem\", name = \"app.internal\", certificate = \
             \"tls/proxy.pem\", key = \"tls/proxy.key\", pin = \
             \"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\" }\n\
             proxy_protocol = \"v2\"\n\
             strategy = \"consistent_hash\"",
        )
        .replace("\"127.0.0.1:3001\" }", "\"127.0.0.1:3001\", tls.name = \"app-1.internal\" }")
        .replace(
            "[[site]]",
            "[[site]]\nhosts = [\"api.example.com\"]\ngeo.database = \"geo.mmdb\"\n\
             error_pages = { 404 = \"404.html\", 5xx = \"500.html\" }",
        )
        .replace("upstream = \"app\"", "upstream = \"app\"\ncompress = true")
        .replace("[otlp]", "[otlp]\ntls.ca = \"tls/ca.pem\"\nsample_always.slower_than = \"1s\"");
    let minimal = minimal
        + "[admin]\ntls.certificates = [{ cert = \"tls/site.pem\", key = \"tls/site.key\", ocsp = \
           \"tls/site.ocsp\" }]\ntls.client = { ca = \"tls/clients.pem\", crl = \"tls/revoked.pem\" }\n\
           access = [{ name = \"grafana\", token_file = \"tls/token\", role = \"read\" }]";
    let minimal = parse_in(directory.path(), &minimal).expect("minimal").config;
    assert_eq!(full.admin.tls, minimal.admin.tls);
    assert_eq!(full.admin.access[1], minimal.admin.access[0]);
    assert_eq!(full.listeners, minimal.listeners);
    assert_eq!(full.upstreams, minimal.upstreams);
    let compress = |it: &Config| it.sites[0].routes.last().expect("a route").compress.clone();
    assert_eq!(compress(&full), compress(&minimal));
    assert!(compress(&full).is_some());
    assert_eq!(full.otlp, minimal.otlp);
    assert_eq!(full.watched, minimal.watched);
    assert_eq!(full.watched.len(), 11);
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
        listing: None,
        precompressed: false,
        fields: FileFields::default(),
        try_files: Vec::new(),
        missing: 404,
        cache: Some(FileCache::default()),
    };
    assert_eq!(*files, expected);
    assert_eq!(config.admin.address, Some(listen("127.0.0.1:9900")));
    assert_eq!(config.sites[0].listeners, ["http"]);
    let names: Vec<_> = config.sites[0].routes.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "default:/old/*",
            "default:/hello",
            "default:/static/*",
            "default:/cached/*",
            "default:/*"
        ]
    );
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
    assert_eq!(config.listeners[0].address, listen("[::]:807"));
    assert_eq!(config.upstreams[0].servers[0].address, "a:1");
    assert_eq!(config.upstreams[0].servers[0].terms.weight, 7);
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

/// Of X.509 v1, as OpenSSL makes one that is told of no extension; for a hundred years.
const V1: &str = "\
-----BEGIN CERTIFICATE-----
MIIBFzCBvwIUSRiXRamI5mWHxJEOl9OmeohxBQ8wCgYIKoZIzj0EAwIwDjEMMAoG
A1UEAwwDb2xkMCAXDTI2MTEyODA0NTEyNloYDzIxMjYxMTA0MDQ1MTI2WjAOMQww
CgYDVQQDDANvbGQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASKcXGEF/ZHh+JS
SqthauMZOMZICjBGFuZsYioArkHP0KpXD39m6mmKzlC7LzbUdwz9clKkUd8a//K3
aIK0BGOaMAoGCCqGSM49BAMCA0cAMEQCIGFyLO9MXtmuJ9eG5VVDj2sv3OGyG3Ok
23IhRxFWnbJ4AiAOqpwANSacr0CrypAbM3X3S4ie2Y0NHoU75/bPEI7y1A==
-----END CERTIFICATE-----
";

/// What is found with these files: how bad it is, and where and what it is.
fn found_with(directory: &Path, cert: &str, key: &str) -> String {
    let tls = directory.join("tls");
    fs::write(tls.join("some.pem"), cert).expect("cert");
    fs::write(tls.join("some.key"), key).expect("key");
    let text = "[listener.a]\naddress = \":0\"\n\
                tls.certificates = [{ cert = \"tls/some.pem\", key = \"tls/some.key\" }]\n\
                [[site]]\nroute = [{ respond = {} }]\n";
    let found = match parse_in(directory, text) {
        Ok(loaded) => loaded.warnings,
        Err(error) => error.diagnostics,
    };
    let all = found.iter().map(|it| format!("{:?}: {}", it.severity, it.message));
    let directory = format!("{}/", directory.display());
    all.collect::<Vec<_>>().join("; ").replace(&directory, "")
}

/// A key, a way to certificates for it, and the certificate of who issues them.
struct Issued {
    key: rcgen::KeyPair,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    issuer_pem: String,
}

impl Issued {
    fn new() -> Self {
        let root = rcgen::KeyPair::generate().expect("key");
        let mut authority = rcgen::CertificateParams::new(Vec::new()).expect("no names");
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        authority.distinguished_name.push(rcgen::DnType::CommonName, "Issuer");
        let issuer_pem = authority.self_signed(&root).expect("certificate").pem();
        let issuer = rcgen::Issuer::new(authority, root);
        Self { key: rcgen::KeyPair::generate().expect("key"), issuer, issuer_pem }
    }

    fn leaf(&self, change: impl FnOnce(&mut rcgen::CertificateParams)) -> String {
        let mut wanted = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).expect("name");
        change(&mut wanted);
        wanted.signed_by(&self.key, &self.issuer).expect("certificate").pem()
    }
}

/// Without some of its lines.
fn without(pem: &str, lines: std::ops::Range<usize>) -> String {
    let left = pem.lines().enumerate().filter(|(index, _)| !lines.contains(index));
    left.flat_map(|(_, line)| [line, "\n"]).collect()
}

#[test]
fn every_certificate_of_a_chain_and_the_order_are_looked_at() {
    let directory = surroundings();
    let issued = Issued::new();
    let good = issued.leaf(|_| {});
    let ca = issued.issuer_pem.as_str();
    let other = fs::read_to_string(directory.path().join("tls/site.pem")).expect("the other");
    let block = |base64: &str| {
        format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n")
    };
    let cut = without(ca, 3..6);
    let key = issued.key.serialize_pem();
    let found = |cert: &str| found_with(directory.path(), cert, &key);
    assert_eq!(found(&good), "");
    assert_eq!(found(&[&good, ca].concat()), "");
    assert_eq!(
        found(&[&good, &*block("AAAA")].concat()),
        "Error: certificate 2 of 2 in `tls/some.pem` is damaged, or is none"
    );
    assert_eq!(
        found(&[&good, &*cut].concat()),
        "Error: certificate 2 of 2 in `tls/some.pem` is cut off"
    );
    let half = &ca[..ca.len() / 2];
    assert_eq!(
        found(&[&good, half].concat()),
        "Error: `tls/some.pem` is cut off: `-----END CERTIFICATE-----` is missing"
    );
    assert_eq!(
        found(&[&good, &*block("%%%%")].concat()),
        "Error: `tls/some.pem` is damaged: a PEM block in it is not base64"
    );
    assert_eq!(
        found(&[ca, &good].concat()),
        "Error: `tls/some.pem` begins with another certificate than the server's own, which is number 2"
    );
    assert_eq!(
        found(&[&*good, &other, ca].concat()),
        "Warning: certificate 2 of 3 in `tls/some.pem` is not the issuer of the one before it, \
         which is `CN=Issuer`"
    );
    assert_eq!(found(V1), "Error: `tls/some.pem` is an X.509 v1 certificate");
}

#[test]
fn a_certificate_is_warned_of_before_its_end_and_before_its_beginning() {
    let directory = surroundings();
    let issued = Issued::new();
    let key = issued.key.serialize_pem();
    let found = |cert: &str| found_with(directory.path(), cert, &key);
    let now = jiff::Timestamp::now();
    let day = |days: i32| {
        let date = (now + jiff::SignedDuration::from_hours(24 * i64::from(days)))
            .to_zoned(jiff::tz::TimeZone::UTC);
        rcgen::date_time_ymd(date.year().into(), date.month() as u8, date.day() as u8)
    };
    let ends = |days| issued.leaf(|wanted| wanted.not_after = day(days));
    assert_eq!(found(&ends(16)), "");
    assert!(found(&ends(10)).ends_with(", in 9 days"), "{}", found(&ends(10)));
    let begins = issued.leaf(|wanted| wanted.not_before = day(3));
    assert!(found(&begins).starts_with("Warning: `tls/some.pem` is not valid before "));
}

#[test]
fn what_is_no_private_key_is_called_what_it_is() {
    let directory = surroundings();
    let read =
        |name: &str| fs::read_to_string(directory.path().join("tls").join(name)).expect(name);
    let (cert, key) = (read("site.pem"), read("site.key"));
    let block = |kind: &str, base64: &str| {
        format!("-----BEGIN {kind}-----\n{base64}\n-----END {kind}-----\n")
    };
    let shorter = without(&key, 2..3);
    for (key, what) in [
        (block("ENCRYPTED PRIVATE KEY", "AAAA"), "is an encrypted private key"),
        (
            block("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0\n\nAAAA"),
            "is an encrypted private key",
        ),
        (key[..key.len() / 2].to_owned(), "is cut off: `-----END PRIVATE KEY-----` is missing"),
        (key.replace('\n', ""), "is cut off: `-----END PRIVATE KEY-----` is missing"),
        (shorter, "is cut off: the key in it is longer than what is there"),
        (cert.clone(), "has no private key, but a certificate"),
        (block("PUBLIC KEY", "AAAA"), "has no private key, but a public one"),
        (block("OPENSSH PRIVATE KEY", "AAAA"), "is a key of SSH"),
        ("0\u{2}".to_owned(), "is DER and no PEM file"),
        (String::new(), "has no private key"),
    ] {
        let found = found_with(directory.path(), &cert, &key);
        assert_eq!(found, format!("Error: `tls/some.key` {what}"));
    }
}

#[test]
fn the_files_of_client_certificates_are_tried_before_they_are_needed() {
    let directory = surroundings();
    let tls = directory.path().join("tls");
    let write = |name: &str, text: &str| fs::write(tls.join(name), text).expect(name);
    let read = |name: &str| fs::read_to_string(tls.join(name)).expect(name);
    let found = || {
        let text = "[listener.a]\naddress = \":0\"\n\
             tls.certificates = [{ cert = \"tls/site.pem\", key = \"tls/site.key\" }]\n\
             tls.client = { ca = \"tls/clients.pem\", crl = \"tls/revoked.pem\" }\n\
             [[site]]\nroute = [{ respond = {} }]\n";
        let found = match parse_in(directory.path(), text) {
            Ok(loaded) => loaded.warnings,
            Err(error) => error.diagnostics,
        };
        let all = found.iter().map(|it| format!("{:?}: {}", it.severity, it.message));
        let here = format!("{}/", directory.path().display());
        all.collect::<Vec<_>>().join("; ").replace(&here, "")
    };
    assert_eq!(found(), "");
    let (ca, list) = (read("clients.pem"), read("revoked.pem"));
    write("revoked.pem", "none");
    assert_eq!(found(), "Error: `tls/revoked.pem` has no list of revoked certificates");
    write("revoked.pem", &list[..list.len() / 2]);
    assert_eq!(found(), "Error: `tls/revoked.pem` is cut off: `-----END X509 CRL-----` is missing");
    write("revoked.pem", "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n");
    assert!(found().contains("Error: `tls/revoked.pem` can't be used: "), "{}", found());
    write("revoked.pem", &list);
    write("clients.pem", &[&*ca, &read("site.pem")].concat());
    assert!(found().starts_with("Warning: `tls/revoked.pem` has no list of `CN="), "{}", found());
    write("clients.pem", &without(&ca, 3..4));
    assert_eq!(found(), "Error: certificate 1 of 1 in `tls/clients.pem` is damaged, or is none");
    write("clients.pem", "");
    assert_eq!(found(), "Error: `tls/clients.pem` has no certificate");
    fs::remove_file(tls.join("clients.pem")).expect("gone");
    assert_eq!(found(), "Error: there is no file `tls/clients.pem`");
}

#[test]
fn ticket_keys_are_tried_before_they_are_needed() {
    use std::os::unix::fs::PermissionsExt;
    let directory = surroundings();
    let path = directory.path().join("tls/ticket.keys");
    let found = |text: &str, mode: u32| {
        fs::write(&path, text).expect("keys");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode");
        let text = "[listener.a]\naddress = \":0\"\n\
             tls.certificates = [{ cert = \"tls/site.pem\", key = \"tls/site.key\" }]\n\
             tls.ticket_keys = \"tls/ticket.keys\"\n\
             [[site]]\nroute = [{ respond = {} }]\n";
        let found = match parse_in(directory.path(), text) {
            Ok(loaded) => loaded.warnings,
            Err(error) => error.diagnostics,
        };
        let all = found.iter().map(|it| format!("{:?}: {}", it.severity, it.message));
        let here = format!("{}/", directory.path().display());
        all.collect::<Vec<_>>().join("; ").replace(&here, "")
    };
    let key = "5a".repeat(32);
    assert_eq!(found(&key, 0o640), "");
    assert_eq!(found(&key, 0o644), "Warning: everybody on this machine can read `tls/ticket.keys`");
    assert_eq!(
        found(&key[1..], 0o600),
        "Error: `tls/ticket.keys` has 63 characters on line 1, and a key has 64"
    );
    assert_eq!(found("", 0o600), "Error: `tls/ticket.keys` has no key");
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
