//! `[[admin.access]]`: somebody who is known at the admin address, by a token or a certificate.
//!
//! Owns: the notation, and that a token is never kept or shown: only its digest is. May touch:
//! [`crate::settings`]; the file system for `token_file`.

use super::{private_key::unreadable, table::Table, tree::TextValue};
use crate::settings::Role;
use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
};
use rustls::pki_types::pem;
use std::{
    fmt,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// The least length of a token, in characters.
const SHORTEST: usize = 16;

/// So much of a file is read.
const LARGEST_FILE: u64 = 4096;

/// Somebody who is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminAccess {
    /// `name`: what the log and the audit say.
    pub name: String,
    /// `role`.
    pub role: Role,
    /// How they are known; `None` if it could not be read, which is an error.
    pub proof: Option<AdminProof>,
    /// `token_file`.
    pub file: Option<PathBuf>,
}

/// How somebody is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminProof {
    /// `token`, or what is in `token_file`.
    Token(TokenDigest),
    /// `certificate`: the subject of a client certificate, as `{tls.client.subject}` has it.
    Subject(String),
    /// `fingerprint`: SHA-256 of the client certificate, in lower-case hex.
    Fingerprint(String),
}

/// SHA-256 of a token.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    fn of(token: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, token).as_ref());
        Self(bytes)
    }

    /// Whether `token` is the one. How long it takes says nothing about the token.
    pub fn is_of(&self, token: &[u8]) -> bool {
        verify_slices_are_equal(&self.0, &Self::of(token).0).is_ok()
    }
}

/// Not even the digest is shown: of a weak token it could be guessed from.
impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(…)")
    }
}

impl AdminAccess {
    /// Reads one entry. `asks`: whether clients are asked for certificates.
    pub(super) fn read(table: &Table<'_>, asks: bool) -> Self {
        let name = table.required_text("name", "\"ci\"").map(|it| it.value.clone());
        if !table.has("role") {
            table.missing("role", "\"read\"");
        }
        let roles = [Role::Read, Role::Write].map(|it| (it.name(), it));
        let file = table.text("token_file").map(|text| (text, table.path_in(text)));
        let proofs = [
            table.text("token").map(|it| read_token(table, it, &it.value, "`token`")),
            file.as_ref().map(|(text, path)| read_file(table, text, path)),
            table.text("certificate").map(|it| Some(AdminProof::Subject(it.value.clone()))),
            table.text("fingerprint").map(|it| read_fingerprint(table, it)),
        ];
        let mut given = proofs.into_iter().flatten();
        let proof = given.next();
        if given.next().is_some() || proof.is_none() {
            let hint = "write one of `token`, `token_file`, `certificate` and `fingerprint`";
            let message = format!("{} needs one thing to be known by", table.label());
            table.absent(table.key_span("name"), message, Some(hint.into()));
        }
        let proof = proof.flatten();
        if matches!(proof, Some(AdminProof::Subject(_) | AdminProof::Fingerprint(_))) && !asks {
            let key = if table.has("certificate") { "certificate" } else { "fingerprint" };
            let hint =
                "add `tls.client = { ca = \"clients.pem\", mode = \"optional\" }` to `[admin]`";
            let message = "nobody is asked for a certificate at the admin address";
            table.error(table.value_span(key), message, Some(hint.into()));
        }
        Self {
            name: name.unwrap_or_default(),
            role: table.choice("role", Role::Read, &roles),
            proof,
            file: file.map(|(_, path)| path),
        }
    }
}

fn read_token(table: &Table<'_>, at: &TextValue, token: &str, what: &str) -> Option<AdminProof> {
    let count = token.chars().count();
    let fault = if count < SHORTEST {
        format!("{what} has {count} characters, and must have {SHORTEST} at least")
    } else if !token.bytes().all(|it| it.is_ascii_graphic()) {
        format!("{what} has other characters than visible ASCII")
    } else {
        return Some(AdminProof::Token(TokenDigest::of(token.as_bytes())));
    };
    let hint = "make one with `openssl rand -hex 32`";
    table.error(at.span.clone(), fault, Some(hint.into()));
    None
}

fn read_file(table: &Table<'_>, at: &TextValue, path: &Path) -> Option<AdminProof> {
    let name = path.display().to_string();
    let read = File::open(path).and_then(|file| {
        let mut text = String::new();
        file.take(LARGEST_FILE).read_to_string(&mut text)?;
        Ok(text)
    });
    match read {
        Ok(text) => read_token(table, at, text.trim(), &format!("the token in `{name}`")),
        Err(cause) => {
            let (message, hint) = unreadable(&name, &pem::Error::Io(cause));
            table.error(at.span.clone(), message, Some(hint));
            None
        }
    }
}

/// SHA-256 in hex, also with colons, as `openssl x509 -fingerprint -sha256` writes it.
fn read_fingerprint(table: &Table<'_>, text: &TextValue) -> Option<AdminProof> {
    let hex: String = text.value.chars().filter(|it| *it != ':').collect();
    let hex = hex.to_ascii_lowercase();
    if hex.len() == 64 && hex.bytes().all(|it| it.is_ascii_hexdigit()) {
        return Some(AdminProof::Fingerprint(hex));
    }
    let hint = "write what `openssl x509 -noout -fingerprint -sha256 -in client.pem` says";
    table.error(text.span.clone(), "this is no SHA-256 fingerprint", Some(hint.into()));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_compared_and_never_shown() {
        let token = TokenDigest::of(b"0123456789abcdef");
        assert!(token.is_of(b"0123456789abcdef"));
        assert!(!token.is_of(b"0123456789abcdeF") && !token.is_of(b""));
        assert_eq!(format!("{token:?}"), "TokenDigest(…)");
    }
}
