//! `servers = [{ … }]` of an upstream: one address and its limits.

use super::{
    Place, ServerTls, server_address::ServerAddress, server_tls::is_verifiable, table::Table,
    tree::TextValue,
};
use crate::settings::ServerTerms;
use std::path::PathBuf;

/// One address in an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// `address`: `"host:port"`, `"1.2.3.4:80"`, `"[::1]:80"` or `"unix:app.sock"`, syntactically
    /// valid. Of `"https://host"` it is `"host:443"`.
    pub address: String,
    /// Where it stands.
    pub place: Place,
    /// The path of a Unix socket; relative paths are taken from the config file's directory and
    /// stored joined.
    pub socket: Option<PathBuf>,
    /// `tls`, or else the upstream's; `https://` is the same as `tls = {}`. Its `name` is filled
    /// in.
    pub tls: Option<ServerTls>,
    /// The rest.
    pub terms: ServerTerms,
}

impl Server {
    /// Reads one of `servers` of an upstream with this `tls`.
    pub(super) fn read(table: &Table<'_>, upstream_tls: Option<&ServerTls>) -> Self {
        let address = table.required_text("address", "\"127.0.0.1:3001\"");
        let place = address.map(|text| ServerAddress::read(table, text)).unwrap_or_default();
        let tls = read_tls(table, (&place, address), upstream_tls);
        Self {
            address: place.text,
            place: table.place(),
            socket: place.socket,
            tls,
            terms: read_terms(table),
        }
    }
}

fn read_terms(table: &Table<'_>) -> ServerTerms {
    let default = ServerTerms::default();
    ServerTerms {
        weight: table.number("weight", default.weight, 0..=1000),
        max_fails: table.number("max_fails", default.max_fails, 0..=1_000_000),
        fail_timeout: table.positive_duration("fail_timeout", default.fail_timeout),
        fail_share: table.percent("fail_share", default.fail_share),
        max_conns: table.number("max_conns", default.max_conns, 0..=u64::from(u32::MAX)),
        backup: table.boolean("backup", default.backup),
        down: table.boolean("down", default.down),
    }
}

/// The server's own `tls`, or else the upstream's, with the name that its certificate must have.
fn read_tls(
    table: &Table<'_>,
    (place, address): (&ServerAddress, Option<&TextValue>),
    upstream_tls: Option<&ServerTls>,
) -> Option<ServerTls> {
    let own = table.optional_table("tls").map(|it| ServerTls::read(&it));
    if place.tls == Some(false) {
        if own.is_some() {
            let hint = Some("write `https://`, or leave `tls` out".into());
            table.error(table.key_span("tls"), "`tls` beside an address with `http://`", hint);
        }
        return None;
    }
    let mut tls = match own.or_else(|| upstream_tls.cloned()) {
        None if place.tls == Some(true) => ServerTls::default(),
        tls => tls?,
    };
    if tls.name.is_none() {
        tls.name = match place.host() {
            Some(host) if is_verifiable(host) => Some(host.to_owned()),
            // Whoever it is, some name is sent.
            None if tls.insecure => Some("localhost".into()),
            _ => {
                // A wrong address was reported.
                if let Some(text) = address.filter(|_| place.host() != Some("")) {
                    let message = "no certificate can be for this address";
                    let hint = Some("add `tls.name`: what the server's certificate is for".into());
                    table.error(text.span.clone(), message, hint);
                }
                None
            }
        };
    }
    Some(tls)
}
