//! Generated configs and requests.

use crate::rig::chance::Chance;
use serde_json::{Value, json};
use std::{fmt::Write, path::Path};

macro_rules! ten_times {
    ($text:expr) => {
        concat!($text, $text, $text, $text, $text, $text, $text, $text, $text, $text)
    };
}

const LISTENERS: [&str; 3] = ["a", "b", "c"];

/// What the certificate of the listener with TLS is for, and what clients ask it for.
pub const COVERED: [&str; 2] = [SNI, "*.shop.example"];
pub const SNI: &str = "a.example";

const HOSTS: [&str; 8] = [
    "c.example",
    "a.example",
    "b.example",
    "*.example",
    "*.shop.example",
    "www.shop.example",
    "127.0.0.1",
    "[::1]",
];

/// Enough to be compressed by default.
const LONG: &str = ten_times!(ten_times!("as long as it has to be; "));

const PATHS: [&str; 16] = [
    "/",
    "/*",
    "/a",
    "/a/*",
    "/a/b/*",
    "/b",
    "/b/*",
    "/api/*",
    "/api/v1",
    "/api/v1/*",
    "*.css",
    "*.min.css",
    "/a b/*",
    "/é/*",
    "/x.css",
    "/a/",
];

/// A config with its routes apart, so that some can be left out.
#[derive(Clone)]
pub struct CaseConfig {
    top: String,
    /// Whether the last listener speaks TLS.
    secure: bool,
    /// The head of each site, and its routes.
    sites: Vec<(String, Vec<String>)>,
    rest: String,
}

impl CaseConfig {
    /// One that is enough to start with.
    pub fn simple() -> Self {
        let route = "respond = { status = 204 }\nname = \"r\"".to_owned();
        Self {
            top: String::new(),
            secure: false,
            sites: vec![(String::new(), vec![route])],
            rest: String::new(),
        }
    }

    pub fn text(&self) -> String {
        let mut text = format!("workers = 2\n{}\n", self.top);
        for name in LISTENERS {
            let _ = writeln!(text, "[listener.{name}]\naddress = \"127.0.0.1:0\"");
        }
        if self.secure {
            text += "tls.certificates = [{ cert = \"c.pem\", key = \"c.key\" }]\n";
        }
        text += &self.rest;
        for (head, routes) in &self.sites {
            let _ = writeln!(text, "[[site]]\n{head}");
            for route in routes {
                let _ = writeln!(text, "[[site.route]]\n{route}");
            }
        }
        text + "[admin]\naddress = \"127.0.0.1:0\"\n[log]\nlevel = \"info\"\nformat = \"json\"\n\
                [access_log]\npath = \"access.log\"\nformat = \"json\"\n"
    }

    /// A config that is valid; the last address has nobody.
    pub fn generate(chance: &mut Chance, addresses: &[String]) -> Self {
        loop {
            let config = Self::draw(chance, addresses);
            if sheave::config::parse(&config.text(), Path::new("case.toml"), &|_| None).is_ok() {
                return config;
            }
        }
    }

    fn draw(chance: &mut Chance, addresses: &[String]) -> Self {
        let mut top = String::new();
        if chance.one_in(2) {
            let trusted = chance.pick(&[
                "\"127.0.0.0/8\", \"10.0.0.0/8\"",
                "\"127.0.0.1\"",
                "\"10.0.0.0/8\"",
            ]);
            let _ = writeln!(top, "trusted_proxies = [{trusted}]");
        }
        if chance.one_in(3) {
            let fields = chance.pick(&["any", "x_forwarded", "forwarded"]);
            let _ = writeln!(top, "trusted_fields = \"{fields}\"");
        }
        let mut rest = String::from("[cache.main]\nmemory = \"64MiB\"\n");
        for name in ["u0", "u1", "u2"] {
            rest += &upstream(chance, name, addresses);
        }
        let mut number = 0;
        let mut free = HOSTS.to_vec();
        let sites = 1 + chance.below(3);
        let sites = (0..=sites).map(|site| {
            let is_default = site == 0 && !chance.one_in(6);
            let hosts: Vec<_> =
                (0..=chance.below(2)).map(|_| free.remove(chance.below(free.len()))).collect();
            let mut head = format!("name = \"site{site}\"\n");
            if !is_default {
                let _ = writeln!(head, "hosts = {hosts:?}");
                if chance.one_in(3) {
                    let _ = writeln!(head, "listeners = [\"{}\"]", chance.pick(&LISTENERS));
                }
            }
            if chance.one_in(8) {
                head += &geo(chance);
            }
            let routes = (0..=chance.below(5)).map(|_| {
                number += 1;
                let path = chance.pick(&PATHS);
                route(chance, number, path)
            });
            let mut routes: Vec<_> = routes.collect();
            if !chance.one_in(3) {
                routes.push(route(chance, 100 + site, "/*"));
            }
            (head, routes)
        });
        let sites = sites.collect();
        Self { top, secure: chance.one_in(2), sites, rest }
    }

    /// Each with one route or site less.
    pub fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        for (site, (_, routes)) in self.sites.iter().enumerate() {
            for route in 0..routes.len() {
                let mut config = self.clone();
                config.sites[site].1.remove(route);
                config.sites.retain(|it| !it.1.is_empty());
                if sheave::config::parse(&config.text(), Path::new("case.toml"), &|_| None).is_ok()
                {
                    all.push(config);
                }
            }
        }
        all
    }
}

fn upstream(chance: &mut Chance, name: &str, addresses: &[String]) -> String {
    let strategy = chance.pick(&[
        "round_robin",
        "round_robin",
        "least_connections",
        "ip_hash",
        "random_two",
        "consistent_hash",
    ]);
    let mut text = format!("[upstream.{name}]\nstrategy = \"{strategy}\"\n");
    if strategy == "consistent_hash" && chance.one_in(2) {
        let key = chance.pick(&["{cookie.session}", "{uri}", "{header.x-key}{host}", "{path}"]);
        let _ = writeln!(text, "hash_key = \"{key}\"");
    }
    if chance.one_in(4) {
        text += "when_all_down = \"error\"\n";
    }
    text += "servers = [\n";
    let (dead, live) = addresses.split_last().expect("addresses");
    for address in live {
        if chance.one_in(4) && !text.ends_with("[\n") {
            continue;
        }
        let mut keys = String::new();
        if chance.one_in(3) {
            let _ = write!(keys, ", weight = {}", chance.below(4));
        }
        if chance.one_in(5) {
            keys += ", down = true";
        }
        if chance.one_in(4) {
            keys += ", backup = true";
        }
        if chance.one_in(6) {
            keys += ", max_conns = 1";
        }
        let _ = writeln!(text, "  {{ address = \"{address}\"{keys} }},");
    }
    if chance.one_in(4) {
        let _ =
            writeln!(text, "  {{ address = \"{dead}\", max_fails = 1, fail_timeout = \"1h\" }},");
    }
    text + "]\n"
}

fn geo(chance: &mut Chance) -> String {
    let keys = chance.pick(&[
        "allow = [\"GB\"], unknown = \"allow\"",
        "deny = [\"SE\"]",
        "deny = [\"GB\"], unknown = \"deny\"",
    ]);
    format!("geo = {{ database = \"geo.mmdb\", {keys} }}\n")
}

fn route(chance: &mut Chance, number: usize, path: &str) -> String {
    let mut text = format!("name = \"r{number}\"\n");
    let _ = writeln!(text, "path = \"{path}\"");
    if chance.one_in(3) {
        let methods =
            chance.pick(&["\"GET\"", "\"POST\", \"PUT\"", "\"DELETE\"", "\"GET\", \"BREW\""]);
        let _ = writeln!(text, "methods = [{methods}]");
    }
    match chance.below(10) {
        0 => {
            let to = chance.pick(&[
                "https://{host}{uri}",
                "{path}?x",
                "/moved{uri}",
                "//other{path}",
                "{uri}",
                "/{header.x-key}/{method}",
                "https://{host}/{scheme}/{client_ip}/{route}/{query}",
            ]);
            let status = chance.pick(&[301, 302, 307, 308]);
            let _ = writeln!(text, "redirect = {{ to = \"{to}\", status = {status} }}");
        }
        1 => {
            let body = chance.pick(&[
                "fixed",
                "{route} {path} {client_ip} {scheme}",
                "{cookie.session}",
                "{tls.sni} {tls.version} {tls.cipher}",
                "",
                LONG,
            ]);
            let status = chance.pick(&[200, 403, 503]);
            let _ = writeln!(text, "respond = {{ status = {status}, body = \"{body}\" }}");
        }
        2 | 3 => files(chance, &mut text, path),
        _ => forward(chance, &mut text, path),
    }
    if chance.one_in(2) {
        let compress = chance.pick(&[
            "true",
            "{ min_size = \"16B\" }",
            "{ min_size = \"1B\", codings = [\"gzip\", \"zstd\"] }",
        ]);
        let _ = writeln!(text, "compress = {compress}");
    }
    if chance.one_in(6) {
        text += "decompress = true\n";
    }
    if chance.one_in(6) {
        text += &geo(chance);
        text += "response_headers = { set = { x-country = \"{geo.country}\" } }\n";
    } else if chance.one_in(4) {
        text += "response_headers = { set = { x-route = \"{route}\" }, remove = [\"server\"] }\n";
    }
    text
}

fn strip_prefix(chance: &mut Chance, text: &mut String, path: &str) {
    let prefix = path.trim_end_matches(['*', '/']);
    if chance.one_in(3) && prefix.starts_with('/') && prefix.len() > 1 {
        let _ = writeln!(text, "strip_prefix = \"{prefix}\"");
    }
}

/// What is in the directory `www`.
pub const FILES: [(&str, &str); 11] = [
    ("index.html", "<h1>home</h1>"),
    ("a/index.html", LONG),
    ("a/x.css", "a{}"),
    ("b/c", "no type"),
    ("api/v1", LONG),
    ("x.css", LONG),
    ("x.css.gz", "newer, and taken for what it says"),
    ("y.min.css", LONG),
    ("a b", "with a space"),
    ("é", "accented"),
    (".hidden", "hidden"),
];

fn files(chance: &mut Chance, text: &mut String, path: &str) {
    let mut keys = String::from("root = \"www\"");
    let all = [
        "cache = false",
        "precompressed = true",
        "immutable = true, cache_control = { \"text/css\" = \"max-age=9\", \"*\" = \"no-cache\" }",
        "download = true",
        "dotfiles = true",
    ];
    for key in all {
        if chance.one_in(4) {
            keys.extend([", ", key]);
        }
    }
    if chance.one_in(3) {
        keys += chance.pick(&[", listing = \"html\"", ", listing = \"json\""]);
    }
    if chance.one_in(4) {
        keys += chance.pick(&[
            ", try_files = [\"{path}\", \"/index.html\"]",
            ", try_files = [\"{path}\", \"{path}.css\", 410]",
            ", try_files = [\"/{host}\", \"{path}/index.html\"]",
        ]);
    }
    let _ = writeln!(text, "files = {{ {keys} }}");
    strip_prefix(chance, text, path);
}

fn forward(chance: &mut Chance, text: &mut String, path: &str) {
    let _ = writeln!(text, "upstream = \"{}\"", chance.pick(&["u0", "u1", "u2"]));
    strip_prefix(chance, text, path);
    if chance.one_in(5) {
        let rewrite =
            chance.pick(&["/new{path}", "{path}?q=1", "/{host}{uri}", "/fixed", "/{header.x-key}"]);
        let _ = writeln!(text, "rewrite = \"{rewrite}\"");
    }
    if chance.one_in(3) {
        let edits = chance.pick(&[
            "set = { x-tenant = \"{host} {client_ip}\" }, remove = [\"cookie\"]",
            "add = { x-key = \"more\", x-new = \"{method}\" }",
            "set = { host = \"inside.example\", x-forwarded-for = \"{client_ip}\" }",
            "remove = [\"x-key\", \"via\"], set = { x-request-id = \"{request_id}-2\" }",
        ]);
        let _ = writeln!(text, "request_headers = {{ {edits} }}");
    }
    if chance.one_in(4) {
        let fields = chance.pick(&["forwarded", "both", "none", "x_forwarded"]);
        let _ = writeln!(text, "forwarded_fields = \"{fields}\"");
    }
    if chance.one_in(5) {
        *text += "cache = \"main\"\n";
    }
    if chance.one_in(6) {
        *text += "max_body = \"10B\"\n";
    }
}

fn segment(chance: &mut Chance) -> &'static str {
    if chance.one_in(6) { chance.pick(&ODD_SEGMENTS) } else { chance.pick(&SEGMENTS) }
}

/// A request.
#[derive(Clone, Debug)]
pub struct CaseRequest {
    pub listener: String,
    /// Whether by TLS.
    pub secure: bool,
    pub method: String,
    pub host: String,
    pub target: String,
    pub fields: Vec<(String, String)>,
    pub body: String,
}

const SEGMENTS: [&str; 8] =
    ["a", "b", "api", "v1", "x.css", "a%20b", "é", "very-long-name-0123456789"];

const ODD_SEGMENTS: [&str; 15] = [
    "..",
    ".",
    "%2e%2e",
    "%2E",
    "%61",
    "a%2Fb",
    "",
    "%20",
    "y.min.css",
    "%C3%A9",
    "%zz",
    "%00",
    "\\",
    "%5c",
    "%62",
];

const FIELDS: [(&str, &str); 31] = [
    ("Cookie", "session=abc; other=1"),
    ("Cookie", "session=def"),
    ("X-Key", "one"),
    ("X-Key", "two words"),
    ("x_key", "underscore"),
    ("Accept", "*/*"),
    ("Accept-Encoding", "gzip, br;q=0.5"),
    ("Authorization", "Bearer x"),
    ("X-Forwarded-For", "192.0.2.1"),
    ("X-Forwarded-For", "2.125.160.216"),
    ("X-Forwarded-For", "89.160.20.112"),
    ("X-Forwarded-For", "192.0.2.9, 10.0.0.1, 127.0.0.3"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "told.example"),
    ("X-Real-IP", "192.0.2.7"),
    ("Forwarded", "for=192.0.2.5;proto=https;host=told.example"),
    ("Via", "1.0 before"),
    ("Connection", "x-key"),
    ("TE", "trailers"),
    ("Max-Forwards", "0"),
    ("Max-Forwards", "3"),
    ("Cache-Control", "no-cache"),
    ("Cache-Control", "only-if-cached"),
    ("If-None-Match", "\"x\""),
    ("If-None-Match", "*"),
    ("If-Modified-Since", "Fri, 31 Dec 2100 23:59:59 GMT"),
    ("Accept-Encoding", "zstd, br, gzip"),
    ("Accept-Encoding", "identity"),
    ("Range", "bytes=1-,0-0"),
    ("Range", "bytes=0-3"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
];

impl CaseRequest {
    pub fn generate(chance: &mut Chance, config: &CaseConfig) -> Self {
        let method = chance.mostly(
            3,
            "GET",
            &["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW", "CONNECT"],
        );
        let host = chance.mostly(
            2,
            "a.example",
            &[
                "b.example",
                "A.Example",
                "x.example:81",
                "deep.www.shop.example.",
                "www.shop.example",
                "127.0.0.1:8080",
                "[::1]",
                "[0:0::1]:80",
                "else.where",
                "a b",
                "a.example:99999",
                "www.shop.example:",
                "x.shop.example",
            ],
        );
        let mut target = String::new();
        for _ in 0..chance.below(5) {
            target.extend(["/", segment(chance)]);
        }
        if target.is_empty() || chance.one_in(8) {
            target.push('/');
        }
        if chance.one_in(4) {
            target += chance.pick(&["?q=1", "?", "?a=b&c=d%20e", "?x=/../y"]);
        }
        let mut fields: Vec<(String, String)> = Vec::new();
        for _ in 0..chance.below(5) {
            let (name, value) = chance.pick(&FIELDS);
            fields.push((name.into(), value.into()));
        }
        if chance.one_in(3) {
            let codings = chance.pick(&["gzip, deflate, br, zstd", "gzip", "br;q=0.1, gzip", "*"]);
            fields.push(("Accept-Encoding".into(), codings.into()));
        }
        if chance.one_in(40) {
            fields.push(("Host".into(), "second.example".into()));
        }
        let has_body = matches!(method, "POST" | "PUT" | "PATCH") && chance.one_in(2);
        let body = if has_body { chance.pick(&["short", "longer than ten bytes"]) } else { "" };
        let listener = chance.pick(&LISTENERS);
        Self {
            listener: listener.into(),
            secure: config.secure && listener == LISTENERS[2],
            method: method.into(),
            host: host.into(),
            target,
            fields,
            body: body.into(),
        }
    }

    /// As it is asked at `/explain`.
    pub fn question(&self, id: &str) -> Value {
        let mut fields = vec![["Host".to_owned(), self.host.clone()]];
        fields.extend(self.sent(id).into_iter().map(|(name, value)| [name, value]));
        json!({
            "method": self.method,
            "url": format!("{}://{SNI}{}", if self.secure { "https" } else { "http" }, self.target),
            "fields": fields,
            "listener": self.listener,
        })
    }

    fn sent(&self, id: &str) -> Vec<(String, String)> {
        let mut fields = self.fields.clone();
        fields.push(("X-Request-Id".into(), id.into()));
        if !self.body.is_empty() {
            fields.push(("Content-Length".into(), self.body.len().to_string()));
        }
        fields
    }

    /// As a client sends it.
    pub fn bytes(&self, id: &str) -> Vec<u8> {
        let mut text =
            format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.target, self.host);
        for (name, value) in self.sent(id) {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        (text + "\r\n" + &self.body).into_bytes()
    }

    /// Each with one thing less.
    pub fn smaller(&self) -> Vec<Self> {
        let fields = (0..self.fields.len()).map(|at| {
            let mut request = self.clone();
            request.fields.remove(at);
            request
        });
        let query = self
            .target
            .split_once('?')
            .map(|(path, _)| Self { target: path.into(), ..self.clone() });
        let body = (!self.body.is_empty()).then(|| Self { body: String::new(), ..self.clone() });
        fields.chain(query).chain(body).collect()
    }
}
