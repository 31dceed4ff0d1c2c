//! From the config's servers to how they are reached.
//!
//! Owns: which reaches are kept from the snapshot before: those with the same settings and files.
//! May touch: [`crate::config`], [`crate::message`], [`crate::tls`], [`crate::upstream`];
//! certificate files. Called by [`super::build`].

use super::live::Resources;
use crate::{
    config,
    message::proxy_header::HeaderVersion,
    tls::{
        TlsError,
        to_server::{PreparedTls, ServerHandshakes, ServerTlsWanted},
    },
    upstream::{Means, Reach, Speaks},
};
use std::sync::Arc;

/// Makes the reaches of one config.
pub(super) struct Reaches<'a> {
    resources: &'a Resources,
    /// The config has not changed, nor are its files to be read.
    unchanged: bool,
    /// What was read of the files. Many servers have the same settings, and their files are read
    /// once.
    prepared: Vec<(ServerTlsWanted, PreparedTls)>,
}

impl<'a> Reaches<'a> {
    /// Starts with no reach.
    pub(super) fn new(resources: &'a Resources, unchanged: bool) -> Self {
        Self { resources, unchanged, prepared: Vec::new() }
    }

    /// How a server is reached. If nothing has changed, it is the old reach, so that its
    /// connections are kept.
    pub(super) fn reach(
        &mut self,
        (upstream, server): (&config::Upstream, &config::Server),
        before: Option<&Arc<Reach>>,
    ) -> Result<Arc<Reach>, TlsError> {
        if let Some(before) = before.filter(|_| self.unchanged) {
            return Ok(Arc::clone(before));
        }
        let speaks = match upstream.protocol {
            // In an upstream with TLS, single servers may have no TLS.
            config::Protocol::Auto if server.tls.is_none() => Speaks::Http1,
            config::Protocol::Auto => Speaks::Either,
            config::Protocol::Http1 => Speaks::Http1,
            config::Protocol::Http2 => Speaks::Http2,
        };
        let tls = server.tls.as_ref().map(|tls| self.secured(tls)).transpose()?;
        let announces = upstream.proxy_protocol.map(|version| match version {
            config::SentHeader::V1 => HeaderVersion::V1,
            config::SentHeader::V2 => HeaderVersion::V2,
        });
        Ok(kept(Means { socket: server.socket.clone(), speaks, tls, announces }, before))
    }

    /// The same for a collector.
    pub(super) fn collector(
        &mut self,
        endpoint: &config::OtlpEndpoint,
        before: Option<&Arc<Reach>>,
    ) -> Result<Arc<Reach>, TlsError> {
        let tls = endpoint.tls.as_ref().map(|tls| self.secured(tls)).transpose()?;
        Ok(kept(Means { socket: endpoint.socket.clone(), tls, ..Means::default() }, before))
    }

    fn secured(&mut self, tls: &config::ServerTls) -> Result<ServerHandshakes, TlsError> {
        let name = tls.name.as_deref().unwrap_or_default();
        let wanted = ServerTlsWanted {
            ca: tls.ca.clone(),
            own: tls.own.as_ref().map(|own| (own.cert.clone(), own.key.clone())),
            insecure: tls.insecure,
            pins: tls.pins.clone(),
        };
        if let Some((_, prepared)) = self.prepared.iter().find(|(known, _)| *known == wanted) {
            return prepared.for_server(name);
        }
        let prepared = PreparedTls::read(&wanted, &self.resources.roots)?;
        let secured = prepared.for_server(name)?;
        self.prepared.push((wanted, prepared));
        Ok(secured)
    }
}

/// The reach from before, if it has these means.
fn kept(means: Means, before: Option<&Arc<Reach>>) -> Arc<Reach> {
    match before.filter(|before| before.means == means) {
        Some(before) => Arc::clone(before),
        None => Arc::new(Reach::new(means)),
    }
}
