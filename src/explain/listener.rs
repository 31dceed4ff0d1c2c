//! Which listener a URL leads to.
//!
//! Owns: the choice by name, or by scheme and port. May touch: [`crate::config`],
//! [`crate::message`], [`crate::snapshot`].

use super::asked::UrlParts;
use crate::{
    config::{self, ListenAddress},
    message::context::host_name,
    snapshot::{ListenerParts, Snapshot},
};
use std::net::IpAddr;

/// A listener, and why it is this one.
pub(super) struct ChosenListener<'a> {
    pub(super) id: usize,
    pub(super) parts: &'a ListenerParts,
    pub(super) config: &'a config::Listener,
    pub(super) why: String,
}

/// The listener of a request.
pub(super) fn choose<'a>(
    snapshot: &'a Snapshot,
    url: &UrlParts<'_>,
    name: Option<&str>,
) -> Result<ChosenListener<'a>, String> {
    let all = &snapshot.config.listeners;
    let known = || {
        let told = all.iter().map(|it| format!("{} ({})", it.name, it.address));
        told.collect::<Vec<_>>().join(", ")
    };
    let (config, why) = if let Some(name) = name {
        let found = all.iter().find(|it| it.name == name);
        let wrong = || format!("there is no listener `{name}`: known are {}", known());
        (found.ok_or_else(wrong)?, "as you say".to_owned())
    } else {
        by_url(all, url).ok_or_else(|| {
            let scheme = if url.tls { "https" } else { "http" };
            format!(
                "no listener is for {scheme} at port {}: known are {}; say which with \
                 `--listener NAME`",
                url.port(),
                known()
            )
        })?
    };
    let found = snapshot.listeners.iter().enumerate();
    let mut found = found.filter_map(|(id, it)| Some((id, it.as_ref()?)));
    let found = found.find(|(_, it)| *it.name == *config.name);
    let (id, parts) = found.ok_or_else(|| format!("listener `{}` is not there", config.name))?;
    Ok(ChosenListener { id, parts, config, why })
}

/// The one with the URL's port; among several the one whose address is the URL's host. If none has
/// the port, it may be mapped (by a container or a load balancer): then the only one for the scheme.
fn by_url<'a>(
    all: &'a [config::Listener],
    url: &UrlParts<'_>,
) -> Option<(&'a config::Listener, String)> {
    let fitting: Vec<_> = all.iter().filter(|it| it.tls.is_some() == url.tls).collect();
    let host: Option<IpAddr> = host_name(url.authority).trim_matches(['[', ']']).parse().ok();
    let address = |it: &config::Listener| match &it.address {
        ListenAddress::Ip(address) => Some(*address),
        ListenAddress::Unix(_) => None,
    };
    let at_port =
        fitting.iter().copied().filter(|it| address(it).is_some_and(|it| it.port() == url.port()));
    let at_port: Vec<_> = at_port.collect();
    let at_host = at_port.iter().find(|it| address(it).map(|it| it.ip()) == host);
    if let Some(found) = at_host.or(at_port.first()) {
        return Some((found, format!("by the port {}", url.port())));
    }
    match fitting[..] {
        [only] => {
            let scheme = if url.tls { "https" } else { "http" };
            Some((
                only,
                format!("none has the port {}; it is the only one for {scheme}", url.port()),
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn among_several_of_one_port_the_address_decides() {
        let text = "[listener.four]\naddress = \"127.0.0.1:80\"\n[listener.six]\naddress = \"[::1]:80\"\n\
                    [[site]]\nroute = [{ respond = { body = \"ok\" } }]\n";
        let all =
            config::parse(text, Path::new("t.toml"), &|_| None).expect("valid").config.listeners;
        for (authority, name) in
            [("127.0.0.1", "four"), ("127.0.0.1:80", "four"), ("[::1]:80", "six"), ("[::1]", "six")]
        {
            let url = UrlParts { tls: false, authority, target: "/" };
            assert_eq!(by_url(&all, &url).map(|it| &*it.0.name), Some(name), "{authority}");
        }
    }
}
