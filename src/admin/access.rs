//! Who asks at the admin address, and what they may do.
//!
//! Owns: tokens and client certificates. May touch: [`crate::config`], [`crate::settings`],
//! [`crate::snapshot`]. A token comes as `Authorization: Bearer TOKEN`, or as the password of
//! `Basic`, which browsers ask people for (RFC 6750 §2.1, RFC 7617).

use super::{ask::Caller, peer::AdminPeer};
use crate::{
    config::{Admin, AdminAccess, AdminProof},
    settings::Role,
    snapshot::Snapshot,
};
use data_encoding::BASE64;
use http::{HeaderMap, header};
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// What a request shows of who it is from.
pub(super) enum Asker {
    /// Somebody known, or nobody in particular.
    Caller(Caller),
    /// A token that nobody has.
    WrongToken,
}

/// Who asks.
pub(super) fn caller(snapshot: &Snapshot, fields: &HeaderMap, peer: &AdminPeer) -> Asker {
    let config = &snapshot.config.admin;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs() as i64);
    let identity = peer.identity(now, snapshot.admin_tls.as_ref());
    let token = if config.access.is_empty() { None } else { token(fields) };
    let is_known_by = |it: &&AdminAccess| match (&it.proof, &token) {
        (Some(AdminProof::Token(digest)), Some(token)) => digest.is_of(token),
        (Some(AdminProof::Subject(subject)), _) => {
            identity.is_some_and(|it| it.subject == *subject)
        }
        (Some(AdminProof::Fingerprint(hex)), _) => {
            identity.is_some_and(|it| it.fingerprint == *hex)
        }
        _ => false,
    };
    // All are compared, so that the time does not tell which one it is.
    let shown: Vec<_> = config.access.iter().filter(is_known_by).collect();
    let by_token = |it: &&AdminAccess| matches!(it.proof, Some(AdminProof::Token(_)));
    if token.is_some() && !shown.iter().any(by_token) {
        return Asker::WrongToken;
    }
    let best = shown.into_iter().max_by_key(|it| it.role);
    Asker::Caller(Caller {
        role: best.map_or(config.anonymous, |it| it.role.max(config.anonymous)),
        name: best.map(|it| Arc::from(it.name.as_str())),
        peer: Arc::clone(&peer.told),
        subject: identity.map(|it| it.subject.as_str().into()),
    })
}

/// Whether a token would help: then 401 asks for one.
pub(super) fn takes_tokens(config: &Admin, needed: Role) -> bool {
    proofs(config, needed).any(|it| matches!(it, AdminProof::Token(_)))
}

/// Whether a client certificate would help.
pub(super) fn takes_certificates(config: &Admin, needed: Role) -> bool {
    proofs(config, needed).any(|it| !matches!(it, AdminProof::Token(_)))
}

fn proofs(config: &Admin, needed: Role) -> impl Iterator<Item = &AdminProof> {
    let all = config.access.iter().filter(move |it| it.role >= needed);
    all.filter_map(|it| it.proof.as_ref())
}

/// Whether it has a token that no page of another site can have: a browser sends none by itself.
pub(super) fn is_bearer(fields: &HeaderMap) -> bool {
    let value = fields.get(header::AUTHORIZATION).map(http::HeaderValue::as_bytes);
    value.is_some_and(|it| after(it, b"bearer ").is_some())
}

/// The token that is shown; it may be the wrong one.
fn token(fields: &HeaderMap) -> Option<Vec<u8>> {
    let value = fields.get(header::AUTHORIZATION)?.as_bytes();
    if let Some(token) = after(value, b"bearer ") {
        return Some(token.trim_ascii().to_vec());
    }
    let Some(pair) = after(value, b"basic ") else {
        // Another scheme is no token of ours, and none that is right.
        return Some(Vec::new());
    };
    let pair = BASE64.decode(pair.trim_ascii()).unwrap_or_default();
    let colon = pair.iter().position(|it| *it == b':').map_or(0, |at| at + 1);
    Some(pair[colon..].to_vec())
}

/// What follows a scheme, whose case does not matter (RFC 9110 §11.1).
fn after<'a>(value: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = value.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn shown(value: &[u8]) -> Option<Vec<u8>> {
        let value = HeaderValue::from_bytes(value).expect("a value");
        token(&HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
    }

    #[test]
    fn a_token_comes_in_two_ways() {
        assert_eq!(token(&HeaderMap::new()), None);
        assert_eq!(shown(b"Bearer abc"), Some(b"abc".to_vec()));
        assert_eq!(shown(b"bEARER  abc "), Some(b"abc".to_vec()));
        assert_eq!(shown(b"Basic YW5uOmE6Yg=="), Some(b"a:b".to_vec()));
        assert_eq!(shown(b"Basic ?"), Some(Vec::new()));
        assert_eq!(shown(b"Digest x"), Some(Vec::new()));
    }

    proptest! {
        #[test]
        fn any_value_is_read(value in "[ -~]{0,60}") {
            prop_assert!(shown(value.as_bytes()).is_some());
        }

        #[test]
        fn what_a_browser_sends_is_read(user in "[a-z]{0,8}", token in "[!-~]{0,40}") {
            let value = format!("Basic {}", BASE64.encode(format!("{user}:{token}").as_bytes()));
            prop_assert_eq!(shown(value.as_bytes()), Some(token.into_bytes()));
        }
    }
}
