//! The handshake of WebSocket over HTTP/1.1 (RFC 6455 §4). Over HTTP/2 there is no handshake (RFC
//! 8441 §5), so where the two versions meet, we make its fields.
//!
//! Owns: `Sec-WebSocket-Key` and `Sec-WebSocket-Accept`. May touch: nothing outside this room.

use aws_lc_rs::{
    digest::{SHA1_FOR_LEGACY_USE_ONLY, digest},
    rand,
};
use data_encoding::BASE64;
use http::{HeaderName, HeaderValue, header};

/// The key that a client sends.
pub const KEY: HeaderName = header::SEC_WEBSOCKET_KEY;
/// What the server sends to accept the key.
pub const ACCEPT: HeaderName = header::SEC_WEBSOCKET_ACCEPT;

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A key that was never used before; `None` if the system has no randomness.
pub fn new_key() -> Option<HeaderValue> {
    let mut key = [0; 16];
    rand::fill(&mut key).ok()?;
    HeaderValue::try_from(BASE64.encode(&key)).ok()
}

/// The value that accepts a key.
pub fn accept(key: &[u8]) -> String {
    let both = [key, GUID].concat();
    BASE64.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &both).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_and_keys_of_our_own() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let (one, other) = (new_key().unwrap(), new_key().unwrap());
        assert_eq!(BASE64.decode(one.as_bytes()).unwrap().len(), 16);
        assert_ne!(one, other);
    }
}
