//! Whatever a client sends, in whatever pieces: no panic, no byte is taken twice, and the pieces make
//! no difference.
#![no_main]

use bytes::Bytes;
use http::HeaderMap;
use libfuzzer_sys::fuzz_target;
use sheave::http1::{
    chunked::{Chunked, Step},
    request::Head,
    request_body::hand_over,
    request_head::{Bad, RequestFraming, HeadLimits, RequestHead, parse},
};

const LIMITS: HeadLimits = HeadLimits { head: 2048, fields: 20 };

/// A head, whether one was seen at all, and what was left of `sent`, which came in pieces.
fn read(sent: &[u8], piece: usize) -> Result<Option<(RequestHead, Bytes)>, Bad> {
    let mut unread = Bytes::new();
    for piece in sent.chunks(piece) {
        unread = [&unread[..], piece].concat().into();
        let before = unread.clone();
        match parse(&mut unread, LIMITS)? {
            Some(head) => return Ok(Some((head, unread))),
            None => assert_eq!(unread, before, "nothing is taken of half a head"),
        }
    }
    Ok(None)
}

/// What is told of a head.
fn told(told: &RequestHead) -> (String, HeaderMap, RequestFraming, [bool; 3]) {
    let Head { method, target, version, fields, present, protocols: _ } = &told.head;
    let line = format!("{method} {target:?} {version:?} {present:?}");
    let flags = [told.keep_alive, told.expects_continue, told.takes_trailers];
    (line, fields.clone().map().clone(), told.framing, flags)
}

/// Data in the chunks that have come.
fn chunks(mut unread: Bytes) -> (usize, usize) {
    let (mut chunked, mut data) = (Chunked::default(), 0);
    loop {
        match chunked.step(&mut unread) {
            Ok(Step::Data(part)) => data += part.len(),
            Ok(Step::More | Step::End(_)) | Err(_) => return (data, unread.len()),
        }
    }
}

/// The body's part of `sent` is taken, and no more.
fn body(sent: &Bytes, length: Option<u64>) {
    let mut unread = sent.clone();
    let (mut giver, taker) = hand_over(length, false, &mut unread);
    let all = giver.skip_what_is_there(&mut unread);
    assert_eq!(all, giver.is_done());
    assert!(sent.ends_with(&unread));
    assert_eq!(taker.length(), length);
    let taken = sent.len() - unread.len();
    match length {
        Some(length) => {
            assert_eq!(taken as u64, length.min(sent.len() as u64));
            assert_eq!(all, taken as u64 == length);
        }
        None => {
            let (data, left) = chunks(sent.clone());
            assert!(data + left <= sent.len() && data <= taken);
            // Where one finds an end, so does the other.
            assert!(!all || left == unread.len());
        }
    }
}

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, sent) = input;
    let whole = read(sent, sent.len().max(1));
    // Below the limits, of which more may have arrived than is looked at.
    if sent.len() < LIMITS.head {
        match (&whole, &read(sent, usize::from(piece).max(1))) {
            (Ok(None), Ok(None)) => {}
            (Ok(Some((one, _))), Ok(Some((other, _)))) => assert_eq!(told(one), told(other)),
            (Err(one), Err(other)) => assert_eq!(one, other),
            (one, other) => panic!("at once {one:?}, in pieces {other:?}"),
        }
    }
    let Ok(Some((head, rest))) = whole else { return };
    let taken = sent.len() - rest.len();
    assert!(taken <= LIMITS.head && sent[..taken].ends_with(b"\n") && sent[taken..] == rest);
    match head.framing {
        RequestFraming::None => {}
        RequestFraming::Length(length) => body(&rest, Some(length)),
        RequestFraming::Chunked | RequestFraming::Both => body(&rest, None),
    }
});
