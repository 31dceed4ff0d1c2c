//! Whatever a connection begins with: no panic, no byte taken behind the header, and the same end
//! however it is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sheave::message::proxy_protocol::{Announcement, length};

fuzz_target!(|bytes: &[u8]| {
    let Ok(Some(whole)) = length(bytes) else { return };
    assert!(whole <= bytes.len());
    for cut in [0, whole / 2, whole - 1] {
        assert_eq!(length(&bytes[..cut]), Ok(None));
    }
    if let Ok(announced) = Announcement::parse(&bytes[..whole]) {
        for kind in 0..=255 {
            let _ = announced.tlv(kind);
            let _ = announced.tlv_within(kind, 5, 0x22);
        }
    }
});
