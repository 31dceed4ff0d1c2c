//! Whatever is in TLS's files: no panic; a key's text is read as it was written, and a name's text has
//! no bare control character.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sheave::credentials::{identity::Identity, staple, ticket_keys};

fuzz_target!(|input: (&[u8], &[u8])| {
    let (bytes, serial) = input;
    if let Some(identity) = Identity::read(bytes) {
        let texts = [&identity.subject, &identity.issuer, &identity.alternative];
        assert!(texts.iter().all(|it| !it.contains(char::is_control)));
    }
    let _ = staple::read(bytes, serial);
    if let Ok(keys) = ticket_keys::parse(bytes) {
        let hex = |key: &[u8; 32]| key.iter().map(|it| format!("{it:02x}")).collect::<String>();
        let text: Vec<_> = keys.iter().map(hex).collect();
        assert_eq!(ticket_keys::parse(text.join("\n").as_bytes()), Ok(keys));
    }
});
