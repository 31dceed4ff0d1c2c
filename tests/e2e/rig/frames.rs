//! HTTP/2 by hand (RFC 9113), for clients that break the rules.

use super::{
    Client,
    secure::{Handshake, TlsClient},
};
use std::{io, net::SocketAddr};

/// Frame types.
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// A connection that has sent its preface and SETTINGS with this initial window.
pub fn connect(address: SocketAddr, window: u32) -> TlsClient {
    let (mut client, agreed) = Handshake::offering(&["h2"]).connect(address, "localhost");
    assert_eq!(agreed.alpn.as_deref(), Some("h2"));
    let mut window_setting = INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
    window_setting.extend(window.to_be_bytes());
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send(frame(SETTINGS, 0, 0, &window_setting));
    client.send(frame(SETTINGS, ACK, 0, &[]));
    client
}

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// `method path` without a body.
pub fn request(stream: u32, method: &str, path: &str) -> Vec<u8> {
    // RFC 7541: 2, 4 and 1 are the static table's `:method`, `:path` and `:authority`, 7 is
    // `https`.
    let mut block = vec![0x87];
    for (name, value) in [(2, method), (4, path), (1, "localhost")] {
        block.extend([name, value.len() as u8]);
        block.extend(value.bytes());
    }
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)
}

/// `GET /` as a block of exactly these fields, pseudo-header fields among them.
pub fn request_of(stream: u32, fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(fields))
}

/// Trailers of exactly these fields.
pub fn trailers(stream: u32, fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    request_of(stream, fields)
}

fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        // A literal that is not indexed, with a literal name (RFC 7541 §6.2.2).
        block.push(0);
        for part in [name, value] {
            block.push(part.len() as u8);
            block.extend(*part);
        }
    }
    block
}

/// A POST whose body follows, with a `content-length` if that text is not empty.
pub fn begin_upload(stream: u32, path: &str, length: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x87];
    for (name, value) in [(4, path), (1, "localhost")] {
        block.extend([name, value.len() as u8]);
        block.extend(value.bytes());
    }
    if !length.is_empty() {
        // 28 of the static table: `content-length`.
        block.extend([0x0f, 0x0d, length.len() as u8]);
        block.extend(length.bytes());
    }
    frame(HEADERS, END_HEADERS, stream, &block)
}

/// A CONNECT that says it has a body.
pub fn connect_with_a_body(stream: u32) -> Vec<u8> {
    let mut block = b"\x02\x07CONNECT\x01\x09localhost".to_vec();
    block.extend(b"\x0f\x0d\x011");
    frame(HEADERS, END_HEADERS, stream, &block)
}

/// The client gives a stream up.
pub fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

/// The next frame: type, flags, stream, payload.
pub fn next<S: io::Read + io::Write>(client: &mut Client<S>) -> io::Result<(u8, u8, u32, Vec<u8>)> {
    let head = client.exactly(9)?;
    let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
    let payload = client.exactly(number(&head[..3]) as usize)?;
    Ok((head[3], head[4], number(&head[5..]), payload))
}

/// Reads up to a frame of a type on a stream, and past it.
pub fn until_frame<S: io::Read + io::Write>(
    client: &mut Client<S>,
    kind: u8,
    stream: u32,
) -> io::Result<Vec<u8>> {
    loop {
        let (its_kind, _, its_stream, payload) = next(client)?;
        if (its_kind, its_stream) == (kind, stream) {
            return Ok(payload);
        }
    }
}

/// Reads up to a WINDOW_UPDATE on a stream: by how much.
pub fn until_window_update<S: io::Read + io::Write>(
    client: &mut Client<S>,
    stream: u32,
) -> io::Result<usize> {
    let payload = until_frame(client, WINDOW_UPDATE, stream)?;
    Ok(payload.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
}

/// Reads a response to its end: how many bytes its body had.
pub fn body_length(client: &mut TlsClient, stream: u32) -> io::Result<usize> {
    let mut length = 0;
    loop {
        let (kind, flags, its_stream, payload) = next(client)?;
        if its_stream != stream {
            continue;
        }
        match kind {
            0 => length += payload.len(),
            RST_STREAM => return Err(io::ErrorKind::ConnectionReset.into()),
            _ => {}
        }
        if flags & END_STREAM != 0 {
            return Ok(length);
        }
    }
}

/// Whether the daemon has ended the connection, with or without a reset.
pub fn is_ended<S: io::Read + io::Write>(client: &mut Client<S>) -> bool {
    !matches!(client.first_byte(), Ok(true))
}
