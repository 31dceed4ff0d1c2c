//! Looks up the addresses of server names, again and again.
//!
//! Owns: the look-up, and what happens when it fails. May touch: nothing outside this room. Runs on
//! the control thread; the system's resolver (`/etc/hosts`, search domains) is asked, as operators
//! expect.

use super::Server;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::lookup_host, time::sleep};

/// How soon a name without an address is looked up again. The time grows with each failure.
const FIRST: Duration = Duration::from_secs(1);
const SLOWEST: Duration = Duration::from_secs(10);

/// Looks `server`'s name up once. Keeps the last good answer when there is none now.
pub async fn resolve(server: &Server) {
    let (upstream, address) = (server.upstream(), server.address());
    let found = lookup_host(address).await.map(Iterator::collect::<Vec<SocketAddr>>);
    match found {
        Ok(mut addresses) if !addresses.is_empty() => {
            addresses.sort_unstable();
            addresses.dedup();
            let is_news = server.is_found_again();
            if **server.addresses() != addresses || is_news {
                tracing::info!(upstream, server = address, ?addresses, "resolved");
            }
            if **server.addresses() != addresses {
                server.set_addresses(addresses);
            }
        }
        answer => {
            let error = answer.err().map_or("no address".to_owned(), |error| error.to_string());
            let consequence = if server.is_resolved() {
                "does not resolve now; its last addresses are used"
            } else {
                "does not resolve; it is down until it does"
            };
            let failed = server.count_lost();
            if is_told(failed) {
                tracing::warn!(upstream, server = address, error, failed, "{consequence}");
            } else {
                tracing::debug!(upstream, server = address, error, failed, "{consequence}");
            }
        }
    }
}

/// Whether so many failed look-ups in a row are logged. The first failure is, and later ones more
/// and more rarely, because a name may be gone for weeks.
fn is_told(failed: u32) -> bool {
    failed == 1 || failed >= 64 && failed.is_power_of_two()
}

/// Looks `server`'s name up every `interval`, until dropped. Looks sooner while it has no address.
pub async fn watch(server: Arc<Server>, interval: Duration) {
    let mut soon = FIRST;
    loop {
        if server.is_resolved() {
            soon = FIRST;
            sleep(interval).await;
        } else {
            sleep(soon.min(interval)).await;
            soon = (soon * 2).min(SLOWEST);
        }
        resolve(&server).await;
    }
}

/// Whether `server` has a name that must be looked up.
pub fn has_name(server: &Server) -> bool {
    !server.is_unix() && server.address().parse::<SocketAddr>().is_err()
}
