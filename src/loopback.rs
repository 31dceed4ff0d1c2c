//! Within one machine: sending without pacing.
//!
//! Owns: the option `TCP_CONGESTION`. May touch: nothing outside this room. BBR estimates the rate
//! of the path and sends at that rate, by timers. Between two sockets of one machine there is no
//! such path: a response of 1 MB waited up to 20 ms for these timers and cost twice the processor
//! time (`benches/results/LOG.md`). Over a network the system's choice stays.

use rustix::net::sockopt::{set_tcp_congestion, tcp_congestion};
use std::{net::IpAddr, os::fd::AsFd};

/// Does not pace, is in every kernel, and may be chosen by every user.
const UNPACED: &str = "reno";

/// Whether the socket's congestion control spreads what it sends by a timer.
pub fn is_paced(socket: impl AsFd) -> bool {
    // Later versions of BBR have names that begin like this. If the kernel does not tell, nothing
    // is changed.
    tcp_congestion(socket).is_ok_and(|name| name.starts_with("bbr"))
}

/// Whether `peer` is on the machine whose address `own` is.
pub fn is_local(own: IpAddr, peer: IpAddr) -> bool {
    let peer = peer.to_canonical();
    peer.is_loopback() || peer == own.to_canonical()
}

/// Lets the socket, and all that will be accepted on it, send at once.
pub fn unpace(socket: impl AsFd) {
    // If this is not allowed, the connection is slower; nothing else happens.
    let _ = set_tcp_congestion(socket, UNPACED);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn what_is_accepted_is_as_unpaced_as_its_listener() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // Not every kernel has it, nor may every user choose it: then nothing is ever paced.
        if set_tcp_congestion(&listener, "bbr").is_err() {
            assert!(!is_paced(&listener));
            return;
        }
        assert!(is_paced(&listener));
        let address = listener.local_addr().unwrap();
        let _before = TcpStream::connect(address).unwrap();
        assert!(is_paced(listener.accept().unwrap().0));
        unpace(&listener);
        let _after = TcpStream::connect(address).unwrap();
        assert!(!is_paced(listener.accept().unwrap().0));
    }

    #[test]
    fn an_address_is_local_if_it_is_of_loopback_or_our_own() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (own, peer, local) in [
            ("0.0.0.0", "127.0.0.1", true),
            ("::", "::1", true),
            ("::", "::ffff:127.0.0.9", true),
            ("10.0.0.5", "10.0.0.5", true),
            ("::ffff:10.0.0.5", "10.0.0.5", true),
            ("10.0.0.5", "10.0.0.6", false),
            ("::", "2001:db8::1", false),
        ] {
            assert_eq!(is_local(ip(own), ip(peer)), local, "{own} and {peer}");
        }
    }
}
