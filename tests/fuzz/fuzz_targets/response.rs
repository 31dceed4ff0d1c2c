//! Whatever a server sends: no panic, and no byte is taken twice.
#![no_main]

use bytes::Bytes;
use http::Method;
use libfuzzer_sys::fuzz_target;
use sheave::{
    http1::{
        chunked::{Chunked, Step},
        request_head::HeadLimits,
    },
    origin::response_head::{BodyEnd, parse},
};

const LIMITS: HeadLimits = HeadLimits { head: 64 * 1024, fields: 200 };

fuzz_target!(|input: (bool, &[u8])| {
    let (head, sent) = input;
    let method = if head { Method::HEAD } else { Method::GET };
    let mut unread = Bytes::copy_from_slice(sent);
    let Ok(Some(response)) = parse(&mut unread, &method, LIMITS, |_, _| {}) else { return };
    assert!(unread.len() < sent.len());
    if response.framing == BodyEnd::Chunked {
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
