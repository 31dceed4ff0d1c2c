//! `POST /servers`: an operator drains a server, or gives it another weight.
//!
//! Owns: what may be asked, and what is told of the outcome. May touch: [`crate::config`],
//! [`crate::route`], [`crate::upstream`]. What is set lives in the server
//! (`upstream/overruled.rs`): a drain holds at once, for a weight the control thread builds a
//! snapshot of the running config.

use super::{
    answer::{AdminAnswer, document, refusal},
    ask::Ask,
};
use crate::{
    config::did_you_mean,
    route::Group,
    upstream::{Overruled, Server},
};
use http::StatusCode;
use serde_json::{Map, Value, json};
use std::sync::Arc;

const SHAPE: &str = "send {\"upstream\": \"app\", \"server\": \"127.0.0.1:3001\"} with \"drain\": true or \
                     false, or with \"weight\": a number, or null for the config's";

/// The largest weight, as in the config.
const LARGEST: u64 = 1000;

/// The longest hint: an upstream may have thousands of servers.
const LONGEST_HINT: usize = 400;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    upstream: String,
    server: String,
    drain: Option<bool>,
    weight: WeightChange,
}

/// What becomes of the weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WeightChange {
    AsItIs,
    AsInTheConfig,
    To(u32),
}

/// Makes the change, and tells what holds now.
pub(super) async fn change(ask: &Ask) -> AdminAnswer {
    let change = match Change::read(&ask.body) {
        Ok(change) => change,
        Err(error) => return refusal(StatusCode::UNPROCESSABLE_ENTITY, &error),
    };
    let (group, server) = match find(&ask.live.load().groups, &change) {
        Ok(found) => found,
        Err(error) => return refusal(StatusCode::NOT_FOUND, &error),
    };
    let before = server.overruled();
    let (drained, weight) = before.as_ref().map_or((false, None), |it| (it.drained, it.weight));
    let wanted = Overruled {
        drained: change.drain.unwrap_or(drained),
        weight: match change.weight {
            WeightChange::AsItIs => weight,
            WeightChange::AsInTheConfig => None,
            WeightChange::To(weight) => Some(weight),
        },
        by: ask.caller.told(),
    };
    let rebuild = wanted.weight != weight;
    server.overrule(wanted);
    if rebuild && let Err(refused) = ask.reload(true).await {
        let by = ask.caller.told();
        server
            .overrule(before.map_or(Overruled { drained: false, weight: None, by }, |it| {
                Overruled::clone(&it)
            }));
        return *refused;
    }
    document(StatusCode::OK, &told(ask, &group, &server))
}

impl Change {
    fn read(body: &[u8]) -> Result<Self, String> {
        let fields: Map<String, Value> = serde_json::from_slice(body)
            .map_err(|error| format!("the body is no JSON object ({error}): {SHAPE}"))?;
        let mut change = Self {
            upstream: String::new(),
            server: String::new(),
            drain: None,
            weight: WeightChange::AsItIs,
        };
        for (key, value) in fields {
            match (key.as_str(), value) {
                ("upstream", Value::String(name)) => change.upstream = name,
                ("server", Value::String(address)) => change.server = address,
                ("drain", Value::Bool(drain)) => change.drain = Some(drain),
                ("weight", Value::Null) => change.weight = WeightChange::AsInTheConfig,
                ("weight", Value::Number(number)) => {
                    let weight = number.as_u64().filter(|it| *it <= LARGEST);
                    let weight = weight.and_then(|it| u32::try_from(it).ok()).ok_or_else(|| {
                        format!(
                            "\"weight\" cannot be {number}: write a whole number up to {LARGEST}"
                        )
                    })?;
                    change.weight = WeightChange::To(weight);
                }
                ("upstream" | "server" | "drain" | "weight", value) => {
                    return Err(format!("\"{key}\" cannot be {value}: {SHAPE}"));
                }
                _ => return Err(format!("unknown key \"{key}\": {SHAPE}")),
            }
        }
        let is_whole = !change.upstream.is_empty() && !change.server.is_empty();
        if is_whole && (change.drain.is_some() || change.weight != WeightChange::AsItIs) {
            Ok(change)
        } else {
            Err(SHAPE.into())
        }
    }
}

fn find(groups: &[Arc<Group>], change: &Change) -> Result<(Arc<Group>, Arc<Server>), String> {
    let Change { upstream, server, .. } = change;
    let Some(group) = groups.iter().find(|it| it.upstream.name() == upstream) else {
        let names = groups.iter().map(|it| it.upstream.name());
        return Err(missing("upstream", upstream, &did_you_mean(upstream, names, "upstreams")));
    };
    let mut members = group.upstream.members().iter();
    let Some(member) = members.find(|it| it.server.address() == server) else {
        let names = group.upstream.members().iter().map(|it| it.server.address());
        return Err(missing("server", server, &did_you_mean(server, names, "its servers")));
    };
    Ok((Arc::clone(group), Arc::clone(&member.server)))
}

fn missing(what: &str, name: &str, hint: &str) -> String {
    let short: String = hint.chars().take(LONGEST_HINT).collect();
    let more = if short.len() < hint.len() { " …" } else { "" };
    format!("there is no {what} `{name}`: {short}{more}")
}

/// What holds now. The upstream may be a new one, with the same server.
fn told(ask: &Ask, group: &Group, server: &Arc<Server>) -> Value {
    let (snapshot, now) = (ask.live.load(), ask.live.clock.now());
    let name = group.upstream.name();
    let current = snapshot.groups.iter().find(|it| it.upstream.name() == name);
    let upstream = current.map_or(&group.upstream, |it| &it.upstream);
    let mut told = json!({
        "upstream": name,
        "server": server.address(),
        "drained": server.is_drained(),
        "in_flight": server.in_flight(),
        "tunnels": server.tunnels(),
    });
    if let Some(member) = upstream.members().iter().find(|it| Arc::ptr_eq(&it.server, server)) {
        let status = server.status(member, now);
        told["state"] = status.state.as_str().into();
        told["reason"] = status.reason.into();
        told["weight"] = member.terms.weight.into();
    }
    if !upstream.has_live(now) {
        told["warning"] = format!(
            "no server of `{name}` gets requests now: requests for it are answered with 503"
        )
        .into();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_change_names_a_server_and_what_to_set() {
        let read = |text: &str| Change::read(text.as_bytes());
        let change = read(r#"{"upstream": "a", "server": "b:1", "drain": true, "weight": null}"#);
        let change = change.expect("a change");
        assert_eq!((change.drain, change.weight), (Some(true), WeightChange::AsInTheConfig));
        for wrong in [
            "",
            "[]",
            "{}",
            r#"{"upstream": "a", "server": "b:1"}"#,
            r#"{"upstream": "a", "drain": true}"#,
            r#"{"upstream": "a", "server": "b:1", "drain": 1}"#,
            r#"{"upstream": "a", "server": "b:1", "weight": -1}"#,
            r#"{"upstream": "a", "server": "b:1", "weight": 1.5}"#,
            r#"{"upstream": "a", "server": "b:1", "weight": 1001}"#,
            r#"{"upstream": "a", "server": "b:1", "drain": true, "wieght": 1}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Change::read(&body);
        }

        #[test]
        fn what_is_written_is_read(upstream in "[a-z]{1,9}", drain: bool, weight in 0_u32..=1000) {
            let body = json!({
                "upstream": upstream, "server": "a:1", "drain": drain, "weight": weight
            });
            let change = Change::read(body.to_string().as_bytes()).expect("a change");
            prop_assert_eq!(change, Change {
                upstream, server: "a:1".into(), drain: Some(drain), weight: WeightChange::To(weight)
            });
        }
    }
}
