//! Asking a running daemon at its admin address.
//!
//! Owns: where it is, and what shows who asks. May touch: [`crate::health`], [`crate::tls`]; the
//! file of the token and the environment.

use super::{complain, failed, print};
use crate::{
    health::{self, HealthCaller},
    tls::to_server::ServerTlsWanted,
};
use serde_json::Value;
use std::{fs, path::PathBuf};

/// Where the token is, if no file is named.
const VARIABLE: &str = "SHEAVE_TOKEN";

/// A daemon's admin address.
#[derive(Debug, Default)]
pub(super) struct AdminPlace {
    pub(super) address: Option<String>,
    pub(super) token_file: Option<PathBuf>,
    /// Whose certificates are trusted, where the address is `https://…`.
    pub(super) ca: Option<PathBuf>,
    /// Our own chain and key.
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

impl AdminPlace {
    /// As people write it.
    pub(super) fn address(&self) -> &str {
        self.address.as_deref().unwrap_or("127.0.0.1:9900")
    }

    pub(super) fn caller(&self) -> Result<HealthCaller, String> {
        let own = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some((cert.clone(), key.clone())),
            (Some(_), None) => return Err("`--cert` needs `--key`, its private key".into()),
            (None, Some(_)) => return Err("`--key` needs `--cert`, its certificate".into()),
            (None, None) => None,
        };
        let tls = ServerTlsWanted { ca: self.ca.clone(), own, ..ServerTlsWanted::default() };
        Ok(HealthCaller { token: self.token()?, tls })
    }

    fn token(&self) -> Result<Option<String>, String> {
        let Some(file) = &self.token_file else { return Ok(std::env::var(VARIABLE).ok()) };
        match fs::read_to_string(file) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) => Err(format!("the token in `{}` can't be read: {error}", file.display())),
        }
    }

    /// Status and body of the answer.
    pub(super) fn ask(
        &self,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<(u16, String), String> {
        health::send(self.address(), method, path, body, &self.caller()?)
    }

    /// The answer's JSON; or the exit code, once it has been said what is wrong.
    pub(super) fn json(&self, method: &str, path: &str, body: &str) -> Result<Value, u8> {
        let (status, text) = self.ask(method, path, body).map_err(|error| failed(3, &error))?;
        self.answered(path, status, &text)
    }

    /// The same for an answer that has come.
    pub(super) fn answered(&self, path: &str, status: u16, text: &str) -> Result<Value, u8> {
        let told: Value = serde_json::from_str(text).unwrap_or_default();
        match status {
            200 if !told.is_null() => Ok(told),
            401 | 403 => {
                let why = told["error"].as_str().unwrap_or("this needs a token");
                let hint = match status {
                    401 => format!(
                        "\n  = hint: name the file of a token with `--token-file`, or set {VARIABLE}; or \
                         show a certificate with `--cert` and `--key`"
                    ),
                    // Who asks is known, and may not.
                    _ => String::new(),
                };
                Err(failed(3, &format!("{}: {why}{hint}", self.address())))
            }
            404 => Err(failed(
                3,
                &format!(
                    "`{}` is not there: the daemon is older than this program",
                    path.split('?').next().unwrap_or_default()
                ),
            )),
            _ => {
                let why = told["error"].as_str().unwrap_or(text);
                Err(failed(if status == 422 { 2 } else { 3 }, why))
            }
        }
    }

    /// Prints the daemon's answer.
    pub(super) fn shown(&self, method: &str, path: &str, body: &str) -> u8 {
        match self.ask(method, path, body) {
            Ok((200, answer)) => print(&answer),
            Ok((_, answer)) => {
                complain(&answer);
                1
            }
            Err(error) => failed(3, &error),
        }
    }
}
