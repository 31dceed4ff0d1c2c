//! What is told of an upstream: every server, which would be asked, and why not the others.
//!
//! Owns: the words. May touch: [`crate::config`], [`crate::snapshot`], [`crate::upstream`].

use crate::{
    config::{self, Strategy},
    snapshot::Snapshot,
    upstream::{Member, Pending, Preview, ServerState, Speaks, Unavailable},
};
use serde_json::{Value, json};

type ServerChoice = Result<Preview, Unavailable>;

/// The upstream of this name, and its servers.
pub(super) fn upstream(
    snapshot: &Snapshot,
    name: &str,
    key: Option<&str>,
    choice: &ServerChoice,
    now: u64,
) -> Value {
    let config = &snapshot.config;
    let (Some(wanted), Some(group)) = (
        config.upstreams.iter().find(|it| it.name == name),
        snapshot.groups.iter().find(|it| it.upstream.name() == name),
    ) else {
        return Value::Null;
    };
    let upstream = &group.upstream;
    let pending = upstream.pending(now);
    let among = choice.as_ref().map_or(&[][..], |it| &it.among);
    let servers = upstream.members().iter().enumerate().map(|(index, member)| {
        let status = member.server.status(member, now);
        let place = wanted.servers.get(index).map(|it| config.source.told(it.place));
        let is_among = among.contains(&index);
        let picked = match (is_among, among.len()) {
            (false, _) => "no",
            (true, 1) => "yes",
            (true, _) => "maybe",
        };
        let why_not = (!is_among).then(|| why_not(member, pending[index], (wanted, key), now));
        json!({
            "address": member.server.address(),
            "place": place,
            "state": status.state.as_str(),
            "reason": status.reason,
            "weight": member.terms.weight,
            "backup": member.terms.backup,
            "in_flight": member.server.in_flight(),
            "max_conns": member.terms.max_conns,
            "picked": picked,
            "why_not": why_not,
        })
    });
    let servers: Vec<_> = servers.collect();
    let (why, fail_open) = match choice {
        Ok(preview) => (preview.why.clone(), preview.fail_open),
        Err(none) => (format!("no server can be asked: {}", none.reason), false),
    };
    json!({
        "name": name,
        "place": config.source.told(wanted.place),
        "strategy": strategy(&wanted.strategy),
        "key": key,
        "why": why,
        "fail_open": fail_open,
        "servers": servers,
    })
}

/// The name of a strategy in the config.
pub(crate) fn strategy(strategy: &Strategy) -> &'static str {
    match strategy {
        Strategy::RoundRobin => "round_robin",
        Strategy::LeastConnections => "least_connections",
        Strategy::IpHash => "ip_hash",
        Strategy::RandomTwo => "random_two",
        Strategy::ConsistentHash(_) => "consistent_hash",
    }
}

fn why_not(
    member: &Member,
    pending: Pending,
    (wanted, key): (&config::Upstream, Option<&str>),
    now: u64,
) -> String {
    let status = member.server.status(member, now);
    let reason = status.reason.as_deref().unwrap_or("it is not known why");
    match (pending, status.state) {
        (Pending::NotNeeded, _) => "a backup, and another can be asked".into(),
        (Pending::Eligible, _) => match wanted.strategy {
            Strategy::RoundRobin => "another has its turn".into(),
            Strategy::LeastConnections => "another has fewer in flight, or its turn".into(),
            Strategy::IpHash => "the client's address leads to another".into(),
            Strategy::ConsistentHash(_) if key == Some("") => "another has its turn".into(),
            Strategy::ConsistentHash(_) => "the key leads to another".into(),
            Strategy::RandomTwo => "others are drawn".into(),
        },
        (Pending::Out, ServerState::Ejected) => {
            format!("ejected for {} ms more: {reason}", status.ejected_for_ms)
        }
        (Pending::Out, ServerState::Full) => {
            format!("full: it has all {} that it may have", member.terms.max_conns)
        }
        (Pending::Out, ServerState::Probing) => {
            format!("another request finds out if it is back: {reason}")
        }
        (Pending::Out, _) => reason.to_owned(),
    }
}

/// What the first of those that may be asked gets.
pub(super) fn sent(snapshot: &Snapshot, name: &str, choice: &ServerChoice, head: &str) -> Value {
    let group = snapshot.groups.iter().find(|it| it.upstream.name() == name);
    let index = choice.as_ref().ok().and_then(|it| it.among.first());
    let (Some(group), Some(index)) = (group, index) else { return Value::Null };
    let member = &group.upstream.members()[*index];
    let means = &member.reach.means;
    let protocol = match means.speaks {
        Speaks::Http1 => "http1",
        Speaks::Http2 => "http2",
        Speaks::Either => "auto",
    };
    json!({
        "to": member.server.address(),
        "protocol": protocol,
        "tls": means.tls.is_some(),
        "head": head,
    })
}
