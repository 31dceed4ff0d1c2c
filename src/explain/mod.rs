//! `sheave explain`: what would happen to a request, and why.
//!
//! Owns: what is told of each step, with its place in the config. May touch: [`crate::cidr`],
//! [`crate::clock`], [`crate::config`], [`crate::encode`], [`crate::http1`], [`crate::message`],
//! [`crate::observe`], [`crate::proxy`], [`crate::route`], [`crate::settings`],
//! [`crate::snapshot`], [`crate::upstream`]. The steps themselves are
//! [`crate::proxy::rehearsal`]'s. The admin address answers with it, and so does the command line
//! for a file.

pub mod asked;
mod listener;
mod servers;
mod steps;

use crate::{
    cidr::PeerAddress,
    clock::Clock,
    config,
    http1::request_head::{self, HeadLimits, RequestFraming, RequestHead},
    message::{
        answer::Answer,
        body::Body,
        body::Length,
        context::{Context, Peer},
        request_id::RequestId,
        secured::Secured,
    },
    observe::metrics::Metrics,
    proxy::rehearsal::{Ending, ForwardView, Rehearsal, RehearsalStage, Rehearsed, rehearse},
    snapshot::Snapshot,
};
use asked::{AskedRequest, UrlParts};
use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use listener::{ChosenListener, choose};
use serde_json::{Value, json};
use std::{net::Ipv4Addr, sync::Arc};

/// The longest text of an answer that is told.
const LONGEST_TEXT: usize = 4 * 1024;

/// What would happen to a request. The error says what is wrong with the question.
pub async fn explain(
    snapshot: &Snapshot,
    clock: Clock,
    metrics: &Metrics,
    asked: &AskedRequest,
) -> Result<Value, String> {
    let url = asked.parts()?;
    let chosen = choose(snapshot, &url, asked.listener.as_deref())?;
    let source = &snapshot.config.source;
    let mut told = json!({
        "request": { "method": asked.method, "url": asked.url },
        "generation": snapshot.generation,
        "listener": {
            "name": chosen.config.name,
            "place": source.told(chosen.config.place),
            "address": chosen.config.address.to_string(),
            "tls": chosen.config.tls.is_some(),
            "why": chosen.why,
        },
    });
    let request = match read(asked, &url, &chosen)? {
        Ok(request) => request,
        Err((status, reason)) => {
            told["answer"] = json!({ "status": status, "reason": reason, "fields": [] });
            return Ok(told);
        }
    };
    let stage = RehearsalStage { snapshot, clock, metrics };
    let rehearsal = rehearse(&stage, request).await;
    tell(&mut told, snapshot, rehearsal);
    Ok(told)
}

/// The request as the listener reads it, or the status and reason of its refusal.
fn read(
    asked: &AskedRequest,
    url: &UrlParts<'_>,
    chosen: &ChosenListener<'_>,
) -> Result<Result<Rehearsed, (u16, &'static str)>, String> {
    let limits = &chosen.parts.limits;
    let limits = HeadLimits { head: limits.request_head, fields: limits.headers };
    let mut bytes = Bytes::from(asked.head(url)?);
    let bad = |bad: request_head::Bad| {
        let (status, reason) = bad.answer();
        (status.as_u16(), reason)
    };
    let read = match request_head::parse(&mut bytes, limits) {
        Ok(Some(read)) => read,
        Ok(None) => return Ok(Err(bad(request_head::Bad::Syntax))),
        Err(fault) => return Ok(Err(bad(fault))),
    };
    let RequestHead { head, framing, .. } = read;
    let length = match framing {
        RequestFraming::None => Length::None,
        RequestFraming::Length(length) => Length::Exact(length),
        RequestFraming::Chunked | RequestFraming::Both => Length::Unknown,
    };
    let client = asked.client.unwrap_or(PeerAddress::Ip(Ipv4Addr::LOCALHOST.into()));
    // What handshakes usually agree on; the name is the URL's, unless it is an address.
    let secured = url.tls.then(|| {
        let name = crate::message::context::host_name(url.authority).to_ascii_lowercase();
        let is_address = name.starts_with('[') || name.parse::<Ipv4Addr>().is_ok();
        let sni = Some(name).filter(|_| !is_address);
        let (version, cipher) = ("TLSv1.3", "TLS_AES_256_GCM_SHA384");
        Box::new(Secured { version, cipher, sni, client: None })
    });
    let peer = Arc::new(Peer::new(client, Arc::clone(&chosen.parts.name), secured));
    let framed_twice = framing == RequestFraming::Both;
    Ok(Ok(Rehearsed { peer, listener: chosen.id, head, length, framed_twice }))
}

fn tell(told: &mut Value, snapshot: &Snapshot, rehearsal: Rehearsal) {
    let config = &*snapshot.config;
    let Rehearsal { facts, path, filters, wish, ending } = rehearsal;
    told["client"] = steps::client(config, &facts.context);
    let received = facts.context.head.target.path_and_query();
    told["path"] = json!({ "received": received, "normalised": path });
    if let Some(site) = facts.site {
        told["site"] = steps::site(snapshot, &facts, site);
        let path = path.as_deref().unwrap_or_default();
        told["routes"] = steps::routes(snapshot, &facts, site, path);
    }
    let wanted = facts.route.and_then(|index| steps::config_of(snapshot, facts.site?, index));
    if let Some(wanted) = wanted {
        told["route"] = steps::route(config, wanted);
        told["filters"] =
            filters.iter().map(|it| steps::filter(config, wanted, it, &facts)).collect();
    }
    if let Some(index) = facts.route
        && let Some(codings) = &snapshot.route(index).codings
    {
        told["coding"] = steps::coding(codings, &wish);
    }
    let new = ids(&facts.context);
    let known = |text: &str| new.iter().fold(text.to_owned(), |text, id| text.replace(id, "(new)"));
    match ending {
        Ending::Waits => told["waits"] = true.into(),
        Ending::Answered { answer, reason, looked_up } => {
            if !looked_up.is_empty() {
                told["files"] = steps::files(wanted, &looked_up);
            }
            told["answer"] = answered(answer, reason, &known);
        }
        Ending::Forwarded(view) => forwarded(told, snapshot, wanted, *view, &known),
    }
}

/// What is new in every request.
fn ids(context: &Context) -> Vec<String> {
    let mut new = Vec::new();
    if let RequestId::Made(_) = &context.id {
        new.push(context.id.as_str().to_owned());
    }
    if let Some(trace) = &context.trace {
        new.push(String::from_utf8_lossy(&trace.attempt).into_owned());
        if trace.parent.is_none() {
            new.push(trace.trace_text().to_owned());
        }
    }
    new
}

fn forwarded(
    told: &mut Value,
    snapshot: &Snapshot,
    wanted: Option<&config::Route>,
    view: ForwardView,
    known: &dyn Fn(&str) -> String,
) {
    let ForwardView { cache, answer, key, choice, now, sent } = view;
    if let Some(cache) = cache {
        let config = snapshot.config.caches.iter().find(|it| it.name == cache.name);
        told["cache"] = json!({
            "name": cache.name,
            "place": config.map(|it| snapshot.config.source.told(it.place)),
            "outcome": cache.outcome,
            "why": cache.why,
            "url": cache.url,
            "ttl": cache.ttl,
        });
    }
    let Some(config::Action::Forward(name)) = wanted.map(|it| &it.action) else { return };
    told["upstream"] = servers::upstream(snapshot, name, key.as_deref(), &choice, now);
    if let Some(sent) = sent {
        told["sent"] =
            servers::sent(snapshot, name, &choice, &known(&String::from_utf8_lossy(&sent)));
    }
    if let Some((answer, reason)) = answer {
        told["answer"] = answered(answer, reason, known);
    }
}

fn answered(
    mut answer: Answer<Body>,
    reason: Option<&str>,
    known: &dyn Fn(&str) -> String,
) -> Value {
    let fields: Vec<_> = (answer.fields.map().iter())
        .map(|(name, value)| {
            [name.as_str().to_owned(), known(&String::from_utf8_lossy(value.as_bytes()))]
        })
        .collect();
    let is_coded = answer.fields.map().contains_key(CONTENT_ENCODING);
    let body = match &answer.body {
        Body::Full(bytes) if bytes.len() <= LONGEST_TEXT && !is_coded => {
            std::str::from_utf8(bytes).ok().map(known)
        }
        _ => None,
    };
    json!({
        "status": answer.status.as_u16(),
        "reason": reason,
        "fields": fields,
        "body": body,
        "closes": answer.close,
    })
}
