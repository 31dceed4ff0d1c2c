//! `proxy_protocol` of a listener: which connections begin with the PROXY protocol's header.

use super::{ListenAddress, addresses::address_set, table::Table};
use crate::cidr::AddressSet;
use std::time::Duration;

/// `proxy_protocol` of a listener.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxyProtocol {
    /// `from`: whose connections begin with the header, and must.
    pub from: AddressSet,
    /// `timeout`: how long the header may take, default 3 s.
    pub timeout: Duration,
}

impl ProxyProtocol {
    /// Reads the table of a listener at `address`.
    pub(super) fn read(table: &Table<'_>, address: &ListenAddress) -> Self {
        let from = address_set(table, "from");
        let missed = match address {
            ListenAddress::Unix(_) if !from.unix && !from.ranges.is_empty() => {
                Some(("clients of a Unix socket have no address", "`from = [\"unix:\"]`"))
            }
            ListenAddress::Ip(_) if from.unix && from.ranges.is_empty() => {
                Some(("no client comes by a Unix socket", "`from = [\"10.0.0.0/8\"]`"))
            }
            _ => None,
        };
        if let Some((why, instead)) = missed {
            let message = format!("`from` names nobody here: {why}");
            table.warning(table.value_span("from"), message, Some(format!("write {instead}")));
        }
        let example = "[\"10.0.0.0/8\"]";
        if !table.has("from") {
            table.missing("from", example);
        } else if table.value("from").is_some_and(super::tree::Value::is_empty) {
            let hint = Some(format!("write whose connections begin with it: `from = {example}`"));
            let message = format!("`from` is empty: {} has no effect", table.label());
            table.error(table.value_span("from"), message, hint);
        }
        Self { from, timeout: table.positive_duration("timeout", Duration::from_secs(3)) }
    }
}
