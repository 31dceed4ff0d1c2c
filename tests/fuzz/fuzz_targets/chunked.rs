//! Whatever the chunks, in whatever pieces: no panic, and the pieces make no difference.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sheave::http1::chunked::{Chunked, Step};

/// The data, whether it came to the end, and what was left; nothing where the framing is broken.
fn decode(sent: &[u8], piece: usize) -> Option<(Vec<u8>, bool, usize)> {
    let (mut chunked, mut unread, mut data) = (Chunked::default(), Bytes::new(), Vec::new());
    let mut pieces = sent.chunks(piece.max(1));
    loop {
        match chunked.step(&mut unread).ok()? {
            Step::Data(part) => data.extend_from_slice(&part),
            Step::End(_) => return Some((data, true, unread.len() + pieces.flatten().count())),
            Step::More => {
                let Some(piece) = pieces.next() else { return Some((data, false, 0)) };
                unread = [&unread[..], piece].concat().into();
            }
        }
    }
}

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, sent) = input;
    let whole = decode(sent, sent.len());
    // Below the limits on lines, of which more may have arrived than is looked at.
    if sent.len() < 4096 {
        assert_eq!(whole, decode(sent, piece.into()));
    }
    assert!(whole.is_none_or(|(data, ..)| data.len() <= sent.len()));
});
