//! Whatever a server sends: no panic, and no byte is taken twice.
#![no_main]

use bytes::BytesMut;
use http::Method;
use libfuzzer_sys::fuzz_target;
use sheave::proxy::{
    chunked::{Chunked, Step},
    response_head::{Framing, parse},
};

fuzz_target!(|input: (bool, &[u8])| {
    let (head, sent) = input;
    let method = if head { Method::HEAD } else { Method::GET };
    let mut unread = BytesMut::from(sent);
    let Ok(Some(response)) = parse(&mut unread, &method) else { return };
    assert!(unread.len() < sent.len());
    if response.framing == Framing::Chunked {
        let mut chunked = Chunked::default();
        let mut taken = 0;
        while let Ok(step) = chunked.step(&mut unread) {
            match step {
                Step::Data(data) => taken += data.len(),
                Step::More | Step::End(_) => break,
            }
        }
        assert!(taken <= sent.len());
    }
});
