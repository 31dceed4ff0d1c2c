//! What the demo writes: its config, and the guide that is printed.
//!
//! Owns: the words. May touch: nothing outside this room.

use super::{DemoPlace, servers::Servers};
use std::{
    env,
    fmt::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

/// Everything that the texts name.
#[derive(Clone, Debug)]
pub struct DemoPlaces {
    /// The proxy, plain.
    pub http: DemoPlace,
    /// The proxy, TLS.
    pub https: DemoPlace,
    /// The admin address.
    pub admin: DemoPlace,
    /// What is behind the proxy.
    pub servers: Servers,
    /// Where the files are.
    pub directory: PathBuf,
}

impl DemoPlaces {
    /// The config file.
    pub fn config(&self) -> PathBuf {
        self.directory.join("sheave.toml")
    }
}

/// The config, with comments for its first reader.
pub fn config(places: &DemoPlaces) -> String {
    let [first, second, third] = places.servers.addresses;
    format!(
        r#"# The demo's config. Change it while the demo runs: it is read again as soon as you save.
# A mistake changes nothing but the demo's log. Every key: config/full.toml.
shutdown_timeout = "5s"

[listener.http]
address = "{http}"

[listener.https]
address = "{https}"
tls.certificates = [{{ cert = "localhost.pem", key = "localhost.key" }}]

[upstream.demo]
strategy = "round_robin"  # or least_connections, ip_hash, random_two, consistent_hash
servers = [
  {{ address = "{first}", weight = 1, fail_timeout = "1s" }},
  {{ address = "{second}", weight = 1, fail_timeout = "1s" }},
  {{ address = "{third}", weight = 1, fail_timeout = "1s" }},
]
# Often, so that a server that comes back is seen at once.
health_check = {{ path = "/health", interval = "500ms", timeout = "250ms", fall = 1, rise = 1 }}

[[site]]

# The first route that matches wins.
[[site.route]]
path = "/hello"
respond.body = "Hello {{client_ip}}, this is sheave itself.\n"

[[site.route]]
path = "/*"
upstream = "demo"
response_headers.set = {{ "X-Server" = "{{server}}" }}

[access_log]
path = "access.log"

[admin]
address = "{admin}"
"#,
        http = places.http.address,
        https = places.https.address,
        admin = places.admin.address,
    )
}

/// What to try, in this order.
pub fn guide(places: &DemoPlaces) -> String {
    let (http, https) = (reachable(places.http.address), reachable(places.https.address));
    let (admin, control) = (reachable(places.admin.address), places.servers.control);
    let directory = places.directory.display();
    let program = env::current_exe().unwrap_or_else(|_| "sheave".into());
    let program = program.display();
    let mut text = format!(
        "
sheave is running, in front of three small servers of its own.

  http     http://{http}
  https    https://{https}
  admin    http://{admin}
  servers  http://{control}
  config   {directory}/sheave.toml
  log      {directory}/access.log
"
    );
    let places = [places.http, places.https, places.admin];
    let taken: Vec<_> = places.iter().filter_map(|it| Some(it.instead_of?.to_string())).collect();
    if !taken.is_empty() {
        text.push_str("\nOther programs have the usual ports ");
        text.push_str(&taken.join(", "));
        text.push_str(", so these are free ones.\n");
    }
    // Writing to a string can't fail.
    let _ = write!(
        text,
        r#"
Try, in another terminal:

  1. Ask a few times: the servers take turns.
       for i in 1 2 3 4 5 6; do curl -s http://{http}/any/path; done

  2. The same with TLS and HTTP/2. The certificate was made just now, hence -k.
       curl -k https://{https}/

  3. Stop a server, and see that nobody notices: two hundred times 200.
       curl http://{control}/stop/2
       for i in $(seq 200); do curl -s -o /dev/null -w '%{{http_code}}\n' http://{http}/; done | sort | uniq -c

  4. Look at it from inside. For a browser, http://{admin} is a dashboard.
       {program} status --admin {admin}
       {program} explain http://{http}/any/path --admin {admin}
       curl http://{admin}/upstreams
       curl -s http://{admin}/metrics | grep ^sheave_upstream_up

  5. Start the server again: within a second it takes its turn.
       curl http://{control}/start/2

  6. Give a server another weight in the config, save, and ask again.
       "${{EDITOR:-vi}}" {directory}/sheave.toml

Ctrl-C ends the demo and removes its files.

"#
    );
    text
}

/// An address that a client can use: in place of "every address of the machine", this machine's
/// own.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
