//! `proxy_protocol` of a listener: which connections begin with the PROXY protocol's header.

use super::{addresses::address_set, table::Table};
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
    /// Reads the table.
    pub(super) fn read(table: &Table<'_>) -> Self {
        let from = address_set(table, "from");
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
