//! Tunnels by extended CONNECT (RFC 8441), as WebSockets over HTTP/2.
//!
//! Owns: turning such a request into its HTTP/1.1 form, and the answer back. May touch:
//! [`crate::http1`], [`crate::message`], [`crate::observe`], [`crate::proxy`]. So routes, filters
//! and servers see the same request with both versions. The bytes that pass are the request's body
//! and the answer's body, as for any request.

use crate::{
    http1::{request::Head, request_head::can_pass},
    message::{answer::Answer, websocket},
    observe::outcome::AttemptOutcome,
    proxy::{delivery::Delivery, refusal::Refusal},
};
use h2::ext::Protocol;
use http::{Method, StatusCode, header, request};

/// The head of a request. An extended CONNECT becomes a GET with `Upgrade`.
pub fn take_head(mut parts: request::Parts) -> Head {
    let connects = parts.method == Method::CONNECT;
    let protocol = if connects { parts.extensions.remove::<Protocol>() } else { None };
    let Some(protocol) = protocol.filter(|it| can_pass(it.as_str().as_bytes())) else {
        return parts.into();
    };
    parts.method = Method::GET;
    if protocol.as_str().eq_ignore_ascii_case("websocket")
        && let Some(key) = websocket::new_key()
    {
        parts.headers.insert(websocket::KEY, key);
    }
    let mut head = Head::from(parts);
    head.protocols = Some(protocol.as_str().into());
    head
}

/// Turns an answer to an `Upgrade` into one to an extended CONNECT (RFC 8441 §5), for which any
/// success means that the tunnel is open.
pub fn agree(answer: &mut Answer<Delivery>) {
    let facts = &mut answer.body.record.facts;
    let fields = answer.fields.map();
    let reason;
    if answer.status == StatusCode::SWITCHING_PROTOCOLS {
        let key = facts.context.head.fields.get(&websocket::KEY);
        let accept = fields.remove(websocket::ACCEPT);
        if key.is_none_or(|key| accept.is_some_and(|it| it == websocket::accept(key))) {
            fields.remove(header::UPGRADE);
            answer.status = StatusCode::OK;
            facts.status = Some(answer.status);
            return;
        }
        reason = "bad_response";
        facts.detail = Some("its Sec-WebSocket-Accept is wrong".into());
        facts.attempt = facts.attempt.take().map(|_| AttemptOutcome::BadResponse);
    } else if answer.status.is_success() {
        reason = "upgrade_unsupported";
    } else {
        return;
    }
    let refusal = Refusal::new(StatusCode::BAD_GATEWAY, reason);
    let refused = refusal.answer(facts.context.id.as_str());
    (facts.reason, facts.status) = (Some(reason), Some(refused.status));
    (answer.status, answer.fields) = (refused.status, refused.fields);
    answer.body.replace(refused.body);
}
