//! Session tickets: keys from a file that several instances share, and who a ticket is good for.
//!
//! Owns: a ticket's form. By default keys are rustls's own, in memory. With a file, a ticket is the
//! key's name, a nonce, and the session with the time, encrypted by AES-256-GCM-SIV: with this
//! cipher, the same random nonce may come twice without harm.

use super::TlsError;
use crate::credentials::ticket_keys::{TicketKey, parse};
use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hmac::{HMAC_SHA256, Key as HmacKey, sign},
};
use rustls::{pki_types::UnixTime, server::ProducesTickets};
use std::{fmt, path::Path, sync::Arc};

/// A ticket is good for this many seconds.
const LIFE: u32 = 24 * 60 * 60;
const NAME: usize = 16;

/// Makes tickets with the keys in a file.
pub fn from_file(path: &Path) -> Result<Arc<dyn ProducesTickets>, TlsError> {
    let text = std::fs::read(path).map_err(|error| TlsError::of(path, &error))?;
    let keys = parse(&text).map_err(|fault| TlsError::of(path, &format!("it {fault}")))?;
    let keys: Option<_> = keys.iter().map(SharedKey::new).collect();
    let keys = keys.ok_or_else(|| TlsError::of(path, &"its keys are not taken"))?;
    Ok(Arc::new(SharedKeys { keys }))
}

/// The first key encrypts, all keys decrypt.
struct SharedKeys {
    keys: Vec<SharedKey>,
}

struct SharedKey {
    name: [u8; NAME],
    cipher: RandomizedNonceKey,
}

impl SharedKey {
    /// Two values are derived from the key: the key that encrypts, and the name that everybody can
    /// read.
    fn new(key: &TicketKey) -> Option<Self> {
        let key = HmacKey::new(HMAC_SHA256, key);
        let mut name = [0; NAME];
        name.copy_from_slice(&sign(&key, b"sheave: the name of a ticket key").as_ref()[..NAME]);
        let cipher = sign(&key, b"sheave: the cipher of a ticket key");
        let cipher = RandomizedNonceKey::new(&AES_256_GCM_SIV, cipher.as_ref()).ok()?;
        Some(Self { name, cipher })
    }
}

impl fmt::Debug for SharedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedKeys").field("keys", &self.keys.len()).finish()
    }
}

impl SharedKeys {
    fn encrypt_at(&self, session: &[u8], now: u64) -> Option<Vec<u8>> {
        let key = self.keys.first()?;
        let mut sealed = [&now.to_be_bytes(), session].concat();
        let nonce = key.cipher.seal_in_place_append_tag(Aad::from(key.name), &mut sealed).ok()?;
        Some([&key.name, nonce.as_ref().as_slice(), &sealed].concat())
    }

    fn decrypt_at(&self, ticket: &[u8], now: u64) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let key = self.keys.iter().find(|it| it.name == *name)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = key.cipher.open_in_place(nonce, Aad::from(name), &mut sealed).ok()?;
        let (made, session) = opened.split_first_chunk::<8>()?;
        // Another instance's clock may be ahead of ours.
        let age = now.saturating_sub(u64::from_be_bytes(*made));
        (age < LIFE.into()).then(|| session.to_vec())
    }
}

impl ProducesTickets for SharedKeys {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFE
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        self.encrypt_at(session, UnixTime::now().as_secs())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.decrypt_at(ticket, UnixTime::now().as_secs())
    }
}

/// Tickets that are good only where client certificates are asked for in the same way. A resumed
/// session contains the client's certificate, which is not verified again. So a ticket from a
/// listener with other authorities, or from before a change of the revoked ones, must not be
/// accepted.
#[derive(Debug)]
pub(super) struct Scoped {
    pub(super) tickets: Arc<dyn ProducesTickets>,
    pub(super) scope: [u8; 32],
}

impl ProducesTickets for Scoped {
    fn enabled(&self) -> bool {
        self.tickets.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.tickets.lifetime()
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        self.tickets.encrypt(&[&self.scope, session].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let session = self.tickets.decrypt(ticket)?;
        session.strip_prefix(&self.scope).map(<[u8]>::to_vec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(keys: &[u8]) -> SharedKeys {
        SharedKeys { keys: keys.iter().map(|it| SharedKey::new(&[*it; 32]).unwrap()).collect() }
    }

    #[test]
    fn the_first_key_encrypts_and_all_decrypt() {
        let (before, during, after) = (keys(&[1]), keys(&[2, 1]), keys(&[3, 2]));
        let old = before.encrypt(b"session").unwrap();
        let new = during.encrypt(b"session").unwrap();
        assert_eq!(during.decrypt(&old).as_deref(), Some(&b"session"[..]));
        assert_eq!(before.decrypt(&new), None, "the first key encrypts");
        assert_eq!(after.decrypt(&new).as_deref(), Some(&b"session"[..]));
        assert_eq!(after.decrypt(&old), None, "its key is gone");
        assert_ne!(during.encrypt(b"session").unwrap(), new, "the nonce is another");
    }

    #[test]
    fn a_ticket_is_good_for_a_day() {
        let keys = keys(&[1]);
        let ticket = keys.encrypt_at(b"", 1_000_000).unwrap();
        assert!(keys.decrypt_at(&ticket, 1_000_000 - 60).is_some(), "made by a clock ahead");
        assert!(keys.decrypt_at(&ticket, 1_000_000 + u64::from(LIFE) - 1).is_some());
        assert!(keys.decrypt_at(&ticket, 1_000_000 + u64::from(LIFE)).is_none());
    }

    #[test]
    fn a_ticket_of_one_scope_is_none_in_another() {
        let shared: Arc<dyn ProducesTickets> = Arc::new(keys(&[1]));
        let scoped = |scope| Scoped { tickets: Arc::clone(&shared), scope: [scope; 32] };
        let ticket = scoped(1).encrypt(b"session").unwrap();
        assert_eq!(scoped(1).decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert_eq!(scoped(2).decrypt(&ticket), None);
        assert_eq!(scoped(1).decrypt(&shared.encrypt(b"session").unwrap()), None);
    }

    proptest! {
        #[test]
        fn no_ticket_but_ours_is_read(at in any::<prop::sample::Index>(), flip in 1u8.., cut in 0usize..40) {
            let keys = keys(&[1, 2]);
            let ticket = keys.encrypt(b"session").unwrap();
            prop_assert_eq!(keys.decrypt(&ticket[..ticket.len() - 1 - cut]), None);
            let mut ticket = ticket;
            *at.get_mut(&mut ticket) ^= flip;
            prop_assert_eq!(keys.decrypt(&ticket), None);
        }
    }
}
