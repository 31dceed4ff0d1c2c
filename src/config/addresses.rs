//! Sets of addresses, as `trusted_proxies = ["10.0.0.0/8", "unix:"]`.
//!
//! Owns: reading such a set. May touch: [`crate::cidr`]. Used by [`mod@super::load`] and
//! [`super::proxy_protocol`].

use super::table::Table;
use crate::cidr::{AddressSet, Cidr, PeerAddress};

/// The addresses in the array at `key`; none if it is absent.
pub(super) fn address_set(table: &Table<'_>, key: &'static str) -> AddressSet {
    let mut set = AddressSet::default();
    for text in table.texts(key).unwrap_or_default() {
        if text.value == PeerAddress::UNIX {
            set.unix = true;
            continue;
        }
        match text.value.parse::<Cidr>() {
            Ok(range) => {
                let network = range.network();
                if network != range {
                    let (address, _) = text.value.split_once('/').unwrap_or((&text.value, ""));
                    let message = format!("`{}` is an address within a range", text.value);
                    let hint = format!("write `\"{network}\"`, or `\"{address}\"` for it alone");
                    table.error(text.span.clone(), message, Some(hint));
                }
                set.ranges.push(network);
            }
            Err(_) if text.value.starts_with(PeerAddress::UNIX) => {
                let message = format!("`{}` names one Unix socket", text.value);
                let hint = "write `\"unix:\"`: who comes by any of them has no other address";
                table.error(text.span.clone(), message, Some(hint.into()));
            }
            Err(message) => {
                let hint = "write an address or a range, as `\"10.0.0.0/8\"`, or `\"unix:\"`";
                table.error(text.span.clone(), message, Some(hint.into()));
            }
        }
    }
    set
}
