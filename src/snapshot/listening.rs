//! What a listener's connections need, from its config.
//!
//! Owns: reading its certificates. May touch: [`crate::config`], [`crate::route`], [`crate::tls`];
//! certificate files. Called by [`super::build`].

use super::{ListenerParts, Snapshot, TlsParts, live::Resources};
use crate::{
    config,
    route::Sites,
    tls::{self, Certificates, Clients, ClientsFiles, Pair, TlsError},
};
use std::sync::Arc;

/// The parts of one listener. If it is `unchanged`, its files are not read again.
pub(super) fn parts(
    listener: &config::Listener,
    sites: Sites,
    unchanged: Option<&ListenerParts>,
    resources: &Resources,
) -> Result<ListenerParts, TlsError> {
    let tls = match unchanged {
        Some(unchanged) => unchanged.tls.clone(),
        None => listener.tls.as_ref().map(|tls| tls_parts(tls, resources)).transpose()?,
    };
    Ok(ListenerParts {
        name: listener.name.as_str().into(),
        sites,
        limits: listener.limits,
        timeouts: listener.timeouts.clone(),
        proxy_protocol: listener.proxy_protocol.clone(),
        tls,
    })
}

/// The TLS side of the admin address.
pub(super) fn admin_tls(
    admin: &config::Admin,
    unchanged: Option<&Snapshot>,
    resources: &Resources,
) -> Result<Option<TlsParts>, TlsError> {
    match unchanged {
        Some(unchanged) => Ok(unchanged.admin_tls.clone()),
        None => admin.tls.as_ref().map(|tls| tls_parts(tls, resources)).transpose(),
    }
}

fn tls_parts(tls: &config::Tls, resources: &Resources) -> Result<TlsParts, TlsError> {
    let pairs = tls.certificates.iter().map(|it| Pair {
        chain: &it.cert,
        key: &it.key,
        staple: it.ocsp.as_deref(),
    });
    let certificates = Arc::new(Certificates::read(pairs)?);
    let clients = tls.client.as_ref().map(|it| {
        let crl = it.crl.as_deref();
        Clients::read(ClientsFiles { ca: &it.ca, crl, required: it.required })
    });
    let clients = clients.transpose()?;
    let trust = clients.as_ref().map(Clients::trust);
    let tickets = match &tls.ticket_keys {
        Some(file) => tls::tickets_from_file(file)?,
        None => Arc::clone(&resources.tickets),
    };
    let server = tls::server_config(tls::ListenerTlsWanted {
        certificates: Arc::clone(&certificates),
        clients,
        only_tls13: tls.only_tls13,
        http2: tls.http2,
        tickets,
    });
    Ok(TlsParts { server: Arc::new(server?), certificates, strict_sni: tls.strict_sni, trust })
}
